"""The one way out of a worker: whatever leaves it is searched for every secret that was handed out in this process.

What always holds: what was handed out, and the worker's own password at NATS, is replaced by a tag wherever it is
found, in any form that the scanner knows, and what was found is reported; a file that cannot be searched is left out;
when the search itself fails, nothing of the output leaves, only that it failed.

Where no secret was handed out, one pass over the bytes looks for the password; nothing is parsed or decoded.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from holdgate.kernel.ids import Entropy
from holdgate.scan.forms import forms_of
from holdgate.workers import metrics
from holdgate.workers.artifacts import RunArtifact
from holdgate.workers.pieces import pieces_of
from holdgate.workers.results import (
    ERROR_MESSAGE_CHARS_MAX,
    ERROR_TRACE_CHARS_MAX,
    FindingKind,
    RunError,
    RunOutcome,
    RunResult,
)
from holdgate.workers.runlog import LINE_CHARS_MAX
from holdgate.workers.secrets import Secret

if TYPE_CHECKING:
    # Loaded where a secret was handed out: it brings the pattern engine along.
    from holdgate.scan.inspector import OutputInspector
    from holdgate.scan.known import KnownSecrets
    from holdgate.scan.output import Artifact, Output

_log = structlog.get_logger("holdgate.worker")

REMEMBERED_MAX = 256
"""Values that are looked for after their runs ended; the oldest make room. Those of a run that goes on never do."""
SEARCH_S_MAX = 20.0
"""For one text. 7 MB of JSON took 2 s on a busy machine; a lease is kept for as long as a search may take."""
HERE_BYTES_MAX = 64 * 1024
"""A pass over so much takes less time than handing it to a thread."""
UNSCANNABLE = "output_unscannable"
WITHHELD_LINE = "[a line that could not be searched for secrets]"
OWN_TAG = "[redacted:platform_secret]"
CUT = "[cut]"
FORM_FACTOR = 6
"""Each character written as `\\u0061`, the longest form of all."""


@dataclass(frozen=True, slots=True)
class _Search:
    """What looks for one set of secrets."""

    known: KnownSecrets
    output: OutputInspector
    longest: int
    """Characters of the longest form in which one may be written."""


class Door:
    """Searches what leaves. `own`: the worker's own secrets; `entropy` makes the key of the tags, new for each process.

    Safe to use from any thread.
    """

    def __init__(self, own: Iterable[bytes], entropy: Entropy) -> None:
        self._own = tuple(own)
        self._own_forms = tuple(dict.fromkeys(form for secret in self._own for _, form in forms_of(secret)))
        self._key = entropy(32)
        self._handed: dict[bytes, None] = {}
        self._in_use: Counter[bytes] = Counter()
        self._search: _Search | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "Door(...)"

    @contextmanager
    def handing_out(self, secrets: Mapping[str, Secret]) -> Iterator[None]:
        """A run that has these. Afterwards they are looked for all the same, until newer ones take their room."""
        self._hand_out(secrets)
        try:
            yield
        finally:
            self._take_back(secrets)

    def _hand_out(self, secrets: Mapping[str, Secret]) -> None:
        values = {secret.reveal_bytes() for secret in secrets.values()}
        with self._lock:
            self._in_use.update(values)
            if not values <= self._handed.keys():
                self._search = None
            for value in values:
                self._handed.pop(value, None)
                self._handed[value] = None
            self._forget()

    def _take_back(self, secrets: Mapping[str, Secret]) -> None:
        with self._lock:
            self._in_use -= Counter({secret.reveal_bytes() for secret in secrets.values()})
            self._forget()

    async def let_out(self, result: RunResult) -> RunResult:
        """The result as it may leave."""
        if not self._own and not self._handed:
            return result
        if not self._handed and _size(result) <= HERE_BYTES_MAX and not _is_in(self._own_forms, result):
            return result
        return await asyncio.to_thread(self._let_out, result)

    def line(self, text: str) -> str:
        """A line of the worker's own log as it may be written."""
        if self._search is None and not self._handed:
            for form in self._own_forms:
                text = text.replace(form.decode("utf-8", "replace"), OWN_TAG)
            return text
        try:
            spans = sorted((start, end) for _, start, end in self._searched().known.spans(*_as_bytes(text)))
        except Exception:  # noqa: BLE001  whatever it is, the line was not searched
            return WITHHELD_LINE
        for start, end in reversed(_joined(spans)):
            text = text[:start] + OWN_TAG + text[end:]
        return text

    def _forget(self) -> None:
        spare = len(self._handed) - REMEMBERED_MAX
        for value in [each for each in self._handed if not self._in_use[each]][: max(0, spare)]:
            del self._handed[value]
            self._search = None

    def _searched(self) -> _Search:
        with self._lock:
            search = self._search
            if search is None:
                search = self._search = _search_for((*self._own, *self._handed), self._key)
            return search

    def _let_out(self, result: RunResult) -> RunResult:
        try:
            if not self._handed and not _is_in(self._own_forms, result):
                return result
            return _cleaned(self._searched(), result)
        except Exception as error:  # noqa: BLE001  whatever it is, the output was not searched: none of it leaves
            _log.error("an output could not be searched", action="output_unscannable", error=type(error).__name__)
            metrics.UNSCANNABLE.inc()
            problem = RunError("OutputUnscannable", "the worker could not search the output for its secrets")
            return replace(
                result,
                outcome=RunOutcome.FAILED,
                value=None,
                logs=(),
                error=problem,
                code=UNSCANNABLE,
                retryable=False,
                artifacts=(),
            )


