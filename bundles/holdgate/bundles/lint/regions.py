"""Regions: which jobs a `match` speaks of, so that two can be compared.

Three questions, each answered with "certainly" or "not known": is a region empty, do two have no job in common, does a
`match` hold for every job of a region. What always holds: a True is true of every job there can be; a False says
nothing. So a region may be taken for larger than it is, never for smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from holdgate.bundles.trusted import covers_pattern
from holdgate.kernel.match import CLASSIFICATION_LABEL, ENVIRONMENT_LABEL, MCP_LABELS, Match
from holdgate.kernel.records import Remediation
from holdgate.kernel.topics import ONE, REST

TOPICS_MAX = 256
"""Patterns of a region. Where two regions have more in common, those of one alone stand for it."""
_ANY = frozenset({REST})
_ONE_VALUE = {"tenants": "tenant", "capabilities": "capability", "actors": "actor", "actor_types": "actor_type"}
_SOME_OF = {"risk_tags": "risk_tags", "principals": "principals", "secrets": "secrets"}
_EITHER = frozenset({True, False})


@dataclass(frozen=True, slots=True)
class Region:
    """The jobs for which all of this holds.

    `topics`: one of the patterns names the topic. `values`: the field (`tenant`, `labels.env`, …) has one of these.
    `some`: (field, values), the list has one of them. `requires`: all are in the list.
    """

    topics: frozenset[str] = _ANY
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    some: frozenset[tuple[str, frozenset[str]]] = frozenset()
    requires: frozenset[str] = frozenset()
    secrets_present: frozenset[bool] = _EITHER
    pii_present: frozenset[bool] = _EITHER

    @property
    def is_empty(self) -> bool:
        """Certainly no job is in it."""
        return not (self.topics and self.secrets_present and self.pii_present and all(self.values.values()))

    def meet(self, other: Region) -> Region:
        """What is in both, or more."""
        values = dict(self.values)
        for name, wanted in other.values.items():
            values[name] = values[name] & wanted if name in values else wanted
        return Region(
            topics=_common_topics(self.topics, other.topics),
            values=values,
            some=self.some | other.some,
            requires=self.requires | other.requires,
            secrets_present=self.secrets_present & other.secrets_present,
            pii_present=self.pii_present & other.pii_present,
        )

    def is_apart(self, other: Region) -> bool:
        """Certainly no job is in both."""
        return (
            any(name in self.values and self.values[name].isdisjoint(wanted) for name, wanted in other.values.items())
            or self.secrets_present.isdisjoint(other.secrets_present)
            or self.pii_present.isdisjoint(other.pii_present)
            or not _common_topics(self.topics, other.topics)
        )

    def is_within(self, outer: Region) -> bool:
        """Certainly every job of it is in `outer`, for an `outer` that `region_of` made of one match."""
        return self.is_empty or (
            outer.values.keys() <= self.values.keys()
            and all(self.values[name] <= wanted for name, wanted in outer.values.items())
            and outer.requires <= self.requires
            and self.secrets_present <= outer.secrets_present
            and self.pii_present <= outer.pii_present
            and all(any(name == mine and held <= wanted for mine, held in self.some) for name, wanted in outer.some)
            and all(any(covers_pattern(wide, narrow) for wide in outer.topics) for narrow in self.topics)
        )

    def at(self, topics: Iterable[str]) -> Region:
        """The same with these topics in place of its own."""
        return replace(self, topics=frozenset(topics))

    def after(self, remediation: Remediation) -> Region:
        """The jobs that come of those in it when they are submitted as `remediation` says."""
        values = dict(self.values)
        values.update({f"labels.{key}": frozenset({value}) for key, value in (remediation.labels or {}).items()})
        if remediation.capability is not None:
            values["capability"] = frozenset({remediation.capability})
        changed = replace(self, values=values)
        return changed if remediation.topic is None else changed.at({remediation.topic})


def region_of(match: Match) -> Region:
    """The jobs for which `match` holds: exactly these."""
    values: dict[str, frozenset[str]] = {
        read: getattr(match, name) for name, read in _ONE_VALUE.items() if getattr(match, name)
    }
    for key, wanted in _labels(match):
        name = f"labels.{key}"
        values[name] = values[name] & wanted if name in values else wanted
    return Region(
        topics=frozenset(match.topics) or _ANY,
        values=values,
        some=frozenset((read, getattr(match, name)) for name, read in _SOME_OF.items() if getattr(match, name)),
        requires=match.requires,
        secrets_present=_EITHER if match.secrets_present is None else frozenset({match.secrets_present}),
        pii_present=_EITHER if match.pii_present is None else frozenset({match.pii_present}),
    )


def label_keys(match: Match) -> list[str]:
    """Every label that `match` looks at."""
    return [key for key, _ in _labels(match)]


def common_pattern(one: str, other: str) -> str | None:
    """The pattern of the topics that both name; None where there are none."""
    first, second = one.split("."), other.split(".")
    common: list[str] = []
    for index in range(max(len(first), len(second))):
        left, right = _token(first, index), _token(second, index)
        if left is None or right is None:
            return None
        if left == REST and right == REST and index >= len(first) - 1 and index >= len(second) - 1:
            return ".".join([*common, REST])
        token = _common_token(left, right)
        if token is None:
            return None
        common.append(token)
    return ".".join(common)


def _labels(match: Match) -> Iterator[tuple[str, frozenset[str]]]:
    yield from match.labels
    yield from ((MCP_LABELS[kind], wanted) for kind, wanted in match.mcp)
    if match.environments:
        yield ENVIRONMENT_LABEL, match.environments
    if match.classifications:
        yield CLASSIFICATION_LABEL, match.classifications


def _token(tokens: list[str], index: int) -> str | None:
    """The token of a pattern at `index`; a `>` at its end goes on for ever."""
    if index < len(tokens):
        return tokens[index]
    return REST if tokens[-1] == REST else None


def _common_token(left: str, right: str) -> str | None:
    for wide, narrow in ((left, right), (right, left)):
        if wide == REST or (wide == ONE and narrow != REST):
            return narrow
    return left if left == right else None


def _common_topics(mine: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    if mine in (_ANY, others):
        return others
    if others == _ANY:
        return mine
    if len(mine) * len(others) > TOPICS_MAX**2:
        return mine
    found = frozenset(common for one in mine for other in others if (common := common_pattern(one, other)) is not None)
    return found if len(found) <= TOPICS_MAX else mine
