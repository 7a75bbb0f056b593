"""Where the stamp lies: a JetStream key-value bucket of its own, so that stamping does not wake who watches bundles."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from holdgate.bundles.buckets import ensure_bucket, prefix_of, stream_of
from holdgate.bundles.errors import StoreUnavailable
from holdgate.kernel.subjects import BUCKET_STAMP

SUBJECT = f"{prefix_of(BUCKET_STAMP)}published"


class StampStore:
    """The bucket through one NATS connection. Everything raises StoreUnavailable when JetStream does not answer."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._js = nc.jetstream(timeout=timeout_s)
        self._timeout_s = timeout_s

    async def ensure(self, *, replicas: int = 1) -> None:
        """Create the bucket where it does not exist (`ensure_bucket`)."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await ensure_bucket(self._js, BUCKET_STAMP, history=1, replicas=replicas)
        except (NatsError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error

    async def get(self) -> bytes | None:
        """The newest stamp, not verified; None where there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return (await self._js.get_last_msg(stream_of(BUCKET_STAMP), SUBJECT)).data or b""
        except NotFoundError:
            return None  # no stamp yet, or a system that was set up before there were stamps
        except (NatsError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error

    async def put(self, data: bytes) -> None:
        """Store `data` as the newest; of two replicas of the API the later one stays."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._js.publish(SUBJECT, data)
        except (NatsError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error


def _unavailable(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"the store of stamps did not answer: {type(error).__name__}")
