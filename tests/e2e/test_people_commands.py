"""A whole system, and people who have nothing but the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdgate.bundles.chain import parse_chain, sign_root
from holdgate.bundles.keys import generate, load_public, load_signer
from holdgate.bundles.root import Approver
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.up.provision import provision
from support.waiting import eventually_sync
from support.whole import Whole, running_whole

pytestmark = pytest.mark.xdist_group("people")

HOUSE = """
rules:
  - id: house.hold-canary
    decision: require_approval
    reason: "a canary takes a part of the traffic"
    match: {topics: [job.deploy.canary]}
    approvers: {roles: [release-manager], quorum: 2, expires: 4h, grants: true}
"""
ANOTHER_RULE = """
  - id: house.no-shell
    decision: deny
    reason: "no shells here"
    match: {topics: [job.shell.open]}
"""
PASSPHRASE = "correct horse battery staple"
PROD = ("--label", "env=prod", "--capability", "infra.write")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """A system whose root lists two keys of the approver's own, one of them sealed."""
    folder = tmp_path_factory.mktemp("signed")
    made = provision(folder / "data", SystemClock())
    generate(folder / "mine.key", "approver")
    generate(folder / "sealed.key", "approver", passphrase=PASSPHRASE.encode())
    present = parse_chain(made.home.root_file.read_bytes()).root
    own = [
        Approver(actor="approver", public_key=load_public(folder / name).raw.hex(), roles=["release-manager"])
        for name in ("mine.key", "sealed.key")
    ]
    root = present.model_copy(update={"approvers": own})
    made.home.root_file.write_bytes(sign_root(root, [load_signer(made.home.key_file("root"))]))
    with running_whole(folder) as whole:
        yield whole


