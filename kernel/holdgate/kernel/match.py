"""What a rule looks at in a job, field by field.

All fields of a `Match` must hold. A list means any of; `requires` means all of; each label must equal one of its
values. Environment, classification and MCP facts are labels that the submitter set: claims, not measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from holdgate.kernel.records import Job
from holdgate.kernel.topics import matches

ENVIRONMENT_LABEL = "env"
CLASSIFICATION_LABEL = "classification"
MCP_LABELS = {"servers": "mcp.server", "tools": "mcp.tool", "resources": "mcp.resource", "actions": "mcp.action"}

MEASURED = ("secrets_present", "pii_present")
"""What a scan of prompt and payload said; no claim of the submitter."""

Check: TypeAlias = Callable[[Job], bool]
Key: TypeAlias = tuple[str, ...]
"""A field of a job and a value of it, such as `("tenant", "a")`, `("labels", "env", "prod")`: what the index is of."""
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """The `match` of a rule. An empty field is not looked at."""

    tenants: frozenset[str] = _NONE
    topics: tuple[str, ...] = ()
    capabilities: frozenset[str] = _NONE
    risk_tags: frozenset[str] = _NONE
    requires: frozenset[str] = _NONE
    labels: tuple[tuple[str, frozenset[str]], ...] = ()
    actors: frozenset[str] = _NONE
    actor_types: frozenset[str] = _NONE
    principals: frozenset[str] = _NONE
    environments: frozenset[str] = _NONE
    classifications: frozenset[str] = _NONE
    mcp: tuple[tuple[str, frozenset[str]], ...] = ()
    """(`servers` and so on, values)."""
    secrets: frozenset[str] = _NONE
    """Names of secrets that the job asks its worker for."""
    secrets_present: bool | None = None
    pii_present: bool | None = None
    checks: tuple[tuple[str, Check], ...] = field(default=(), compare=False, repr=False)
    """The name of each field that is looked at and its test, cheap ones first; made by `with_checks`."""

    def with_checks(self) -> Match:
        """The same match, ready to be asked."""
        object.__setattr__(self, "checks", tuple(_checks(self)))
        return self

    def holds(self, job: Job) -> bool:
        """Whether every field holds."""
        return all(check(job) for _, check in self.checks)

    def reads(self) -> frozenset[str]:
        """The fields of the job that are looked at; a label as `labels.<name>`."""
        found = {name for name in _PLAIN_READS if getattr(self, name)}
        read = {_PLAIN_READS[name] for name in found}
        read.update(f"labels.{key}" for key, _ in self._label_values())
        read.update(name for name in MEASURED if getattr(self, name) is not None)
        return frozenset(read)

    def index_keys(self) -> list[frozenset[Key]]:
        """For each field that can be indexed, the keys of which a matching job has at least one."""
        found: list[frozenset[Key]] = [
            frozenset((read, value) for value in getattr(self, name)) for name, read in _ANY_OF.items()
        ]
        found.extend(frozenset({("requires", value)}) for value in self.requires)
        found.extend(frozenset(("labels", key, value) for value in values) for key, values in self._label_values())
        return [keys for keys in found if keys]

    def _label_values(self) -> list[tuple[str, frozenset[str]]]:
        """Every label that is looked at, under whatever name a rule has for it, and its values."""
        values = [*self.labels, *((MCP_LABELS[kind], wanted) for kind, wanted in self.mcp)]
        if self.environments:
            values.append((ENVIRONMENT_LABEL, self.environments))
        if self.classifications:
            values.append((CLASSIFICATION_LABEL, self.classifications))
        return values


_ANY_OF = {
    "tenants": "tenant",
    "capabilities": "capability",
    "risk_tags": "risk_tags",
    "actors": "actor",
    "actor_types": "actor_type",
    "principals": "principals",
    "secrets": "secrets",
}
_PLAIN_READS = {**_ANY_OF, "topics": "topic", "requires": "requires"}


def job_keys(job: Job) -> list[Key]:
    """Every key under which a rule that matches `job` can stand in the index."""
    keys: list[Key] = [("tenant", job.tenant), ("actor", job.actor), ("actor_type", job.actor_type)]
    if job.capability is not None:
        keys.append(("capability", job.capability))
    # Loops: over a handful of items they are quicker than comprehensions.
    for tag in job.risk_tags:
        keys.append(("risk_tags", tag))  # noqa: PERF401
    for tag in job.requires:
        keys.append(("requires", tag))  # noqa: PERF401
    for name in job.principals:
        keys.append(("principals", name))  # noqa: PERF401
    for name in job.secrets:
        keys.append(("secrets", name))  # noqa: PERF401
    for key, value in job.labels.items():
        keys.append(("labels", key, value))
    return keys


def _checks(match: Match) -> list[tuple[str, Check]]:
    checks: list[tuple[str, Check]] = []
    if match.topics:
        checks.append(("topics", _topics(match.topics)))
    if match.tenants:
        checks.append(("tenants", lambda job, wanted=match.tenants: job.tenant in wanted))  # type: ignore[misc]
    if match.capabilities:
        checks.append(("capabilities", lambda job, wanted=match.capabilities: job.capability in wanted))  # type: ignore[misc]
    checks.extend((f"labels.{key}", _label(key, values)) for key, values in match.labels)
    if match.environments:
        checks.append(("environments", _label(ENVIRONMENT_LABEL, match.environments)))
    if match.classifications:
        checks.append(("classifications", _label(CLASSIFICATION_LABEL, match.classifications)))
    checks.extend((f"mcp.{kind}", _label(MCP_LABELS[kind], values)) for kind, values in match.mcp)
    if match.actors:
        checks.append(("actors", lambda job, wanted=match.actors: job.actor in wanted))  # type: ignore[misc]
    if match.actor_types:
        checks.append(("actor_types", lambda job, wanted=match.actor_types: job.actor_type in wanted))  # type: ignore[misc]
    return [*checks, *_list_checks(match), *_measured_checks(match)]


def _list_checks(match: Match) -> Iterator[tuple[str, Check]]:
    """Of what a job has more than one of."""
    if match.risk_tags:
        yield "risk_tags", lambda job, wanted=match.risk_tags: not wanted.isdisjoint(job.risk_tags)  # type: ignore[misc]
    if match.principals:
        yield "principals", lambda job, wanted=match.principals: not wanted.isdisjoint(job.principals)  # type: ignore[misc]
    if match.requires:
        yield "requires", lambda job, wanted=match.requires: wanted.issubset(job.requires)  # type: ignore[misc]
    if match.secrets:
        yield "secrets", lambda job, wanted=match.secrets: not wanted.isdisjoint(job.secrets)  # type: ignore[misc]


def _measured_checks(match: Match) -> Iterator[tuple[str, Check]]:
    if match.secrets_present is not None:
        yield "secrets_present", lambda job, wanted=match.secrets_present: job.secrets_present is wanted  # type: ignore[misc]
    if match.pii_present is not None:
        yield "pii_present", lambda job, wanted=match.pii_present: job.pii_present is wanted  # type: ignore[misc]


def _topics(patterns: tuple[str, ...]) -> Check:
    return lambda job: any(matches(pattern, job.topic) for pattern in patterns)


def _label(key: str, values: frozenset[str]) -> Check:
    if len(values) == 1:
        (only,) = values
        return lambda job: job.labels.get(key) == only
    return lambda job: job.labels.get(key) in values
