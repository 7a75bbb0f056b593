"""The set of anchors in hyperscan (`holdgate[fast]`), where a setting asks for it and it proves itself at the start.

What always holds: RE2 is the reference. Vectorscan, which hyperscan's package is built of, is known to miss matches in
silence (vectorscan issues 358 and 382). So each anchor must fire on texts that RE2 fires on, made of the rule's own
examples and of its pattern; one miss, or a rule without such a text, and RE2 does the work, with a warning that says
why. Only the search for anchors is here: what is a match and where it is RE2 says in either case.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from random import Random  # noqa: TID251  of a fixed seed: each start is tested with the same texts
from typing import TYPE_CHECKING, Any

from holdgate.scan.errors import EngineFailed, RulesInvalid
from holdgate.scan.examples import made, matching

if TYPE_CHECKING:
    from holdgate.scan.engine import AnchorSet
    from holdgate.scan.ruleset import Rule

SEED = 382
TEXTS_OF_PATTERN = 3
_FILLING = b"status=ok took 12 ms; "
_LOG = logging.getLogger(__name__)


class FastSet:
    """All anchors as one hyperscan database. Threads may share it: each has a scratch space of its own."""

    def __init__(self, anchors: Sequence[bytes]) -> None:
        import hyperscan

        self._library: Any = hyperscan
        self._database: Any = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=list(anchors), ids=list(range(len(anchors))), flags=hyperscan.HS_FLAG_SINGLEMATCH
        )
        self._scratch: Any = hyperscan.Scratch(self._database)
        self._local = threading.local()

    def Match(self, text: bytes) -> list[int]:  # noqa: N802  the name that RE2's set gives it
        """Which anchors are in `text`."""
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = self._scratch.clone()
        found: list[int] = []
        try:
            self._database.scan(text, match_event_handler=_noted, context=found, scratch=scratch)
        except self._library.HyperscanError as error:
            raise EngineFailed from error
        return found


def fast_set(rules: Sequence[Rule], anchors: Sequence[str], sentinel: bytes, reference: AnchorSet) -> AnchorSet | None:
    """A set that finds on the test's texts all that `reference` finds; None, with a warning, when there is none."""
    try:
        found = FastSet([*(anchor.encode("ascii") for anchor in anchors), sentinel])
    except Exception as error:  # noqa: BLE001  whatever it does not like, RE2 does the work
        _LOG.warning("hyperscan is not used: %s", error or type(error).__name__)
        return None
    missed = missed_by(found, rules, anchors, reference)
    if missed:
        _LOG.warning("hyperscan is not used: it misses, or is not tested for, %s", ", ".join(missed[:8]))
        return None
    return found


def missed_by(fast: AnchorSet, rules: Sequence[Rule], anchors: Sequence[str], reference: AnchorSet) -> list[str]:
    """Ids of the rules that `fast` does not fire on where `reference` does, or that no text of the test fires."""
    missed: set[int] = set()
    tested: set[int] = set()
    for text in _texts(rules, anchors):
        expected = set(reference.Match(text) or ())
        missed |= expected - set(fast.Match(text) or ())
        tested |= expected
    return [rule.id for index, rule in enumerate(rules) if index in missed or index not in tested]


def _texts(rules: Sequence[Rule], anchors: Sequence[str]) -> Iterator[bytes]:
    """Texts that fire each rule, in the cases that its pattern takes, alone and in the middle of others."""
    chance = Random(SEED)  # noqa: S311  no secret is made of it
    for rule, anchor in zip(rules, anchors, strict=True):
        for text in _of_rule(rule, anchor, chance):
            for cased in {text, text.upper(), text.lower(), text.swapcase()}:
                yield cased
                yield _FILLING * 7 + cased + b" " + _FILLING * 7


def _of_rule(rule: Rule, anchor: str, chance: Random) -> Iterator[bytes]:
    for template in rule.examples.true:
        yield made(template, chance).encode("latin-1", "replace")
    for _ in range(TEXTS_OF_PATTERN):
        try:
            yield matching(anchor, chance).encode("latin-1", "replace")
        except RulesInvalid:
            return


def _noted(rule: int, _start: int, _end: int, _flags: int, found: list[int]) -> None:
    found.append(rule)
