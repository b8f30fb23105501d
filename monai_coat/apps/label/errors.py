# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Errors of MONAI Label as sentences: it answers some of them with two words, others with lists or without an answer.

Tested by tests/apps/test_hostile_requests.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import MONAILabelException
from starlette.exceptions import HTTPException

__all__ = ["answer_in_sentences", "in_a_sentence"]


def answer_in_sentences(server: Any) -> None:
    """Make a server say what was wrong with a request that MONAI Label could not take.

    Args:
        server: MONAI Label's FastAPI application.
    """
    server.add_exception_handler(HTTPException, _refused)
    server.add_exception_handler(RequestValidationError, _not_understood)
    server.add_exception_handler(MONAILabelException, _failed)


async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    detail = str(error.detail)
    if detail == HTTPStatus(error.status_code).phrase or " " not in detail:
        detail = f"{request.method} {request.url.path[:100]} is not served here ({detail}); /docs lists what is."
    return JSONResponse({"detail": detail}, error.status_code, headers=error.headers)


async def _not_understood(request: Request, error: RequestValidationError) -> JSONResponse:
    """Without what came, which may be anything and cannot always be said in JSON."""
    faults = [f"{' '.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    return JSONResponse({"detail": f"request must fit its address, see /docs, got {'; '.join(faults)[:500]}."}, 422)


async def _failed(request: Request, error: MONAILabelException) -> JSONResponse:
    return JSONResponse({"detail": str(getattr(error, "msg", error))}, 400)


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Answer 400 with the message where a value, a file or a tensor of a request is found wrong."""
    try:
        yield
    except (ValueError, TypeError, OverflowError, RuntimeError, OSError) as error:
        raise HTTPException(400, str(error)) from error
