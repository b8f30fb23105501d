# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a request says: read whole, once, up to a limit, before anything is done about it.

Tested by tests/apps/test_hostile_requests.py.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from monai_coat.apps.label.objects import json_object

__all__ = ["Body", "ClientGone", "Contents", "read_contents"]

IN_MEMORY = 2**20
PIECE = 2**18
IGNORED = 2**30
"""Bytes of a body that is too large which are still taken from the line, so that the client gets to read the answer."""

OBJECTS = ("params", "wsi", "info")
"""Fields of forms that hold JSON."""


class ClientGone(Exception):  # noqa: N818
    """There is nobody to answer any more."""


class Body:
    """The body of a request, on disk unless it is small, that can be received again and again.

    Args:
        most: bytes that it may have.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self.size = 0

    async def fill(self, receive: Receive) -> None:
        """Take the body from the line.

        Raises:
            HTTPException: 413, if it is too large; of what is beyond nothing is kept.
            ClientGone: if the client leaves.
        """
        more = True
        while more and self.size <= self.most + IGNORED:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece, more = message.get("body", b""), message.get("more_body", False)
            self.size += len(piece)
            if self.size <= self.most:
                self.file.write(piece)
        if self.size > self.most:
            raise HTTPException(
                413,
                f"request must have at most {self.most // 10**6} MB, got more; send less, or let the server take more "
                "by max_megabytes.",
            )

    def again(self, afterwards: Receive) -> Receive:
        """A way to receive the body once more; what comes after it is asked from ``afterwards``."""
        place = 0

        async def receive() -> Message:
            nonlocal place
            if place > self.size:
                return await afterwards()
            self.file.seek(place)
            piece = self.file.read(PIECE)
            place += len(piece) or 1
            more = place < self.size
            place += not more
            return {"type": "http.request", "body": piece, "more_body": more}

        return receive


@dataclass(frozen=True)
class Contents:
    """The parts of a request.

    Attributes:
        method: "GET" and so on.
        path: the address, decoded.
        content_type: as the client said it.
        fields: of query and form, as often as they occur.
        objects: JSON in fields of a form, and the body itself as "body".
        uploads: files by field.
    """

    method: str
    path: str
    content_type: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    objects: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    uploads: list[tuple[str, UploadFile]] = field(default_factory=list)

    def named(self, *names: str) -> list[str]:
        """Values of fields, in order."""
        return [value for name, value in self.fields if name in names]


async def read_contents(scope: Scope, body: Body, receive: Receive) -> Contents:
    """Read a request of which the body is here.

    Raises:
        HTTPException: 400, if a form is broken, or JSON is none.
        ValueError: with a sentence, if JSON holds anything but an object.
    """
    request = Request(scope, body.again(receive))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    contents = Contents(request.method, request.scope["path"], kind, list(request.query_params.multi_items()))
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        _take_form(contents, await request.form())
    elif body.size:
        body.file.seek(0)
        content = json_object(body.file.read(), "body", optional=True)
        contents.objects.append(("body", content))
    return contents


def _take_form(contents: Contents, form: FormData) -> None:
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            contents.uploads.append((name, value))
            continue
        contents.fields.append((name, value))
        if name in OBJECTS and not (name == "params" and value == ""):
            contents.objects.append((name, json_object(value, name)))
