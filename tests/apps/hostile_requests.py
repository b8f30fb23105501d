# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Requests that nobody should be sent, by what is wrong with them: method, address, status of the answer, and body."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from tests.apps.hostile_files import REFUSED_HEADERS, SLOPE, bomb, edited, filled, png, volume

MODEL, IMAGE = "hippocampus_coat", "synthetic_0000"
INFER = f"/infer/{MODEL}?output=json"
LEADING_OUT = ["../../evil", "..", "/tmp/evil", "a/b", "a\\..\\b", "nul\0l", ".hidden", "x" * 5000, "a\nb", "%2e%2e"]
LABEL = volume(np.ones((20, 24, 16), np.uint8))


@dataclass(frozen=True)
class Hostile:
    """A request that must be refused with one of some statuses."""

    name: str
    method: str
    target: str
    statuses: tuple[int, ...] = (400,)
    more: dict[str, Any] = field(default_factory=dict)


def upload(content: bytes, name: str = "a.nii", key: str = "file") -> dict[str, Any]:
    return {"files": {key: (name, content)}}


def params(text: str) -> dict[str, Any]:
    return {"data": {"params": text}}


def names_that_lead_out() -> Iterator[Hostile]:
    for value in LEADING_OUT:
        bad, shown = quote(value, safe=""), ascii(value[:12])
        label = upload(LABEL, "label.nii", "label")
        if value != "%2e%2e":  # three letters of a name for images
            yield Hostile(f"image {shown} stored", "PUT", f"/datastore/?image={bad}", (400,), upload(LABEL))
            yield Hostile(f"image {shown} stored, too", "PUT", f"/datastore/image?image={bad}", (400,), upload(LABEL))
            yield Hostile(f"image {shown} asked", "GET", f"/datastore/image?image={bad}")
            yield Hostile(f"image {shown} removed", "DELETE", f"/datastore/image?id={bad}")
            yield Hostile(
                f"info of {shown}", "PUT", f"/datastore/image/info?image={bad}", (400,), {"data": {"info": "{}"}}
            )
            yield Hostile(f"infer {shown}", "POST", f"{INFER}&image={bad}", (400,), params("{}"))
            text = json.dumps({"image": value})
            yield Hostile(f"infer {shown} by params", "POST", f"{INFER}&image={IMAGE}", (400,), params(text))
            yield Hostile(f"slide {shown}", "POST", f"/infer/wsi/{MODEL}?image={bad}", (400,), {"json": {}})
            batch = {"json": {"images": [value]}}
            yield Hostile(f"batch {shown}", "POST", f"/batch/infer/{MODEL}?run_sync=true", (400,), batch)
        yield Hostile(f"tag {shown} stored", "PUT", f"/datastore/label?image={IMAGE}&tag={bad}", (400,), label)
        yield Hostile(f"tag {shown} removed", "DELETE", f"/datastore/label?id={IMAGE}&tag={bad}")
        yield Hostile(f"session {shown}", "POST", f"{INFER}&session_id={bad}", (400,), params("{}"))
        text = json.dumps({"save_label": True, "label_tag": value})
        yield Hostile(f"drawn under {shown}", "POST", f"{INFER}&image={IMAGE}", (400,), params(text))
        batch = {"json": {"save_label": True, "label_tag": value}}
        yield Hostile(f"batch under {shown}", "POST", f"/batch/infer/{MODEL}?run_sync=true", (400,), batch)


def endings() -> Iterator[Hostile]:
    for name in ("evil.py", "evil", "a.nii.gz.py", ".nii.gz", "a.sh", "a.pkl", "a.nrrd", "a.xml", "a.bin"):
        place = f"/datastore/label?image={IMAGE}&tag=final"
        yield Hostile(f"label {name}", "PUT", place, (400,), upload(LABEL, name, "label"))
        yield Hostile(
            f"label {name} as original", "PUT", place.replace("final", "x"), (400,), upload(LABEL, name, "label")
        )
        yield Hostile(f"image {name}", "PUT", "/datastore/?image=new", (400,), upload(LABEL, name))
        yield Hostile(f"upload {name}", "POST", INFER, (400,), upload(LABEL, name))
        yield Hostile(f"session {name}", "PUT", "/session/", (400,), upload(LABEL, name, "files"))
    yield Hostile("name of dots", "PUT", "/datastore/image", (400,), upload(LABEL, "1.2.840.nii"))
    yield Hostile("name taken", "PUT", f"/datastore/image?image={IMAGE}", (400,), upload(LABEL))
    both = {"files": [("file", ("a.nii", LABEL)), ("file", ("a.py", LABEL))]}
    yield Hostile("a good and a bad upload", "POST", INFER, (400,), both)


