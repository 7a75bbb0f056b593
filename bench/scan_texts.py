"""Texts to measure the scanner with, made at run time: ordinary ones, and ones made to be slow."""

from __future__ import annotations

import base64
import json
import random
import sysconfig
from pathlib import Path

MB = 1_000_000
_WORDS = [
    "request",
    "handled",
    "upstream",
    "service",
    "checkout",
    "payment",
    "retry",
    "connection",
    "closed",
    "timeout",
    "user",
    "session",
    "cache",
    "miss",
    "hit",
    "queue",
    "worker",
    "started",
    "finished",
    "deploy",
    "version",
    "config",
    "loaded",
    "token",
    "refreshed",
    "password",
    "policy",
    "updated",
    "key",
    "rotated",
    "for",
    "in",
    "of",
    "the",
    "with",
    "secret",
    "not",
    "found",
    "client",
    "account",
    "access",
    "denied",
    "email",
    "sent",
    "to",
]
_LEVELS = ("debug", "info", "info", "info", "warn", "error")


def log_lines(size: int, seed: int = 1) -> bytes:
    """Log-like JSON, a record a line; the words of secrets are in it, secrets are not."""
    chance = random.Random(seed)
    lines: list[bytes] = []
    length = 0
    while length < size:
        line = json.dumps(_record(chance)).encode() + b"\n"
        lines.append(line)
        length += len(line)
    return b"".join(lines)[:size]


def log_document(size: int, seed: int = 1) -> bytes:
    """The same records as one JSON array."""
    chance = random.Random(seed)
    records: list[dict[str, object]] = []
    length = 0
    while length < size:
        records.append(_record(chance))
        length += len(json.dumps(records[-1])) + 2
    return json.dumps(records).encode()


def source_code(size: int) -> bytes:
    """Of the standard library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    parts: list[bytes] = []
    length = 0
    for path in sorted(folder.glob("*.py")):
        parts.append(path.read_bytes())
        length += len(parts[-1])
        if length >= size:
            break
    return b"".join(parts)[:size]


def hostile_texts(size: int, seed: int = 1) -> dict[str, bytes]:
    """Texts that ask the most of an engine: long runs, what begins rules and never ends, words of all of them."""
    chance = random.Random(seed)
    units = {
        "`password=` again and again": b"password=",
        "`aws_secret=` again and again": b"aws_secret=",
        "key headers without a key": b"-----BEGIN RSA PRIVATE" + b" KEY-----\n",
        "card-like numbers": b"4111 1111 1111 ",
        "`@` between letters": b"a@b.",
        "beginnings of tokens": b"eyJhbGciOi.eyJ ghp_ sk-ant- xoxb- AKIA glpat- ",
        "ten digits again and again": b"0123456789 ",
    }
    texts = {name: (unit * (size // len(unit) + 1))[:size] for name, unit in units.items()}
    words = ["api_key", "token", "secret", "client", "=", ":", '"', "key", "auth", "aws", "twilio", "bearer", "basic"]
    return {
        "one line of base64": base64.b64encode(chance.randbytes(size * 3 // 4)),
        "one line of hex": chance.randbytes(size // 2).hex().encode(),
        "one line of one letter": b"x" * size,
        "random bytes": chance.randbytes(size),
        "words of rules": " ".join(chance.choices(words, k=size // 4)).encode()[:size],
        **texts,
    }


def _record(chance: random.Random) -> dict[str, object]:
    return {
        "ts": f"2026-01-{chance.randrange(1, 29):02d}T{chance.randrange(24):02d}:15:07.{chance.randrange(1000):03d}Z",
        "level": chance.choice(_LEVELS),
        "logger": chance.choice(["app.http", "app.db", "app.queue"]),
        "msg": " ".join(chance.choices(_WORDS, k=chance.randrange(4, 14))),
        "request_id": f"{chance.getrandbits(32):08x}-{chance.getrandbits(16):04x}-{chance.getrandbits(48):012x}",
        "duration_ms": chance.randrange(5000) / 10,
        "status": chance.choice([200, 201, 204, 404, 500]),
        "path": f"/api/v1/{chance.choice(['orders', 'users', 'jobs'])}/{chance.randrange(10**6)}",
        "node": f"10.0.{chance.randrange(256)}.{chance.randrange(256)}",
        "commit": f"{chance.getrandbits(160):040x}",
    }
