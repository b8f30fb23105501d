# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The version, alone in its file so that packaging can read it without importing torch."""

from __future__ import annotations

__version__ = "0.1.0"
