# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The classes of label maps: names, and which labels belong to each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ClassLabels"]

BACKGROUND = "background"


@dataclass(frozen=True)
class ClassLabels:
    """Foreground classes of label maps, in the order of the channels of scores.

    A class may have several labels, and a label may be of several classes: regions, such as a tumour and its core.

    Attributes:
        names: name of each class, distinct.
        values: labels of each class.
        background: labels of no class; 0 always is.

    Raises:
        ValueError: if there is no class, a name occurs twice or cannot be a file's, or a class has no label or one of
            the background.

    Example:
        >>> classes = ClassLabels.parse("whole=1+2,core=2")
        >>> classes.masks(torch.tensor([[0, 1, 2]])).tolist(), str(classes)
        ([[False, True, True], [False, False, True]], 'whole=1+2,core=2')
    """

    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    background: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names) or len(self.names) != len(self.values):
            raise ValueError(f"classes must be distinct names with labels, got {self.names}; name each class once.")
        for name, values in zip(self.names, self.values, strict=True):
            if not name or set(name) & set('/\\=+,:"<>|?*\0\n') or name in (".", ".."):
                raise ValueError(f"names of classes must be words, as of files, got {name!r}; choose another name.")
            if not values or set(values) & {0, *self.background}:
                raise ValueError(
                    f"class {name!r} must have labels that are not of the background, got {values or 'none'}; write "
                    f"{name}=1 for example."
                )

    @classmethod
    def parse(cls, text: str) -> ClassLabels:
        """Classes as they are typed: ``liver=1,tumour=2``, or regions ``whole=1+2+3,core=2+3``.

        ``background=255`` says that a label is of no class.

        Raises:
            ValueError: if the text has another form.
        """
        entries: dict[str, tuple[int, ...]] = {}
        for part in text.split(","):
            name, _, numbers = part.strip().partition("=")
            try:
                values = tuple(int(number) for number in numbers.split("+"))
            except ValueError:
                raise ValueError(
                    f"classes must be names with whole numbers, such as liver=1,tumour=2+3, got {text!r}; correct "
                    f"{part.strip()!r}."
                ) from None
            if name in entries:
                raise ValueError(f"classes must have distinct names, got {name!r} twice in {text!r}; rename one.")
            entries[name] = values
        return cls.of(entries)

    @classmethod
    def of(cls, entries: Mapping[str, Sequence[int]]) -> ClassLabels:
        """Classes of a dictionary from name to labels, in its order; "background" is no class."""
        classes = {name: tuple(values) for name, values in entries.items() if name != BACKGROUND}
        background = tuple(sorted({0, *entries.get(BACKGROUND, ())}))
        return cls(tuple(classes), tuple(classes.values()), background)

    @classmethod
    def numbered(cls, count: int) -> ClassLabels:
        """Classes with the labels 1, 2, and so on."""
        numbers = range(1, count + 1)
        return cls(tuple(f"class {number}" for number in numbers), tuple((number,) for number in numbers))

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        """As it is typed."""
        entries = [*zip(self.names, self.values, strict=True)]
        if self.background != (0,):
            entries.append((BACKGROUND, self.background))
        return ",".join(f"{name}={'+'.join(map(str, values))}" for name, values in entries)

    def masks(self, labels: Tensor, source: str | os.PathLike[str] = "the label map") -> Tensor:
        """The mask of each class, bool ``(C, *spatial)``, of whole numbers ``(1, *spatial)``.

        Raises:
            ValueError: naming the source, if it holds a label that is of no class and not of the background: taken for
                background, it would be a part of an organ that nobody promised to find.
        """
        plain = labels.as_subclass(Tensor)
        known = torch.tensor(sorted({*self.background, *(v for values in self.values for v in values)}))
        unknown = plain[~torch.isin(plain, known.to(plain))]
        if unknown.numel():
            value = f"{float(unknown.flatten()[0]):g}"
            raise ValueError(
                f"label must hold the classes {self} and 0, got {value} in {source}; name its class, or say that it is "
                f"none by background={value}."
            )
        return torch.cat([torch.isin(plain, torch.tensor(values).to(plain)) for values in self.values])
