# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sessions under names that nobody can guess, since whoever knows the name has the image.

Tested by tests/apps/test_hostile_requests.py.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from monailabel.utils.sessions import Sessions

__all__ = ["PrivateSessions"]


class PrivateSessions(Sessions):  # type: ignore[misc]
    """MONAI Label's sessions, whose names are times and the number of the machine otherwise."""

    def add_session(
        self, data_file: str, expiry: int = 0, uncompress: bool = False, session_id: str | None = None
    ) -> tuple[str, Any]:
        """Open a session for an image file."""
        made: tuple[str, Any] = super().add_session(data_file, expiry, uncompress, session_id or str(uuid.uuid4()))
        Path(self.store_path, made[0]).chmod(0o700)
        return made

    def holds(self, name: str, file: Path) -> bool:
        """Whether a file is the image of a session."""
        return file.resolve().parent == (Path(self.store_path) / name).resolve() and file.is_file()
