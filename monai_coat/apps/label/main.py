# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What MONAI Label loads, from the folder that `python -m monai_coat label-app` writes.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

from monai_coat.apps.label.app import CoatLabelApp

__all__ = ["CoatLabelApp"]
