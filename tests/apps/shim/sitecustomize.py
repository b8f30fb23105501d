# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Lets torchvision's wheel, which is built for CUDA, be imported beside a torch for CPUs.

MONAI Label's own bundle app imports it, and uses none of the two operators that a torch for CPUs lacks.
"""

from __future__ import annotations

import importlib.abc
import sys


class _DefineOperators(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            sys._torchvision_operators = library  # kept alive


sys.meta_path.insert(0, _DefineOperators())
