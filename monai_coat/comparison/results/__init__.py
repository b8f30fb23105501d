# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What comes of a comparison: rows, tables, figures and pages."""
