"""The bundle store: a JetStream key-value bucket, one key a bundle. Nothing in it is believed: kernels verify.

What always holds: writing names the revision that was read, so that of two authors who publish at once one is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from holdgate.bundles.errors import BundleConflict, StoreUnavailable
from holdgate.bundles.format import BUNDLE_BYTES_MAX
from holdgate.kernel.subjects import BUCKET_POLICY

T = TypeVar("T")

HISTORY = 20
BUNDLES_MAX = 100
STREAM = f"KV_{BUCKET_POLICY}"
SUBJECT_PREFIX = f"$KV.{BUCKET_POLICY}."
SHADOW_PREFIX = "shadow."
"""Before the name of a candidate that is only watched: no bundle can have a name with a dot."""


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """What the store holds under a name."""

    name: str
    data: bytes
    revision: int


class BundleStore:
    """The bucket through one NATS connection. Everything raises StoreUnavailable when JetStream does not answer."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._nc = nc
        self._js: JetStreamContext = nc.jetstream(timeout=timeout_s)
        self._kv: KeyValue | None = None
        self._timeout_s = timeout_s

    async def ensure(self, *, replicas: int = 1) -> None:
        """Create the bucket where it does not exist."""

        async def work() -> None:
            try:
                self._kv = await self._js.key_value(BUCKET_POLICY)
            except NotFoundError:
                config = KeyValueConfig(bucket=BUCKET_POLICY, history=HISTORY, replicas=replicas)
                self._kv = await self._js.create_key_value(config)

        await self._bounded(work())

    async def get(self, name: str) -> StoredBundle | None:
        """The newest of `name`; None when there is none."""

        async def work() -> StoredBundle | None:
            try:
                entry = await (await self._bucket()).get(name)
            except KeyNotFoundError:
                return None
            return StoredBundle(name, entry.value or b"", entry.revision or 0)

        return await self._bounded(work())

    async def put(self, name: str, data: bytes, *, after_revision: int | None) -> int:
        """Store `data` and return its revision; BundleConflict when `after_revision` is not the newest any more."""

        async def work() -> int:
            bucket = await self._bucket()
            try:
                if after_revision is None:
                    return await bucket.create(name, data)
                return await bucket.update(name, data, last=after_revision)
            except KeyWrongLastSequenceError as error:
                raise BundleConflict(f"`{name}` was published by somebody else just now") from error

        if len(data) > BUNDLE_BYTES_MAX:
            raise BundleConflict(f"{len(data)} bytes are over the limit of {BUNDLE_BYTES_MAX}", code="bundle_too_large")
        return await self._bounded(work())

    async def revisions(self) -> dict[str, int]:
        """Names of all bundles, and a number for the whole store under the empty name: it rises with every write."""

        async def work() -> dict[str, int]:
            last_seq, keys = await self._keys()
            names = [key for key in keys if not key.startswith(SHADOW_PREFIX)]
            return {"": last_seq, **dict.fromkeys(sorted(names)[:BUNDLES_MAX], 0)}

        return await self._bounded(work())

    async def shadows(self) -> list[str]:
        """Names of the candidates that are shadowed; each lies under `SHADOW_PREFIX` and its name."""

        async def work() -> list[str]:
            _, keys = await self._keys()
            names = [key.removeprefix(SHADOW_PREFIX) for key in keys if key.startswith(SHADOW_PREFIX)]
            return sorted(names)[:BUNDLES_MAX]

        return await self._bounded(work())

    async def remove(self, name: str) -> None:
        """Take `name` out; nothing happens where there is none. Its history stays."""

        async def work() -> None:
            await (await self._bucket()).delete(name)

        await self._bounded(work())

    async def on_write(self, callback: Callable[[], None]) -> Subscription:
        """Call `callback` when something was written; a hint that may be lost."""

        async def hear(_message: Msg) -> None:
            callback()

        return await self._nc.subscribe(SUBJECT_PREFIX + ">", cb=hear)

    async def _keys(self) -> tuple[int, list[str]]:
        info = await self._js.stream_info(STREAM, subjects_filter=SUBJECT_PREFIX + ">")
        return info.state.last_seq, [key.removeprefix(SUBJECT_PREFIX) for key in (info.state.subjects or {})]

    async def _bucket(self) -> KeyValue:
        if self._kv is None:
            self._kv = await self._js.key_value(BUCKET_POLICY)
        return self._kv

    async def _bounded(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await work
        except (NatsError, TimeoutError, OSError) as error:
            raise StoreUnavailable(f"the bundle store did not answer: {type(error).__name__}") from error
