"""The first draft of a bundle: files that build, pass lint and their own tests, and say in comments what to do.

Either a small one of its own, or a copy of a starter bundle under another name. What always holds: nothing that is
there is overwritten; a copy has the rules and tests of its starter byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from holdgate.bundles.documents import load_yaml
from holdgate.bundles.errors import BundleMalformed, BundleRefused
from holdgate.bundles.format import SOURCE_FILE, read_source
from holdgate.bundles.manifest import BundleSource
from holdgate.bundles.schema import header
from holdgate.kernel.ids import NAME

STARTERS = Path(__file__).parent / "starter"
LIFETIME_S = 365 * 86_400
"""From the draft to its expiry."""
_DAY_S = 86_400


def starter_names() -> list[str]:
    """The starter bundles that can be copied."""
    return sorted(place.parent.name for place in STARTERS.glob(f"*/{SOURCE_FILE}"))


def drafted(name: str, now_ms: int) -> dict[str, str]:
    """The files of a small commented bundle, by path; BundleMalformed when `name` cannot be one."""
    _verify_name(name)
    return {
        SOURCE_FILE: _filled(_BUNDLE, "bundle", name, now_ms),
        f"rules/{name}.yaml": _filled(_RULES, "rules", name, now_ms),
        f"tests/{name}.yaml": _filled(_TESTS, "tests", name, now_ms),
    }


def copied(starter: str, name: str, now_ms: int) -> dict[str, str]:
    """The files of a starter bundle under the name `name`, in version 1, by path; BundleMalformed."""
    _verify_name(name)
    if starter not in starter_names():
        raise BundleMalformed(f"there is no starter bundle `{starter}`; there are {', '.join(starter_names())}")
    directory = STARTERS / starter
    source = read_source(directory)
    files = {path: (directory / path).read_text(encoding="utf-8") for path in [SOURCE_FILE, *source.paths]}
    changed = {"name": f'"{name}"', "version": "1", "expires": f'"{_expiry(now_ms)}"'}
    files[SOURCE_FILE] = _with_keys(files[SOURCE_FILE], changed)
    # A starter is written by hand: what was not found in it would go on under its old name.
    copy = BundleSource.model_validate(load_yaml(files[SOURCE_FILE].encode(), SOURCE_FILE))
    if (copy.name, copy.version, copy.expires) != (name, 1, _expiry(now_ms)):
        raise BundleMalformed(f"the starter bundle `{starter}` cannot be copied: its bundle.yaml has an unusual form")
    return files


def write_draft(directory: Path, files: Mapping[str, str]) -> None:
    """Write `files` below `directory`, which must not be there or be empty; BundleRefused otherwise."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise BundleRefused(f"`{directory}` is not empty; name another directory by `--dir`", code="bundle_exists")
        for path, text in files.items():
            place = directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise BundleRefused(f"cannot write `{directory}`: {error.strerror}", code="bundle_unwritable") from error


def _verify_name(name: str) -> None:
    if NAME.match(name) is None:
        raise BundleMalformed("the name of a bundle is of a-z, 0-9, `_` and `-`, 63 characters at most")


