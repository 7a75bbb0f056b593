"""The platform's own secrets, as a process that scans knows them: its passwords, its keys, what the operator names.

A file of the operator's has secrets, or `sha256:…` of those that `holdgate provision` made: a process that looks for
the credentials of others has no use of them itself.

What always holds: they are held in memory and never written; one that is too short to be told from chance is not looked
for, and a warning says which; another warns of one so short that it may be guessed by what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import structlog
from pydantic import SecretStr

from holdgate.kernel.canonical import parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scan.forms import SECRET_BYTES_MAX, SECRET_BYTES_MIN
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import ApiSettings, OutputGateSettings, read_secret, read_secrets

log = structlog.get_logger("holdgate.lifecycle")
DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")
GUESSED_BYTES_MAX = 12
"""One job holds a million guesses at six digits, and is refused when one of them is right."""


def own_secrets(settings: ApiSettings | OutputGateSettings) -> tuple[bytes, ...]:
    """All that `settings` name, each once. Misconfigured where a line of the operator's file cannot be looked for."""
    found = dict.fromkeys(_of_the_operator(settings.known_secrets_file))
    for name, secret in _of_the_process(settings):
        if len(secret) >= SECRET_BYTES_MIN:
            found[secret] = None
            if len(secret) < GUESSED_BYTES_MAX:
                log.warning(
                    "a secret is short enough to be guessed: make it longer", action="secret_short", setting=name
                )
        else:
            log.warning("a secret is too short to be looked for", action="secret_too_short", setting=name)
    return tuple(found)


def own_digests(settings: ApiSettings | OutputGateSettings) -> frozenset[str]:
    """Of what was made for others, SHA-256 in hex."""
    lines = () if settings.known_secrets_file is None else read_secrets(settings.known_secrets_file)
    return frozenset(match[1].decode() for match in map(DIGEST.fullmatch, lines) if match)


def _of_the_operator(file: Path | None) -> Iterator[bytes]:
    for number, secret in enumerate(() if file is None else read_secrets(file), 1):
        if DIGEST.fullmatch(secret):
            continue
        if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
            bounds = f"{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are needed"
            raise Misconfigured(f"secret {number} in `{file}` has {len(secret)} bytes; {bounds}")
        yield secret


def _of_the_process(settings: ApiSettings | OutputGateSettings) -> Iterator[tuple[str, bytes]]:
    secrets = {"nats": settings.nats_password(), "nkey": settings.nats_seed(), "redis": settings.redis_password()}
    for name, password in secrets.items():
        if password is not None:
            yield name, _bytes(password)
    collector = settings.collector()
    yield from (("otlp", secret) for secret in (() if collector is None else collector.secrets()))
    if isinstance(settings, OutputGateSettings):
        yield "fingerprint", read_secrets(settings.fingerprint_key_file)[0]
        return
    if settings.oidc_client_secret_file is not None:
        yield "oidc", _bytes(read_secret(settings.oidc_client_secret_file))
    for name, file in (("key", settings.key_file), ("quarantine", settings.quarantine_key_file)):
        if file is not None:
            yield from ((name, seed) for seed in _seed_of(file))


def _seed_of(file: Path) -> Iterator[bytes]:
    """The private half in a key file; none where a passphrase seals it."""
    try:
        document = parse_json(b"\n".join(read_secrets(file)))
    except MalformedJson as error:
        raise Misconfigured(f"`{file}` is not a key file") from error
    seed = document.get("seed") if isinstance(document, dict) else None
    if isinstance(seed, str):
        yield bytes.fromhex(seed)


def _bytes(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()
