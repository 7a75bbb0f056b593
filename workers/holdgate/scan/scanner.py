"""The scanner: known secrets first, then the rules, over each view of a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from holdgate.kernel.canonical import Json, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scan.engine import Budget, Engine, Hit
from holdgate.scan.errors import ScanError, Unscannable
from holdgate.scan.findings import SECRETS, Category, Finding, Severity, View
from holdgate.scan.known import KnownSecrets
from holdgate.scan.ruleset import Rule, builtin_rules, check_rules
from holdgate.scan.views import JsonView, Segment

_RANK = {category: rank for rank, category in enumerate(Category)}
_GENERIC = ("assigned-", "named-", "authorization-header", "basic-credentials")
_NAMED = "named-"


@dataclass(frozen=True, slots=True)
class Present:
    """What of each kind is in some texts. All three where they could not be searched to their end."""

    secrets: bool = False
    pii: bool = False
    platform: bool = False


class Scanner:
    """Finds secrets and personal data. Holds no text between calls; threads may share one.

    `known_secrets`: raw bytes of secrets to match exactly, in all their forms; kept in memory only.
    """

    def __init__(
        self,
        known_secrets: Iterable[bytes] = (),
        *,
        rules: Sequence[Rule] | None = None,
        budget: Budget | None = None,
        fast: bool = False,
    ) -> None:
        self._rules = builtin_rules() if rules is None else check_rules(rules)
        self._known = KnownSecrets(known_secrets)
        self._budget = budget
        self._fast = fast

    @cached_property
    def _engine(self) -> Engine:
        return Engine(self._rules, self._budget)

    def scan(self, text: str | bytes) -> list[Finding]:
        """Findings in all views of `text`, sorted by place. ScanError when it could not be scanned to its end."""
        return self.scan_raw(text)

    def scan_raw(self, text: str | bytes) -> list[Finding]:
        """Findings in `text` as it stands: nothing decoded, nothing normalised."""
        found = _strongest(self._hits(self._engine, text))
        return [Finding(hit.detector, hit.category, hit.severity, hit.start, hit.end) for hit in found]

    def scan_stream(self, chunks: Iterable[bytes]) -> Iterator[Finding]:
        """Findings in the raw view of a text that comes in pieces, with bounded memory; offsets in the whole."""
        yield from self.scan_raw(b"".join(chunks))

    def scan_json(self, value: bytes) -> list[Finding]:
        """Findings in the values and keys of a JSON document, unescaped. Unscannable when it is not JSON."""
        try:
            return self.scan_value(parse_json(value))
        except MalformedJson as error:
            raise Unscannable(str(error)) from error

    def scan_value(self, value: Json) -> list[Finding]:
        """The same for a parsed JSON value."""
        view = JsonView(value)
        found = (
            Finding(
                hit.detector, hit.category, hit.severity, *_whole(hit, segment, start, end), segment.path, segment.via
            )
            for hit in _strongest(self._hits(self._engine, view.text))
            for segment, start, end in view.locate(hit.start, hit.end)
        )
        return list(dict.fromkeys(found))

    def present(self, *texts: str | bytes | None) -> Present:
        """What of each kind is in any of `texts`. Made for the submit path; stops as soon as nothing is left to learn.

        All three where a text is beyond the budget: what is not known to be clean is not clean.
        """
        secrets = pii = platform = False
        try:
            for text in texts:
                for finding in self.scan(text) if text is not None else ():
                    platform = platform or finding.category is Category.PLATFORM_SECRET
                    secrets = secrets or finding.category in SECRETS
                    pii = pii or finding.category is Category.PII
        except ScanError:
            return Present(True, True, True)
        return Present(secrets, pii, platform)

    def has_secrets(self, *texts: str | bytes | None) -> bool:
        """Whether `present` says that there are secrets."""
        return self.present(*texts).secrets

    def _hits(self, engine: Engine, text: str | bytes) -> Iterator[Hit]:
        wide, data = (None, text) if isinstance(text, bytes) else (text, text.encode("latin-1", "replace"))
        if self._known:
            for form, start, end in self._known.spans(data, wide):
                detector = f"platform-secret-{form}"
                yield Hit(detector, Category.PLATFORM_SECRET, Severity.CRITICAL, start, end)
        yield from engine.hits(data)


def _whole(hit: Hit, segment: Segment, start: int, end: int) -> tuple[int, int]:
    """A value that is secret by its name is secret to its end."""
    if hit.detector.startswith(_NAMED) and segment.via == View.VALUE and start == 0:
        return 0, segment.end - segment.start
    return start, end


def _strongest(hits: Iterable[Hit]) -> list[Hit]:
    """Without repeats and without those that lie inside a hit that says more; sorted by place."""
    kept: list[Hit] = []
    ordered = sorted(set(hits), key=lambda hit: (hit.start, -hit.end, _weight(hit)))
    for hit in ordered:
        # Earlier in the order means starting no later; only neighbours that reach this far can hold it.
        covering = [other for other in kept[-8:] if other.start <= hit.start and hit.end <= other.end]
        if any(_weight(other) <= _weight(hit) for other in covering):
            continue
        kept.append(hit)
    return kept


def _weight(hit: Hit) -> tuple[int, bool, str]:
    return _RANK[hit.category], hit.detector.startswith(_GENERIC), hit.detector
