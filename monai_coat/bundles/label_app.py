# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The folder that MONAI Label's ``start_server`` takes as ``--app``.

Tested by tests/cli/test_label_app.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from monai_coat.files import replacing_folder

__all__ = ["write_label_app"]


def write_label_app(folder: Path) -> Path:
    """Make an app folder for MONAI Label, which keeps its logs in it; the app itself stays in this package.

    The folder is made whole or not at all.

    Args:
        folder: folder to make; it must not exist.

    Returns:
        The file that MONAI Label loads.

    Raises:
        FileExistsError: if ``folder`` exists.
    """
    with replacing_folder(folder) as temporary:
        shutil.copy(Path(__file__).parents[1] / "apps" / "label" / "main.py", temporary / "main.py")
    return folder / "main.py"
