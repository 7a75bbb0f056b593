"""Policy: how long a kernel needs to verify and compile a bundle, and from a publish until three kernels decide by it.

Run alone: `python -m bench.policy`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from nats.aio.client import Client as Nats

from bench.decision import NOW_MS, example_rules
from bench.system import System, beside, running
from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.bundles.keys import load_public, load_signer
from holdgate.bundles.root import AuthorKey, Pins, Root, RootKeys
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel import subjects, wire
from holdgate.kernel.login import Login, connect
from holdgate.kernel.permits import Signer
from holdgate.kernel.subjects import OPERATOR_USER
from holdgate.scheduler.up.credentials import nkey_of
from holdgate.scheduler.up.home import Home

RULES = 1_000
CONDITIONS_EVERY = 10
"""One rule in so many has a `when`."""
KERNELS = 3
ROUNDS = 100
ROUND_WITHIN_S = 30
FAR = "2040-01-01T00:00:00Z"


def measure() -> dict[str, Any]:
    """Verify and compile; publish to active."""
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as folder:
        compiled = _verify_and_compile(Path(folder))
    with running("--workers", "0") as system, ExitStack() as others:
        for number in range(1, KERNELS):
            others.enter_context(_another_kernel(system, number))
        active = asyncio.run(_publish_to_active(system))
    return {"verify_compile_1000_rules_ms": compiled, "publish_to_active_ms": active}


def _verify_and_compile(folder: Path, rounds: int = 15) -> dict[str, float]:
    author, online = Signer.from_seed(os.urandom(32)), Signer.from_seed(os.urandom(32))
    kernel = Signer.from_seed(os.urandom(32))
    root = Root(
        version=1,
        expires=FAR,
        root=RootKeys(keys=[author.public_key.hex()], threshold=1),
        authors=[AuthorKey(name="author", public_key=Signer.from_seed(os.urandom(32)).public_key.hex()),
                 AuthorKey(name="bench", public_key=author.public_key.hex())],
        api_keys=[online.public_key.hex()],
        kernel_keys=[kernel.public_key.hex()],
    )  # fmt: skip
    bundle = _bundle(folder, 1, author, RULES)
    taken_ms = []
    for _ in range(rounds):
        started = time.perf_counter()
        TrustedSet.under(root).accept(bundle, NOW_MS)
        taken_ms.append((time.perf_counter() - started) * 1000)
    return {"p50": round(statistics.median(taken_ms), 1), "max": round(max(taken_ms), 1)}


async def _publish_to_active(system: System, rounds: int = ROUNDS) -> dict[str, float]:
    """From handing a bundle of 50 rules to the store until the last kernel announced it."""
    home = Home(system.folder)
    author = load_signer(home.key_file("author"))
    nc = await connect(system.ready["nats"], Login(OPERATOR_USER, nkey=nkey_of(home, OPERATOR_USER)))
    try:
        announced = _Announced()
        await nc.subscribe(subjects.POLICY_SNAPSHOT, cb=announced.hear)
        await nc.flush()
        await announced.wait_for(KERNELS)
        taken_ms = sorted([await _round(nc, announced, author, version) for version in range(1, rounds + 1)])
    finally:
        await nc.close()
    return {
        "p50": round(statistics.median(taken_ms), 1),
        "p99": round(taken_ms[len(taken_ms) * 99 // 100], 1),
        "max": round(taken_ms[-1], 1),
    }


async def _round(nc: Nats, announced: _Announced, author: Signer, version: int) -> float:
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as folder:
        data = _bundle(Path(folder), version, author, 50)
    store = BundleStore(nc)
    stored = await store.get("bench")
    announced.forget()
    started = time.perf_counter()
    await store.put("bench", data, after_revision=None if stored is None else stored.revision)
    await announced.wait_for(KERNELS)
    return (time.perf_counter() - started) * 1000


class _Announced:
    """Which kernels announced a snapshot that is not the one before."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._now: dict[str, str] = {}
        self._heard = asyncio.Event()

    async def hear(self, message: Any) -> None:
        info = wire.unpack(message.data)
        if info["snapshot"] not in self._before:
            self._now[info["replica"]] = info["snapshot"]
            self._heard.set()

    def forget(self) -> None:
        self._before = set(self._now.values()) | self._before
        self._now = {}

    async def wait_for(self, kernels: int) -> None:
        async with asyncio.timeout(ROUND_WITHIN_S):
            while len(self._now) < kernels or len(set(self._now.values())) > 1:
                self._heard.clear()
                await self._heard.wait()


def _bundle(folder: Path, version: int, author: Signer, count: int) -> bytes:
    (folder / "rules.yaml").write_text(yaml.safe_dump({"rules": _rules(count)}, sort_keys=False))
    (folder / "bundle.yaml").write_text(
        f'name: bench\nversion: {version}\nexpires: "{FAR}"\ndescription: "{version}"\nrules: [rules.yaml]\n'
    )
    return sign_bundle(build_bundle(folder), author)


def _rules(count: int) -> list[dict[str, Any]]:
    rules = example_rules(count)
    for number, rule in enumerate(rules):
        rule["id"] = f"bench-{rule['id']}"
        if number % CONDITIONS_EVERY == 0:
            rule["when"] = f"has(job.payload.amount) && job.payload.amount > {number}"
    return rules


@contextmanager
def _another_kernel(system: System, number: int) -> Iterator[None]:
    """One more `holdgate kernel` beside the one of `holdgate up`, with a directory of its own."""
    home = Home(system.folder)
    root = load_public(home.key_file("root"))
    settings = {
        "NATS_USER": "kernel",
        "NATS_NKEY_FILE": str(home.nkey_file("kernel")),
        "ROOT_FILE": str(home.root_file),
        "ROOT_PINS": str(Pins(frozenset({root.fingerprint}), 1)),
        "KEY_FILE": str(home.key_file("kernel")),
        "KERNEL_DIR": str(home.path / f"kernel-{number}"),
    }
    with beside(system, f"kernel-{number}", ["kernel"], settings):
        yield


if __name__ == "__main__":
    print(measure())