def _search_for(secrets: Iterable[bytes], key: bytes) -> _Search:
    from holdgate.scan import Scanner
    from holdgate.scan.engine import Budget
    from holdgate.scan.inspector import OutputInspector
    from holdgate.scan.known import KnownSecrets

    given = tuple(dict.fromkeys(secrets))
    distinct = tuple(dict.fromkeys((*given, *(piece for secret in given for piece in pieces_of(secret)))))
    longest = FORM_FACTOR * max(map(len, distinct), default=0)
    scanner = Scanner(distinct, rules=(), budget=Budget(seconds=SEARCH_S_MAX))
    known = KnownSecrets(distinct)
    return _Search(known, OutputInspector(scanner, key, known=known), longest)


def _cleaned(search: _Search, result: RunResult) -> RunResult:
    from holdgate.scan.output import Artifact, Output

    reported: set[FindingKind] = set(result.reported)
    files: list[Artifact] = []
    for each in result.artifacts:
        cleaned, kinds = _cleaned_file(search, Artifact(each.name, each.media_type, each.data))
        reported |= kinds
        files += cleaned
    output = Output(
        result.value,
        tuple(_whole(line, LINE_CHARS_MAX, search.longest) for line in result.logs),
        None if result.error is None else _whole_error(result.error, search.longest),
        result.code,
        tuple(files),
    )
    kinds = set(search.output.inspect(output).kinds)
    if kinds:
        output = search.output.redact(output)
        reported |= kinds
    if reported:
        metrics.TAKEN_OUT.inc(len(reported))
    return replace(_with(result, output), reported=tuple(sorted(reported)))


def _whole(text: str, chars_max: int, longest: int) -> str:
    """Without the end of a text that was cut there: the cut may go through a secret, which is not found then."""
    return text if len(text) < chars_max else text[: max(0, chars_max - longest)] + CUT


def _whole_error(error: RunError, longest: int) -> dict[str, str]:
    shown = error.as_dict()
    shown["message"] = _whole(shown["message"], ERROR_MESSAGE_CHARS_MAX, longest)
    if len(shown["trace"]) >= ERROR_TRACE_CHARS_MAX:
        shown["trace"] = CUT + shown["trace"][longest:]
    return shown


def _cleaned_file(search: _Search, artifact: Artifact) -> tuple[tuple[Artifact, ...], set[FindingKind]]:
    """The file as it may leave, or nothing where it may not; and what was in it."""
    from holdgate.scan.errors import RedactionIncomplete
    from holdgate.scan.output import UNSCANNABLE as UNSCANNABLE_KIND
    from holdgate.scan.output import Output

    alone = Output(artifacts=(artifact,))
    kinds = set(search.output.inspect(alone).kinds)
    if not kinds:
        return alone.artifacts, kinds
    if UNSCANNABLE_KIND in kinds:
        return (), kinds
    try:
        return search.output.redact(alone).artifacts, kinds
    except RedactionIncomplete:
        return (), kinds


def _with(result: RunResult, output: Output) -> RunResult:
    error = None if output.error is None else RunError(**dict(output.error))
    files = tuple(RunArtifact(each.name, each.media_type, each.data) for each in output.artifacts)
    return replace(result, value=output.value, logs=output.logs, error=error, code=output.code, artifacts=files)


def _is_in(forms: Sequence[bytes], result: RunResult) -> bool:
    texts: list[str] = [*result.logs, result.code or ""]
    if result.error is not None:
        texts += result.error.as_dict().values()
    texts += [name for each in result.artifacts for name in (each.name, each.media_type or "")]
    whole = "\n".join(texts).encode("utf-8", "replace")
    looked_at = (whole, result.value or b"", *(each.data for each in result.artifacts))
    return any(form in data for data in looked_at for form in forms)


def _size(result: RunResult) -> int:
    error = result.error
    texts = [*result.logs, *((error.message, error.trace) if error is not None else ())]
    return sum(map(len, texts)) + len(result.value or b"") + sum(len(each.data) for each in result.artifacts)


def _as_bytes(text: str) -> tuple[bytes, str]:
    return text.encode("latin-1", "replace"), text


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
