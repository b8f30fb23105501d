# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Answers name files, and not where they lie on the server."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("starlette", reason="MONAI Label is not installed; make label-test has an environment with it")

from monai_coat.apps.label.answers import AnswerOfJson, Cleaner


def test_folders_go_and_what_is_below_them_stays(tmp_path):
    cleaner = Cleaner([tmp_path / "studies", tmp_path, "/"])
    assert (
        cleaner.text(f"image must be whole, got {tmp_path}/studies/a.nii (cut)")
        == "image must be whole, got a.nii (cut)"
    )
    assert cleaner.text(f"{tmp_path}/studies") == ""
    assert cleaner.text(f"{tmp_path}/studies2/a") == "studies2/a"
    assert cleaner.text("a/b and /etc/passwd") == "a/b and /etc/passwd"  # a client's own words
    assert cleaner.text("got <X object at 0x7f91f88f32e0>") == "got <X>"


def test_a_link_s_two_names_both_go(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    cleaner = Cleaner([tmp_path / "link"])
    assert cleaner.text(f"{tmp_path}/link/a {tmp_path}/real/b") == "a b"


def test_a_path_to_open_becomes_empty_in_place_of_relative(tmp_path):
    content = {"path": f"{tmp_path}/a.nii", "name": "a", "deep": [{"image": f"{tmp_path}/b"}], "n": 1, "path2": None}
    assert Cleaner([tmp_path]).content(content) == {
        "path": "",
        "name": "a",
        "deep": [{"image": "b"}],
        "n": 1,
        "path2": None,
    }
    assert Cleaner([tmp_path]).content({"path": "of a client"}) == {"path": "of a client"}


def passed_on(*messages: dict) -> list[dict]:
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def run() -> None:
        answer = AnswerOfJson(send, Cleaner(["/srv/secret"]))
        for message in messages:
            await answer.send(message)

    asyncio.run(run())
    return sent


def test_json_is_cleaned_whole_and_other_content_passes():
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    first, second = json.dumps({"a": "/srv/secret/b", "ä": 1}).encode()[:12], b""
    second = json.dumps({"a": "/srv/secret/b", "ä": 1}).encode()[12:]
    head, body = passed_on(
        start,
        {"type": "http.response.body", "body": first, "more_body": True},
        {"type": "http.response.body", "body": second},
    )
    assert json.loads(body["body"]) == {"a": "b", "ä": 1}
    assert dict(head["headers"])[b"content-length"] == str(len(body["body"])).encode()
    image = {**start, "headers": [(b"Content-Type", b"application/octet-stream")]}
    piece = {"type": "http.response.body", "body": b"/srv/secret/b"}
    assert passed_on(image, piece) == [image, piece]


def test_an_answer_without_a_body_stays_without():
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    assert passed_on(start, {"type": "http.response.body", "body": b""})[1]["body"] == b""
