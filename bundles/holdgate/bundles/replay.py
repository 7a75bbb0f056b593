"""Recorded decisions, decided again by a candidate: what would have been let through that was not, and the reverse.

One `evaluate` for this as for the gates, at the time at which each decision was made. What always holds: a record is
counted exactly once (unchanged, wider, other, tighter, or not comparable with the reason); a report holds no payload
and no prompt; memory does not grow with the number of records. No IO.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdgate.bundles.comparison import Outcome, Terms, compare_decisions, compare_recorded, is_certain
from holdgate.bundles.errors import BundleSetRefused
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.trusted import TrustedBundle, TrustedSet, parse_bundle_rules, verify_ids, verify_reach
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import Digest
from holdgate.kernel.policy import Policy
from holdgate.kernel.records import Decision, Job, Phase, Verdict

GROUPS_MAX = 1000
"""Pairs of rules told apart in a report; what comes beyond is counted together."""
EXAMPLES_MAX = 3
BEYOND = "(others)"
"""Stands for the rules of what is beyond `GROUPS_MAX`."""
UNHASHED = Digest("")
"""Nobody looks at the hash in a decision that is only counted, and making it takes longer than deciding."""
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Tried:
    """A bundle, signed or not, and the policy that there would be with it in place of the one of its name."""

    name: str
    version: int
    digest: Digest
    policy: Policy


def tried(data: bytes, in_force: TrustedSet) -> Tried:
    """The bundle file `data` on top of the set in force; BundleRefused, PolicyInvalid where it could not stand there.

    Nobody decides by what comes of this, so nobody need have signed it, and no version is too low.
    """
    file = parse_bundle(data)
    rules = parse_bundle_rules(file)
    verify_ids(rules)
    verify_reach(rules, file.manifest.scope)
    bundle = TrustedBundle(file, data, rules, (), file.digest)
    after, problems = in_force.placed({bundle.name: bundle})
    for problem in problems.values():
        raise problem
    if after.policy is None:
        raise BundleSetRefused("there is no policy with this bundle")
    return Tried(bundle.name, file.manifest.version, file.digest, after.policy)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision on record. `verdict` None: nobody decided (the kernel was away, or had no policy).

    `rules` are those that decided. `missing` are fields of the job that were not kept. `terms` None: not known, and
    then only verdicts are compared.
    """

    job: Job
    verdict: Verdict | None
    rules: tuple[str, ...]
    at_ms: int
    missing: frozenset[str] = _NOTHING
    terms: Terms | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A job of a group, as far as a report may name it."""

    job_id: str
    topic: str
    capability: str | None
    labels: Mapping[str, str]
    at_ms: int

    @classmethod
    def of(cls, recorded: Recorded) -> Example:
        """Of one record."""
        job = recorded.job
        return cls(job.job_id, job.topic, job.capability, job.labels, recorded.at_ms)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "job_id": self.job_id,
            "topic": self.topic,
            "capability": self.capability,
            "labels": dict(self.labels),
            "decided_at": rfc3339(self.at_ms),
        }


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What the decisions of a group have in common: the rule that decided before, and the one that would now.

    A rule is None where none decided, and so the default of the root. `differs` names the terms that differ where the
    verdict does not, and those that are looser where the verdict is stricter.
    """

    outcome: Outcome
    before: Verdict
    after: Verdict
    rule_before: str | None
    rule_after: str | None
    differs: tuple[str, ...] = ()


