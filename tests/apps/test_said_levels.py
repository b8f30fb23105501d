# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Requests of inference: a level is taken or refused, regions are of the image, and the smallest image has a mask."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
import torch

pytest.importorskip("monailabel", reason="MONAI Label is not installed; make label-test has an environment with it")

from monai.data import MetaTensor
from PIL import Image
from starlette.exceptions import HTTPException

from monai_coat.apps.label.checks import Checks
from monai_coat.apps.label.contents import Body, read_contents
from monai_coat.apps.label.infer_task import write_labels
from monai_coat.apps.label.polygons import write_polygons
from monai_coat.apps.limits import Limits
from monai_coat.transforms import CertaintyLabels

LEVEL = json.dumps({"alpha": 0.9})
FORM = "application/x-www-form-urlencoded"


def sent(path: str, query: str = "", body: bytes = b"", kind: str = "") -> None:
    """Let a request through the door, or not."""
    headers = [(b"content-type", kind.encode())] if kind else []
    scope = {"type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": headers}

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def run() -> None:
        whole = Body(2**20)
        await whole.fill(receive)
        Checks(Limits(2**20, ()), None)(await read_contents(scope, whole, receive))

    asyncio.run(run())


IGNORED = {
    "JSON": ("/infer/m", "image=a", LEVEL, "application/json"),
    "JSON as a form": ("/infer/m", "image=a", LEVEL, FORM),
    "JSON as text": ("/infer/m", "image=a", LEVEL, "text/plain"),
    "JSON without a type": ("/infer/m", "image=a", LEVEL, ""),
    "address": ("/infer/m", "image=a&alpha=0.9", "", ""),
    "params in the address": ("/infer/m", urlencode({"image": "a", "params": LEVEL}), "", ""),
    "field": ("/infer/m", "image=a", "alpha=0.9", FORM),
    "misspelt field": ("/infer/m", "image=a", urlencode({"param": LEVEL}), FORM),
    "twice": ("/infer/m", "image=a", urlencode([("params", LEVEL), ("params", "{}")]), FORM),
    "misspelt": ("/infer/m", "image=a", urlencode({"params": '{"Alpha": 0.9}'}), FORM),
    "too deep": ("/infer/m", "image=a", urlencode({"params": json.dumps({"params": {"alpha": 0.9}})}), FORM),
    "slide": ("/infer/wsi/m", "image=a", LEVEL, "application/json"),
    "slide's address": ("/infer/wsi/m", "image=a&alpha=0.9", "{}", "application/json"),
}
TAKEN = {
    "form": ("/infer/m", "image=a&output=image", urlencode({"params": LEVEL}), FORM),
    "default": ("/infer/m", "image=alpha_1", "", ""),
    "slide": ("/infer/wsi/m", "image=a", json.dumps({"params": {"alpha": 0.1}}), "application/json"),
}


@pytest.mark.parametrize("request_", IGNORED.values(), ids=IGNORED)
def test_a_level_that_would_be_ignored_is_refused(request_):
    path, query, body, kind = request_
    with pytest.raises((HTTPException, ValueError)) as caught:
        sent(path, query, body.encode(), kind)
    assert "send it" in str(getattr(caught.value, "detail", caught.value))


@pytest.mark.parametrize("request_", TAKEN.values(), ids=TAKEN)
def test_a_level_in_its_place_is_taken(request_):
    path, query, body, kind = request_
    sent(path, query, body.encode(), kind)


@pytest.mark.parametrize("name", ["location", "size"])
@pytest.mark.parametrize("value", [[-1, 0], [0, -4], [1, 2, 3], [1], "ab", [1.5, 0], [True, 0], 3, [None, 0]])
def test_a_region_is_two_whole_numbers(name, value):
    labels, certainty = torch.zeros(8, 6, dtype=torch.uint8), CertaintyLabels(("polyp",))
    with pytest.raises(ValueError, match=f"{name} must be two whole numbers of pixels, not negative, got"):
        write_polygons(labels, certainty, {}, {"output": "dsa", name: value})


def test_a_region_begins_in_the_image():
    labels, certainty = torch.zeros(8, 6, dtype=torch.uint8), CertaintyLabels(("polyp",))
    with pytest.raises(ValueError, match=r"location must be a pixel of the image, 8 x 6, got \[8, 0\]"):
        write_polygons(labels, certainty, {}, {"output": "dsa", "location": [8, 0]})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
@pytest.mark.parametrize("shape", [(9, 1), (1, 9), (1, 1), (5, 3)])
def test_images_of_one_row_have_masks_too(shape, dtype):
    values = torch.arange(shape[0] * shape[1]).reshape(1, *shape).to(dtype)
    path = Path(write_labels(MetaTensor(values), ".png"))
    with Image.open(path) as image:
        assert image.size == shape
        np.testing.assert_array_equal(np.asarray(image).T, values[0])
    path.unlink()
