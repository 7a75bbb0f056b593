"""Pages of the reference that are made from the code: `python docs/pages.py` writes them, a test holds them current."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from holdgate.bundles.format import SOURCE_FILE, BundleFile, build_bundle, parse_bundle
from holdgate.bundles.lint.catalog import CHECKS
from holdgate.bundles.lint.findings import Severity
from holdgate.bundles.lint.grants import WRITE_WORDS
from holdgate.bundles.schema import SCHEMAS, schema_text
from holdgate.bundles.trusted import parse_bundle_rules
from holdgate.kernel.rules import BundleRules, Rule
from holdgate.kernel.standing import roles_asked
from holdgate.kernel.subjects import OPERATOR_USER, inbox
from holdgate.scan.findings import Category
from holdgate.scan.ruleset import builtin_rules
from holdgate.scheduler.api.problems import KINDS
from holdgate.scheduler.cli import manual
from holdgate.scheduler.up.access import ACCESS, ACCOUNT, accounts, worker_access, worker_account, worker_user
from holdgate.scheduler.up.closed import page
from holdgate.scheduler.up.redisusers import USERS_ACCESS

REFERENCE = Path(__file__).parent / "reference"
DETECTOR_GROUPS = {
    "Private keys": {Category.PRIVATE_KEY},
    "Secrets": {Category.SECRET},
    "Personal data": {Category.PII},
    "Orders to whoever reads the output": {Category.UNTRUSTED_INSTRUCTIONS},
}
METRIC_MODULES = {
    "Kernel, and whoever asks it": "holdgate.kernel.metrics",
    "Policy": "holdgate.bundles.metrics",
    "HTTP": "holdgate.scheduler.api.metrics",
    "Sign-in": "holdgate.scheduler.identity.metrics",
    "Submit gate": "holdgate.scheduler.gates.metrics",
    "Jobs, dispatch, audit": "holdgate.scheduler.metrics",
    "Output gate": "holdgate.scheduler.gates.output.metrics",
    "Webhooks": "holdgate.scheduler.notify.metrics",
    "Worker": "holdgate.workers.metrics",
}


def fail_closed() -> str:
    """What a system did while a part of it was away, as `holdgate drill-closed --record` wrote it."""
    recorded = json.loads((REFERENCE / "fail-closed.json").read_text())
    lines = [
        "# What is away, and what happens then",
        "",
        "Seen on a whole `holdgate up`, each part taken away and brought back in turn by `holdgate drill-closed`;",
        "the test `tests/faults/test_closed.py` holds this table to what happens. Nothing runs while the kernel or a",
        "server is away, what was due runs afterwards by itself, and votes refused meanwhile can be given again.",
        "*Killed*: the process is gone, and none is started; *hangs*: it stands still with its connections open. Times",
        "are of one machine: until `/readyz` said so, the slowest answer meanwhile, and from the part's return until a",
        "new job had succeeded and every part was well. Nothing is done by hand in between. The second table is of the",
        "inside: what became of a job whose handler ran when the part went away, and what probes of the others saw.",
        "",
        page(recorded),
        "A submit that is under way when Redis hangs or the disk of NATS fills up may be kept, and then runs once the",
        "part is back. Send it again with the same `Idempotency-Key`, as after any 503: it is accepted once.",
        "",
        "Without a valid policy or root, or after their end, the kernel answers, and denies everything: `403 denied`,",
        "what waits stays as it is, the kernel's `/readyz` says `policy` or `root`, and",
        "[HoldgateNoPolicy](../runbooks/HoldgateNoPolicy.md) or",
        "[HoldgateRootExpired](../runbooks/HoldgateRootExpired.md) fires;",
        "[operate](../how-to/operate.md#when-policy-does-not-hold) has the rest.",
    ]
    return "\n".join(lines) + "\n"


def errors() -> str:
    """Every `code` that a problem of the HTTP API can carry."""
    lines = [
        "# Errors",
        "",
        "Every refusal is an RFC 9457 problem (`application/problem+json`) with a `code` that stays the same, beside",
        "`job_id`, `decision` and `errors[]` where there are any. Where trying again helps there is a `Retry-After`.",
        "",
        "| code | status | says | try again |",
        "| --- | --- | --- | --- |",
    ]
    for code, kind in sorted(KINDS.items()):
        again = "" if kind.retry_after_s is None else f"after {kind.retry_after_s} s or as the reply says"
        lines.append(f"| `{code}` | {kind.status} | {kind.title} | {again} |")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric with its labels."""
    lines = [
        "# Metrics",
        "",
        "Prometheus, on port 9090 of `holdgate up` for all processes together, or on `HOLDGATE_METRICS_LISTEN` of",
        "each.",
        "Label values are bounded: never an id, never a tenant.",
    ]
    for title, name in METRIC_MODULES.items():
        lines += ["", f"## {title}", "", "| metric | kind | labels | says |", "| --- | --- | --- | --- |"]
        lines += [_row(metric) for metric in _metrics_of(importlib.import_module(name))]
    return "\n".join(lines) + "\n"


