"""The index: how many rules are looked at does not grow with rules that cannot match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.policies import decide, job, policy, rule

ASKED: dict[str, Any] = {
    "topic": "job.deploy.apply",
    "capability": "infra.write",
    "labels": {"env": "prod", "team": "t1", "zone": "z1"},
    "risk_tags": ["change"],
    "requires": ["gpu"],
}
FAMILIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "topics": lambda n: {"topics": [f"job.app{n}.*"]},
    "the same topic, tenants apart": lambda n: {"topics": ["job.deploy.apply"], "tenants": [f"t{n}"]},
    "any topic, actors apart": lambda n: {"actors": [f"a{n}"]},
    "wide topic, capabilities apart": lambda n: {"topics": ["job.>"], "capabilities": [f"c{n}", f"d{n}"]},
    "risk tags apart": lambda n: {"topics": ["job.*.apply"], "risk_tags": [f"r{n}", f"s{n}"]},
    "requires apart": lambda n: {"requires": ["gpu", f"r{n}"]},
    "principals apart": lambda n: {"principals": [f"p{n}"]},
    "one label apart": lambda n: {"labels": {"env": "prod", "team": f"team{n}"}},
    "label names apart": lambda n: {"labels": {f"name{n}": "x"}},
    "environments the same, classifications apart": lambda n: {
        "environments": ["prod"],
        "classifications": [f"c{n}"],
    },
    "two labels, only both together tell apart": lambda n: {"labels": {"team": f"t{n % 40}", "zone": f"z{n // 40}"}},
    "three labels, only all together tell apart": lambda n: {
        "labels": {"env": ["prod", "dev"][n % 2], "team": f"t{n // 2 % 32}", "zone": f"z{n // 64}"}
    },
    "tools apart": lambda n: {"mcp": {"servers": ["git"], "tools": [f"t{n}"]}},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_looked_at_does_not_grow_with_rules_that_cannot_match(family: str) -> None:
    make = FAMILIES[family]
    found = []
    for count in (100, 2_000):
        active = policy(*[rule(f"r{n}", "deny", match=make(n)) for n in range(count)], rule("let"))
        found.append(len(active.index.candidates(job(**ASKED))))
        assert decide(active, job(**ASKED)).rules[-1] == "let"
    assert max(found) <= 8


def test_a_rule_of_many_topics_and_tags_is_looked_at_once() -> None:
    written = rule("one", match={"topics": ["job.>", "job.deploy.*", "*.deploy.apply"], "risk_tags": ["change", "x"]})
    others = [rule(f"r{n}", match={"topics": ["job.>"], "risk_tags": [f"t{n}"]}) for n in range(20)]
    active = policy(written, *others)
    candidates = active.index.candidates(job(**{**ASKED, "risk_tags": ["change", "x"]}))
    assert [active.rules[number].id for number in candidates] == ["one"]
