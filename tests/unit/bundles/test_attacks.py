"""Bad input, one row an attack: each is refused with a code of its own, and what was in force stays."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles import documents, metrics
from holdgate.bundles.documents import CODES, DEPTH_MAX, parse_document
from holdgate.bundles.errors import BundleRefused, DocumentInvalid
from holdgate.bundles.format import BUNDLE_BYTES_MAX, build_bundle, parse_bundle
from holdgate.bundles.root import ApproverRole, Scope
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.canonical import canonical_bytes, digest_bytes
from holdgate.kernel.errors import HoldgateError, PolicyInvalid
from holdgate.kernel.limits import CLOCK_SKEW_S, RULES_FILE_BYTES_MAX
from holdgate.kernel.permits import Signer
from holdgate.scheduler.api.problems import KINDS, problem_of
from support.trust import ALLOW_READS, HOLD_WRITES, NOW_MS, Ceremony, bundle, signed, signer

# YAML -----------------------------------------------------------------------------------------------------------------

BOMB = b"a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n"
YAML_ATTACKS: dict[str, tuple[bytes, str]] = {
    "a bomb of aliases": (BOMB, "yaml_alias"),
    "an anchor": (b"a: &x 1\n", "yaml_alias"),
    "an alias alone": (b"a: *x\n", "yaml_alias"),
    "a key twice": (b"a: 1\na: 2\n", "yaml_duplicate_key"),
    "a key twice, quoted": (b'{a: 1, "a": 2}', "yaml_duplicate_key"),
    "a tag": (b"a: !!str 1\n", "yaml_tag"),
    "a tag that runs a program": (b"a: !!python/object/apply:os.system [id]", "yaml_tag"),
    "a tag of its own": (b"a: !x y\n", "yaml_tag"),
    "not a number": (b"a: .nan\n", "yaml_ambiguous"),
    "infinity": (b"a: -.inf\n", "yaml_ambiguous"),
    "yes": (b"a: yes\n", "yaml_ambiguous"),
    "a merge": (b"<<: {a: 1}", "yaml_ambiguous"),
    "an hour in base 60": (b"a: 1:30\n", "yaml_ambiguous"),
    "a number that is rounded": (b"a: 9007199254740993\n", "yaml_ambiguous"),
    "a list as a key": (b"? [a]\n: b", "yaml_key"),
    "a number as a key": (b"1: 2", "yaml_key"),
    "10 MiB and a byte": (b" " * (RULES_FILE_BYTES_MAX + 1), "yaml_too_large"),
    "lists in lists": (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "yaml_depth"),
    "100,000 lists in lists": (b"[" * 100_000, "yaml_depth"),
    "100,000 mappings in mappings": (b"{a: " * 100_000, "yaml_depth"),
    "a wrong byte": (b"a: \xff\n", "yaml_encoding"),
    "half of a surrogate pair": (b"a: \xed\xa0\x80", "yaml_encoding"),
    "UTF-16": ("a: 1".encode("utf-16"), "yaml_encoding"),
    "a zero byte": (b"a: \x00", "yaml_encoding"),
    "a second document": (b"--- a\n--- b", "yaml_documents"),
    "a directive": (b"%YAML 1.1\n---\na: 1", "yaml_directive"),
    "nothing": (b"", "yaml_empty"),
    "a bracket too many": (b"a: [1]]", "yaml_syntax"),
}


@pytest.mark.parametrize(("data", "code"), YAML_ATTACKS.values(), ids=YAML_ATTACKS)
def test_yaml(data: bytes, code: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        parse_document("rules.yaml", data)
    assert caught.value.code == code


def test_yaml_of_more_values_than_a_file_can_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "VALUES_MAX", 100)
    parse_document("rules.yaml", b"[" + b"1," * 99 + b"]")
    with pytest.raises(DocumentInvalid) as caught:
        parse_document("rules.yaml", b"[" + b"1," * 100 + b"]")
    assert caught.value.code == "yaml_values"


def test_every_way_of_yaml_is_attacked() -> None:
    assert {code for _, code in YAML_ATTACKS.values()} | {"yaml_values"} == set(CODES)


# A bundle file --------------------------------------------------------------------------------------------------------


def altered(data: bytes, change: Callable[[Any], object]) -> bytes:
    """The bundle with a change in its JSON, canonical again, signatures as they were."""
    document = json.loads(data)
    change(document)
    return canonical_bytes(document)


def _named(path: str) -> Callable[[bytes, Path], bytes]:
    """The rules file under another path, everywhere, as a whole and consistent bundle."""

    def change(document: Any) -> None:
        document["manifest"]["files"][0]["path"] = path
        document["manifest"]["rules"] = [path]
        document["files"] = {path: document["files"]["rules.yaml"]}

    return lambda good, _: altered(good, change)


def _grace(text: str) -> Callable[[bytes, Path], bytes]:
    return lambda good, _: altered(good, lambda document: document["manifest"].update(grace=text))


def _stored(path: str) -> Callable[[bytes, Path], bytes]:
    return lambda good, _: altered(good, lambda document: document["files"].update({path: "eA=="}))


def _swapped(good: bytes, place: Path) -> bytes:
    other = json.loads(bundle(place, HOLD_WRITES, version=3))
    return altered(good, lambda document: document.update(signatures=other["signatures"]))


def _manifest_of_another(good: bytes, place: Path) -> bytes:
    other = json.loads(bundle(place, HOLD_WRITES, version=3))
    return altered(good, lambda document: document.update(manifest=other["manifest"], signatures=other["signatures"]))


def _file_of_another(good: bytes, place: Path) -> bytes:
    other = json.loads(bundle(place, HOLD_WRITES, version=3))
    return altered(good, lambda document: document.update(files=other["files"]))


def _name_of_a_key_by_another(good: bytes, _: Path) -> bytes:
    """Mallory's signature under the author's name."""
    body = parse_bundle(good).manifest.signed_bytes()
    forged = Signer(signer("mallory").key, signer("author").name).sign("bundle", body)

    def change(document: Any) -> None:
        document["signatures"][0]["signature"] = forged.signature.hex()

    return altered(good, change)


def _huge_file(good: bytes, _: Path) -> bytes:
    return altered(good, lambda document: document["manifest"]["files"][0].update(bytes=RULES_FILE_BYTES_MAX + 1))


def _many_files(good: bytes, _: Path) -> bytes:
    def change(document: Any) -> None:
        manifest, text = document["manifest"], base64.b64encode(b"rules: []").decode()
        paths = [f"r{number}.yaml" for number in range(101)]
        entry = {"sha256": digest_bytes(b"rules: []"), "bytes": 9}
        manifest.update(rules=paths, files=[{"path": path, **entry} for path in paths])
        document["files"] = dict.fromkeys(paths, text)

    return altered(good, change)


def _stray_bits(_: bytes, place: Path) -> bytes:
    """The same bytes in a base64 of its own: bits behind the last byte that a decoder ignores."""
    text = ONE + "#" * (-len(ONE) % 3 + 1)

    def change(document: Any) -> None:
        encoded = document["files"]["rules.yaml"]
        assert encoded.endswith("==")
        document["files"]["rules.yaml"] = encoded[:-3] + chr(ord(encoded[-3]) + 1) + "=="

    return altered(bundle(place, text, version=3), change)


def _rules(text: str, **more: Any) -> Callable[[bytes, Path], bytes]:
    return lambda _, place: bundle(place, text, version=3, **more)


RULE = "rules:\n  - {{id: {}, decision: allow, reason: x, match: {{topics: [job.read.x]}}}}\n"
ONE = RULE.format("one")
HELD = """
rules:
  - id: held
    decision: require_approval
    reason: x
    match: {tenants: [acme], topics: ["job.write.x"]}
    approvers: %s
