# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Fits that have no gradient: AA-CRC's quantile regression and its solver."""
