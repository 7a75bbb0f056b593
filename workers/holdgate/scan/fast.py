"""The set of anchors in hyperscan (`holdgate[fast]`), where a setting asks for it and it proves itself at the start.

What always holds: RE2 is the reference. Vectorscan, which hyperscan's package is built of, is known to miss matches in
silence (vectorscan issues 358 and 382). So each anchor must fire on texts that RE2 fires on, made of the rule's own
examples and of its pattern; one miss, or a rule without such a text, and RE2 does the work, with a warning that says
why. It does so too where it is the quicker of the two on a page of a log: many anchors that begin with no letters of
their own (numbers of persons) slow hyperscan more than RE2. Only the search for anchors is here: what is a match and
where it is RE2 says in either case.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from random import Random  # noqa: TID251  of a fixed seed: each start is tested with the same texts
from typing import TYPE_CHECKING, Any

from holdgate.scan.errors import EngineFailed, RulesInvalid
from holdgate.scan.examples import made, matching
from holdgate.scan.sets import SENTINEL, SENTINEL_PATTERN, AnchorSet

if TYPE_CHECKING:
    from holdgate.scan.ruleset import Rule

SEED = 382
TEXTS_OF_PATTERN = 3
PAGE_RUNS = 5
PAGE_PIECES = 10
_PAGE = b"".join(
    b'{"ts":"2026-01-%02dT12:%02d:07.%03dZ","level":"info","msg":"request handled for user in %d ms",'
    b'"path":"/api/v1/orders/%d","node":"10.0.%d.7","commit":"%040x"}\n'
    % (1 + line, 5 * line, 70 * line, 37 * line, 7919**2 * line, 17 * line, 3**99 * 7**line)
    for line in range(12)
)
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


def fast_set(rules: Sequence[Rule], anchors: Sequence[str], reference: AnchorSet) -> AnchorSet | None:
    """A set that finds on the test's texts all that `reference` finds; None, with a warning, when there is none."""
    try:
        found = FastSet([*(anchor.encode("ascii") for anchor in anchors), SENTINEL_PATTERN])
    except Exception as error:  # noqa: BLE001  whatever it does not like, RE2 does the work
        _LOG.warning("hyperscan is not used: %s", error or type(error).__name__)
        return None
    missed = missed_by(found, rules, anchors, reference)
    if missed:
        _LOG.warning("hyperscan is not used: it misses, or is not tested for, %s", ", ".join(missed[:8]))
        return None
    if _page_s(found) >= _page_s(reference):
        _LOG.info("hyperscan is not used: RE2 is as quick with these rules")
        return None
    return found


def missed_by(fast: AnchorSet, rules: Sequence[Rule], anchors: Sequence[str], reference: AnchorSet) -> list[str]:
    """Ids of the rules that `fast` does not fire on where `reference` does, or that no text of the test fires."""
    missed: set[int] = set()
    tested: set[int] = set()
    for text in _texts(rules, anchors):
        expected = set(reference.Match(text + SENTINEL) or ())
        missed |= expected - set(fast.Match(text + SENTINEL) or ())
        tested |= expected
    return [rule.id for index, rule in enumerate(rules) if index in missed or index not in tested]


def _page_s(engine: AnchorSet) -> float:
    """The best of some runs over a page of a log."""
    taken = []
    for _ in range(PAGE_RUNS):
        started = time.perf_counter()
        for _ in range(PAGE_PIECES):
            engine.Match(_PAGE + SENTINEL)
        taken.append(time.perf_counter() - started)
    return min(taken)


def _texts(rules: Sequence[Rule], anchors: Sequence[str]) -> Iterator[bytes]:
    """Texts that fire each rule, in either case where its pattern takes that, alone and in the middle of others."""
    chance = Random(SEED)  # noqa: S311  no secret is made of it
    for rule, anchor in zip(rules, anchors, strict=True):
        for text in _of_rule(rule, anchor, chance):
            yield text
            yield text.swapcase()
            yield _FILLING * 7 + text + b" " + _FILLING * 7


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