def lint() -> str:
    """Every check of `holdgate bundle lint`."""
    lines = [
        "# Lint",
        "",
        "`holdgate bundle lint DIR|FILE...` looks for rules that load and do not do what their author meant.",
        "Every publish does, too, and refuses errors. What is found has a code that stays the same, a severity,",
        "the rule, and the file and line where it stands. The exit code is 1 where there is an error, with",
        "`--strict` also where there is a warning, and 2 where something could not be read. `--json`, `--format",
        "github` and `--format sarif` are for programs; `--ignore CODE` leaves a check out.",
        "",
        "Bundles are looked at as being in force together. `--with FILE` adds one that is in force already: of",
        "that, only what is so because of the others is told. `--roles a,b`, or `--root` and `--pins`, say which",
        "approver roles somebody has, and the `vocabulary` of bundle.yaml which topics, labels and capabilities",
        "jobs use; without them the checks of such words keep quiet.",
        "",
        "A rule that is said to be without effect has none for any job there can be, its `when` failing included:",
        "lint says only what it can show, and so may miss one, above all where several rules together cover",
        "another.",
        "",
        "| code | severity | what | why it matters | what to do |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{check.code}` | {check.severity} | {_cell(check.what)} | {_cell(check.why)} | {_cell(check.instead)} |"
        for check in sorted(CHECKS, key=lambda check: list(Severity).index(check.severity))
    ]
    words = ", ".join(f"`{word}`" for word in sorted(WRITE_WORDS))
    lines += [
        "",
        "## Capabilities that change something",
        "",
        "Those in `vocabulary.write_capabilities`. Without any there: those, and for a rule that names no capability",
        f"those topics, whose last word is one of {words}.",
    ]
    return "\n".join(lines) + "\n"


DETECTORS_INTRODUCTION = """# Detectors

What the output gate, the submit gate and `holdgate scan` look for. Each secret's format is written from what its vendor
documents; a finding names the detector, never the value. A detector is a pattern, not a proof: a key whose format has
no letters of its own is told by the name that it is given, and one without either is not told at all.

| severity | means |
| --- | --- |
| critical | opens an account, a machine or all data of one |
| high | opens one service, or is a password |
| medium | half of a pair, or opens little |
| low | names something that is not for everybody |

Detectors of your own have the same fields (`holdgate scan lint FILE` checks them):

| field | says |
| --- | --- |
| `id`, `category`, `severity` | what a finding is called |
| `regex` | finds the value: RE2, every repeat with a bound (`{0,64}` for `*`) |
| `group` | which group is the value; else the first that took part, else all |
| `named` | in place of `regex`: `words` of a name and the shape of the `value`, in whatever syntax |
| `max_len` | the longest match, in bytes; reckoned from `regex` where it is left out |
| `anchor` | what is looked for first, at most 256 bytes; needed above a `max_len` of 256 |
| `before` | how many bytes ahead of the anchor a match may begin |
| `keywords`, `near` | words of which one must stand within so many bytes of the match |
| `context`, `unless` | a pattern that must, and one that must not, match within `near` bytes ahead of the value |
| `entropy` | bits a character that the value has at least |
| `stop` | patterns of values that are none |
| `validator` | a second look, by name |
| `examples` | texts under `true` that it must find and under `false` that it must not; `%{[a-f0-9]{32}}` is made anew |
| `docs` | where the format is documented |
| `shadow` | findings are counted and change no verdict |
"""


def detectors() -> str:
    """Every built-in detector."""
    lines = [DETECTORS_INTRODUCTION]
    rules = builtin_rules()
    for title, categories in DETECTOR_GROUPS.items():
        chosen = sorted((rule for rule in rules if rule.category in categories), key=lambda rule: rule.id)
        lines += [f"## {title} ({len(chosen)})", "", "| id | severity | documented |", "| --- | --- | --- |"]
        lines += [f"| `{rule.id}` | {rule.severity} | {f'<{rule.docs}>' if rule.docs else ''} |" for rule in chosen]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


