"""The one parser of the form in which a job is submitted, simulated or explained.

    bytes → canonical.parse_json → parse_form → JobForm → JobForm.job(identity, …) → Job

What always holds: every field is within `limits`; labels are a submitter's claim and cannot take a name that the system
uses; tags and names of secrets are sorted and unique, so that their order never changes the job hash; tenant and actor
come from `Identity`, never from the form. Problems name the field and never repeat what was sent. No IO.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes, digest_bytes
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import FormInvalid, InvalidInput, MalformedJson
from holdgate.kernel.ids import ACTOR, NAME, SECRET_NAME, ActorId, Digest, JobId, Tenant
from holdgate.kernel.records import Job, Priority
from holdgate.kernel.topics import verify_topic

TAG = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{limits.TAG_CHARS_MAX - 1}}}\Z")
"""Capabilities, risk tags, `requires`, and what rules compare them with."""
LABEL_KEY = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{limits.LABEL_KEY_CHARS_MAX - 1}}}\Z")
RESERVED_LABEL = "holdgate."
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)\Z")
POOL_DEFAULT = "default"
NULL_PAYLOAD = b"null"
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line separators and those that turn the direction of writing: labels are shown to approvers."""
_PROMPT_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_PRIORITIES = {item.value: item for item in Priority}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who submits, as the API key says. `principals` is the chain on whose behalf, the most direct first."""

    tenant: Tenant
    actor: ActorId
    actor_type: str = "agent"
    principals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobForm:
    """A submitted form, checked. `payload` is canonical JSON, `null` when none was sent. Times are milliseconds."""

    topic: str
    payload: bytes = NULL_PAYLOAD
    prompt: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    capability: str | None = None
    risk_tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    pool: str = POOL_DEFAULT
    priority: Priority = Priority.NORMAL
    concurrency_key: str | None = None
    run_at_ms: int | None = None
    deadline_ms: int | None = None
    max_attempts: int = limits.ATTEMPTS_DEFAULT
    secrets: tuple[str, ...] = ()

    def job(
        self,
        *,
        identity: Identity,
        job_id: JobId,
        now_ms: int,
        trace_id: str,
        secrets_present: bool,
        pii_present: bool,
        remediation_of: str | None = None,
    ) -> Job:
        """The job that `identity` asks for; the two `…_present`: what a scan of prompt and payload said."""
        return Job(
            job_id=job_id,
            created_ms=now_ms,
            trace_id=trace_id,
            tenant=identity.tenant,
            topic=self.topic,
            payload=self.payload,
            payload_digest=_digest(self.payload),
            actor=identity.actor,
            actor_type=identity.actor_type,
            pool=self.pool,
            max_attempts=self.max_attempts,
            prompt=self.prompt,
            labels=self.labels,
            capability=self.capability,
            risk_tags=self.risk_tags,
            requires=self.requires,
            principals=identity.principals,
            priority=self.priority,
            concurrency_key=self.concurrency_key,
            run_at_ms=self.run_at_ms,
            deadline_ms=self.deadline_ms,
            secrets_present=secrets_present,
            remediation_of=remediation_of,
            secrets=self.secrets,
            pii_present=pii_present,
        )


def parse_form(form: Mapping[str, Any], *, now_ms: int) -> JobForm:
    """The checked form; FormInvalid names every field that is wrong. A field that is null counts as absent."""
    values: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for name, raw in form.items():
        entry = _PARSERS.get(name)
        if entry is None:
            problems.append((_shown(name), "an unknown key"))
        elif raw is not None:
            target, parse = entry
            try:
                values[target] = parse(raw)
            except _FieldInvalid as error:
                problems.extend((name + where, why) for where, why in error.problems)
    if form.get("topic") is None:
        problems.append(("topic", "required"))
    _check_times(values, now_ms, problems)
    if problems:
        raise FormInvalid(problems)
    return JobForm(**values)


def job_from_form(
    form: Mapping[str, Any],
    *,
    identity: Identity,
    job_id: JobId,
    now_ms: int,
    trace_id: str,
    secrets_present: bool,
    pii_present: bool,
) -> Job:
    """`parse_form` and `JobForm.job` in one, for who has scanned already."""
    return parse_form(form, now_ms=now_ms).job(
        identity=identity,
        job_id=job_id,
        now_ms=now_ms,
        trace_id=trace_id,
        secrets_present=secrets_present,
        pii_present=pii_present,
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """A form for simulate or explain: the job, and what else its author says about the situation (None: not said)."""

    form: Mapping[str, Any]
    job_id: str | None = None
    tenant: Tenant | None = None
    actor: ActorId | None = None
    actor_type: str | None = None
    principals: tuple[str, ...] | None = None
    now_ms: int | None = None


def split_facts(facts: Mapping[str, Any]) -> Facts:
    """The flat form, or the one with `meta: {capability, risk_tags, …}`, taken apart; FormInvalid names the fields.

    Who calls decides which of tenant, actor and the rest the caller may choose. The form inside is not checked yet.
    """
    flat = {name: value for name, value in facts.items() if name != "meta"}
    problems: list[tuple[str, str]] = []
    _flatten(flat, facts.get("meta"), problems)
    values: dict[str, Any] = {}
    for name, (target, parse) in _FACT_PARSERS.items():
        raw = flat.pop(name, None)
        if raw is None:
            continue
        try:
            values[target] = parse(raw)
        except _FieldInvalid as error:
            problems.extend((name + where, why) for where, why in error.problems)
    if problems:
        raise FormInvalid(problems)
    return Facts(form=flat, **values)


def _flatten(flat: dict[str, Any], meta: Any, problems: list[tuple[str, str]]) -> None:
    if meta is None:
        return
    if not isinstance(meta, Mapping):
        problems.append(("meta", "an object is expected"))
        return
    for name, value in meta.items():
        where = f"meta.{_shown(name)}"
        if name not in FORM_FIELDS and name not in FACTS_FIELDS:
            problems.append((where, "an unknown key"))
        elif name in flat:
            problems.append((where, "said twice: here and beside `meta`"))
        else:
            flat[name] = value


class _FieldInvalid(Exception):  # never leaves this module
    def __init__(self, why: str, where: str = "") -> None:
        self.problems = [(where, why)]
        super().__init__(why)


def _shown(name: Any) -> str:
    """A key as an error may show it: short and printable."""
    return _UNPRINTABLE.sub("?", str(name)[:64])


def _digest(payload: bytes) -> Digest:
    return _NULL_DIGEST if payload == NULL_PAYLOAD else digest_bytes(payload)


_NULL_DIGEST = digest_bytes(NULL_PAYLOAD)


def _text(raw: Any, chars_max: int, unprintable: re.Pattern[str]) -> str:
    if not isinstance(raw, str):
        raise _FieldInvalid("a string is expected")
    if len(raw) > chars_max:
        raise _FieldInvalid(f"longer than {chars_max} characters")
    if unprintable.search(raw) is not None:
        raise _FieldInvalid("holds a control character")
    return raw


def _topic(raw: Any) -> str:
    if not isinstance(raw, str):
        raise _FieldInvalid("a string is expected")
    try:
        return verify_topic(raw)
    except InvalidInput as error:
        raise _FieldInvalid(str(error)) from error


def _prompt(raw: Any) -> str:
    return _text(raw, limits.PROMPT_CHARS_MAX, _PROMPT_UNPRINTABLE)


def _payload(raw: Any) -> bytes:
    try:
        return canonical_bytes(raw)
    except MalformedJson as error:
        raise _FieldInvalid(str(error)) from error


def _labels(raw: Any) -> dict[str, str]:
    if not isinstance(raw, Mapping):
        raise _FieldInvalid("an object is expected")
    if len(raw) > limits.LABELS_MAX:
        raise _FieldInvalid(f"more than {limits.LABELS_MAX} labels")
    labels: dict[str, str] = {}
    for key, value in raw.items():
        where = f".{_shown(key)}"
        if not isinstance(key, str) or LABEL_KEY.match(key) is None:
            raise _FieldInvalid(
                f"a label's name is 1 to {limits.LABEL_KEY_CHARS_MAX} letters, digits and `_.:/@+-`, and begins with a"
                " letter or a digit",
                where,
            )
        if key.lower().startswith(RESERVED_LABEL):
            raise _FieldInvalid(f"labels that begin with `{RESERVED_LABEL}` belong to the system", where)
        try:
            labels[key] = _text(value, limits.LABEL_VALUE_CHARS_MAX, _UNPRINTABLE)
        except _FieldInvalid as error:
            raise _FieldInvalid(str(error), where) from error
    return labels


def _tag(raw: Any) -> str:
    if not isinstance(raw, str):
        raise _FieldInvalid("a string is expected")
    if TAG.match(raw) is None:
        raise _FieldInvalid(f"1 to {limits.TAG_CHARS_MAX} letters, digits and `_.:/@+-`, the first a letter or a digit")
    return raw


def _tags(raw: Any) -> tuple[str, ...]:
    return _sorted(raw, _tag, limits.TAGS_MAX)


def _secrets(raw: Any) -> tuple[str, ...]:
    return _sorted(raw, _secret, limits.SECRETS_MAX)


def _secret(raw: Any) -> str:
    if not isinstance(raw, str) or SECRET_NAME.match(raw) is None:
        raise _FieldInvalid("1 to 63 of a-z, 0-9, `.`, `_` and `-` are expected, beginning with a letter or a digit")
    return raw


def _sorted(raw: Any, parse: Callable[[Any], str], items_max: int) -> tuple[str, ...]:
    if not isinstance(raw, (list, tuple)):
        raise _FieldInvalid("a list of strings is expected")
    if len(raw) > items_max:
        raise _FieldInvalid(f"more than {items_max} items")
    return tuple(sorted({_at(position, parse, item) for position, item in enumerate(raw)}))


def _at(position: int, parse: Callable[[Any], str], raw: Any) -> str:
    try:
        return parse(raw)
    except _FieldInvalid as error:
        raise _FieldInvalid(str(error), f".{position}") from error


def _name(raw: Any) -> str:
    if not isinstance(raw, str) or NAME.match(raw) is None:
        raise _FieldInvalid("1 to 63 of a-z, 0-9, `_` and `-` are expected, beginning with a letter or a digit")
    return raw


def _actor(raw: Any) -> str:
    if not isinstance(raw, str) or ACTOR.match(raw) is None:
        raise _FieldInvalid("1 to 128 letters, digits and `_.:@/-` are expected, beginning with a letter or a digit")
    return raw


def _principals(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, (list, tuple)) or len(raw) > limits.PRINCIPALS_MAX:
        raise _FieldInvalid(f"a list of at most {limits.PRINCIPALS_MAX} names is expected")
    return tuple(_at(position, _actor, item) for position, item in enumerate(raw))


def _priority(raw: Any) -> Priority:
    found = _PRIORITIES.get(raw) if isinstance(raw, str) else None
    if found is None:
        raise _FieldInvalid("`low`, `normal` or `high` is expected")
    return found


def _concurrency_key(raw: Any) -> str:
    text = _text(raw, limits.CONCURRENCY_KEY_CHARS_MAX, _UNPRINTABLE)
    if not text:
        raise _FieldInvalid("empty")
    return text


def _attempts(raw: Any) -> int:
    if type(raw) is not int or not 1 <= raw <= limits.ATTEMPTS_MAX:
        raise _FieldInvalid(f"an integer from 1 to {limits.ATTEMPTS_MAX} is expected")
    return raw


def _time_ms(raw: Any) -> int:
    if not isinstance(raw, str) or TIME.match(raw) is None:
        raise _FieldInvalid("a time such as `2026-01-02T03:04:05Z` is expected")
    try:
        time_ms = parse_rfc3339(raw)
    except (ValueError, OverflowError) as error:
        raise _FieldInvalid("there is no such time") from error
    if not 0 <= time_ms <= TIME_MS_MAX:
        raise _FieldInvalid("a time from 1970 to 9999 is expected")
    return time_ms


TIME_MS_MAX = 253_402_300_799_000
"""The last second of the year 9999, the last that RFC 3339 can write."""


def _now_ms(raw: Any) -> int:
    if type(raw) is int:
        if not 0 <= raw <= TIME_MS_MAX:
            raise _FieldInvalid("milliseconds since 1970 are expected")
        return raw
    return _time_ms(raw)


def _check_times(values: Mapping[str, Any], now_ms: int, problems: list[tuple[str, str]]) -> None:
    run_at_ms, deadline_ms = values.get("run_at_ms"), values.get("deadline_ms")
    for name, time_ms in (("run_at", run_at_ms), ("deadline", deadline_ms)):
        if time_ms is not None and time_ms - now_ms > limits.SCHEDULE_AHEAD_S_MAX * 1000:
            problems.append((name, f"more than {limits.SCHEDULE_AHEAD_S_MAX // 86400} days ahead"))
    if deadline_ms is not None and deadline_ms <= now_ms:
        problems.append(("deadline", "in the past"))
    if deadline_ms is not None and run_at_ms is not None and run_at_ms >= deadline_ms:
        problems.append(("run_at", "not before the deadline"))


_PARSERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "topic": ("topic", _topic),
    "prompt": ("prompt", _prompt),
    "payload": ("payload", _payload),
    "labels": ("labels", _labels),
    "capability": ("capability", _tag),
    "risk_tags": ("risk_tags", _tags),
    "requires": ("requires", _tags),
    "pool": ("pool", _name),
    "priority": ("priority", _priority),
    "concurrency_key": ("concurrency_key", _concurrency_key),
    "run_at": ("run_at_ms", _time_ms),
    "deadline": ("deadline_ms", _time_ms),
    "max_attempts": ("max_attempts", _attempts),
    "secrets": ("secrets", _secrets),
}
_FACT_PARSERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "job_id": ("job_id", lambda raw: _text(raw, 128, _UNPRINTABLE)),
    "tenant": ("tenant", _name),
    "actor": ("actor", _actor),
    "actor_type": ("actor_type", _name),
    "principals": ("principals", _principals),
    "now": ("now_ms", _now_ms),
}
FORM_FIELDS = frozenset(_PARSERS)
FACTS_FIELDS = frozenset(_FACT_PARSERS)


def texts_of(form: JobForm | Job) -> tuple[bytes | None, str]:
    """All that a submitter writes into a job, to be scanned: the payload where there is one, the rest as one text."""
    around = [
        form.topic,
        *(f"{name}: {value}" for name, value in form.labels.items()),
        *form.risk_tags,
        *form.requires,
        *form.secrets,
        form.capability or "",
        form.pool,
        form.concurrency_key or "",
        form.prompt or "",
    ]
    return None if form.payload == NULL_PAYLOAD else form.payload, "\n".join(around)
