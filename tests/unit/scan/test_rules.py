"""Each rule finds what its vendor documents and nothing near it: by the examples in its own file, made at run time."""

from __future__ import annotations

import base64
import hashlib
from random import Random

import pytest

from holdgate.scan import SECRETS, Scanner
from holdgate.scan.engine import PIECE_BYTES, Engine
from holdgate.scan.examples import made
from holdgate.scan.lint import lint_rules
from holdgate.scan.ruleset import Rule, builtin_rules
from support.secrets import Secrets

RULES = builtin_rules()
SCANNER = Scanner()
ENGINE = Engine(RULES)
S = Secrets(3)
BORDER = "\n".join(["x" * 63] * (PIECE_BYTES // 64))[:-40] + "\n"
"""Ends so that what follows lies over the border of two pieces."""


def detected(text: str) -> set[str]:
    """Every rule that the whole engine finds in `text`."""
    return {hit.detector for hit in ENGINE.hits(text.encode("latin-1", "replace"))}


def test_the_linter_has_nothing_to_say_about_built_in_secrets() -> None:
    """Bounded patterns that RE2 and `re` read alike, examples that fire and that do not, cheap anchors, a link."""
    secrets = {rule.id for rule in RULES if rule.category in SECRETS}
    assert [problem for problem in lint_rules(RULES, Random(5), builtin=True) if problem.rule in secrets] == []


@pytest.mark.parametrize("family", sorted({rule.id[0] for rule in RULES}))
def test_a_rule_finds_its_examples_wherever_they_stand(family: str) -> None:
    """Between other lines, behind a long text, over the border of two pieces."""
    for rule in RULES:
        if not rule.id.startswith(family):
            continue
        text = made(rule.examples.true[0], Random(rule.id))
        for before, after in [("a line\n", "\nanother"), ("x y\n" * 600, "\n"), (BORDER, "\n")]:
            assert rule.id in detected(before + text + after), (rule.id, len(before))


def test_there_are_enough_formats() -> None:
    """Counted by rule; several prefixes of one vendor are one."""
    assert len([rule for rule in RULES if rule.category in SECRETS]) >= 180


NOT_SECRET = [
    "AK" + "IA" + "IOSFODNN7" + "EXAMPLE",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "550e8400-e29b-41d4-a716-446655440000",
    "git@github.com:holdgate/holdgate.git",
    "logo@2x.png",
    "4111 1111 1111 1112",
    "1234567890123456",
    "order 4000000000000 of 1700000000000 ms",
    "0.4111111111111111",
    "2026-01-02T03:04:05.678Z",
    "[redacted:secret:0123456789abcdef]",
    "password: [redacted:secret:0123456789abcdef]",
    'twilio = "7.5.1"  # sha512-9fceb02d0ae598e95dc970b74767f19372d61af8',
    "password: ENC[AES256_GCM,data:p673w==,iv:YY=,tag:A==,type:str]",
    '"resolved": "https://registry.npmjs.org/@datadog/browser/-/browser-5.0.0.tgz#9fceb02d0ae598e95dc970b74767f193"',
    "secret_name = prod-database-credentials-2026",
    "api_key = config.get('api_key')",
    "export TOKEN=$(vault read -field=token secret/app)",
    "getSecretValueCommandInput",
    "the token: string that the parser returns",
    "tokenizer.json: 2024-01-01 model-v1.2.3",
    "keyVaultSecrets: cmp2-prod-1208358310",
    '"password": "Passwort",',
    "login(password=default_password)",
    "password = rows[0]",
    "validate({password: passwordInput, user})",
    "checks = {'password': _password}",
    "password: /run/secrets/password",
    "postgres://postgres:postgres@localhost:5432/db",
    "meraki commit: 9fceb02d0ae598e95dc970b74767f19372d61af8",
]


@pytest.mark.parametrize("text", NOT_SECRET)
def test_what_is_no_secret_is_not_found(text: str) -> None:
    """Placeholders, references, hashes, prose, numbers without a check digit, our own tags."""
    assert SCANNER.scan(text) == []


SYNTAXES = [
    'NAME="{}"',
    "NAME = '{}'",
    "NAME := `{}`",
    "NAME: {}",
    '{{"name": "{}"}}',
    '{{\\"name\\": \\"{}\\"}}',
    "'name' => '{}'",
    '  "name": "{}",',
    "<name>{}</name>",
    '<add key="NAME" value="{}" />',
    "- name: NAME\n  value: {}",
    '{{"name": "NAME", "value": "{}"}}',
    'System.setProperty("NAME", "{}")',
    'config["name"] = "{}"',
    "os.environ.setdefault('NAME', '{}')",
    'const name: string = "{}";',
    'var name string = "{}"',
    "--name={}",
    "?name={}&x=1",
    "set NAME={}",
    "NAME ?= {}",
    'name = os.getenv("NAME") || "{}"',
    "NAME={}\\nOTHER=1",
]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_named_value_is_found_in_each_syntax(syntax: str) -> None:
    """A vendor's key without a prefix is told by the name that it is given, however that is written."""
    value = S.chars("0123456789abcdef", 32)
    text = syntax.replace("NAME", "TWILIO_AUTH_TOKEN").replace("name", "twilioAuthToken").format(value)
    found = [hit for hit in ENGINE.hits(text.encode()) if hit.detector == "twilio-auth-token"]
    assert [text[hit.start : hit.end] for hit in found] == [value]


@pytest.mark.parametrize("name", ["myTwilioAuthToken", "MY_TWILIO_TOKEN", "app.twilio.token", "twilio: {auth_token"])
def test_a_vendor_is_read_where_a_word_begins(name: str) -> None:
    """Behind a sign, as a capital within a name, as the section that the name stands in."""
    assert "twilio-auth-token" in detected(f'{name} = "{S.chars("0123456789abcdef", 32)}"')


def test_what_a_vendor_publishes_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """An example that is in every text opens nothing; its neighbour may."""
    shown, other = (made("AI%{za[A-Za-z0-9]{35}}", Random(seed)) for seed in (1, 2))
    digest = hashlib.sha256(shown.encode()).hexdigest()[:16]
    monkeypatch.setattr("holdgate.scan.validators.published._PUBLISHED", frozenset({digest}))
    assert detected(f"the key {shown} is") == set()
    assert detected(f"the key {other} is") == {"gcp-api-key"}


@pytest.mark.parametrize("name", ["SetSysctl", "rookTable", "ReactNativeCameraKit"])
def test_a_vendor_inside_another_word_is_none(name: str) -> None:
    """`etSy`, `okTa`, `meraK` are in many words."""
    value = S.chars("0123456789abcdefghijklmnopqrstuvwxyz", 24)
    texts = [f'{name} = "{value}"', f'{name} = "00{S.chars("0123456789ABCDEFabcdef", 40)}"']
    assert {"etsy-token", "okta-token", "meraki-key"}.isdisjoint(detected("\n".join(texts)))


def test_a_vendor_is_named_before_a_form_that_many_have() -> None:
    """What has a prefix and chance behind it is a token of somebody's; of whom is said where that is known."""
    known, other = (made(f"%{{{prefix}_[A-Za-z0-9]{{56}}}}", Random(5)) for prefix in ("vcp", "acme_live"))
    assert [finding.detector for finding in SCANNER.scan(f"{known} {other}")] == ["vercel-token", "prefixed-token"]
    assert detected("acme_live_" + S.chars("0123456789abcdef", 40)) == set()
    named = made("%{stripe_[A-Za-z0-9]{36}}", Random(5))
    assert detected(f"told: {named}") == {"prefixed-token"}


def test_a_prefix_inside_a_long_run_of_base64_is_chance() -> None:
    """Four letters turn up in an encoded image."""
    blob = base64.b64encode(S.random.randbytes(300)).decode().replace("+", "x")
    key = made("LT%{AI[A-Za-z0-9]{20}}", Random(3))
    assert detected(f"the key {key} is") == {"alibaba-access-key-id"}
    assert SCANNER.scan(blob[:200] + "/" + key + "/" + blob[200:]) == []


def test_a_path_before_a_token_does_not_hide_it() -> None:
    """A long path is of the same letters as base64 and is none."""
    text = "/home/user/projects/deployments/production/" + S.github()
    assert [finding.detector for finding in SCANNER.scan(text)] == ["github-token"]


def test_the_rule_of_a_vendor_is_told_before_the_one_of_all() -> None:
    """Who reads a finding wants to know whose key it is."""
    text = f'STRIPE_SECRET_KEY="{S.stripe()}"'
    assert [finding.detector for finding in SCANNER.scan(text)] == ["stripe-key"]


def rule_of(name: str) -> Rule:
    """The built-in rule with that id."""
    return next(rule for rule in RULES if rule.id == name)


def test_severities_tell_what_opens_a_door() -> None:
    """A key of an account is critical, an id that stands beside a secret is not."""
    assert rule_of("aws-secret-access-key").severity == "critical"
    assert rule_of("twilio-account-sid").severity == "low"
