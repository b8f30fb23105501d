# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Other frameworks' loops. Each module needs its framework: ``from monai_coat.integrations.lightning import ...``."""

from __future__ import annotations

__all__: list[str] = []
