"""The one check before a publish, for command and server: what a kernel verifies, and what only an author can mend.

A candidate is verified as kernels do (`trusted.py`), beside the bundles in force; then its tests are run, the set with
it is compared with the set in force, and the linter looks at the rules. What always holds: nothing is published that
has not passed `review` and `require_publishable`; neither gives anybody a right, since a kernel verifies what it finds.
Everything is bounded by the limits on a bundle. No IO; slow enough to be kept off an event loop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from holdgate.bundles.diff import Change, Diff, Direction, compare, samples_of
from holdgate.bundles.errors import (
    BundleConflict,
    BundleFaulty,
    BundleLintFailed,
    BundleOutdated,
    BundleTestsFailed,
    BundleWidens,
)
from holdgate.bundles.format import BundleFile, parse_bundle
from holdgate.bundles.gone import Gone, Seen, Trace
from holdgate.bundles.lint import Finding, LintContext, Severity, lint
from holdgate.bundles.lint.findings import Scanner
from holdgate.bundles.root import Root, authors_of
from holdgate.bundles.testing import TestReport, run_tests
from holdgate.bundles.trusted import MISSING, TrustedBundle, TrustedSet
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.records import Verdict
from holdgate.kernel.rules import BundleRules, OutputRule, Rule

SHOWN_MAX = 5
"""Failing cases, widenings and findings in a message; `problems` holds more."""
CHANGES_SHOWN_MAX = 200
EXAMPLE_CHARS_MAX = 300
COMPARED_MAX = 8_000_000
"""Rules that differ times all rules, compared in a quarter of a minute; what is more is not shown to be harmless."""
TESTS_S_MAX = 20.0
"""What the tests of a bundle may take: whoever waits for the next review waits as long."""
WIDENING = (Direction.WIDENS, Direction.UNCLEAR)


@dataclass(frozen=True, slots=True)
class Review:
    """A candidate that kernels would take, and what else is to be said about it.

    `signers` are fingerprint and author of those whose signature counts.
    `left_out`: bundles in the store that do not hold under the root, by name, with the code why; the candidate was
    compared without them, or with an older version that holds.
    """

    bundle: TrustedBundle
    signers: tuple[tuple[str, str], ...]
    tests: TestReport
    diff: Diff
    findings: tuple[Finding, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values; of many changes the first ones. `publishable`: at most an acknowledgement is missing."""
        manifest, diff = self.bundle.file.manifest, self.diff.as_dict()
        changes = diff["changes"]
        return {
            "name": manifest.name,
            "version": manifest.version,
            "digest": self.bundle.digest,
            "signers": [{"key": key, "author": author} for key, author in self.signers],
            "widens": self.diff.widens,
            "tests": self.tests.as_dict(),
            "diff": {**diff, "changes": changes[:CHANGES_SHOWN_MAX]},
            "changes_left_out": max(0, len(changes) - CHANGES_SHOWN_MAX),
            "findings": [finding.as_dict() for finding in self.findings],
            "left_out": dict(self.left_out),
            "publishable": not objections(self, widening_accepted=True),
            "objections": [objection.as_dict() for objection in objections(self, widening_accepted=False)],
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle that would be accepted: the set in force, the set with it, and what was left out of both.

    `closed`: what kernels deny in place of a bundle of this name that they dropped, until the candidate opens it.
    `unsure`: by name, why nobody can tell here what another bundle does in kernels.
    """

    bundle: TrustedBundle
    before: TrustedSet
    after: TrustedSet
    left_out: Mapping[str, str]
    closed: BundleRules | None = None
    unsure: Mapping[str, str] = field(default_factory=dict)


def verify_candidate(
    data: bytes,
    root: Root,
    in_force: Mapping[str, bytes],
    now_ms: int,
    seen: Sequence[Seen] = (),
    gone: Mapping[str, Gone] | None = None,
) -> Candidate:
    """The bundle in `data`, once kernels would accept it beside the bundles `in_force` (name → file).

    Raises what the kernel would: BundleRefused, PolicyInvalid; BundleConflict where kernels have `seen` more than is in
    force here. A bundle in force that does not hold, or that kernels dropped, is left out, since a successor must be
    possible. What stands for it, a denial of its scope, is left out too where the bundle is another one: not every
    kernel may have had it, and who would open something in a kernel that did not is told.
    """
    name = parse_bundle(data).manifest.name
    held, problems = TrustedSet.under(root).restore_all(in_force)
    lost = {other: _gone(in_force[other], error).beside((gone or {}).get(other)) for other, error in problems.items()}
    traces = Trace.of_each(held.bundles, {**(gone or {}), **lost}, seen)
    doubted = {other for other, trace in traces.items() if other != name and trace.is_in_doubt}
    before = held if not doubted else _without(held, doubted)
    after = before.accept(data, now_ms)
    bundle, own = after.bundles[name], traces.get(name)
    if own is not None:
        _verify_new(bundle, own)
    if own is None or all(item.digest != bundle.digest for item in own.seen):
        _verify_not_behind(name, traces)
    others = [trace for other, trace in traces.items() if other != name]
    return Candidate(
        bundle,
        before,
        after,
        left_out={
            **dict.fromkeys(doubted, MISSING),
            **{other: trace.gone.code for other, trace in traces.items() if trace.gone is not None},
        },
        closed=None if own is None else own.closing(bundle.digest),
        unsure={trace.name: why for trace in others if (why := trace.why_unsure) is not None},
    )


def review(
    data: bytes,
    root: Root,
    in_force: Mapping[str, bytes],
    now_ms: int,
    seen: Sequence[Seen] = (),
    gone: Mapping[str, Gone] | None = None,
    *,
    scanner: Scanner | None = None,
) -> Review:
    """All that is to be said before `data` is published. Raises as `verify_candidate`, and where tests do not load.

    `scanner` is asked about detectors.

    BundleTestsFailed where the tests take too long.
    """
    candidate = verify_candidate(data, root, in_force, now_ms, seen, gone)
    before, after = _rules(candidate.before), _rules(candidate.after)
    tests = run_tests(candidate.bundle.file, limit_s=TESTS_S_MAX)
    known = LintContext(scanner=scanner, now_ms=now_ms)
    findings = _findings(candidate.bundle, before, after, root, known)
    signers = tuple(authors_of(candidate.bundle.signers, root))
    diff = _compared(candidate, root)
    return Review(candidate.bundle, signers, tests, diff, findings, candidate.left_out)


def require_publishable(reviewed: Review, *, widening_accepted: bool) -> None:
    """BundleTestsFailed, BundleLintFailed or BundleWidens; the first of `objections`."""
    for objection in objections(reviewed, widening_accepted=widening_accepted):
        raise objection


def objections(reviewed: Review, *, widening_accepted: bool) -> list[BundleFaulty]:
    """Everything that keeps a candidate from being published."""
    found = (_failing(reviewed), _mistaken(reviewed), None if widening_accepted else _widening(reviewed))
    return [objection for objection in found if objection is not None]


def _without(trusted: TrustedSet, names: Collection[str]) -> TrustedSet:
    files = {name: bundle.data for name, bundle in trusted.bundles.items() if name not in names}
    return TrustedSet.under(trusted.root).restore_all(files)[0]


def _verify_new(bundle: TrustedBundle, own: Trace) -> None:
    """Its version is above all that store and kernels know; to put back the very file that kernels have is a repair."""
    version = bundle.floor.version
    if own.held is not None and own.held.floor == bundle.floor:
        raise BundleOutdated(f"`{bundle.name}` version {version} is published already")
    highest = max((item.version for item in own.seen), default=0)
    if version <= highest and all(item.digest != bundle.digest for item in own.seen):
        raise BundleOutdated(f"`{bundle.name}` version {version} is not above {highest}, seen by kernels")


def _verify_not_behind(name: str, traces: Mapping[str, Trace]) -> None:
    """A store that lost what kernels decide by is no ground to compare on, but where that is what is put right."""
    for other, trace in sorted(traces.items()):
        if other != name and trace.ahead is not None and trace.gone is None:
            raise BundleConflict(
                f"kernels decide by `{other}` version {trace.ahead.version}, which the store does not hold; publish "
                "that file again first, or a later version of it",
                code="bundle_store_behind",
            )


def _rules(trusted: TrustedSet) -> list[BundleRules]:
    return [bundle.rules for _, bundle in sorted(trusted.bundles.items())]


def _gone(data: bytes, error: HoldgateError) -> Gone:
    """A file that counts and does not hold."""
    manifest = parse_bundle(data).manifest
    return Gone(manifest.version, error.code, manifest.scope)


def _compared(candidate: Candidate, root: Root) -> Diff:
    """The comparison; past its bound it says that it says nothing, which somebody must accept."""
    name = candidate.bundle.name
    before, after = _rules(candidate.before), _rules(candidate.after)
    if candidate.closed is not None:
        before.append(candidate.closed)
    unsure = tuple(Change(Direction.UNCLEAR, other, "", why) for other, why in candidate.unsure.items())
    unsure += tuple(_untested(candidate))
    old, new = _by_id(before), _by_id(after)
    changed = sum(old.get(key) != new.get(key) for key in old.keys() | new.keys())
    if changed * (len(old) + len(new)) > COMPARED_MAX:
        what = f"{changed} rules differ among {len(new)}: too many to compare; publish fewer changes at once"
        return Diff((Change(Direction.UNCLEAR, name, "", what), *unsure))
    found = compare(before, after, default=Verdict(root.default_decision), samples=samples_of(_files(candidate)))
    return Diff((*found.changes, *unsure))


def _untested(candidate: Candidate) -> Iterator[Change]:
    """Tests that the version in force brings and the candidate does not: who takes them away must mean it."""
    held = candidate.before.bundles.get(candidate.bundle.name)
    if held is not None and held.file.manifest.tests and not candidate.bundle.file.manifest.tests:
        what = f"the tests of version {held.floor.version} are gone, and nothing is tested any more"
        yield Change(Direction.UNCLEAR, candidate.bundle.name, "", what)


def _files(candidate: Candidate) -> list[BundleFile]:
    """The candidate and the bundle that it replaces: their tests have jobs that serve as examples."""
    held = candidate.before.bundles.get(candidate.bundle.name)
    return [candidate.bundle.file, *([] if held is None else [held.file])]


def _by_id(bundles: Sequence[BundleRules]) -> dict[tuple[str, str], Rule | OutputRule]:
    found: dict[tuple[str, str], Rule | OutputRule] = {}
    for part in bundles:
        found.update(((part.name, rule.id), rule) for rule in part.rules)
        found.update(((part.name, rule.id), rule) for rule in part.output_rules)
    return found


def _findings(
    bundle: TrustedBundle,
    before: Sequence[BundleRules],
    after: Sequence[BundleRules],
    root: Root,
    known: LintContext,
) -> tuple[Finding, ...]:
    """Of the candidate's own rules, and what of others is only found beside them."""
    manifest = bundle.file.manifest
    held = frozenset(role.name for role in root.approver_roles)
    own_keys = tuple(root.trust().approvers.values())
    context = replace(known, vocabulary=manifest.vocabulary, roles=held or None, own_keys=own_keys)
    found = lint(after, context)
    if any(finding.bundle != bundle.name for finding in found):
        told = set(lint(before, context))
        found = [finding for finding in found if finding.bundle == bundle.name or finding not in told]
    if not manifest.tests:
        message = "has no tests; `tests:` in bundle.yaml names files of them, and they are run at every publish"
        found.append(Finding("bundle-untested", Severity.WARNING, bundle.name, "", message))
    return tuple(found)


def _failing(reviewed: Review) -> BundleTestsFailed | None:
    failed = [result for result in reviewed.tests.results if not result.passed]
    if not failed:
        return None
    problems = [(f"{case.file}:{case.line}", f"{case.name}: {'; '.join(case.problems)}") for case in failed]
    return BundleTestsFailed(
        f"{len(failed)} of {len(reviewed.tests.results)} tests fail: {_first(problems)}; "
        "run `holdgate bundle test` and mend rules or tests",
        problems,
    )


def _mistaken(reviewed: Review) -> BundleLintFailed | None:
    errors = [finding for finding in reviewed.findings if finding.severity is Severity.ERROR]
    if not errors:
        return None
    problems = [(f"{finding.bundle}.{finding.rule}", f"{finding.code}: {finding.message}") for finding in errors]
    return BundleLintFailed(f"the linter finds {_count(errors, 'error')}: {_first(problems)}", problems)


def _widening(reviewed: Review) -> BundleWidens | None:
    if not reviewed.diff.widens:
        return None
    changes = [change for change in reviewed.diff.changes if change.direction in WIDENING]
    problems = [(f"{change.bundle}.{change.rule}".rstrip("."), _said(change)) for change in changes]
    return BundleWidens(
        f"{_count(changes, 'change')} may allow what was not allowed: {_first(problems)}; where that is meant, "
        "publish with `--accept-widening` (`?accept_widening=true`)",
        problems,
    )


def _said(change: Change) -> str:
    how = "widens" if change.direction is Direction.WIDENS else "may widen"
    example = change.example
    if example is None or "facts" not in example:
        return f"{how}: {change.what}"
    facts = canonical_bytes(example["facts"]).decode()[:EXAMPLE_CHARS_MAX]
    return f"{how}: {change.what}, such as {facts}{' (' + str(example['how']) + ')' if 'how' in example else ''}"


def _first(problems: Sequence[tuple[str, str]]) -> str:
    shown = "; ".join(f"`{where}` {why}" for where, why in problems[:SHOWN_MAX])
    more = len(problems) - SHOWN_MAX
    return shown if more <= 0 else f"{shown}; and {more} more"


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
