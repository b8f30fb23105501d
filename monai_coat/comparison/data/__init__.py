# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What methods are compared on: images, maps, and the draws of parts."""
