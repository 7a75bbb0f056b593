"""Data classes: how widely something may be known, and what makes an output belong to one.

What always holds: the classes are ordered, and there is no other; a word that is none of them counts as the highest,
and a destination of which nobody said anything as the lowest, so that a slip of the pen never opens a way out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

__all__ = ["CLASSIFICATION_DEFAULT", "DESTINATION_DEFAULT", "DataClass", "class_found", "class_of", "highest"]


class DataClass(StrEnum):
    """Who may know, everybody first."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    @property
    def height(self) -> int:
        """Its place in the order; the higher, the fewer may know."""
        return _HEIGHTS[self]


_HEIGHTS: Mapping[DataClass, int] = {item: height for height, item in enumerate(DataClass)}
_WORDS: Mapping[str, DataClass] = {item.value: item for item in DataClass}
CLASSIFICATION_DEFAULT = DataClass.INTERNAL
"""Of a job that does not say."""
DESTINATION_DEFAULT = DataClass.PUBLIC
"""Of a destination that no bundle knows."""
_FOUND: Mapping[str, DataClass] = {
    "pii": DataClass.CONFIDENTIAL,
    "secret": DataClass.RESTRICTED,
    "private_key": DataClass.RESTRICTED,
    "platform_secret": DataClass.RESTRICTED,
    "platform_credential": DataClass.RESTRICTED,
    "unscannable": DataClass.RESTRICTED,
    # These say how a text is written, or how much of it there is, and nothing about who may know it.
    "untrusted_instructions": DataClass.PUBLIC,
    "oversize": DataClass.PUBLIC,
}


def class_of(label: str | None) -> DataClass:
    """The class that a `classification` label claims; of none `internal`, of another word `restricted`."""
    if label is None:
        return CLASSIFICATION_DEFAULT
    return _WORDS.get(label, DataClass.RESTRICTED)


def class_found(categories: Iterable[str]) -> DataClass:
    """The class that findings of these categories make of a text; of none `public`, of an unknown one `restricted`."""
    return highest(_FOUND.get(category, DataClass.RESTRICTED) for category in categories)


def highest(classes: Iterable[DataClass]) -> DataClass:
    """The highest of `classes`; of none `public`."""
    return max(classes, key=_HEIGHTS.__getitem__, default=DataClass.PUBLIC)
