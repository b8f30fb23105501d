# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An attempt at something that should be refused, and what came of it, in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

REFUSED, TAKEN, HARMLESS = "refused", "**taken**", "taken, and the sets are the same"


def attempted(action: Callable[..., Any], *arguments: Any) -> str:
    """``refused: <the sentence>``, or that it was taken.

    Only the errors that the package raises on purpose count as a refusal; any other goes on its way.
    """
    try:
        action(*arguments)
    except (ValueError, TypeError, RuntimeError) as error:
        return f"{REFUSED}: {readable(str(error))}"
    return TAKEN


def readable(sentence: str) -> str:
    """A message as a cell of a table: one line, files without the folder of this run, modules without their path."""
    sentence = re.sub(r"/\S*/", "", " ".join(sentence.split()))
    return re.sub(r"monai_coat(\.\w+)+\.(?=[A-Z])", "", sentence).replace("|", "\\|")
