# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Commands beside ``python -m monai.bundle``: one file each, without logic of their own."""

from __future__ import annotations

from monai_coat.cli.main import main

__all__ = ["main"]
