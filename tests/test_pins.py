# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pins of both files can be installed together, but for those that the Makefile leaves out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def pins(name):
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_what_both_files_pin_is_one_version():
    left_out = set(re.findall(r"grep -v '\^([\w.-]+)=='", (ROOT / "Makefile").read_text()))
    shared, label = pins("constraints.txt"), pins("constraints-label.txt")
    different = {name for name in shared.keys() & label.keys() if shared[name] != label[name]}
    assert different == left_out == {"pydicom"}
