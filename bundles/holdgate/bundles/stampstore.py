"""Where the stamp lies: a JetStream key-value bucket of its own, so that stamping does not wake who watches bundles."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig
from nats.js.errors import KeyNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from holdgate.bundles.errors import StoreUnavailable
from holdgate.kernel.subjects import BUCKET_STAMP

KEY = "published"


class StampStore:
    """The bucket through one NATS connection. Everything raises StoreUnavailable when JetStream does not answer."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._js = nc.jetstream(timeout=timeout_s)
        self._kv: KeyValue | None = None
        self._timeout_s = timeout_s

    async def ensure(self, *, replicas: int = 1) -> None:
        """Create the bucket where it does not exist."""
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    self._kv = await self._js.key_value(BUCKET_STAMP)
                except NotFoundError:
                    config = KeyValueConfig(bucket=BUCKET_STAMP, history=1, replicas=replicas)
                    self._kv = await self._js.create_key_value(config)
        except (NatsError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error

    async def get(self) -> bytes | None:
        """The newest stamp, not verified; None where there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return (await (await self._bucket()).get(KEY)).value or b""
        except (KeyNotFoundError, NotFoundError):
            return None  # no stamp yet, or a system that was set up before there were stamps
        except (NatsError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error

    async def put(self, data: bytes) -> None:
        """Store `data` as the newest; of two replicas of the API the later one stays."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await (await self._bucket()).put(KEY, data)
        except (NatsError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error

    async def _bucket(self) -> KeyValue:
        if self._kv is None:
            self._kv = await self._js.key_value(BUCKET_STAMP)
        return self._kv


def _unavailable(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"the store of stamps did not answer: {type(error).__name__}")
