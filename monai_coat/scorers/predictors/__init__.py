# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predictors: one threshold per image and class, from the image and its probability map."""