def images() -> Iterator[Hostile]:
    for what, (_, make) in REFUSED_HEADERS.items():
        yield Hostile(f"image of {what}", "POST", INFER, (400,), upload(make()))
        packed = upload(gzip.compress(make()), "a.nii.gz")
        yield Hostile(f"packed image of {what}", "POST", INFER, (400,), packed)
        yield Hostile(f"session of {what}", "PUT", "/session/", (400,), upload(make(), "a.nii", "files"))
        place = f"/datastore/label?image={IMAGE}&tag=final"
        yield Hostile(f"label of {what}", "PUT", place, (400,), upload(make(), "a.nii", "label"))
    for value in (np.nan, np.inf, -np.inf):
        yield Hostile(f"image with {value}", "POST", INFER, (400,), upload(filled(value)))
        slope = edited(SLOPE, "f", value, base=volume(np.ones((20, 24, 16), np.int16)))
        yield Hostile(f"intercept {value}", "POST", INFER, (400, 200), upload(slope))
    yield Hostile("four axes", "POST", INFER, (400,), upload(volume(np.ones((20, 24, 16, 2), np.float32))))
    yield Hostile("two axes", "POST", INFER, (400,), upload(volume(np.ones((20, 24), np.float32))))
    yield Hostile("a flat image", "POST", INFER, (400,), upload(png((20, 24)), "a.png"))
    yield Hostile("a bomb", "POST", INFER, (400,), upload(bomb(), "a.nii.gz"))
    yield Hostile(
        "a small header before a bomb", "POST", INFER, (200, 400), upload(bomb((20, 24, 16), 10**6), "a.nii.gz")
    )
    yield Hostile("a cut volume", "POST", INFER, (400,), upload(LABEL[:4000]))
    yield Hostile("a cut archive", "POST", INFER, (400,), upload(gzip.compress(LABEL)[:-200], "a.nii.gz"))
    yield Hostile("an archive", "PUT", "/session/?uncompress=true", (400,), upload(LABEL, "a.nii", "files"))
    two = {"files": [("files", ("a.nii", LABEL)), ("files", ("b.nii", LABEL))]}
    yield Hostile("a series", "PUT", "/session/", (400,), two)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("../../evil.py", "evil")
    yield Hostile("a zip", "PUT", "/session/?uncompress=true", (400,), upload(target.getvalue(), "a.zip", "files"))


def settings() -> Iterator[Hostile]:
    texts = ["null", "5", '"x"', "[]", "{", "", '{"alpha": NaN}', '{"alpha": Infinity}', '{"alpha": 1e999}', "[" * 9999]
    texts += [
        '{"alpha": 1' + "0" * 400 + "}",
        '{"alpha": 1' + "0" * 9000 + "}",
        '{"a":' * 60 + "1" + "}" * 60,
        '{"\\ud800": 1}',
    ]
    texts += [
        '{"alpha": "x"}',
        '{"alpha": {}}',
        '{"alpha": [[]]}',
        '{"alpha": true}',
        '{"alpha": -1}',
        '{"alpha": 0.5}',
    ]
    texts += ['{"result_extension": ".exe"}', '{"result_extension": 5}', '{"result_extension": "/../x"}']
    texts += ['{"save_label": "false"}', '{"save_label": 1}', '{"save_label": true, "label_tag": "final"}']
    texts += [
        '{"save_label": true, "label_tag": "Final"}',
        '{"save_label": true, "label_tag": null}',
        '{"image": null}',
    ]
    texts += ['{"image": 5}', '{"image": ["a"]}', '{"session_id": "../x"}']
    for number, text in enumerate(texts):
        name = f"{number}: {text[:40]}"
        status = (200,) if text == "" else (400,)  # as if there were none
        yield Hostile(f"params {name}", "POST", f"{INFER}&image={IMAGE}", status, params(text))
    for content in (
        {"max_epochs": None},
        {"max_epochs": []},
        {"max_epochs": "5"},
        {"max_epochs": 0},
        {"max_epochs": 1e9},
    ):
        yield Hostile(f"train {content}", "POST", f"/train/{MODEL}", (400,), {"json": content})
    for content in ({"alpha": "x"}, {"alpha": {}}, {"alpha": [{}]}, {"alpha": 0.9}, {"alpha": 10**30}):
        yield Hostile(f"train {content}", "POST", f"/train/{MODEL}?run_sync=true", (400,), {"json": content})
    yield Hostile("train [] as alpha", "POST", f"/train/{MODEL}", (400,), {"json": [1]})
    yield Hostile("train nobody", "POST", "/train/nobody?run_sync=true", (400,), {"json": {}})
    yield Hostile(
        "train broken",
        "POST",
        f"/train/{MODEL}",
        (400,),
        {"data": "{", "headers": {"Content-Type": "application/json"}},
    )
    yield Hostile("info broken", "PUT", f"/datastore/image/info?image={IMAGE}", (400,), {"data": {"info": "[1]"}})
    yield Hostile("info NaN", "PUT", f"/datastore/image/info?image={IMAGE}", (400,), {"data": {"info": '{"a": NaN}'}})