def holdgate(system: Whole, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """`holdgate …` beside the system's directory."""
    return subprocess.run(
        [sys.executable, "-m", "holdgate.scheduler.cli", *arguments, "--dir", str(system.folder)],
        env=environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}


def publish(system: Whole, rules: str, version: int) -> None:
    """A bundle `house` of `rules`, once a kernel decides by it."""
    draft = system.folder.parent / f"house-{version}"
    draft.mkdir()
    (draft / "rules.yaml").write_text(rules)
    about = f'name: house\nversion: {version}\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
    (draft / "bundle.yaml").write_text(about)
    file = str(draft.with_suffix(".bundle"))
    bundle = [sys.executable, "-m", "holdgate.scheduler.cli", "bundle"]
    key = {"HOLDGATE_API_KEY": system.key("author")}
    for arguments in (
        ["build", str(draft), "-o", file],
        ["sign", file, "--key", str(system.folder / "keys" / "author.key")],
        ["publish", file, "--api", system.api, "--accept-widening"],
    ):
        subprocess.run([*bundle, *arguments], env={**environment(), **key}, check=True, capture_output=True, timeout=60)


def canary(system: Whole, service: str) -> tuple[str, list[str]]:
    """A canary that is held."""
    job_id = holdgate(system, "jobs", "submit", "job.deploy.canary", "--label", f"service={service}").stdout.strip()
    return job_id, seen_of(system, job_id)


def seen_of(system: Whole, job_id: str) -> list[str]:
    """What a script says to vote on what it has seen now."""
    shown = json.loads(holdgate(system, "approvals", "show", job_id, "--json").stdout)
    return ["--yes", "--job-hash", shown["job_hash"], "--snapshot", shown["snapshot"]]


def held(system: Whole, version: str = "1") -> tuple[str, list[str]]:
    """A job that waits for people, and what a script says to vote on what it has seen."""
    done = holdgate(system, "jobs", "submit", "job.deploy.apply", *PROD, "--payload", json.dumps({"version": version}))
    assert done.returncode == 4, done.stderr
    job_id = done.stdout.strip()
    return job_id, seen_of(system, job_id)


def test_a_job_is_held_shown_released_and_its_result_read(system: Whole) -> None:
    job_id, seen = held(system)
    assert "held because  human review required for prod write" in holdgate(system, "approvals", "show", job_id).stdout
    done = holdgate(system, "approvals", "approve", job_id, "--reason", "checked", *seen)
    assert (done.returncode, done.stdout) == (0, f"{job_id} is released, the job is queued\n")
    result = holdgate(system, "jobs", "result", job_id, "--wait", "--timeout", "30s")
    assert (result.returncode, json.loads(result.stdout)["applied"]) == (0, True)
    watched = holdgate(system, "jobs", "watch", job_id)
    assert watched.returncode == 0
    assert re.search(r"succeeded\s+attempt 1", watched.stdout)
    whole = json.loads(holdgate(system, "jobs", "show", job_id, "--json").stdout)
    assert whole["state"] == "succeeded"
    assert whole["timeline"][0]["type"] == "job.held"


def test_who_waits_for_a_job_sees_each_change_and_how_it_ended(system: Whole) -> None:
    job_id, seen = held(system, "2")
    watching = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "holdgate.scheduler.cli",
            "jobs",
            "watch",
            job_id,
            "--json",
            "--dir",
            str(system.folder),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["state"] == "held"
    assert holdgate(system, "approvals", "approve", job_id, "--reason", "checked", *seen).returncode == 0
    states = [json.loads(line)["state"] for line in watching.stdout]
    assert watching.wait(30) == 0
    assert states[-1] == "succeeded"


def test_a_rejected_job_ends_as_denied(system: Whole) -> None:
    job_id, seen = held(system, "3")
    assert holdgate(system, "approvals", "reject", job_id, "--reason", "not today", *seen).returncode == 0
    watched = holdgate(system, "jobs", "watch", job_id)
    assert watched.returncode == 3
    assert "denied" in watched.stdout


def test_a_job_put_off_still_waits(system: Whole) -> None:
    job_id, seen = held(system, "4")
    done = holdgate(system, "approvals", "defer", job_id, "--for", "2h", "--reason", "after the freeze")
    assert done.returncode == 0, done.stderr
    assert "deferred      until" in holdgate(system, "approvals", "show", job_id).stdout
    assert holdgate(system, "approvals", "approve", job_id, "--reason", "fine", *seen).returncode == 0


def test_a_vote_is_signed_with_a_key_that_the_root_lists_and_with_no_other(system: Whole, tmp_path: Path) -> None:
    job_id, seen = held(system, "5")
    generate(tmp_path / "other.key", "approver")
    forged = holdgate(
        system, "approvals", "approve", job_id, "--reason", "x", *seen, "--sign", str(tmp_path / "other.key")
    )
    assert forged.returncode == 1
    assert forged.stderr.startswith("approval_signature_invalid: ")
    own = str(system.folder.parent / "mine.key")
    done = holdgate(system, "approvals", "approve", job_id, "--reason", "signed it", *seen, "--sign", own)
    assert done.returncode == 0, done.stderr
    shown = holdgate(system, "approvals", "show", job_id)
    assert "yes (own key)  approver" in shown.stdout
    assert holdgate(system, "jobs", "result", job_id, "--wait", "--timeout", "30s").returncode == 0


def test_who_has_no_key_in_the_root_is_told_so(system: Whole) -> None:
    job_id, seen = held(system, "6")
    own = str(system.folder.parent / "mine.key")
    done = holdgate(system, "approvals", "approve", job_id, "--reason", "x", *seen, "--sign", own, "--as", "approver2")
    assert done.returncode == 2
    assert "the trust root lists no key under your name" in done.stderr


def test_many_held_jobs_are_voted_on_at_once_as_they_were_listed(system: Whole) -> None:
    large = ("job.demo.write", "--label", "size=large", "--capability", "demo.write")
    jobs = {holdgate(system, "jobs", "submit", *large).stdout.strip() for _ in range(3)}
    listed = holdgate(system, "approvals", "list", "--json", "--limit", "100").stdout
    lines = [line for line in listed.splitlines() if json.loads(line)["job_id"] in jobs]
    done = holdgate(
        *(system, "approvals", "bulk", "reject", "--items", "-", "--yes", "--reason", "not these", "--json"),
        given="\n".join(lines),
    )
    assert done.returncode == 0, done.stderr
    assert {item["job_id"] for item in json.loads(done.stdout)["items"]} == jobs
    assert all(holdgate(system, "jobs", "watch", job_id).returncode == 3 for job_id in jobs)


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_list_can_be_cut_short_without_a_word(system: Whole, options: str) -> None:
    """Who reads has enough; nobody is told of a broken pipe."""
    holdgate(system, "jobs", "submit", "job.demo.read")
    holdgate(system, "jobs", "submit", "job.demo.read")
    command = f'{sys.executable} -m holdgate.scheduler.cli jobs list {options} --dir "{system.folder}" | head -c 1'
    done = subprocess.run(
        ["bash", "-c", command], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (len(done.stdout), done.stderr) == (1, "")


def test_a_job_that_is_waited_for_says_how_it_ended(system: Whole) -> None:
    done = holdgate(system, "jobs", "submit", "job.demo.read", "--prompt", "status", "--wait", "--timeout", "30s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("  succeeded\n")
    sealed = holdgate(system, "jobs", "submit", "job.demo.key", "--wait", "--timeout", "30s")
    assert sealed.returncode == 8, sealed.stderr
    late = holdgate(system, "jobs", "submit", "job.deploy.apply", *PROD, "--wait", "--timeout", "1s")
    assert late.returncode == 4
    gone = holdgate(system, "jobs", "result", sealed.stdout.split()[0])
    assert gone.returncode == 8
    assert gone.stderr.splitlines()[1].startswith("next: nobody reads it until approvers release it")


def test_jobs_are_found_by_label_and_actor_and_a_retry_keeps_its_reason(system: Whole) -> None:
    failing = ("jobs", "submit", "job.demo.fail", "--label", "team=payments", "--max-attempts", "1")
    ended = holdgate(system, *failing, "--wait", "--timeout", "30s")
    assert ended.returncode == 7, ended.stderr
    job_id = ended.stdout.split()[0]
    found = {
        option: holdgate(system, "jobs", "list", *option.split()).stdout
        for option in ("--label team=payments", "--label team=other", "--actor agent", "--actor nobody")
    }
    assert [option for option, text in found.items() if job_id in text] == ["--label team=payments", "--actor agent"]
    assert holdgate(system, "jobs", "retry", job_id, "--reason", "the disk is back").returncode == 0
    assert "the disk is back" in holdgate(system, "jobs", "show", job_id).stdout


def sealed_output(system: Whole) -> tuple[str, list[str]]:
    """A job whose output is sealed, and what a script says to vote on what it has seen."""
    job_id = holdgate(system, "jobs", "submit", "job.demo.key", "--wait", "--timeout", "30s").stdout.split()[0]
    shown = json.loads(holdgate(system, "quarantine", "show", job_id, "--json").stdout)
    return job_id, ["--yes", "--digest", shown["digest"], "--reason", "a key of this test"]


def test_a_sealed_output_is_released_by_two_people_and_destroyed_by_one(system: Whole) -> None:
    job_id, seen = sealed_output(system)
    assert job_id in holdgate(system, "quarantine", "list").stdout
    first = holdgate(system, "quarantine", "release", job_id, *seen)
    assert (first.returncode, first.stdout) == (0, f"{job_id}: your vote counts; 1 more needed\n"), first.stderr
    again = holdgate(system, "quarantine", "release", job_id, *seen)
    assert again.stderr.startswith("approval_duplicate_vote: ")
    second = holdgate(system, "quarantine", "release", job_id, *seen, "--as", "approver2")
    assert second.stdout == f"{job_id}: the output is released, the job is succeeded\n", second.stderr
    assert "PRIVATE KEY" in holdgate(system, "jobs", "result", job_id).stdout

    other, about = sealed_output(system)
    stale = holdgate(system, "quarantine", "destroy", other, *seen)
    assert (stale.returncode, stale.stderr[:18]) == (1, "quarantine_stale: ")
    gone = holdgate(system, "quarantine", "destroy", other, *about)
    assert gone.stdout == f"{other}: the output is destroyed, the job is quarantined\n", gone.stderr
    told = holdgate(system, "quarantine", "show", other).stdout
    assert re.search(r"status +destroyed", told)
    assert "PRIVATE KEY" not in told


def test_two_people_release_a_job_past_its_rules_and_it_says_so(system: Whole) -> None:
    job_id, seen = held(system, "7")
    glass = ["--break-glass", "--reason", "production is down"]
    first = holdgate(system, "approvals", "approve", job_id, *seen, *glass)
    assert first.stdout.startswith(f"{job_id}: your vote counts; 1 more "), first.stderr
    listed = next(line for line in holdgate(system, "approvals", "list").stdout.splitlines() if job_id in line)
    assert "  0/1 glass 1/2  " in listed
    second = holdgate(system, "approvals", "approve", job_id, *seen, *glass, "--as", "approver2")
    assert second.stdout == f"{job_id} is released, the job is queued\n", second.stderr
    told = holdgate(system, "jobs", "show", job_id).stdout
    assert re.search(r"released +past its rules: two people broke the glass", told)


def test_a_vote_is_signed_with_a_key_that_a_passphrase_seals(system: Whole, tmp_path: Path) -> None:
    """The passphrase comes from a file; with another nothing is voted."""
    job_id, seen = held(system, "8")
    for name, text in (("right", PASSPHRASE), ("wrong", "another one, and as long")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    sealed = str(system.folder.parent / "sealed.key")
    sign = ["approvals", "approve", job_id, "--reason", "signed it", *seen, "--sign", sealed, "--passphrase-file"]
    refused = holdgate(system, *sign, str(tmp_path / "wrong"))
    assert refused.returncode == 2
    assert refused.stderr.startswith("key_passphrase: ")
    done = holdgate(system, *sign, str(tmp_path / "right"))
    assert done.returncode == 0, done.stderr
    assert "yes (own key)  approver" in holdgate(system, "approvals", "show", job_id).stdout


def test_a_grant_is_given_by_two_used_shown_and_revoked_and_a_yes_is_confirmed_after_a_change(system: Whole) -> None:
    publish(system, HOUSE, 1)
    eventually_sync(
        lambda: holdgate(system, "jobs", "submit", "job.deploy.canary").returncode == 4,
        why="the new bundle is in force",
    )
    job_id, seen = canary(system, "checkout")
    asked = holdgate(
        *(system, "approvals", "grants", "request", job_id, "--uses", "3", "--for", "1d", "--label", "service"),
        *("--reason", "routine", *seen, "--json"),
    )
    grant = json.loads(asked.stdout)
    give = ["approvals", "grants", "approve", grant["grant_id"], "--yes", "--reason", "agreed", "--as", "approver2"]
    stale = holdgate(system, *give, "--digest", "sha256:" + "0" * 64)
    assert stale.stderr.startswith("grant_stale: "), stale.stderr
    given = holdgate(system, *give, "--digest", grant["grant_digest"])
    assert re.search(r"status +active", given.stdout), given.stderr
    let_in = holdgate(system, "jobs", "submit", "job.deploy.canary", "--label", "service=checkout")
    assert let_in.returncode == 0, let_in.stderr
    shown = holdgate(system, "approvals", "grants", "show", grant["grant_id"]).stdout
    assert re.search(r"uses +1 of 3, until ", shown)
    assert re.search(rf"released +{let_in.stdout.strip()}", shown)
    revoked = holdgate(system, "approvals", "grants", "revoke", grant["grant_id"], "--reason", "no longer routine")
    assert re.search(r"status +revoked", revoked.stdout), revoked.stderr
    again, about = canary(system, "checkout")

    assert holdgate(system, "approvals", "approve", again, "--reason", "looked at it", *about).returncode == 0
    publish(system, HOUSE + ANOTHER_RULE, 2)
    eventually_sync(
        lambda: "you may" in holdgate(system, "approvals", "show", again).stdout,
        why="it is decided under the new policy",
    )
    confirmed = holdgate(system, "approvals", "reconfirm", again, *seen_of(system, again))
    assert confirmed.stdout.startswith(f"{again}: your vote counts; 1 more "), confirmed.stderr
    late = holdgate(system, "approvals", "reconfirm", again, *about)
    assert late.stderr.startswith("approval_stale_policy: ")