STARTERS = ("baseline", "coding-agent", "data-agent", "support-agent", "infra-agent", "demo")
STARTERS_INTRODUCTION = """# Starter bundles

Policies to begin with. They are data in the package, tested to the last rule (`holdgate bundle test --coverage
--mutate` finds no rule that the tests do not see and no change that they do not notice), and meant to be copied and
changed: hosts, domains, limits and paths in them are examples.

<!-- test: alone -->
```bash
holdgate bundle init mine --from coding-agent
holdgate bundle test mine --coverage --mutate
holdgate bundle lint mine --strict
```

1. Write your own hosts, domains, regions and branches where `example.com`, `customer.example`, `eu-west-1` and
   `agent/…` stand, in rules and in tests.
2. Give the approver roles below to people, each to at least two, and where a rule asks for two to three.
3. Make `topics` and payloads those of your workers. A rule sees what its `when` names: where your worker takes a
   command from `run`, the baseline must look at `run`.
4. Run the tests; a number that you changed in the rules fails in the tests until you change it there, too. Then
   [sign and publish](../how-to/write-a-policy.md#publish-it).

## Together

Every bundle can be in force alone or beside the others; their ids do not clash. A copy keeps the ids of its starter, so
publish one of the two, or rename the ids in the copy. The strictest matching rule of all of
them wins, so a bundle can take away what another allows and never the other way round. `baseline` is for all topics:
it forbids much and allows little. The others each have topics of their own and forbid nothing elsewhere. What one of
them allows, the others leave alone, but for the baseline's rates: a job that is allowed then has the verdict
`throttle`, with `allow_with_constraints` within the rate.

- A release is a permission. `base.hold-production-writes` asks a release manager about any job with `env: prod` and a
  capability that writes, also in topics that no other rule allows; the person sees the topic.
- `base.limit-actors` counts every job, so no decision under the baseline comes from the cache of decisions. Where that
  costs too much, drop it and keep the limits of the other bundles.
- Conditions over payloads cost processor time: a decision about a job of these tests takes 0.2 to 0.5 ms with all six
  in force, and 5 µs with `demo` alone.
- Conditions over the payload need the payload. Under the baseline one that is no object, above 256 KiB, with more than
  10,000 values or a list of more than 1,000 is denied in every topic: send large data by reference.
- Rules that restrict end in `>`: a deeper topic is restricted, too. Rules that allow name topics one by one.
- A condition that cannot be evaluated counts as met where a rule restricts and as not met where it allows. Rules say
  `has(…)` only where absence is normal.

## Who should hold the roles

| role | who | is asked by |
| --- | --- | --- |
"""
ROLES = {
    "release-manager": "Those who answer for what goes to production and into repositories, and do not run the agents",
    "security": "Those who answer for secrets, access, network and dependencies",
    "data-steward": "Those who answer for what data may be used for; for each kind of data somebody who knows it",
    "support-lead": "Those who answer for refunds and for what customers are told",
    "escalation": "Those who are asked when nobody released a job in time: whoever is on duty",
}
STARTERS_LIMITS = """
## What they do not do

- Labels, tags and capabilities are claims of the submitter, and so are fields of the payload such as `env` or `paths`.
  An agent that says `env: staging` is believed. Workers must hold what they do to what the job says: give the worker
  for staging no access to production. Tenant, actor, principals and `secrets_present` are not claims.
- A list of bad commands or statements is never complete: a shell has endless ways to write one thing. What protects is
  that nothing is allowed but what is listed; the lists of what is bad give reasons, and catch accidents.
- `network`, `paths` and `env` reach the worker, and the worker must hold to them: they are marked `advisory`.
- Limits are for one job. Many small refunds, queries or exports are bounded by rates for each actor or tenant only; a
  limit for each order or customer is for the worker that pays or sends.
- Nobody looks into what a URL, plan or repository holds: a hash in `plan` says which plan, not that it is harmless.
- The scanner finds what has a form: tokens, keys, numbers of cards, addresses of mail. It finds no names and no
  birthdays.
- `customer.example` in the rules is a list that somebody keeps. No rule checks that a customer owns a domain.
"""


def starters() -> str:
    """Every rule of every starter bundle."""
    folder = resources.files("holdgate.bundles") / "starter"
    with resources.as_file(folder) as directory:
        bundles = {name: parse_bundle(build_bundle(directory / name)) for name in STARTERS}
        sources = {name: (directory / name / SOURCE_FILE).read_text(encoding="utf-8") for name in STARTERS}
    rules = {name: parse_bundle_rules(file) for name, file in bundles.items()}
    lines = [_roles(rules)]
    for name, file in bundles.items():
        words = [*_payloads(sources[name]), *_topics(file)]
        lines += ["", f"## {name}", "", file.manifest.description, "", *words, "", *_rules(rules[name])]
    return STARTERS_INTRODUCTION + "\n".join(lines) + "\n" + STARTERS_LIMITS


def _roles(rules: Mapping[str, BundleRules]) -> str:
    asked: dict[str, list[str]] = {role: [] for role in ROLES}
    for name, bundle in rules.items():
        for rule in bundle.rules:
            for role in roles_asked(rule.approval) if rule.approval is not None else ():
                if name not in asked[role]:
                    asked[role].append(name)
    return "\n".join(f"| `{role}` | {who} | {', '.join(asked[role])} |" for role, who in ROLES.items())


