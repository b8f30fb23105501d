# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a request may ask for: every name, ending and size in it is looked at, whichever address it goes to.

MONAI Label makes paths of names and endings of uploads as they come, and tells nobody apart. So what is checked hangs
on how a field is called, and not on which of its addresses is known to write.

Tested by tests/apps/test_hostile_requests.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from starlette.exceptions import HTTPException

from monai_coat.apps.label.contents import Contents
from monai_coat.apps.label.names import (
    check_drawn_tag,
    check_file_name,
    check_image,
    check_session,
    check_tag,
    check_word,
)
from monai_coat.apps.limits import Limits
from monai_coat.files import stem_of

__all__ = ["Checks"]

SERVED = {"info", "datastore", "session", "infer", "batch", "train", "activelearning", "scoring", "auth"}
PAGES = {"", "docs", "openapi.json", "static", "ohif", "favicon.ico"}
"""First parts of the addresses that are answered. Not among them: the log and models, which are the operator's,
requests to other servers, and starting the app again."""

NAMES: dict[str, Callable[[Any, str], None]] = {
    "image": check_image,
    "id": check_image,
    "label": check_image,
    "tag": check_tag,
    "label_tag": check_tag,
    "session_id": check_session,
}
MAY_BE_EMPTY = {"image", "tag", "session_id"}
"""Viewers send these without a value, which is as if they were not there."""

OF_INFERENCE = {"image", "session_id", "output", "params", "wsi"}
"""Fields that MONAI Label's inference takes, beside files."""

OF_OBJECTS = {"image", "label_tag", "tag", "session_id"}
"""Names in JSON objects which MONAI Label takes for those of the request itself."""


NO = {"false", "0", "no", "off", "f", "n", ""}


class Checks:
    """Raises for what must not reach MONAI Label.

    Args:
        limits: how large images may be.
        check_training: raises for settings of a training that cannot be meant.
        prefix: what MONAI Label's addresses begin with.
    """

    def __init__(
        self, limits: Limits, check_training: Callable[[dict[str, Any]], None] | None, prefix: str = ""
    ) -> None:
        self.limits, self.check_training, self.prefix = limits, check_training, prefix

    def __call__(self, contents: Contents) -> None:
        """Look at a request.

        Raises:
            HTTPException: 404 for an address that is not served, 415 for settings in a form that would be ignored.
            ValueError: with a sentence, for everything else.
        """
        parts = self._parts(contents.path)
        for name, value in contents.fields:
            if name in NAMES and not (value == "" and name in MAY_BE_EMPTY):
                NAMES[name](value, name)
        for _, content in contents.objects:
            _check_object(content)
        for name, upload in contents.uploads:
            check_file_name(upload.filename, name)
            self.limits.check(cast(Any, upload.file), (upload.filename or "").replace("\\", "/").rsplit("/", 1)[-1])
        special = {"infer": _check_inference, "session": _check_session, "datastore": _check_new_image}
        if parts[0] in special:
            special[parts[0]](contents)
        if parts[0] == "train" and contents.method == "POST" and self.check_training is not None:
            for _, content in contents.objects:
                self.check_training(content)

    def _parts(self, path: str) -> list[str]:
        """The parts of an address that is served, each of them a plain name."""
        parts = path.removeprefix(self.prefix).strip("/").split("/")
        if parts[0] not in SERVED | PAGES:
            raise HTTPException(404, f"address must be one that is served (see /docs), got {path[:60]!r}; correct it.")
        for part in parts:
            check_word(part, "part of the address")
        return parts


def _check_object(content: dict[str, Any]) -> None:
    for name in OF_OBJECTS & content.keys():
        NAMES[name](content[name], name)
    images = content.get("images")
    for image in images if isinstance(images, list) else []:
        check_image(image, "images")
    save = content.get("save_label", False)
    if not isinstance(save, bool):
        raise ValueError(f"save_label must be true or false, got {ascii(save)[:60]}; leave it out to store nothing.")
    if save:
        check_drawn_tag(content.get("label_tag", "original"))
    if isinstance(content.get("params"), dict):  # in what whole-slide viewers send
        _check_object(content["params"])


def _check_inference(contents: Contents) -> None:
    slide = "/wsi" in contents.path
    bodies = [content for name, content in contents.objects if name == "body"]
    if not slide and (bodies or contents.content_type == "application/json"):  # ignored, and with it the level
        raise HTTPException(415, "infer takes a form with a field params, not a JSON body: send it so.")
    _check_where_a_level_is_said(contents, slide)
    if contents.method == "POST" and not any(contents.named("image", "session_id")) and not contents.uploads:
        raise ValueError("infer must have an image of the studies, an upload or a session, got none; name one.")


def _check_where_a_level_is_said(contents: Contents, slide: bool) -> None:
    """Refuse a level where MONAI Label would pass it over, and the default be taken in its place."""
    objects = [content for name, content in contents.objects if name in ("params", "wsi", "body")]
    settings = [content["params"] for content in objects if slide and isinstance(content.get("params"), dict)]
    given = [value for value in contents.named("params") if value]
    others = [field for field in contents.fields if field[0] not in OF_INFERENCE]
    said = [f"{name}={value}" for name, value in others if "alpha" in f"{name} {value}".lower()]
    if slide or len(given) > 1 or not objects:  # in the address, or several, of which one is taken
        said += [f"params={value}" for value in given if "alpha" in value.lower()]
    for content in objects:
        taken = [] if slide else ["alpha"]
        said += [str(name) for name in content if "alpha" in str(name).lower() and name not in taken]
        if not slide and "alpha" in ascii(content.get("params")).lower():
            said.append("params in params")
    said += [str(name) for content in settings for name in content if name != "alpha" and "alpha" in name.lower()]
    if said:
        place = "params of the body" if slide else "the field params of a form, once"
        raise ValueError(f"alpha must be in {place}, got {ascii(said[0])[:60]}, which would be ignored; send it there.")


def _check_session(contents: Contents) -> None:
    parts = contents.path.strip("/").split("/")
    if contents.method != "PUT":
        check_session(parts[-1])
    elif len(contents.uploads) != 1 or any(value.lower() not in NO for value in contents.named("uncompress")):
        raise ValueError(
            f"session must have one image file and uncompress false, got {len(contents.uploads)} files; send one NIfTI "
            "file in place of a series or an archive."
        )


def _check_new_image(contents: Contents) -> None:
    """MONAI Label names an image that comes without a name by what is before the first dot."""
    new = contents.method == "PUT" and contents.path.strip("/").split("/")[-1] in ("datastore", "image")
    for _, upload in contents.uploads if new and not any(contents.named("image")) else []:
        name = (upload.filename or "").replace("\\", "/").rsplit("/", 1)[-1]
        check_image(stem_of(name))
        if "." in stem_of(name):
            raise ValueError(f"image must be named where its file has dots in the name, got {name}; give ?image=.")