@dataclass(slots=True)
class Group:
    """How many decisions change in one way, and some of them."""

    key: GroupKey
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        key = self.key
        return {
            "outcome": str(key.outcome),
            "before": str(key.before),
            "after": str(key.after),
            "rule_before": key.rule_before,
            "rule_after": key.rule_after,
            "differs": list(key.differs),
            "count": self.count,
            "examples": [example.as_dict() for example in self.examples],
        }


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found. `groups`: wider first, then other, then tighter; in each the most frequent first.

    `errors`: decisions at which a condition of the candidate failed; they are counted among the others as well.
    """

    decisions: int
    unchanged: int
    outcomes: Mapping[Outcome, int]
    not_comparable: Mapping[str, int]
    errors: int
    transitions: Mapping[str, int]
    groups: tuple[Group, ...]
    oldest_ms: int | None
    newest_ms: int | None

    @property
    def widens(self) -> bool:
        """Whether something is let through that was not, or could not be shown not to be."""
        return bool(self.outcomes[Outcome.WIDER] or self.outcomes[Outcome.OTHER])

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "decisions": self.decisions,
            "unchanged": self.unchanged,
            "wider": self.outcomes[Outcome.WIDER],
            "other": self.outcomes[Outcome.OTHER],
            "tighter": self.outcomes[Outcome.TIGHTER],
            "widens": self.widens,
            "not_comparable": dict(sorted(self.not_comparable.items())),
            "errors": self.errors,
            "transitions": dict(sorted(self.transitions.items())),
            "groups": [group.as_dict() for group in self.groups],
            "oldest": None if self.oldest_ms is None else rfc3339(self.oldest_ms),
            "newest": None if self.newest_ms is None else rfc3339(self.newest_ms),
        }


class Replay:
    """Takes records in any order and number; `report` may be asked at any time.

    `baseline`: compare with what this policy decides about each record now, not with what was recorded.
    """

    def __init__(self, policy: Policy, *, baseline: Policy | None = None, examples_max: int = EXAMPLES_MAX) -> None:
        self._policy = policy
        self._baseline = baseline
        self._examples_max = examples_max
        self._decisions = 0
        self._unchanged = 0
        self._errors = 0
        self._not_comparable: Counter[str] = Counter()
        self._groups: dict[GroupKey, Group] = {}
        self._oldest_ms: int | None = None
        self._newest_ms: int | None = None

    def feed(self, recorded: Iterable[Recorded]) -> None:
        """Decide about each record and count it."""
        for item in recorded:
            self._decisions += 1
            self._note_time(item.at_ms)
            after = evaluate(self._policy, item.job, now_ms=item.at_ms, phase=Phase.SIMULATE, job_hash=UNHASHED)
            if item.missing and self._leave_out(self._policy, item, after):
                continue
            if after.errors:
                self._errors += 1
            if self._baseline is None:
                self._compare_recorded(item, after)
            else:
                self._compare_baseline(self._baseline, item, after)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count records that could not even be read."""
        self._decisions += count
        self._not_comparable[reason] += count

    def report(self) -> ReplayReport:
        """What was found so far."""
        places = {outcome: place for place, outcome in enumerate(Outcome)}
        groups = sorted(self._groups.values(), key=lambda group: (places[group.key.outcome], -group.count))
        outcomes: Counter[Outcome] = Counter()
        transitions: Counter[str] = Counter()
        for group in groups:
            outcomes[group.key.outcome] += group.count
            transitions[f"{group.key.before}→{group.key.after}"] += group.count
        return ReplayReport(
            decisions=self._decisions,
            unchanged=self._unchanged,
            outcomes=outcomes,
            not_comparable=dict(self._not_comparable),
            errors=self._errors,
            transitions=transitions,
            groups=tuple(groups),
            oldest_ms=self._oldest_ms,
            newest_ms=self._newest_ms,
        )

    def _compare_recorded(self, item: Recorded, after: Decision) -> None:
        verdict = item.verdict
        if verdict is None:
            self._not_comparable["not_decided"] += 1
            return
        found = compare_recorded(verdict, item.terms, after, item.job, now=self._policy)
        self._count(item, verdict, item.rules, after, found)

    def _compare_baseline(self, baseline: Policy, item: Recorded, after: Decision) -> None:
        before = evaluate(baseline, item.job, now_ms=item.at_ms, phase=Phase.SIMULATE, job_hash=UNHASHED)
        if item.missing and self._leave_out(baseline, item, before):
            return
        found = compare_decisions(before, after, item.job, now=self._policy, was=baseline)
        self._count(item, before.verdict, before.deciding, after, found)

    def _count(
        self,
        item: Recorded,
        verdict: Verdict,
        rules: tuple[str, ...],
        after: Decision,
        found: tuple[Outcome, tuple[str, ...]],
    ) -> None:
        outcome, differs = found
        if outcome is Outcome.SAME:
            self._unchanged += 1
        else:
            self._change(item, verdict, rules, after, outcome, differs)

    def _leave_out(self, policy: Policy, item: Recorded, decision: Decision) -> bool:
        if is_certain(policy, item.job, decision, item.missing):
            return False
        self._not_comparable["not_kept"] += 1
        return True

    def _change(
        self,
        item: Recorded,
        verdict: Verdict,
        rules: tuple[str, ...],
        after: Decision,
        outcome: Outcome,
        differs: tuple[str, ...],
    ) -> None:
        rule_after = after.deciding[0] if after.deciding else None
        key = GroupKey(outcome, verdict, after.verdict, rules[0] if rules else None, rule_after, differs)
        group = self._groups.get(key)
        if group is None:
            group = self._new_group(key)
        group.count += 1
        if len(group.examples) < self._examples_max:
            group.examples.append(Example.of(item))

    def _new_group(self, key: GroupKey) -> Group:
        if len(self._groups) >= GROUPS_MAX:
            key = GroupKey(key.outcome, key.before, key.after, BEYOND, BEYOND)
        return self._groups.setdefault(key, Group(key))

    def _note_time(self, at_ms: int) -> None:
        if self._oldest_ms is None or at_ms < self._oldest_ms:
            self._oldest_ms = at_ms
        if self._newest_ms is None or at_ms > self._newest_ms:
            self._newest_ms = at_ms