def _payloads(source: str) -> list[str]:
    """The topics that can run, with what a job there brings, as the comment of `bundle.yaml` has them."""
    lines = [line.removeprefix("#   ") for line in source.splitlines() if line.startswith("#   job.")]
    return ["```text", *lines, "```", ""] if lines else []


def _topics(file: BundleFile) -> list[str]:
    """The words of a bundle: what jobs say of themselves."""
    lines = ["| topics | labels | capabilities |", "| --- | --- | --- |"]
    for topic, words in file.manifest.vocabulary.topics.items():
        lines.append(f"| `{topic}` | {_names(words.labels)} | {_names(words.capabilities)} |")
    return lines


def _rules(bundle: BundleRules) -> list[str]:
    lines = ["| rule | decision | where | what | who releases |", "| --- | --- | --- | --- | --- |"]
    for rule in bundle.rules:
        what, topics = _cell(rule.reason), _names(rule.match.topics) or "all topics"
        lines.append(f"| `{rule.id}` | `{rule.decision}` | {topics} | {what} | {_approvers(rule)} |")
    for output in bundle.output_rules:
        topics = _names(output.topics) or "all topics"
        lines.append(f"| `{output.id}` | result: `{output.verdict}` | {topics} | {_cell(output.reason)} | |")
    return lines


def _approvers(rule: Rule) -> str:
    if rule.approval is None:
        return ""
    who = f"{rule.approval.quorum} of {_names(rule.approval.roles)}"
    return who if rule.throttle is None else f"over the rate {who}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def access() -> str:
    """Who may do what at NATS and Redis, as the configuration of both servers is made."""
    users = {**ACCESS, worker_user("POOL"): worker_access("POOL")}
    lines = [
        "# Who may do what at NATS and Redis",
        "",
        "What is not listed is refused by the server. `operator` may do everything, at both.",
        "[How to set these up](../how-to/secure-servers.md).",
        "",
        "## NATS",
    ]
    for name, given in users.items():
        lines += ["", f"### `{name}`", "", "| may publish |", "| --- |", *_subjects(given.publish)]
        lines += ["", "| may hear |", "| --- |", *_subjects((*given.subscribe, f"{inbox(name)}.>"))]
    account = accounts(dict.fromkeys((*ACCESS, OPERATOR_USER, worker_user("POOL")), ()))
    shared = account[worker_account("POOL")]
    lines += [
        "",
        f"Workers of a pool live in an account of their own, `{worker_account('POOL')}`, without streams;",
        f"everybody else in `{ACCOUNT}`. These subjects cross:",
        "",
        "| subject | how |",
        "| --- | --- |",
        *(f"| `{each.subject}` | {_crossing(each.kind, True)} |" for each in shared.exports),
        *(f"| `{each.subject}` | {_crossing(each.kind, False)} |" for each in shared.imports),
        "",
        "## Redis",
        "",
        "Nobody comes in without a password; `default` is off. Commands of scripts count as their user's.",
        "",
        "| user | keys | commands |",
        "| --- | --- | --- |",
    ]
    for rights in dict.fromkeys(USERS_ACCESS.values()):
        who = _names(name for name, own in USERS_ACCESS.items() if own == rights)
        lines.append(f"| {who} | {_names(rights.keys)} | {_cell(_names(sorted(rights.commands)))} |")
    return "\n".join([*lines, ""])


def _subjects(subjects: Iterable[str]) -> list[str]:
    return [f"| `{subject}` |" for subject in sorted(set(subjects))]


def _crossing(kind: str, of_workers: bool) -> str:
    if kind == "stream":
        return "from workers to dispatchers" if of_workers else "from dispatchers to workers"
    return "dispatchers answer there" if of_workers else "from workers into `RESULTS`, acknowledged to their own inbox"


PAGES = {
    "access.md": access,
    "fail-closed.md": fail_closed,
    "cli.md": manual.markdown,
    "starter-bundles.md": starters,
    "detectors.md": detectors,
    "errors.md": errors,
    "metrics.md": metrics,
    "lint.md": lint,
    **{f"schema/{kind}.json": partial(schema_text, kind) for kind in SCHEMAS},
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _metrics_of(module: ModuleType) -> list[MetricWrapperBase]:
    # Once each: a loop of the module leaves its variable behind.
    return list(dict.fromkeys(value for value in vars(module).values() if isinstance(value, MetricWrapperBase)))


def _row(metric: MetricWrapperBase) -> str:
    described = metric.describe()[0]
    suffix = "_total" if described.type == "counter" else ""
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{described.name}{suffix}` | {described.type} | {labels} | {described.documentation.rstrip('.')} |"


if __name__ == "__main__":
    (REFERENCE / "schema").mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), encoding="utf-8")
