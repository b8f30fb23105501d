# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files: written whole or not at all, and read with a sentence if something is wrong with them."""

from __future__ import annotations

from monai_coat.files.atomic import replacing, replacing_folder
from monai_coat.files.json import read_json, write_json
from monai_coat.files.names import stem_of
from monai_coat.files.temporaries import remove_unfinished

__all__ = ["read_json", "remove_unfinished", "replacing", "replacing_folder", "stem_of", "write_json"]
