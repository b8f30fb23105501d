# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""``python -m monai_coat``."""

from __future__ import annotations

from monai_coat.cli.main import main

raise SystemExit(main())
