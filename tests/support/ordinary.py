"""Text as it comes out of ordinary work, with nothing in it that is secret: logs, tables, code, prose, lock files.

All of it is made from a seed but the sources of the standard library, which are as Python came.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import sysconfig
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

_VOCABULARY = (
    "request answer worker queue job order ticket account report table column value index cache page result batch "
    "retry timeout limit user session device region cluster node volume image build release branch commit test token "
    "key secret password field schema query filter price total amount invoice customer address street city country "
    "the a of to and in for with on by from at is was are were has had not no all some each other new old first last "
    "started finished failed accepted refused sent received stored loaded parsed skipped updated removed created"
)
WORDS = _VOCABULARY.split()
HEX = "0123456789abcdef"
BASE62 = string.ascii_letters + string.digits

Make = Callable[[random.Random], str]


def _words(chance: random.Random, least: int = 4, most: int = 12) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(least, most)))


def _hex(chance: random.Random, size: int) -> str:
    return "".join(chance.choices(HEX, k=size))


def _time(chance: random.Random) -> str:
    moment = (chance.randint(1, 12), chance.randint(1, 28), *(chance.randint(0, 59) for _ in range(3)))
    month, day, hour, minute, second = moment
    return f"2026-{month:02}-{day:02}T{hour % 24:02}:{minute:02}:{second:02}.{chance.randint(0, 999):03}Z"


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _peer(chance: random.Random) -> str:
    return (
        f"10.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}:{chance.randint(1024, 65535)}"
    )


def _log(chance: random.Random) -> str:
    record = {
        "ts": _time(chance),
        "level": chance.choice(("debug", "info", "warning")),
        "msg": _words(chance),
        "trace_id": _hex(chance, 32),
        "span_id": _hex(chance, 16),
        "request_id": _uuid(chance),
        "peer": _peer(chance),
        "duration_ms": round(chance.expovariate(0.02), 3),
        "epoch_ms": 1_700_000_000_000 + chance.randint(0, 10**11),
        "epoch_ns": 1_700_000_000_000_000_000 + chance.randint(0, 10**17),
        "bytes": chance.randint(0, 10**8),
        "path": "/" + "/".join(chance.choices(WORDS, k=4)) + f"/{chance.randint(1, 10**9)}",
        "order": f"{chance.randint(100, 999)}-{chance.randint(1000000, 9999999)}-{chance.randint(1000000, 9999999)}",
        "snowflake": str(chance.randint(10**17, 10**19)),
        "next_token": chance.choice((None, _words(chance, 1, 1), chance.randint(0, 10**6))),
    }
    return json.dumps(record)


def _access(chance: random.Random) -> str:
    agent = f"Mozilla/5.0 (X11; Linux x86_64) Chrome/{chance.randint(90, 140)}.0.{chance.randint(1000, 7000)}.85"
    target = f"/{'/'.join(chance.choices(WORDS, k=3))}?id={chance.randint(1, 10**12)}&v={_hex(chance, 8)}"
    client = _peer(chance).partition(":")[0]
    return f'{client} - - [{_time(chance)}] "GET {target} HTTP/1.1" 200 {chance.randint(0, 10**6)} "-" "{agent}"'


def _syslog(chance: random.Random) -> str:
    head = f"Mar {chance.randint(1, 28):2} 04:05:{chance.randint(0, 59):02} host-{chance.randint(1, 99)}"
    unit = f"systemd[{chance.randint(1, 99999)}]"
    return f"{head} {unit}: {_words(chance)}: pid={chance.randint(1, 99999)} mem=0x{_hex(chance, 12)}"


def _prose(chance: random.Random) -> str:
    sentences = [_words(chance, 6, 16).capitalize() for _ in range(chance.randint(3, 8))]
    price = f"{chance.randint(1, 9999)}.{chance.randint(0, 99):02} EUR"
    return (
        f"{'. '.join(sentences)}. It cost {price} in {chance.randint(1850, 2026)}, see page {chance.randint(1, 900)}."
    )


def _table(chance: random.Random) -> str:
    return ",".join(
        (
            str(chance.randint(10**8, 10**12)),
            _words(chance, 2, 3),
            f"{chance.randint(0, 10**5)}.{chance.randint(0, 99):02}",
            _time(chance)[:10],
            f"{chance.randint(100, 999)}-{chance.randint(100, 999)}-{chance.randint(1000, 9999)}",
            _hex(chance, 8).upper(),
            f"SKU-{''.join(chance.choices(string.ascii_uppercase + string.digits, k=9))}",
            str(chance.randint(10**15, 10**16)),
            f"{chance.uniform(-180, 180):.6f}",
        )
    )


def _lock(chance: random.Random) -> str:
    digest = base64.b64encode(chance.randbytes(64)).decode()
    name = "-".join(chance.choices(WORDS, k=2))
    version = ".".join(str(chance.randint(0, 30)) for _ in range(3))
    resolved = f"https://registry.npmjs.org/{name}/-/{name}-{version}.tgz"
    return (
        f'    "node_modules/{name}": {{\n      "version": "{version}",\n      "resolved": "{resolved}",\n'
        f'      "integrity": "sha512-{digest}"\n    }},\n'
        f"{name}=={version} \\\n    --hash=sha256:{_hex(chance, 64)} \\\n    --hash=sha256:{_hex(chance, 64)}\n"
        f"{name} v{version} h1:{base64.b64encode(chance.randbytes(32)).decode()}"
    )


def _commits(chance: random.Random) -> str:
    name = chance.choice(WORDS)
    return (
        f"commit {_hex(chance, 40)}\nDate:   Tue Mar {chance.randint(1, 28)} 10:00:00 2026 +0200\n\n"
        f"    {_words(chance)}\n\n"
        f"diff --git a/{name}.py b/{name}.py\nindex {_hex(chance, 7)}..{_hex(chance, 7)} 100644\n"
        f"@@ -{chance.randint(1, 900)},9 +{chance.randint(1, 900)},7 @@\n+{_words(chance)}\n-{_words(chance)}"
    )


def _minified(chance: random.Random) -> str:
    parts: list[str] = []
    for _ in range(12):
        a, b, c = chance.choices(string.ascii_lowercase, k=3)
        parts.append(
            f"function {a}({b},{c}){{return {b}.{chance.choice(WORDS)}[{chance.randint(0, 99)}]||{chance.random()}}}"
        )
        parts.append(f'var {a}="{_words(chance, 1, 3)}",token={b}.token,key:"{chance.choice(WORDS)}";')
    return "".join(parts) + f"//# sourceMappingURL=app.{_hex(chance, 20)}.js.map"


def _picture(chance: random.Random) -> str:
    data = base64.b64encode(chance.randbytes(chance.randint(300, 1500))).decode()
    return f'<img src="data:image/png;base64,{data}">'


def _settings(chance: random.Random) -> str:
    name = chance.choice(WORDS)
    return (
        f"{name}:\n  image: registry.example.org/{name}@sha256:{_hex(chance, 64)}\n  replicas: {chance.randint(1, 9)}\n"
        f"  password: ${{{name.upper()}_PASSWORD}}\n  token_file: /run/secrets/{name}_token\n"
        f"  api_key_ref: vault:{name}/api\n"
        f'  etag: "{_hex(chance, 32)}"\n  checksum: {hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}\n'
        f"  colour: '#{_hex(chance, 6)}'\n"
        f"  version: {chance.randint(1, 20)}.{chance.randint(0, 30)}.{chance.randint(0, 30)}.{chance.randint(1, 30)}"
    )


def _trace(chance: random.Random) -> str:
    lines = [
        f'  File "/usr/lib/python3.12/{a}/{b}.py", line {chance.randint(1, 2000)}, in {c}'
        for a, b, c in (chance.choices(WORDS, k=3) for _ in range(5))
    ]
    return "Traceback (most recent call last):\n" + "\n".join(lines) + f"\nValueError: {_words(chance)}"


def _numbers(chance: random.Random) -> str:
    return " ".join(
        (
            f"{chance.randint(10**9, 10**10 - 1)}",
            f"{chance.randint(10**12, 10**13 - 1)}",
            f"{chance.randint(10**8, 10**9 - 1)}",
            f"{chance.randint(10**10, 10**11 - 1)}",
            f"#{chance.randint(10**5, 10**7)}",
            f"{chance.randint(1, 99)}/{chance.randint(1, 99)}/{chance.randint(1990, 2030)}",
            f"+{chance.randint(0, 12):02}{chance.choice(('00', '30'))}",
            "".join(chance.choices(BASE62, k=22)),
            f"{chance.randint(10, 99)}:" + ":".join(_hex(chance, 2) for _ in range(5)),
        )
    )


KINDS: dict[str, Make] = {
    "logs": _log,
    "access logs": _access,
    "system logs": _syslog,
    "prose": _prose,
    "tables": _table,
    "lock files": _lock,
    "commits": _commits,
    "minified code": _minified,
    "pictures": _picture,
    "settings": _settings,
    "traces": _trace,
    "numbers": _numbers,
}


def ordinary(size: int, seed: int = 7, library_share: float = 0.4) -> Iterator[tuple[str, str]]:
    """(kind, text) of about 64 KB each, `size` bytes in all; `library_share` of it from the standard library."""
    chance = random.Random(seed)
    generated = int(size * (1 - library_share))
    for kind, make in KINDS.items():
        left = generated // len(KINDS)
        while left > 0:
            lines, length = [], 0
            while length < min(left, 65_536):
                lines.append(make(chance))
                length += len(lines[-1]) + 1
            left -= length
            yield kind, "\n".join(lines)
    yield from library(size - generated, chance)


def library(size: int, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Sources of the standard library, `size` bytes in some order that the seed gives."""
    files = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    files = [path for path in files if "site-packages" not in path.parts]
    chance.shuffle(files)
    for path in files:
        if size <= 0:
            return
        text = path.read_text("utf-8", "replace")
        size -= len(text)
        yield f"library {path.name}", text
