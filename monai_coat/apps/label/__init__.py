# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MONAI Label app: annotators see what is certain and what is possible. Loaded by MONAI Label, not by this package."""
