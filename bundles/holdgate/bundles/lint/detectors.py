"""What bundles say of detectors and let through: names that nobody knows, entries that count no more, examples that
are not found.

Which detectors are built in, and whether a pattern finds its examples, only the scanner knows; whoever has one gives it
in the context, and without it those checks keep quiet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.findings import Finding, LintContext, Severity
from holdgate.kernel import limits
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.detectors import PREFIX
from holdgate.kernel.outputrules import DEFAULTS, FLOOR, AllowFinding, DetectorMode, Mode, OutputRule
from holdgate.kernel.rules import BundleRules

SOON_MS = 14 * 86_400_000
CATEGORIES = FLOOR | {category for category, _ in DEFAULTS}
_LEAKING = "secret"


def detector_findings(bundles: Sequence[BundleRules], context: LintContext) -> Iterator[Finding]:
    """What is worth a look in all that `bundles` say of outputs beside what rules say to each other."""
    own = {detector.id for bundle in bundles for detector in bundle.detectors}
    built_in = None if context.scanner is None else context.scanner.built_in()
    for bundle in bundles:
        said: Iterator[OutputRule | AllowFinding | DetectorMode] = chain(
            bundle.output_rules, bundle.allow_findings, bundle.detector_modes
        )
        for item in said:
            yield from _of_names(item, own, built_in)
        lifts: Iterator[AllowFinding | DetectorMode] = chain(bundle.allow_findings, bundle.detector_modes)
        for lift in lifts:
            yield from _of_time(lift, context.now_ms)
            yield from _of_floor(lift, built_in)
        yield from _released(bundle)
        if context.scanner is not None and bundle.detectors:
            for name, message, is_error in context.scanner.problems(bundle.detectors):
                severity = Severity.ERROR if is_error else Severity.WARNING
                yield finding("detector-examples", bundle.name, name, message, severity)


def _of_names(
    item: OutputRule | AllowFinding | DetectorMode, own: set[str], built_in: dict[str, str] | None
) -> Iterator[Finding]:
    for name in sorted(detectors_of(item)):
        is_known = name in own or built_in is None or name in built_in
        if not is_known or (name.startswith(PREFIX) and name not in own):
            message = f"there is no detector `{name}`; `holdgate scan rules` lists the built-in ones"
            yield finding("unknown-detector", item.bundle, item.id, message)
    for name in sorted(() if isinstance(item, DetectorMode) else item.categories - CATEGORIES):
        message = f"nothing that is found is of the category `{name}`; there are {', '.join(sorted(CATEGORIES))}"
        yield finding("unknown-category", item.bundle, item.id, message)


def detectors_of(item: OutputRule | AllowFinding | DetectorMode) -> frozenset[str]:
    """The detectors that it names."""
    return frozenset({item.detector}) if isinstance(item, DetectorMode) else item.detectors


def _of_time(lift: AllowFinding | DetectorMode, now_ms: int | None) -> Iterator[Finding]:
    if lift.expires_ms is None or now_ms is None:
        return
    day = rfc3339(lift.expires_ms)[:10]
    if lift.expires_ms <= now_ms:
        message = f"expired on {day} and does nothing any more; drop it, or look at it again and say a later day"
        yield finding("expired", lift.bundle, lift.id, message)
    elif lift.expires_ms <= now_ms + SOON_MS:
        message = f"expires on {day}: from then on it is as if it were not there"
        yield finding("expired", lift.bundle, lift.id, message, Severity.NOTE)
    elif isinstance(lift, AllowFinding) and lift.expires_ms > now_ms + limits.ALLOW_FINDINGS_S_MAX * 1000:
        message = f"expires on {day}, more than a year ahead, and kernels refuse the bundle; say an earlier day"
        yield finding("expires-too-late", lift.bundle, lift.id, message)


def _of_floor(lift: AllowFinding | DetectorMode, built_in: dict[str, str] | None) -> Iterator[Finding]:
    if isinstance(lift, DetectorMode) and lift.mode is Mode.ENFORCE:
        return
    for name in sorted(detectors_of(lift)):
        category = (built_in or {}).get(name)
        if category in FLOOR:
            message = f"does nothing for `{name}`: its category `{category}` is always quarantined; drop it"
            yield finding("unreachable-rule", lift.bundle, lift.id, message)


def _released(bundle: BundleRules) -> Iterator[Finding]:
    for item in bundle.allow_findings:
        narrow = item.detectors or item.topics or item.labels or item.fingerprints
        if not narrow and _LEAKING in item.categories:
            message = "lets every secret through; name the detectors, the topics or the values that it is for"
            yield finding("released-findings", bundle.name, item.id, message)
