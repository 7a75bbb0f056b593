"""Rules at which each check of lint fires, and rules much like them at which it keeps quiet."""

from __future__ import annotations

from typing import Any

from holdgate.bundles.lint import Finding, LintContext, lint
from holdgate.bundles.manifest import Vocabulary
from holdgate.kernel.ids import ActorId
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.trust import ApproverKey

REASON = "asks for more than this agent needs"
WORDS = {
    "topics": {
        "job.deploy.*": {"labels": ["env"], "capabilities": ["infra.write", "infra.read"]},
        "job.note": {},
    },
    "write_capabilities": ["infra.write"],
    "roles": ["release-manager"],
}


def rule(name: str, decision: str = "allow", match: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    written: dict[str, Any] = {"id": name, "decision": decision, "reason": REASON, **parts}
    if match is not None:
        written["match"] = match
    if decision == "throttle":
        written.setdefault("throttle", {"limit": 5, "per": "1m"})
    if decision == "allow_with_constraints":
        written.setdefault("constraints", {"max_runtime_s": 60})
    return written


def at(*topics: str, **fields: Any) -> dict[str, Any]:
    return {"topics": list(topics), **fields}


def found(
    *rules: dict[str, Any],
    other: list[dict[str, Any]] | None = None,
    output: list[dict[str, Any]] | None = None,
    combining: str = "deny-overrides",
    words: dict[str, Any] | None = None,
    roles: frozenset[str] | None = None,
    own_keys: tuple[ApproverKey, ...] | None = None,
) -> list[Finding]:
    """What lint says of a bundle `one`, and of a bundle `two` of the rules `other`."""
    written: dict[str, Any] = {"combining": combining, "rules": list(rules)}
    bundles = [parse_rules({**written, "output_rules": output} if output else written, "one")]
    if other:
        bundles.append(parse_rules({"rules": other}, "two"))
    return lint(bundles, LintContext(Vocabulary.model_validate(words or {}), roles, own_keys))


def held(**approvers: Any) -> dict[str, Any]:
    """A rule `r` that holds."""
    return rule("r", "require_approval", at("job.a"), approvers=approvers)


def own_key(actor: str, role: str = "approver") -> ApproverKey:
    """A key of an approver's own, as the root lists it."""
    return ApproverKey(ActorId(actor), b"", (role,))


ALLOW = rule("allow", match=at("job.a"))
FIRES: list[tuple[str, str, dict[str, Any]]] = [
    ("unreachable-rule", "late", {"rules": [rule("first", match=at("job.>")), rule("late", "deny", at("job.a"))]}),
    (
        "unreachable-rule",
        "late",
        {
            "rules": [
                rule("first", match=at("job.a")),
                rule("second", match=at("job.b.>")),
                rule("late", "deny", at("job.a", "job.b.c")),
            ],
        },
    ),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a", labels={"env": "dev"}, environments=["prod"]))]}),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a", labels={"mcp.server": "x"}, mcp={"servers": ["y"]}))]}),
    (
        "never-holds",
        "r",
        {"rules": [rule("r", "deny", {"classifications": ["x"], "labels": {"classification": "y"}})]},
    ),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("job.a"), **{"not": {"topics": ["job.*"]}})]}),
    (
        "never-holds",
        "r",
        {"rules": [rule("r", "deny", at("a", capabilities=["x"]), **{"not": {"capabilities": ["x", "y"]}})]},
    ),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a"), when="1 == 2")]}),
    ("never-holds", "r", {"rules": [rule("r", match=at("a"), when="1 / 0 == 1")]}),
    (
        "never-holds",
        "r",
        {"rules": [rule("r", "deny", at("a", environments=["prod"]), when='job.labels.env == "dev"')]},
    ),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a", tenants=["x"]), when='job.tenant in ["y", "z"]')]}),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a"), when='job.topic == "b"')]}),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a", labels={"k": "v"}), when="!has(job.labels.k)")]}),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a", labels={"k": "v"}), when='job.labels["k"] != "v"')]}),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a", secrets_present=True), when="!job.secrets_present")]}),
    ("never-holds", "r", {"rules": [rule("r", "deny", at("a", pii_present=False), when="job.pii_present")]}),
    ("never-holds", "r", {"rules": [rule("r", match=at("a"), when='job.labels.k == "x" && job.labels.k == "y"')]}),
    ("never-holds", "r", {"rules": [rule("r", match=at("a"), when='job.labels.k in [] && job.tenant == "x"')]}),
    ("contradicting-bundles", "yes", {"rules": [rule("yes", match=at("a"))], "other": [rule("no", "deny", at("a"))]}),
    ("contradicting-bundles", "no", {"rules": [rule("yes", match=at("a"))], "other": [rule("no", "deny", at("a"))]}),
    ("clashing-id", "r", {"rules": [rule("r", match=at("a"))], "other": [rule("r", "deny", at("b"))]}),
    (
        "shallow-restriction",
        "no",
        {"rules": [rule("no", "deny", at("job.exec.*")), rule("yes", match=at("job.exec.>"))]},
    ),
    (
        "shallow-restriction",
        "no",
        {"rules": [rule("no", "require_approval", at("job.exec.*"))], "other": [rule("yes", match=at("job.>"))]},
    ),
    (
        "shallow-restriction",
        "no",
        {"rules": [rule("no", "deny", at("job.exec.*")), rule("yes", match=at("job.exec.tools.>"))]},
    ),
    (
        "shallow-restriction",
        "no",
        {"rules": [rule("no", "deny", at("job.exec.*", environments=["prod"])), rule("yes", match=at("job.exec.a.*"))]},
    ),
    *(
        ("never-holds", "r", {"rules": [rule("r", match=at("a"), when=when)]})
        for when in (
            "job.payload.a > 5 && job.payload.a < 3",
            "5 < job.payload.a && job.payload.b > 1 && 5 >= job.payload.a",
            "job.payload.a == 1 && job.payload.a == 2",
            'job.payload.a == 1 && job.payload.a == "1"',
            "job.payload.a == 1 && job.payload.a != 1.0",
            "job.payload.a == 7 && job.payload.a <= 5",
            'job.payload.a in ["x", "y"] && job.payload["a"] in ["z"]',
            "job.payload.a >= 5 && job.payload.a <= 5 && job.payload.a != 5",
            'job.payload.a > 5 && job.payload.a < "x"',
            "has(job.payload.a) && !has(job.payload.a)",
        )
    ),
    ("wrong-type", "r", {"rules": [rule("r", match=at("a"), when="job.labels.size > 5")]}),
    ("wrong-type", "r", {"rules": [rule("r", "deny", at("a"), when='has(job.labels.k) && job.labels["k"] == 5')]}),
    ("wrong-type", "r", {"rules": [rule("r", "deny", at("a"), when="job.labels.on == true")]}),
    ("wrong-type", "r", {"rules": [rule("r", "deny", at("a"), when="job.priority in [1, 2]")]}),
    ("wrong-type", "r", {"rules": [rule("r", "deny", at("a"), when="job.run_at > now")]}),
    ("allow-everything", "r", {"rules": [rule("r")]}),
    ("allow-everything", "r", {"rules": [rule("r", match=at(">", "job.a"))]}),
    ("allow-everything", "r", {"rules": [rule("r", "allow_with_constraints")]}),
    ("allow-everything", "r", {"rules": [rule("r", **{"not": {"topics": ["job.exec.>"]}})]}),
    ("approvers-unheld", "r", {"rules": [rule("r", "require_approval", at("a"))], "roles": frozenset({"x"})}),
    (
        "approvers-unheld",
        "r",
        {
            "rules": [rule("r", "require_approval", at("job.note"), approvers={"roles": ["release-manager", "cto"]})],
            "words": WORDS,
        },
    ),
    (
        "approvers-unheld",
        "r",
        {
            "rules": [ALLOW, rule("r", "throttle", at("job.a"), throttle={"limit": 1, "per": "1m", "over": "hold"})],
            "roles": frozenset(),
        },
    ),
    ("escalation-unheld", "r", {"rules": [held(escalate_after="1h")], "roles": frozenset({"approver"})}),
    (
        "escalation-unheld",
        "r",
        {
            "rules": [held(escalate_after="1h", escalate_to={"roles": ["cto"]})],
            "roles": frozenset({"approver", "escalation"}),
        },
    ),
    (
        "escalation-unheld",
        "r",
        {"rules": [held(roles=["a", "b"], escalate_after="1h", escalate_to={"roles": ["a"]})]},
    ),
    ("signed-unheld", "r", {"rules": [held(signed=True)], "own_keys": ()}),
    ("signed-unheld", "r", {"rules": [held(signed=True, quorum=2)], "own_keys": (own_key("ann"), own_key("ann"))}),
    ("signed-unheld", "r", {"rules": [held(signed=True)], "own_keys": (own_key("ann", "dba"),)}),
    ("signed-unheld", "r", {"rules": [held(signed=True, names=["bo"])], "own_keys": (own_key("ann", "dba"),)}),
    ("released-unseen", "r", {"rules": [held(quorum=2, grants=True)]}),
    ("released-unseen", "r", {"rules": [{**held(grants=True), "severity": "high"}]}),
    ("released-unseen", "r", {"rules": [{**held(bulk=True), "severity": "critical"}]}),
    ("shadowed-rule", "r", {"rules": [rule("no", "deny", at("job.>")), rule("r", match=at("job.a", "job.b.c"))]}),
    ("shadowed-rule", "r", {"rules": [rule("r", match=at("job.a"))], "other": [rule("no", "deny", at("job.*"))]}),
    (
        "shadowed-rule",
        "r",
        {"rules": [rule("a", "deny", at("a")), rule("b", "deny", at("b")), rule("r", match=at("a", "b"))]},
    ),
    ("shadowed-rule", "r", {"rules": [rule("no", "require_approval", at("a")), rule("r", match=at("a"))]}),
    (
        "shadowed-rule",
        "r",
        {
            "rules": [
                rule("no", "deny", at("a"), when="job.payload.n > 1"),
                rule("r", match=at("a"), when="job.payload.n > 1"),
            ]
        },
    ),
    (
        "shadowed-rule",
        "r",
        {
            "rules": [
                rule("no", "deny", at("a"), **{"not": {"environments": ["dev"]}}),
                rule("r", match=at("a", environments=["prod"])),
            ]
        },
    ),
    (
        "shadowed-rule",
        "o",
        {
            "output": [
                {"id": "q", "verdict": "quarantine", "reason": REASON, "match": {"categories": ["pii", "secret"]}},
                {"id": "o", "verdict": "redact", "reason": REASON, "match": {"categories": ["pii"], "topics": ["a"]}},
            ]
        },
    ),
    ("duplicate-rule", "b", {"rules": [rule("a", match=at("a", "b")), rule("b", match=at("b", "a"))]}),
    ("duplicate-rule", "b", {"rules": [rule("a", "throttle", at("a")), rule("b", "throttle", at("a"))]}),
    ("redundant-rule", "b", {"rules": [rule("a", match=at("job.>")), rule("b", match=at("job.b"))]}),
    (
        "redundant-rule",
        "b",
        {
            "rules": [
                rule("a", "allow_with_constraints", at("job.>"), constraints={"max_runtime_s": 5}),
                rule("b", "allow_with_constraints", at("job.b"), constraints={"max_runtime_s": 9}),
            ]
        },
    ),
    ("constant-condition", "r", {"rules": [rule("r", "deny", at("a"), when="1 < 2")]}),
    ("constant-condition", "r", {"rules": [rule("r", "deny", at("a"), when="1 / 0 == 1")]}),
    ("idle-not", "r", {"rules": [rule("r", "deny", at("job.a"), **{"not": {"topics": ["job.b"]}})]}),
    (
        "unanchored-regex",
        "r",
        {"rules": [rule("r", match=at("a"), when='job.payload.host.matches("^example[.]com")')]},
    ),
    (
        "unanchored-regex",
        "r",
        {"rules": [rule("r", match=at("a"), when='job.tenant == "x" || job.payload.host.matches("(?i)example")')]},
    ),
    ("unanchored-regex", "r", {"rules": [rule("r", match=at("a"), when='job.payload.host.matches("^a[|]$|b$")')]}),
    ("unconstrained-write", "r", {"rules": [rule("r", match=at("a", capabilities=["repo.read", "repo.write"]))]}),
    ("unconstrained-write", "r", {"rules": [rule("r", match=at("job.repo.delete"))]}),
    ("unconstrained-write", "r", {"rules": [rule("r", match=at("job.deploy.app"))], "words": WORDS}),
    ("throttle-alone", "r", {"rules": [ALLOW, rule("r", "throttle", at("job.b"))]}),
    (
        "remediation-denied",
        "r",
        {"rules": [rule("r", "deny", at("job.*"), remediations=[{"id": "x", "title": "X", "topic": "job.b"}])]},
    ),
    (
        "remediation-denied",
        "r",
        {"rules": [ALLOW, rule("r", "deny", at("job.c"), remediations=[{"id": "x", "title": "X", "topic": "job.b"}])]},
    ),
    (
        "remediation-denied",
        "r",
        {
            "rules": [
                rule("yes", match=at("job.c", environments=["dev"])),
                rule(
                    "r",
                    "deny",
                    at("job.c", environments=["prod"]),
                    remediations=[{"id": "x", "title": "X", "labels": {"env": "test"}}],
                ),
            ]
        },
    ),
    ("missing-reason", "deny-x", {"rules": [rule("deny-x", "deny", at("a"), reason="Deny X")]}),
    ("missing-reason", "r", {"rules": [rule("r", "require_approval", at("a"), reason="require approval")]}),
    ("missing-reason", "r", {"rules": [rule("r", "deny", at("a"), reason="TODO: say why this is")]}),
    ("missing-reason", "r", {"rules": [rule("r", "deny", at("a"), reason="because")]}),
    ("missing-reason", "o", {"output": [{"id": "o", "verdict": "redact", "reason": "redact"}]}),
    ("unknown-topic", "r", {"rules": [rule("r", "deny", at("job.deplyo.*"))], "words": WORDS}),
    ("unknown-label", "r", {"rules": [rule("r", "deny", at("job.deploy.*", labels={"evn": "x"}))], "words": WORDS}),
    (
        "unknown-label",
        "r",
        {"rules": [rule("r", "deny", at("job.deploy.a"), **{"not": {"mcp": {"tools": ["x"]}}})], "words": WORDS},
    ),
    (
        "unknown-label",
        "r",
        {"rules": [rule("r", "deny", at("job.deploy.a"), when='job.labels.evn == "x"')], "words": WORDS},
    ),
    (
        "unknown-label",
        "o",
        {
            "output": [
                {"id": "o", "verdict": "redact", "reason": REASON, "match": at("job.deploy.a", labels={"evn": "x"})}
            ],
            "words": WORDS,
        },
    ),
    (
        "unknown-topic",
        "r",
        {
            "rules": [rule("r", "deny", at("job.note"), remediations=[{"id": "x", "title": "X", "topic": "job.nota"}])],
            "words": WORDS,
        },
    ),
    (
        "unknown-capability",
        "r",
        {"rules": [rule("r", "deny", at("job.deploy.a", capabilities=["infra.wirte"]))], "words": WORDS},
    ),
    ("released-findings", "o", {"output": [{"id": "o", "verdict": "allow", "reason": REASON}]}),
    (
        "released-findings",
        "o",
        {"output": [{"id": "o", "verdict": "allow", "reason": REASON, "match": {"categories": ["secret"]}}]},
    ),
    (
        "unreachable-rule",
        "o",
        {"output": [{"id": "o", "verdict": "redact", "reason": REASON, "match": {"categories": ["private_key"]}}]},
    ),
    ("redundant-topic", "r", {"rules": [rule("r", "deny", at("job.a", "job.*"))]}),
    (
        "dead-combining",
        "",
        {"rules": [rule("a", match=at("a")), rule("b", "deny", at("b"))], "combining": "first-applicable"},
    ),
]
QUIET: list[tuple[str, dict[str, Any]]] = [
    ("unreachable-rule", {"rules": [rule("late", "deny", at("job.a")), rule("last", match=at("job.>"))]}),
    (
        "unreachable-rule",
        {"rules": [rule("first", match=at("job.*"), when="job.payload.n > 1"), rule("late", "deny", at("job.a"))]},
    ),
    (  # where the condition fails, the first does not match and the second does
        "unreachable-rule",
        {
            "rules": [
                rule("first", match=at("a"), when="job.payload.n > 1"),
                rule("late", "deny", at("a"), when="job.payload.n > 1"),
            ],
        },
    ),
    ("never-holds", {"rules": [rule("r", "deny", at("a", labels={"env": ["dev", "prod"]}, environments=["prod"]))]}),
    ("never-holds", {"rules": [rule("r", "deny", at("job.>"), **{"not": {"topics": ["job.*"]}})]}),
    (
        "never-holds",
        {"rules": [rule("r", "deny", {"risk_tags": ["x"]}, **{"not": {"risk_tags": ["y"]}})]},
    ),
    # a condition that fails counts as true in a rule that denies
    ("never-holds", {"rules": [rule("r", "deny", at("a"), when='job.labels.k == "x" && job.labels.k == "y"')]}),
    ("never-holds", {"rules": [rule("r", "deny", at("a"), when="1 / 0 == 1")]}),
    (
        "never-holds",
        {"rules": [rule("r", "deny", at("a", tenants=["x"]), when='job.payload.n == 1 && job.tenant == "y"')]},
    ),
    ("never-holds", {"rules": [rule("r", match=at("a"), when='job.labels.k == "x" || job.labels.k == "y"')]}),
    ("contradicting-bundles", {"rules": [rule("yes", match=at("a"))], "other": [rule("no", "deny", at("*"))]}),
    ("contradicting-bundles", {"rules": [rule("yes", match=at("a")), rule("no", "deny", at("a"))]}),
    ("clashing-id", {"rules": [rule("r", match=at("a"))], "other": [rule("s", "deny", at("b"))]}),
    ("shallow-restriction", {"rules": [rule("no", "deny", at("job.exec.>")), rule("yes", match=at("job.exec.>"))]}),
    ("shallow-restriction", {"rules": [rule("no", "deny", at("job.exec.*")), rule("yes", match=at("job.exec.a"))]}),
    (
        "shallow-restriction",
        {"rules": [rule("no", "deny", at("job.exec.*", "job.exec.*.>")), rule("yes", match=at("job.exec.>"))]},
    ),
    ("shallow-restriction", {"rules": [rule("no", "deny", at("job.exec.*")), rule("yes", match=at("job.exec.*.>"))]}),
    (
        "shallow-restriction",
        {
            "rules": [
                rule("no", "deny", at("job.*", environments=["prod"])),
                rule("yes", match=at("job.>", environments=["dev"])),
            ]
        },
    ),
    (
        "shallow-restriction",
        {
            "rules": [
                rule("no", "deny", at("job.exec.*")),
                rule("deep", "deny", at("job.exec.*.>")),
                rule("yes", match=at("job.exec.>")),
            ]
        },
    ),
    ("wrong-type", {"rules": [rule("r", match=at("a"), when='int(job.labels.size) > 5 && job.labels.k == "5"')]}),
    ("shallow-restriction", {"rules": [rule("no", "deny", at("job.exec.*")), rule("yes", match=at("job.exec.a.b"))]}),
    *(
        ("never-holds", {"rules": [rule("r", match=at("a"), when=when)]})
        for when in (
            "job.payload.a > 3 && job.payload.a < 5",
            "job.payload.a > 4 && job.payload.a < 5",
            "job.payload.a >= 5 && job.payload.a <= 5",
            "job.payload.a > 5 && job.payload.b < 3",
            "job.payload.a > 5 || job.payload.a < 3",
            "job.payload.a == 1 && job.payload.a == 1.0",
            "job.payload.a == true && job.payload.a != 1",
            "job.payload.a == 9007199254740993 && job.payload.a == 9007199254740992.0",
            "has(job.payload.a) && !has(job.payload.b)",
            "job.payload.a == [1] && job.payload.a == [2]",
            "job.payload.a > null && job.payload.a < null",
        )
    ),
    ("never-holds", {"rules": [rule("r", "deny", at("a"), when="job.payload.a > 5 && job.payload.a < 3")]}),
    ("wrong-type", {"rules": [rule("r", "deny", at("a"), when="job.capability == null || job.max_attempts > 3")]}),
    ("wrong-type", {"rules": [rule("r", "deny", at("a"), when="timestamp(job.run_at) > now")]}),
    ("allow-everything", {"rules": [rule("r", match=at("job.>")), rule("s", match={"tenants": ["x"]})]}),
    ("allow-everything", {"rules": [rule("r", "deny"), rule("s", "require_approval")]}),
    ("approvers-unheld", {"rules": [rule("r", "require_approval", at("a"))]}),
    ("approvers-unheld", {"rules": [rule("r", "require_approval", at("a"))], "roles": frozenset({"approver"})}),
    (
        "approvers-unheld",
        {
            "rules": [rule("r", "require_approval", at("a"), approvers={"names": ["alice"]})],
            "roles": frozenset(),
        },
    ),
    ("escalation-unheld", {"rules": [held(escalate_after="1h")]}),
    ("escalation-unheld", {"rules": [held()], "roles": frozenset({"approver"})}),
    ("escalation-unheld", {"rules": [held(escalate_after="1h")], "roles": frozenset({"approver", "escalation"})}),
    (
        "escalation-unheld",
        {
            "rules": [held(escalate_after="1h", escalate_to={"names": ["ann"]})],
            "roles": frozenset({"approver"}),
        },
    ),
    (
        "escalation-unheld",
        {"rules": [held(roles=["a"], escalate_after="1h", escalate_to={"roles": ["a", "b"]})]},
    ),
    (
        "escalation-unheld",
        {"rules": [held(names=["ann"], escalate_after="1h", escalate_to={"names": ["ann", "bob"]})]},
    ),
    ("signed-unheld", {"rules": [held(signed=True)]}),
    ("signed-unheld", {"rules": [held()], "own_keys": ()}),
    ("signed-unheld", {"rules": [held(signed=True, quorum=2)], "own_keys": (own_key("ann"), own_key("bo"))}),
    ("signed-unheld", {"rules": [held(signed=True, names=["bo"])], "own_keys": (own_key("bo", "dba"),)}),
    ("released-unseen", {"rules": [held(grants=True)]}),
    ("released-unseen", {"rules": [{**held(quorum=2), "severity": "critical"}]}),
    ("shadowed-rule", {"rules": [rule("no", "deny", at("job.*")), rule("r", match=at("job.>"))]}),
    ("shadowed-rule", {"rules": [rule("no", "deny", at("a"), when="job.payload.n > 1"), rule("r", match=at("a"))]}),
    (
        "shadowed-rule",
        {"rules": [rule("no", "deny", at("a"), **{"not": {"environments": ["dev"]}}), rule("r", match=at("a"))]},
    ),
    ("shadowed-rule", {"rules": [rule("slow", "throttle", at("a")), rule("r", match=at("a"))]}),
    (  # its constraints still bound what was released
        "shadowed-rule",
        {"rules": [rule("no", "require_approval", at("a")), rule("r", "allow_with_constraints", at("a"))]},
    ),
    (  # without it a later rule of its bundle would count
        "shadowed-rule",
        {
            "rules": [rule("r", match=at("a")), rule("s", "deny", at("a"))],
            "other": [rule("t", "require_approval", at("a"))],
            "combining": "first-applicable",
        },
    ),
    ("duplicate-rule", {"rules": [rule("a", match=at("a")), rule("b", match=at("b"))]}),
    (
        "duplicate-rule",
        {
            "rules": [
                rule("a", "require_approval", at("a"), approvers={"roles": ["x"]}),
                rule("b", "require_approval", at("a"), approvers={"roles": ["y"]}),
            ]
        },
    ),
    (
        "redundant-rule",
        {
            "rules": [
                rule("a", "allow_with_constraints", at("job.>"), constraints={"max_runtime_s": 9}),
                rule("b", "allow_with_constraints", at("job.b"), constraints={"max_runtime_s": 5}),
            ]
        },
    ),
    (
        "redundant-rule",
        {
            "rules": [
                rule("a", "deny", at("job.>")),
                rule("b", "deny", at("job.b"), remediations=[{"id": "x", "title": "X", "topic": "job.c"}]),
            ]
        },
    ),
    ("constant-condition", {"rules": [rule("r", "deny", at("a"), when="now > timestamp('2026-01-01T00:00:00Z')")]}),
    ("idle-not", {"rules": [rule("r", "deny", at("job.*"), **{"not": {"topics": ["job.b"]}})]}),
    ("unanchored-regex", {"rules": [rule("r", match=at("a"), when='job.payload.host.matches("(?i)^a$")')]}),
    (
        "unanchored-regex",
        {"rules": [rule("r", match=at("a"), when="job.prompt.matches(r'\\A(?:a|b[)|]|[]|]|\\|)*\\z')")]},
    ),
    ("unanchored-regex", {"rules": [rule("r", "deny", at("a"), when='job.payload.host.matches("evil")')]}),
    ("unanchored-regex", {"rules": [rule("r", match=at("a"), when='!job.payload.host.matches("evil")')]}),
    ("unconstrained-write", {"rules": [rule("r", match=at("a", capabilities=["repo.read"]))]}),
    ("unconstrained-write", {"rules": [rule("r", "allow_with_constraints", at("a", capabilities=["repo.write"]))]}),
    (
        "unconstrained-write",
        {
            "rules": [rule("r", match=at("a", capabilities=["repo.write"]))],
            "other": [rule("bounds", "allow_with_constraints", at("*"))],
        },
    ),
    (
        "unconstrained-write",
        {"rules": [rule("r", match=at("job.deploy.write", capabilities=["infra.read"]))], "words": WORDS},
    ),
    (
        "unconstrained-write",
        {"rules": [rule("r", match=at("job.deploy.a"), **{"not": {"capabilities": ["infra.write"]}})], "words": WORDS},
    ),
    ("throttle-alone", {"rules": [rule("yes", match=at("job.*")), rule("r", "throttle", at("job.b"))]}),
    ("throttle-alone", {"rules": [rule("r", "throttle", at("a"))], "other": [rule("h", "require_approval", at("a"))]}),
    (
        "remediation-denied",
        {
            "rules": [
                rule("yes", match=at("job.b")),
                rule("r", "deny", at("job.c"), remediations=[{"id": "x", "title": "X", "topic": "job.b"}]),
            ]
        },
    ),
    (
        "remediation-denied",
        {
            "rules": [
                rule("yes", match=at("job.c", environments=["dev"])),
                rule(
                    "r",
                    "deny",
                    at("job.c", environments=["prod"]),
                    remediations=[{"id": "x", "title": "X", "labels": {"env": "dev"}}],
                ),
            ]
        },
    ),
    ("missing-reason", {"rules": [ALLOW]}),
    ("unknown-topic", {"rules": [rule("r", "deny", at("job.deploy.a", "job.>", ">"))], "words": WORDS}),
    ("unknown-topic", {"rules": [rule("r", "deny", at("nothing"))]}),
    (
        "unknown-topic",
        {
            "rules": [
                rule("r", "deny", at("job.note"), remediations=[{"id": "x", "title": "X", "topic": "job.deploy.a"}])
            ],
            "words": WORDS,
        },
    ),
    ("unknown-label", {"rules": [rule("r", "deny", at("job.deploy.*", environments=["x"]))], "words": WORDS}),
    ("unknown-label", {"rules": [rule("r", "deny", at("job.>", labels={"evn": "x"}))], "words": WORDS}),
    ("unknown-capability", {"rules": [rule("r", "deny", at("job.note", capabilities=["x"]))], "words": WORDS}),
    ("unknown-capability", {"rules": [rule("r", "deny", {"capabilities": ["infra.write"]})], "words": WORDS}),
    (
        "released-findings",
        {"output": [{"id": "o", "verdict": "allow", "reason": REASON, "match": {"categories": ["pii"]}}]},
    ),
    ("redundant-topic", {"rules": [rule("r", "deny", at("job.a", "job.b"))]}),
    (
        "dead-combining",
        {"rules": [rule("a", match=at("a")), rule("b", "deny", at("*"))], "combining": "first-applicable"},
    ),
]
