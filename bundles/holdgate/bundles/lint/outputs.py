"""Rules about results: one that never counts, one that releases too much, one that another leaves without effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.findings import Finding
from holdgate.bundles.trusted import covers_pattern
from holdgate.kernel.output import FLOOR, STRICTNESS
from holdgate.kernel.rules import BundleRules, OutputRule, OutputVerdict
from holdgate.kernel.topics import REST

COMPARED_MAX = 1000
"""Output rules that are compared, each with each."""
_LEAKING = "secret"
_SETS = ("categories", "detectors", "severities", "classifications", "tenants", "destinations", "data_classes")


def output_findings(bundles: Sequence[BundleRules]) -> Iterator[Finding]:
    """What is worth a look in the output rules of `bundles`, in force together."""
    rules = [rule for bundle in bundles for rule in bundle.output_rules]
    lifting = frozenset(bundle.name for bundle in bundles if bundle.allow_findings or bundle.detector_modes)
    for position, rule in enumerate(rules):
        if rule.categories and rule.categories <= FLOOR:
            message = "never counts: these kinds are always quarantined, whatever a rule says; drop it"
            yield finding("unreachable-rule", rule.bundle, rule.id, message)
        elif (outer := _covering(rule, rules[:COMPARED_MAX], position, lifting)) is not None:
            yield _shadowed(rule, outer)
        if rule.verdict is OutputVerdict.ALLOW and _releases_secrets(rule):
            message = "releases secrets, or whatever was found; name the categories, detectors or topics it is for"
            yield finding("released-findings", rule.bundle, rule.id, message)
    if len(rules) > COMPARED_MAX:
        message = f"only the first {COMPARED_MAX} output rules were compared with each other; look at fewer together"
        yield finding("not-compared", bundles[0].name, "", message)


def _releases_secrets(rule: OutputRule) -> bool:
    narrow = rule.detectors or rule.topics or rule.labels or rule.classifications or rule.destinations
    return not narrow and (not rule.categories or _LEAKING in rule.categories)


def _covering(
    inner: OutputRule, rules: Sequence[OutputRule], position: int, lifting: frozenset[str]
) -> OutputRule | None:
    """A rule that decides at least as strictly about every finding that `inner` is for. Of two alike, the first.

    `lifting`: bundles that let something through; their own rules give way to that, and those of others do not.
    """
    for place, outer in enumerate(rules):
        if outer.bundle != inner.bundle and outer.bundle in lifting:
            continue
        if outer is inner or STRICTNESS[outer.verdict] < STRICTNESS[inner.verdict] or not _covers(outer, inner):
            continue
        if outer.verdict is not inner.verdict or place < position or not _covers(inner, outer):
            return outer
    return None


def _covers(outer: OutputRule, inner: OutputRule) -> bool:
    if inner.keeps_whole and not outer.keeps_whole:
        return False
    for name in _SETS:
        wanted, held = getattr(outer, name), getattr(inner, name)
        if wanted and not (held and held <= wanted):
            return False
    held_labels = dict(inner.labels)
    if not all(key in held_labels and held_labels[key] <= wanted for key, wanted in outer.labels):
        return False
    wide = outer.topics or (REST,)
    return all(any(covers_pattern(one, narrow) for one in wide) for narrow in inner.topics or (REST,))


def _shadowed(rule: OutputRule, outer: OutputRule) -> Finding:
    where = "" if outer.bundle == rule.bundle else f" of bundle `{outer.bundle}`"
    if outer.verdict is not rule.verdict:
        message = (
            f"changes nothing: `{outer.id}`{where} is stricter about all that it is for; narrow that, or drop this"
        )
        return finding("shadowed-rule", rule.bundle, rule.id, message)
    code = "duplicate-rule" if _covers(rule, outer) else "redundant-rule"
    message = f"changes nothing: `{outer.id}`{where} says the same of all that it is for; drop one"
    return finding(code, rule.bundle, rule.id, message)
