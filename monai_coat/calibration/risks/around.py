# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What risks that are made of another have of it.

Tested by tests/calibration/risks/test_base.py.
"""

from __future__ import annotations

from monai_coat.calibration.risks.base import Risk, check_risk

__all__ = ["RiskOfAnother"]


class RiskOfAnother(Risk):
    """The images that count, and the way with the cutoff, of the risk within."""

    risk: Risk

    def __post_init__(self) -> None:
        check_risk(self.risk)

    @property
    def counted(self) -> str:
        """Which images count, in words."""
        return self.risk.counted

    @property
    def left_out(self) -> str:
        """What the others lack, in words."""
        return self.risk.left_out

    @property
    def rises(self) -> bool:  # type: ignore[override]
        """Whether it rises with the cutoff."""
        return self.risk.rises

    @property
    def monotone(self) -> bool:  # type: ignore[override]
        """Whether it only rises, or only falls, with the cutoff."""
        return self.risk.monotone

    @property
    def of_places(self) -> bool:  # type: ignore[override]
        """Whether it says which pixels are rightly in the set, or out of it."""
        return self.risk.of_places

    @property
    def joint(self) -> bool:  # type: ignore[override]
        """Whether there is one cutoff and one risk for all classes of an image together."""
        return self.risk.joint

    @property
    def looks_at_shape(self) -> bool:  # type: ignore[override]
        """Whether it matters which voxels are neighbours."""
        return self.risk.looks_at_shape