def _expiry(now_ms: int) -> str:
    """A year from today, at midnight in UTC."""
    day_s = (now_ms // 1000 + LIFETIME_S) // _DAY_S * _DAY_S
    return f"{datetime.fromtimestamp(day_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _filled(template: str, kind: str, name: str, now_ms: int) -> str:
    return f"{header(kind)}\n{template}".replace("NAME", name).replace("EXPIRES", _expiry(now_ms))


def _with_keys(text: str, values: Mapping[str, str]) -> str:
    """`text` with other values of keys that stand alone on their lines."""
    for key, value in values.items():
        text = re.sub(rf"^{key}:[^\n]*$", lambda _, line=f"{key}: {value}": line, text, count=1, flags=re.MULTILINE)  # type: ignore[misc]
    return text


_BUNDLE = """\
# A policy bundle: who may do what to `job.NAME.…`. What no rule allows is denied.
#
#   holdgate bundle lint DIR             what does not do what it looks like
#   holdgate bundle test DIR --mutate    the cases in tests/, and which changes of a rule they would not notice
#   holdgate bundle build DIR            one file of it, to be signed and published
name: "NAME"
# Rises with every publish: a lower one is refused.
version: 1
description: "Reading goes by itself, people release changes."
# Where the rules may reach. Those who sign must be allowed to rule there.
scope: {tenants: ["*"], topics: ["job.NAME.>"]}
# From then on it is refused. Publish the next version before.
expires: "EXPIRES"
rules:
  - rules/NAME.yaml
tests:
  - tests/NAME.yaml
# The words that jobs use. Lint finds rules about words that are not here: most often a typing mistake.
vocabulary:
  topics:
    "job.NAME.read": {labels: [env], capabilities: [NAME.read]}
    "job.NAME.write": {labels: [env], capabilities: [NAME.write]}
  write_capabilities: [NAME.write]
  roles: [approver]
"""
_RULES = """\
# Every rule that matches a job counts and the strictest decides: deny, require_approval, throttle,
# allow_with_constraints, allow. The order of the rules means nothing. In a `match` all fields must hold; a list means
# any of. Reasons are read by whoever is refused or asked: say why, and what to do instead.
rules:
  # Without a rule that allows it, a job is denied. This one allows reading, within bounds.
  - id: NAME.allow-reading
    decision: allow_with_constraints
    reason: "reading is allowed, within bounds"
    match:
      topics: ["job.NAME.read"]
      capabilities: ["NAME.read"]
    constraints: {max_runtime_s: 60, max_output_bytes: 1048576, max_attempts: 3}

  # A person who has the role releases it, or it is denied after four hours. Then it runs, within these bounds.
  - id: NAME.hold-changes
    decision: require_approval
    reason: "a person looks at every change: say in the prompt what changes, why, and how it is undone"
    match:
      topics: ["job.NAME.write"]
      capabilities: ["NAME.write"]
    approvers: {roles: [approver], quorum: 1, expires: 4h}
    constraints: {max_runtime_s: 300, max_attempts: 1}

  # A deny wins over whatever else allows. `>` is one or more tokens, `*` exactly one: a deny says `>`, or what lies
  # deeper passes. Whether there is a secret was measured; labels, tags and capabilities are what the submitter says.
  - id: NAME.deny-secrets
    decision: deny
    reason: "there is a secret in the prompt or payload: take it out, refer to it by its name, and revoke it"
    match:
      topics: ["job.NAME.>"]
      secrets_present: true
"""
_TESTS = """\
# Cases: a job, and what is expected to be decided about it. Only what `expect` says is compared. They are signed with
# the rules and run at every publish. Have one for each rule, and one just beside it.
now: "2026-01-05T10:00:00Z"
# What all jobs here have in common. A `job` is put over it, and a row of `each` over that.
given: {topic: job.NAME.read, capability: NAME.read}
cases:
  - name: reading goes by itself, within bounds
    job: {}
    expect:
      verdict: allow_with_constraints
      rules: [NAME.allow-reading]
      constraints: {max_runtime_s: 60, max_output_bytes: 1048576, max_attempts: 3, others: none}

  - name: changes wait for a person
    job: {topic: job.NAME.write, capability: NAME.write}
    expect:
      verdict: require_approval
      rules: [NAME.hold-changes]
      matching: [NAME.hold-changes]
      constraints: {max_runtime_s: 300, max_attempts: 1, others: none}
      approvers: {roles: [approver], quorum: 1, expires: 4h}

  - name: no secret comes in, wherever it is sent
    job: {secrets_present: true}
    expect: {verdict: deny, rules: [NAME.deny-secrets]}
    each:
      - {job: {}}
      - {job: {topic: job.NAME.write, capability: NAME.write}}
      - {job: {topic: job.NAME.write.much.deeper}}

  - name: what no rule allows is denied
    expect: {verdict: deny, rules: []}
    each:
      - {name: a capability that does not go with the topic, job: {capability: NAME.write}}
      - {name: no capability, job: {capability: null}}
      - {name: another topic, job: {topic: job.NAME.delete}}
      - {name: a change without its capability, job: {topic: job.NAME.write}}
      - {name: "`>` is one token or more", job: {topic: job.NAME, secrets_present: true}}
"""
