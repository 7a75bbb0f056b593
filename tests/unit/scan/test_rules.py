"""Each rule finds what its vendor documents and nothing near it. Examples are made here, at run time."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Callable

import pytest

from holdgate.scan import Scanner
from holdgate.scan.ruleset import builtin_rules
from support.secrets import ALNUM, BASE32, HEX, LOWER, URLSAFE, Secrets

S = Secrets(3)
SCANNER = Scanner()
DIGITS = string.digits
B64 = ALNUM + "+/"
BECH32 = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"


def made(prefix: str, alphabet: str, size: int, suffix: str = "") -> Callable[[], str]:
    """A maker of `prefix`, `size` characters, `suffix`."""
    return lambda: prefix + S.chars(alphabet, size) + suffix


EXAMPLES: dict[str, list[Callable[[], str]]] = {
    "private-key-pem": [
        S.pem,
        lambda: S.pem(40),
        lambda: S.pem().replace("RSA ", ""),
        lambda: S.pem().partition("\n-----END")[0],
    ],
    "private-key-putty": [
        lambda: f"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n{S.chars(B64, 48)}"
    ],
    "private-key-age": [made("AGE-SECRET-" + "KEY-1", BECH32, 58)],
    "private-key-jwk": [lambda: '{"kty":"EC","crv":"P-256","d":"' + S.chars(URLSAFE, 43) + '"}'],
    "aws-access-key-id": [S.aws_key_id, made("AS" + "IA", BASE32, 16)],
    "aws-bedrock-key": [made("AB" + "SK", ALNUM, 128, "=")],
    "aws-secret-access-key": [
        lambda: "aws_secret_access_key = " + S.chars(B64, 40),
        lambda: 'AWS_SECRET_ACCESS_KEY="' + S.chars(B64, 40) + '"',
    ],
    "gcp-api-key": [made("AI" + "za", URLSAFE, 35)],
    "gcp-oauth-client-secret": [made("GOC" + "SPX-", URLSAFE, 28)],
    "gcp-oauth-token": [made("ya" + "29.", URLSAFE, 120)],
    "azure-storage-key": [lambda: "AccountKey=" + S.chars(B64, 86) + "=="],
    "azure-ad-client-secret": [lambda: '"' + S.chars(ALNUM, 3) + "8Q~" + S.chars(ALNUM, 34) + '"'],
    "azure-sas-signature": [lambda: "https://x.blob.core.windows.net/c?sv=1&sig=" + S.chars(ALNUM, 43) + "%3D"],
    "digitalocean-token": [made("do" + "p_v1_", HEX, 64)],
    "alibaba-access-key-id": [made("LT" + "AI", ALNUM, 20)],
    "hashicorp-vault-token": [made("hv" + "s.", URLSAFE, 95)],
    "terraform-cloud-token": [lambda: S.chars(ALNUM, 14) + ".atlas" + "v1." + S.chars(ALNUM, 67)],
    "pulumi-token": [made("pu" + "l-", HEX, 40)],
    "doppler-token": [made("dp" + ".pt.", ALNUM, 43), made("dp" + ".st.prod.", ALNUM, 43)],
    "databricks-token": [made("da" + "pi", HEX, 32)],
    "cloudflare-origin-ca-key": [lambda: "v1.0-" + S.chars(HEX, 24) + "-" + S.chars(HEX, 146)],
    "fly-access-token": [made("fo" + "1_", ALNUM, 43), made("fm" + "2_", B64, 200)],
    "heroku-api-key": [made("HR" + "KU-AA", ALNUM, 58)],
    "supabase-token": [made("sb" + "p_", HEX, 40)],
    "netlify-token": [made("nf" + "p_", ALNUM, 36)],
    "github-token": [S.github, made("gh" + "s_", ALNUM, 36)],
    "github-fine-grained-token": [lambda: "github" + "_pat_" + S.chars(ALNUM, 22) + "_" + S.chars(ALNUM, 59)],
    "gitlab-token": [made("gl" + "pat-", URLSAFE, 20), made("gl" + "rt-", ALNUM, 20)],
    "gitlab-runner-registration-token": [made("GR" + "1348941", ALNUM, 20)],
    "npm-token": [made("np" + "m_", ALNUM, 36)],
    "pypi-token": [made("py" + "pi-AgEIcHlwaS5vcmc", ALNUM, 150)],
    "rubygems-token": [made("ruby" + "gems_", HEX, 48)],
    "docker-token": [made("dckr" + "_pat_", ALNUM, 27)],
    "atlassian-token": [made("AT" + "ATT3", ALNUM, 180, "=1A2B3C4D")],
    "artifactory-key": [made("AK" + "Cp", ALNUM, 69)],
    "postman-key": [lambda: "PM" + "AK-" + S.chars(HEX, 24) + "-" + S.chars(HEX, 34)],
    "sentry-token": [made("sntr" + "ys_eyJ", ALNUM, 120), made("sntr" + "yu_", HEX, 64)],
    "grafana-token": [lambda: "gl" + "sa_" + S.chars(ALNUM, 32) + "_" + S.chars(HEX, 8)],
    "new-relic-key": [made("NR" + "AK-", string.ascii_uppercase + DIGITS, 27)],
    "linear-key": [made("lin" + "_api_", ALNUM, 40)],
    "notion-token": [lambda: "nt" + "n_" + S.chars(DIGITS, 11) + S.chars(ALNUM, 35)],
    "slack-token": [
        lambda: "xo" + "xb-" + S.chars(DIGITS, 12) + "-" + S.chars(DIGITS, 12) + "-" + S.chars(ALNUM, 24),
    ],
    "slack-app-token": [
        lambda: "xa" + "pp-1-A" + S.chars(BASE32, 9) + "-" + S.chars(DIGITS, 13) + "-" + S.chars(HEX, 64)
    ],
    "slack-webhook": [
        lambda: (
            "https://hooks.slack"
            ".com/services/T" + S.chars(BASE32, 9) + "/B" + S.chars(BASE32, 9) + "/" + S.chars(ALNUM, 24)
        )
    ],
    "discord-webhook": [
        lambda: "https://discord" + ".com/api/webhooks/" + S.chars(DIGITS, 18) + "/" + S.chars(URLSAFE, 67) + "a"
    ],
    "telegram-bot-token": [lambda: "1" + S.chars(DIGITS, 9) + ":A" + S.chars(URLSAFE, 34)],
    "stripe-key": [S.stripe, made("rk" + "_live_", ALNUM, 99)],
    "stripe-webhook-secret": [made("wh" + "sec_", ALNUM, 32)],
    "twilio-api-key": [made("S" + "K", HEX, 32)],
    "twilio-auth-token": [lambda: "TWILIO_AUTH_TOKEN=" + S.chars(HEX, 32)],
    "sendgrid-key": [lambda: "S" + "G." + S.chars(URLSAFE, 22) + "." + S.chars(URLSAFE, 43)],
    "mailgun-key": [made("ke" + "y-", HEX, 32)],
    "mailchimp-key": [made("", HEX, 32, "-us21")],
    "brevo-key": [lambda: "xkey" + "sib-" + S.chars(HEX, 64) + "-" + S.chars(ALNUM, 16)],
    "shopify-token": [made("shp" + "at_", HEX, 32)],
    "square-token": [made("sq" + "0atp-", URLSAFE, 21, "a"), made("EA" + "AA", ALNUM, 60)],
    "openai-key": [
        made("s" + "k-proj-", ALNUM, 120),
        lambda: "s" + "k-" + S.chars(ALNUM, 20) + "T3Blbk" + "FJ" + S.chars(ALNUM, 20),
    ],
    "anthropic-key": [made("s" + "k-ant-api03-", ALNUM, 93, "AA")],
    "openrouter-key": [made("s" + "k-or-v1-", HEX, 64)],
    "huggingface-token": [made("h" + "f_", string.ascii_letters, 34)],
    "groq-key": [made("gs" + "k_", ALNUM, 52)],
    "xai-key": [made("x" + "ai-", ALNUM, 80)],
    "replicate-token": [made("r" + "8_", ALNUM, 37)],
    "perplexity-key": [made("pp" + "lx-", ALNUM, 48)],
    "langsmith-key": [lambda: "lsv2" + "_pt_" + S.chars(HEX, 32) + "_" + S.chars(HEX, 10)],
    "jwt": [S.jwt],
    "url-password": [
        lambda: f"postgres://app:{S.chars(ALNUM, 16)}@db.internal:5432/app",
        lambda: "redis://:r00t@cache:6379/0",
    ],
    "authorization-header": [lambda: "Authorization: Bearer " + S.chars(ALNUM, 40)],
    "basic-credentials": [
        lambda: "Authorization: Basic " + base64.b64encode(f"ada:{S.chars(ALNUM, 14)}".encode()).decode()
    ],
    "assigned-password": [
        lambda: f'password = "{S.chars(ALNUM, 12)}"',
        lambda: f"DB_PASSWORD={S.chars(ALNUM, 12)}",
        lambda: "pwd: '" + S.chars(LOWER, 10) + "!'",
    ],
    "assigned-secret": [
        lambda: f'api_key: "{S.chars(ALNUM, 32)}"',
        lambda: f"client_secret={S.chars(ALNUM, 24)}",
        lambda: f'"access_token": "{S.chars(ALNUM, 40)}"',
    ],
    "email": [lambda: "ada.lovelace@analytical.example.org", lambda: "a+b@x.io"],
    "card-number-alone": [
        S.card,
        lambda: S.card("51"),
        lambda: S.card("37", 15),
        lambda: " ".join(re.findall("....", S.card())),
        lambda: "-".join(re.findall("....", S.card())),
    ],
}
IN_JSON_ONLY = {"named-password", "named-secret"}

CASES = [(rule, make) for rule, makers in EXAMPLES.items() for make in makers]


@pytest.mark.parametrize(("rule", "make"), CASES, ids=[rule for rule, _ in CASES])
def test_a_rule_finds_its_examples_wherever_they_stand(rule: str, make: Callable[[], str]) -> None:
    """Alone, in a sentence, in quotes, behind a long text, over the border of two pieces: the same value, in place."""
    value = make()
    for before, after in [("", ""), ("see ", " now"), ('"', '"'), ("x " * 2000, "\n"), ("." * 2030 + " ", " ")]:
        found = SCANNER.scan(before + value + after)
        assert rule in {finding.detector for finding in found}, (rule, len(before))
        for finding in found:
            assert len(before) <= finding.start < finding.end <= len(before) + len(value)


def test_every_rule_has_an_example() -> None:
    """Here or in its file, so that none is there that never fires."""
    assert {rule.id for rule in builtin_rules() if not rule.examples.true} <= set(EXAMPLES) | IN_JSON_ONLY


NOT_SECRET = [
    "AK" + "IA" + "IOSFODNN7" + "EXAMPLE",
    "password = os.environ['DB_PASSWORD']",
    'password: "${DB_PASSWORD}"',
    "password: <your password>",
    "password=********",
    "password: changeme",
    "api_key: YOUR_API_KEY",
    "token = get_token()",
    "secret: {{ .Values.secret }}",
    "the password: must be changed every year",
    "postgres://user:password@localhost/db",
    "postgres://user:${PASSWORD}@localhost/db",
    "https://example.org:8443/path@home",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
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
    "token: abcdefghijklmnopqrstuvwxyz",
    "next_token_count = 123456789012",
    "sk-learn and sk-something-else-that-is-a-word",
    "Bearer of the ring",
    "[redacted:secret:0123456789abcdef]",
    "password: [redacted:secret:0123456789abcdef]",
]


@pytest.mark.parametrize("text", NOT_SECRET)
def test_what_is_no_secret_is_not_found(text: str) -> None:
    """Placeholders, references, hashes, prose, numbers without a check digit, our own tags."""
    assert SCANNER.scan(text) == []


def test_a_prefix_inside_a_long_run_of_base64_is_chance() -> None:
    """Four letters turn up in an encoded image."""
    blob = base64.b64encode(S.random.randbytes(300)).decode().replace("+", "x")
    assert SCANNER.scan(blob[:200] + "/" + S.aws_key_id() + "/" + blob[200:]) == []


def test_a_path_before_a_token_does_not_hide_it() -> None:
    """A long path is of the same letters as base64 and is none."""
    text = "/home/user/projects/deployments/production/" + S.github()
    assert [finding.detector for finding in SCANNER.scan(text)] == ["github-token"]
