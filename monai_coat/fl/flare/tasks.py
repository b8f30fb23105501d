# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Names of what the server asks of a site.

Tested by tests/fl/flare/test_job.py.
"""

from __future__ import annotations

__all__ = ["COLLECT", "STORE"]

COLLECT = "collect_statistic"
STORE = "store_calibration"
