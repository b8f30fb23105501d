# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What guarantees that are made around another have of it.

Tested by tests/calibration/guarantees/test_base.py.
"""

from __future__ import annotations

from dataclasses import replace

from monai_coat.calibration.guarantees.base import MeanGuarantee
from monai_coat.calibration.risks.base import Risk

__all__ = ["Around"]


class Around:
    """Risk, level and formula of the guarantee within."""

    guarantee: MeanGuarantee

    @property
    def risk(self) -> Risk:
        """What one image loses."""
        return self.guarantee.risk

    @property
    def alpha(self) -> float:
        """The tolerated level."""
        return self.guarantee.alpha

    @property
    def promise(self) -> str:
        """The formula."""
        return self.guarantee.promise

    def at(self, alpha: float) -> MeanGuarantee:
        """The guarantee of another level."""
        return replace(self, guarantee=self.guarantee.at(alpha))  # type: ignore[type-var,return-value]
