"""The comparison of two sets of bundles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from holdgate.bundles.diff.changes import Change, Diff, Direction
from holdgate.bundles.diff.duties import Duty, guards_of, is_seen_to, lifts_of
from holdgate.bundles.diff.outputs import compare_outputs
from holdgate.bundles.diff.samples import PII, SECRETS
from holdgate.bundles.diff.sides import COMPARISONS_MAX, Budget, Content, Placed, Side, side_of
from holdgate.bundles.diff.witness import EVALUATIONS_MAX, Search, Witness
from holdgate.bundles.diff.words import Leaning, change_of
from holdgate.kernel.records import Decision, Verdict
from holdgate.kernel.rules import BundleRules, Rule

_ORDER = list(Direction)


def compare(
    before: Sequence[BundleRules],
    after: Sequence[BundleRules],
    *,
    default: Verdict = Verdict.DENY,
    samples: Sequence[dict[str, Any]] = (),
) -> Diff:
    """How the set `after` differs from the set `before`: all bundles in force, before and after.

    The order of bundles, and of rules in a bundle that combines by deny-overrides, makes no difference. `default` is
    the default decision of the root. `samples` are facts to try first as examples (`samples.samples_of`): with them
    fewer changes stay unclear. PolicyInvalid where a set is not a policy.
    """
    kinds: dict[Content, int] = {}
    old, new = side_of(before, default, kinds), side_of(after, default, kinds)
    changes = [*_Comparison(old, new, samples).changes(), *compare_outputs(old.policy, new.policy)]
    return Diff(tuple(sorted(changes, key=lambda item: (_ORDER.index(item.direction), item.bundle, item.rule))))


class _Comparison:
    """Two sides, and what may still be spent on looking at them."""

    def __init__(self, old: Side, new: Side, samples: Sequence[dict[str, Any]]) -> None:
        self._old = old
        self._new = new
        self._budget = Budget(COMPARISONS_MAX)
        effort = Budget(EVALUATIONS_MAX)
        self._wider = Search(old, new, effort, samples)
        self._tighter = Search(new, old, effort, samples)

    def changes(self) -> Iterator[Change]:
        """Every rule that is not as it was, one change for each direction that it goes in."""
        gone = _by_id(_differing(self._old, self._new))
        come = _by_id(_differing(self._new, self._old))
        for name in sorted({*gone, *come, *self._reworded()}):
            yield from self._change(name, gone.get(name), come.get(name))

    def _reworded(self) -> Iterator[str]:
        """Rules that say something else in words, by another name or in another bundle, and do the same."""
        old, new = self._old.rules, self._new.rules
        for name in old.keys() | new.keys():
            if old.get(name) != new.get(name):
                yield name

    def _change(self, name: str, gone: Placed | None, come: Placed | None) -> Iterator[Change]:
        old, new = self._old.rules.get(name), self._new.rules.get(name)
        bundle = (new or old or _missing()).bundle
        widening = self._widening(gone, come, old, new)
        tightens, tighter = self._tightening(gone, come, old, new)
        is_both = widening is not None and tightens and tighter is not None
        if widening is not None:
            direction, witness = widening
            what = change_of(old, new, Leaning.LOOSER if is_both else None)
            yield _described(direction, bundle, name, what, witness, swapped=False)
        if tightens and (widening is None or is_both):
            what = change_of(old, new, Leaning.TIGHTER if is_both else None)
            yield _described(Direction.TIGHTENS, bundle, name, what, tighter, swapped=True)
        if widening is None and not tightens and old != new:
            yield Change(Direction.CHANGES, bundle, name, change_of(old, new))

    def _widening(
        self, gone: Placed | None, come: Placed | None, old: Rule | None, new: Rule | None
    ) -> tuple[Direction, Witness | None] | None:
        open_duties = [
            *self._open(() if gone is None else guards_of(gone), self._old, self._new),
            *self._open(() if come is None else lifts_of(come), self._old, self._new),
        ]
        if not open_duties:
            return None
        witness = _first(self._wider, open_duties, old, new)
        return (Direction.UNCLEAR if witness is None else Direction.WIDENS), witness

    def _tightening(
        self, gone: Placed | None, come: Placed | None, old: Rule | None, new: Rule | None
    ) -> tuple[bool, Witness | None]:
        open_duties = [
            *self._open(() if come is None else guards_of(come), self._new, self._old),
            *self._open(() if gone is None else lifts_of(gone), self._new, self._old),
        ]
        return bool(open_duties), _first(self._tighter, open_duties, new, old)

    def _open(self, duties: Iterable[Duty], old: Side, new: Side) -> list[Duty]:
        return [duty for duty in duties if not is_seen_to(duty, old, new, self._budget)]


def _first(search: Search, duties: Sequence[Duty], was: Rule | None, now: Rule | None) -> Witness | None:
    aspects = frozenset(duty.aspect for duty in duties)
    for placed in {id(duty.placed): duty.placed for duty in duties}.values():
        twin = now if placed.rule is was else was
        found = search.near(placed, twin, aspects)
        if found is not None:
            return found
    return None


def _differing(one: Side, other: Side) -> Iterator[Placed]:
    """Rules of `one` that may do something that no rule of `other` does."""
    known = {item.kind for item in other.free}
    yield from (item for item in one.free if item.kind not in known)
    for name, items in one.ordered.items():
        yield from items[_same(items, other.ordered.get(name, ())) :]


def _same(items: Sequence[Placed], others: Sequence[Placed]) -> int:
    """How many rules at the beginning are the same: they count for the same jobs."""
    pairs = enumerate(zip(items, others, strict=False))
    return next((place for place, (item, other) in pairs if item.kind != other.kind), min(len(items), len(others)))


def _by_id(items: Iterable[Placed]) -> dict[str, Placed]:
    return {item.rule.id: item for item in items}


def _missing() -> Rule:
    msg = "a change has a rule on one side"
    raise AssertionError(msg)


def _described(
    direction: Direction, bundle: str, rule: str, what: str, witness: Witness | None, *, swapped: bool
) -> Change:
    return Change(direction, bundle, rule, what, None if witness is None else _example(witness, swapped=swapped))


def _example(witness: Witness, *, swapped: bool) -> Mapping[str, Any]:
    before, after = (witness.now, witness.was) if swapped else (witness.was, witness.now)
    example: dict[str, Any] = {
        "facts": dict(witness.facts),
        "before": _shown(before),
        "after": _shown(after),
        "how": witness.how.tighter if swapped else witness.how.looser,
    }
    said = ((SECRETS, witness.measured.secrets), (PII, witness.measured.pii))
    example.update((name, True) for name, is_there in said if is_there)
    return example


def _shown(decision: Decision) -> dict[str, Any]:
    return {"verdict": str(decision.verdict), "rules": list(decision.deciding), "reason": decision.reason}