def addresses() -> Iterator[Hostile]:
    for method, target in (
        ("GET", "/logs/"),
        ("GET", "/logs/gpu"),
        ("GET", "/proxy/dicom/x"),
        ("POST", "/proxy/dicom/wado/x"),
        ("GET", f"/model/{MODEL}"),
        ("PUT", f"/model/{MODEL}"),
        ("DELETE", f"/model/{MODEL}"),
        ("POST", "/reload"),
        ("GET", "/nothing"),
        ("GET", "/info/nothing"),
        ("POST", "/info/"),
        ("PATCH", "/datastore/"),
        ("POST", f"/infer/nobody?image={IMAGE}"),
        ("POST", f"{INFER}&image=nobody"),
        ("GET", "/session/nobody"),
        ("DELETE", "/session/nobody"),
        ("GET", "/session/..%2f..%2fx"),
        ("DELETE", "/session/..%2f..%2fx"),
        ("DELETE", "/session/%2e%2e"),
        ("POST", "/infer/..%2f..%2fx?image=a"),
        ("POST", "/activelearning/nothing"),
        ("POST", "/scoring/nothing?run_sync=true"),
        ("GET", "/datastore/image?image=nobody"),
        ("GET", "/datastore/label?label=nobody&tag=final"),
        ("PUT", "/datastore/label?image=nobody&tag=final"),
        ("DELETE", "/datastore/image?id=nobody"),
        ("GET", "/datastore/?output=everything"),
        ("PUT", "/datastore/image"),
        ("POST", INFER),
        ("GET", "/train/?check_if_running=true"),
        ("GET", "/datastore/dataset?limit_cases=x"),
    ):
        yield Hostile(f"{method} {target}", method, target, (400, 404, 405, 422))
    yield Hostile("params as JSON", "POST", f"{INFER}&image={IMAGE}", (415,), {"json": {"alpha": 0.2}})
    wrong = {"data": b"--x\r\nno form", "headers": {"Content-Type": "multipart/form-data; boundary=y"}}
    yield Hostile("a broken form", "POST", INFER, (400,), wrong)
    no_boundary = {"data": b"--x", "headers": {"Content-Type": "multipart/form-data"}}
    yield Hostile("a form without boundary", "POST", INFER, (400,), no_boundary)
    yield Hostile("two thousand files", "POST", INFER, (400,), {"files": [("file", ("a.nii", b"x"))] * 2000})
    yield Hostile("too large", "POST", INFER, (413,), upload(bytes(30 * 10**6)))
    pieces = (bytes(10**6) for _ in range(30))
    yield Hostile("too large, in pieces", "POST", INFER, (413,), {"data": pieces})
    yield Hostile("a large field", "POST", INFER, (400,), params("x" * 5 * 10**6))


HOSTILE = [*names_that_lead_out(), *endings(), *images(), *settings(), *addresses()]
