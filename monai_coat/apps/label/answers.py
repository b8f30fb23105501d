# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Answers in JSON without what is only the server's business: where its files lie, and addresses in memory.

Tested by tests/apps/test_answers.py.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.types import Message, Send

__all__ = ["AnswerOfJson", "Cleaner"]

ADDRESS = re.compile(r"( object)? at 0x[0-9a-fA-F]+|\b0x[0-9a-fA-F]{6,}")


class Cleaner:
    """Takes folders of the server out of texts: what remains of a path is what is below the folder.

    Args:
        folders: the folders; also as they are called when links are followed.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        both = {str(path) for folder in folders for path in (Path(folder).absolute(), Path(folder).resolve())}
        roots = sorted((root for root in both if len(Path(root).parts) > 1), key=len, reverse=True)
        self.roots = re.compile("|".join(rf"{re.escape(root)}(?:/|(?![\w.-]))" for root in roots) or r"(?!)")

    def text(self, text: str) -> str:
        """A text without them."""
        return ADDRESS.sub("", self.roots.sub("", text))

    def content(self, content: Any) -> Any:
        """Something of JSON without them.

        ``path`` becomes empty, and not a relative path: 3D Slicer opens what it finds under this path in place of
        asking for the image, and could find another file below its own folder. Without one it asks.
        """
        if isinstance(content, dict):
            return {
                self.text(name): "" if self._is_place(name, each) else self.content(each)
                for name, each in content.items()
            }
        if isinstance(content, list):
            return [self.content(each) for each in content]
        return self.text(content) if isinstance(content, str) else content

    def _is_place(self, name: str, value: Any) -> bool:
        return name == "path" and isinstance(value, str) and self.roots.match(value) is not None


class AnswerOfJson:
    """Sends an answer on; one in JSON is held back until it is whole, and cleaned.

    Args:
        send: where to.
        cleaner: what is taken out.
    """

    def __init__(self, send: Send, cleaner: Cleaner) -> None:
        self.onward, self.cleaner = send, cleaner
        self.start: Message | None = None
        self.body = b""
        self.begun = False

    async def send(self, message: Message) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start" and _is_json(message):
            self.start = message
        elif self.start is None:
            self.begun = True
            await self.onward(message)
        else:
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self.start)

    async def _finish(self, start: Message) -> None:
        content = self.cleaner.content(json.loads(self.body)) if self.body else None
        body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode() if self.body else b""
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        self.begun = True
        await self.onward({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await self.onward({"type": "http.response.body", "body": body})


def _is_json(message: Message) -> bool:
    kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return any(kind.startswith(b"application/json") for kind in kinds)