"""
FILE_ATTACKS: dict[str, tuple[Callable[[bytes, Path], bytes], str]] = {
    "a byte over the limit": (lambda _, __: b" " * (BUNDLE_BYTES_MAX + 1), "bundle_too_large"),
    "a file of 10 MiB and a byte": (_huge_file, "bundle_too_large"),
    "101 files": (_many_files, "bundle_too_many_files"),
    "nothing": (lambda _, __: b"", "bundle_truncated"),
    "a file cut off in the middle": (lambda good, _: good[: len(good) // 2], "bundle_truncated"),
    "a file without its last byte": (lambda good, _: good[:-1], "bundle_truncated"),
    "no JSON": (lambda _, __: b"bundle: house, and much that follows it", "bundle_malformed"),
    "a list": (lambda _, __: b"[]", "bundle_malformed"),
    "JSON of great depth": (lambda _, __: b"[" * 100_000 + b"]" * 100_000, "bundle_malformed"),
    "wrong UTF-8": (lambda good, _: good.replace(b'"house"', b'"h\xffuse"'), "bundle_malformed"),
    "a key twice": (lambda good, _: good.replace(b'{"files"', b'{"files":{},"files"', 1), "bundle_malformed"),
    "a space more": (lambda good, _: b" " + good, "bundle_not_canonical"),
    "a line end more": (lambda good, _: good + b"\n", "bundle_not_canonical"),
    "a manifest that leaves out what would be filled in": (
        lambda good, _: altered(good, lambda document: document["manifest"].pop("grace")),
        "bundle_not_canonical",
    ),
    **{f"a grace of {text!r}": (_grace(text), "bundle_malformed") for text in ("0d", "1e9d", " 1d", "9999999999d")},
    "a path out of the bundle": (_named("../../etc/passwd.yaml"), "bundle_path"),
    "a path through itself": (_named("rules/../rules.yaml"), "bundle_path"),
    "an absolute path": (_named("/etc/rules.yaml"), "bundle_path"),
    "a path with backslashes": (_named("..\\rules.yaml"), "bundle_path"),
    "a drive": (_named("c:rules.yaml"), "bundle_path"),
    "a hidden file": (_named(".rules.yaml"), "bundle_path"),
    "a path that ends its text": (_named("rules.yaml\x00.yaml"), "bundle_path"),
    "a path in capitals": (_named("RULES.yaml"), "bundle_path"),
    "a stored path out of the bundle": (_stored("../evil.yaml"), "bundle_path"),
    "a link for a file": (
        lambda good, _: altered(good, lambda document: document["files"].update({"rules.yaml": {"link": "/etc/x"}})),
        "bundle_link",
    ),
    "an entry that links": (
        lambda good, _: altered(good, lambda document: document["manifest"]["files"][0].update(link="/etc/passwd")),
        "bundle_link",
    ),
    "a file more": (_stored("evil.yaml"), "bundle_files"),
    "a file less": (lambda good, _: altered(good, lambda document: document["files"].clear()), "bundle_files"),
    "another content": (
        lambda good, _: altered(good, lambda document: document["files"].update({"rules.yaml": "eA=="})),
        "bundle_files",
    ),
    "the same content in another base64": (_stray_bits, "bundle_files"),
    "the files of another bundle": (_file_of_another, "bundle_files"),
    "the manifest and signatures of another bundle": (_manifest_of_another, "bundle_files"),
    "the signatures of another bundle": (_swapped, "bundle_signature"),
    "a signature over other bytes": (
        lambda good, _: altered(good, lambda document: document["manifest"].update(version=9)),
        "bundle_signature",
    ),
    "a signature by another under the author's name": (_name_of_a_key_by_another, "bundle_signature"),
    "a signature that is none": (
        lambda good, _: altered(good, lambda document: document["signatures"][0].update(signature="00")),
        "bundle_signature",
    ),
    "a signature twice": (
        lambda good, _: altered(good, lambda document: document["signatures"].append(document["signatures"][0])),
        "bundle_signature",
    ),
    "a signature by an unknown key": (_rules(ONE, signers=["mallory"]), "bundle_unknown_key"),
    "no signature": (_rules(ONE, signers=[]), "bundle_threshold"),
    "an author beyond its scope": (_rules(ONE, signers=["team"]), "bundle_scope"),
    "a rule beyond the bundle's scope": (_rules(ONE, scope='{tenants: [acme], topics: ["job.>"]}'), "bundle_reach"),
    "an expired bundle": (_rules(ONE, expires="2027-01-15T07:59:59Z"), "bundle_expired"),
    "an expired bundle in its grace": (
        _rules(ONE, expires="2027-01-15T07:59:59Z", more="grace: 7d\n"),
        "bundle_expired",
    ),
    "a bundle of the future": (_rules(ONE, more='valid_from: "2027-01-15T08:00:06Z"\n'), "bundle_not_yet"),
    "a lower version": (lambda _, place: bundle(place, HOLD_WRITES, version=1), "bundle_version"),
    "an equal version with other content": (
        lambda _, place: bundle(place / "other", HOLD_WRITES, version=2),
        "bundle_version_reused",
    ),
    "an id of the kernel's own rules": (_rules(RULE.format("holdgate.dropped.house")), "bundle_rule_id"),
    "an id that looks like one": (_rules(RULE.format("Holdgate.x")), "bundle_rule_id"),
    "an approver role that the root does not name": (
        _rules(HELD % "{roles: [friend], quorum: 2}"),
        "bundle_approvers",
    ),
    "fewer approvers than the root wants": (_rules(HELD % "{roles: [release-manager]}"), "bundle_approvers"),
    "an approver by name": (
        _rules(HELD % "{roles: [release-manager], quorum: 2, names: [eve]}"),
        "bundle_approvers",
    ),
    "an approver outside its role's scope": (
        _rules((HELD % "{roles: [release-manager], quorum: 2}").replace("[acme]", "[rival]")),
        "bundle_approvers",
    ),
    "a role to escalate to that the root does not name": (
        _rules(HELD % "{roles: [release-manager], quorum: 2, escalate_after: 1h, escalate_to: {roles: [friend]}}"),
        "bundle_approvers",
    ),
    "somebody by name to escalate to": (
        _rules(
            HELD % "{roles: [release-manager], quorum: 2, escalate_after: 1h, "
            "escalate_to: {roles: [release-manager], names: [eve]}}"
        ),
        "bundle_approvers",
    ),
    "a role to escalate to of too few people": (
        _rules(HELD % "{roles: [release-manager], quorum: 2, escalate_after: 1h, escalate_to: {roles: [board]}}"),
        "bundle_approvers",
    ),
    "a role to escalate to outside its scope": (
        _rules(HELD % "{roles: [release-manager], quorum: 2, escalate_after: 1h, escalate_to: {roles: [pay]}}"),
        "bundle_approvers",
    ),
    "approvers that are left to the default": (
        _rules(HELD.replace("    approvers: %s\n", "")),
        "bundle_approvers",
    ),
    "rules that do not load": (_rules("rules: [{id: x}]\n"), "policy_invalid"),
    "rules with an alias": (_rules(BOMB.decode()), "yaml_alias"),
    "an id taken by another bundle": (_rules(RULE.format("taken")), "bundle_set"),
}


@pytest.fixture
def in_force(tmp_path: Path) -> TrustedSet:
    """Two bundles under a root with an approver matrix; `house` is at version 2."""
    root = Ceremony(authors=("author", "team"), scopes={"team": Scope(tenants=["acme"])}).root
    roles = [
        ApproverRole(name="release-manager", scope=Scope(tenants=["acme"]), quorum_min=2),
        ApproverRole(name="board", quorum_min=3),
        ApproverRole(name="pay", scope=Scope(topics=["job.pay.>"])),
    ]
    trusted = TrustedSet.under(root.model_copy(update={"approver_roles": roles}))
    trusted = trusted.accept(bundle(tmp_path, RULE.format("taken"), name="other"), NOW_MS)
    return trusted.accept(bundle(tmp_path, ALLOW_READS, version=2), NOW_MS)


@pytest.mark.parametrize(("attack", "code"), FILE_ATTACKS.values(), ids=FILE_ATTACKS)
def test_a_bundle_file(in_force: TrustedSet, tmp_path: Path, attack: Callable[[bytes, Path], bytes], code: str) -> None:
    (tmp_path / "other").mkdir()
    before = in_force.active()
    hostile = attack(bundle(tmp_path, ALLOW_READS, version=2), tmp_path)
    with pytest.raises(HoldgateError) as caught:
        in_force.accept(hostile, NOW_MS)
    assert isinstance(caught.value, BundleRefused | PolicyInvalid)
    assert caught.value.code == code
    assert "\n" not in str(caught.value) or isinstance(caught.value, DocumentInvalid)
    assert in_force.active() == before
    assert code in metrics.REFUSAL_CODES
    assert problem_of(caught.value).code == code, "the API tells it by the same code"


def test_what_the_table_of_attacks_changes_would_be_accepted_otherwise(in_force: TrustedSet, tmp_path: Path) -> None:
    held = [
        "{roles: [release-manager], quorum: 2}",
        "{roles: [release-manager], quorum: 3, escalate_after: 1h, escalate_to: {roles: [board]}}",
        "{roles: [release-manager], quorum: 2, escalate_after: 1h}",
    ]
    for version, text in enumerate((ONE, *(HELD % approvers for approvers in held)), start=3):
        in_force.accept(bundle(tmp_path, text, version=version), NOW_MS)


@pytest.mark.parametrize("ahead_s", [0, CLOCK_SKEW_S])
def test_a_clock_that_is_a_little_slow_takes_what_is_valid_from_now(tmp_path: Path, ahead_s: int) -> None:
    data = bundle(tmp_path, ALLOW_READS, more='valid_from: "2027-01-15T08:00:00Z"\n')
    TrustedSet.under(Ceremony().root).accept(data, NOW_MS - ahead_s * 1000)


def test_every_code_has_a_status_of_http_by_its_class() -> None:
    """A code that is not in the table of the API is told by that of its class, and never as our fault."""
    assert "bundle_refused" in KINDS
    assert "policy_invalid" in KINDS


# On the way from a directory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        ("link", "bundle_link"),
        ("linked folder", "bundle_link"),
        ("pipe", "bundle_link"),
        ("path", "bundle_path"),
        ("size", "bundle_too_large"),
        ("sum of sizes", "bundle_too_large"),
        ("count", "bundle_too_many_files"),
        ("missing", "bundle_malformed"),
    ],
)
def test_a_directory(tmp_path: Path, attack: str, code: str) -> None:
    place, named = tmp_path / "bundle", "[rules/a.yaml]"
    (place / "rules").mkdir(parents=True)
    file = place / "rules" / "a.yaml"
    file.write_text("rules: []\n")
    if attack == "link":
        file.unlink()
        file.symlink_to("/etc/hostname")
    elif attack == "linked folder":
        (place / "rules").rename(place / "elsewhere")
        (place / "rules").symlink_to(place / "elsewhere")
    elif attack == "pipe":
        file.unlink()
        os.mkfifo(file)
    elif attack == "path":
        named = "[../bundle/rules/a.yaml]"
    elif attack == "size":
        file.write_bytes(b" " * (RULES_FILE_BYTES_MAX + 1))
    elif attack == "sum of sizes":
        named = "[rules/a.yaml, rules/b.yaml]"
        for name in ("a", "b"):
            (place / "rules" / f"{name}.yaml").write_bytes(b" " * (6 * 1024 * 1024))
    elif attack == "count":
        named = str([f"r{number}.yaml" for number in range(101)]).replace("'", "")
    else:
        file.unlink()
    (place / "bundle.yaml").write_text(f'name: a\nversion: 1\nexpires: "2039-01-01T00:00:00Z"\nrules: {named}\n')
    with pytest.raises(BundleRefused) as caught:
        build_bundle(place)
    assert caught.value.code == code


def test_signing_says_nothing_of_what_is_signed_twice(tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS)
    assert signed(data, ["author"]) == data
