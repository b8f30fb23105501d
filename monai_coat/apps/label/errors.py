# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Errors of the server as sentences: MONAI Label answers some of them with "Internal Server Error" alone.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import MONAILabelException

__all__ = ["answer_in_sentences"]


def answer_in_sentences(server: Any) -> None:
    """Make a server say what was wrong with a request that MONAI Label could not take.

    Args:
        server: MONAI Label's FastAPI application, which may be running already.
    """
    server.add_exception_handler(json.JSONDecodeError, _no_json)
    server.add_exception_handler(RecursionError, _no_json)
    server.add_exception_handler(MONAILabelException, _refused)
    server.middleware_stack = None  # built anew, with these, at the next request
    server.middleware("http")(_params_are_a_form)


async def _params_are_a_form(request: Request, call_next: Any) -> Any:
    json_body = request.headers.get("content-type", "").startswith("application/json")
    path = request.url.path
    if json_body and "/infer/" in path and "/infer/wsi/" not in path:  # ignored, and with it the level asked for
        return JSONResponse({"detail": "infer takes a form with a field params, not a JSON body: send it so."}, 415)
    return await call_next(request)


async def _no_json(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"params must be a JSON object, got something else ({error})."}, 400)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(getattr(error, "msg", error))}, 400)
