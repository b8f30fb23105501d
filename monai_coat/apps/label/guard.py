# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The one door of the server: what comes in is checked before MONAI Label sees it, what goes out before a client does.

Tested by tests/apps/test_hostile_requests.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from monai_coat.apps.label.answers import AnswerOfJson, Cleaner
from monai_coat.apps.label.checks import Checks
from monai_coat.apps.label.contents import Body, ClientGone, read_contents
from monai_coat.apps.label.visits import RequestFiles, Visit, visiting

__all__ = ["Guard", "GuardSettings", "set_guard"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GuardSettings:
    """What the door goes by.

    Attributes:
        checks: raises for a request that must not reach MONAI Label.
        cleaner: of answers.
        files: the temporary files of requests.
        most_bytes: of a request's body.
    """

    checks: Checks
    cleaner: Cleaner
    files: RequestFiles
    most_bytes: int


class Guard:
    """Middleware around MONAI Label. Whatever happens, a client gets an answer with a sentence.

    Args:
        app: what it stands before.
        settings: what it goes by.
    """

    def __init__(self, app: ASGIApp, settings: GuardSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let MONAI Label do so."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer, body = AnswerOfJson(send, self.settings.cleaner), Body(self.settings.most_bytes)
        try:
            visit = await self._checked(scope, body, receive)
            with self.settings.files.of_request(), visiting(visit):
                await self.app(scope, body.again(receive), answer.send)
        except ClientGone:
            return
        except HTTPException as error:
            await _say(error.status_code, str(error.detail), scope, receive, answer)
        except Exception:
            logger.exception("%s %s could not be answered", scope["method"], scope["path"])
            await _say(500, "The server could not do this; its log says why.", scope, receive, answer)
        finally:
            body.file.close()

    async def _checked(self, scope: Scope, body: Body, receive: Receive) -> Visit:
        """What a request brings, if it may come in."""
        try:
            await body.fill(receive)
            contents = await read_contents(scope, body, receive)
            try:
                self.settings.checks(contents)
            finally:
                for _, upload in contents.uploads:
                    await upload.close()
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Visit(frozenset(name for name, _ in contents.uploads), "".join(contents.named("session_id")[-1:]))


async def _say(status: int, detail: str, scope: Scope, receive: Receive, answer: AnswerOfJson) -> None:
    """Answer with a sentence, unless an answer has begun."""
    if answer.begun:
        logger.error("an answer of %s broke off: %s", scope["path"], detail)
        return
    answer.start, answer.body = None, b""
    await JSONResponse({"detail": detail}, status)(scope, receive, answer.send)


def set_guard(server: Any, settings: GuardSettings) -> None:
    """Put the guard before a FastAPI application, which may be running; behind what answers browsers of other pages."""
    server.user_middleware.append(Middleware(Guard, settings=settings))
    server.middleware_stack = None  # built anew at the next request
