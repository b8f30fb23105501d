# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every page that the start page, the page of predictions and the README send readers to is there."""

from __future__ import annotations

import re

import pytest

from tests.fenced import DOCS


@pytest.mark.parametrize("page", ["start.md", "predictions.md", "../README.md"])
def test_links_lead_somewhere(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    missing = [link for link in links if link and not ((DOCS / page).parent / link).exists()]
    assert links
    assert not missing
