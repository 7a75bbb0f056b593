"""Tokens with a word glued to them: `TOKENghp_…`, `%sghp_…`, two tokens one behind the other.

What always holds: a text is cut before each sign that a vendor's prefix has of its own, so that a word begins there;
only sure rules look at what is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import re2

from holdgate.scan.confirm import Pattern
from holdgate.scan.engine import Meter
from holdgate.scan.ruleset import Rule
from holdgate.scan.views.layer import COPY, Builder, Layer
from holdgate.scan.views.sure import prefixes

TOKEN_BYTES_MAX = 2048
_AHEAD_BYTES = 512
_SIGNED_CHARS_MIN = 4
_CUT = b" "
_WORK_OF_CUT = 512
"""What one costs, in bytes looked at."""


class Gluer:
    """Cuts texts for the prefixes of the sure `rules`."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        heads = {head for rule in rules for head in prefixes(rule)}
        signed = [head for head in heads if len(head) >= _SIGNED_CHARS_MIN and ("_" in head or "-" in head)]
        self._pattern = _compiled(signed, heads)

    def cut(self, layer: Layer, meter: Meter) -> Layer | None:
        """The parts of `layer` around what is glued, cut there; None where nothing is."""
        data, builder, at = layer.data, Builder(), 0
        for head in self._begins(data, meter):
            if head - at > _AHEAD_BYTES + TOKEN_BYTES_MAX:
                if at:
                    builder.copy(data, at, at + TOKEN_BYTES_MAX)
                    builder.gap(at + TOKEN_BYTES_MAX)
                at = head - _AHEAD_BYTES
            builder.copy(data, at, head)
            builder.add(_CUT, head, head, COPY)
            at = head
        if not at:
            return None
        builder.copy(data, at, min(len(data), at + TOKEN_BYTES_MAX))
        meter.decoded(builder.size)
        return builder.layer(layer, textual=False)

    def _begins(self, data: bytes, meter: Meter) -> Iterator[int]:
        spans = self._pattern.spans(data, 0, len(data))
        while spans:
            start, end = spans[0]
            meter.spend(_WORK_OF_CUT)
            yield start + 1
            spans = self._pattern.spans(data, end - 1, len(data))  # a sign may be what stands before the next


def _compiled(signed: Iterable[str], heads: Iterable[str]) -> Pattern:
    """A prefix of several letters with a sign among them behind a letter or digit; any behind an underscore."""
    first, second = (
        "|".join(re2.escape(head) for head in sorted(each, key=lambda head: (-len(head), head))) or r"[^\x00-\xff]"
        for each in (signed, heads)
    )
    return Pattern(f"[A-Za-z0-9](?:{first})|_(?:{second})")
