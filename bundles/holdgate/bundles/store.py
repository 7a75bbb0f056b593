"""The bundle store: a JetStream key-value bucket, one key a bundle. Nothing in it is believed: kernels verify.

Candidates that are only watched lie in a bucket of their own, so that writing one is no conflict for who publishes.

What always holds: writing names the revision that was read, so that of two authors who publish at once one is told.
Beside each file lies who published it (`Note`): what whoever wrote it said, and no proof; signatures are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeVar

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import APIError, NotFoundError
from nats.js.kv import KV_DEL, KV_OP

from holdgate.bundles.buckets import ensure_bucket, prefix_of, stream_of
from holdgate.bundles.errors import BundleConflict, StoreUnavailable
from holdgate.bundles.format import BUNDLE_BYTES_MAX
from holdgate.kernel.ids import NAME
from holdgate.kernel.subjects import BUCKET_POLICY, BUCKET_SHADOW

log = structlog.get_logger("holdgate.bundles")

T = TypeVar("T")

HISTORY = 64
"""Files kept under a name, the most that a key-value bucket can."""
NAMES_MAX = 1000
"""Names looked at: more than a set may have, so that names that somebody made up do not hide those in force."""
STREAM = stream_of(BUCKET_POLICY)
SUBJECT_PREFIX = prefix_of(BUCKET_POLICY)
PUBLISHER = "Holdgate-Publisher"
ACCEPTED_WIDENING = "Holdgate-Accepted-Widening"
PUBLISHER_CHARS_MAX = 256
NO_MESSAGE = 10037
"""What a server says where a stream has no such message."""
WRONG_LAST = frozenset({10071, 10164})
"""What a server calls a write after another revision than the one expected."""


@dataclass(frozen=True, slots=True)
class Note:
    """Who published a file, and whether what it allows beyond the one before was accepted."""

    publisher: str = ""
    accepted_widening: bool = False

    def headers(self) -> dict[str, str]:
        """As it is stored; what a header could not carry is left out of the name."""
        return {PUBLISHER: _name_in(self.publisher), ACCEPTED_WIDENING: "true" if self.accepted_widening else "false"}

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self:
        """Of what is stored, by whomever; empty where nothing was said."""
        return cls(_name_in(headers.get(PUBLISHER, "")), headers.get(ACCEPTED_WIDENING) == "true")


def _name_in(text: object) -> str:
    """What of `text` a name may have. A header that is not ASCII is read as an object that is no string."""
    return "".join(sign for sign in str(text) if "!" <= sign <= "~")[:PUBLISHER_CHARS_MAX]


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """What the store holds under a name. `published_ms` is the server's time, 0 where it did not say."""

    name: str
    data: bytes
    revision: int
    published_ms: int = 0
    note: Note = Note()


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a store has at its revision `seq`: names, of some of which there may be nothing left.

    `made`: when the store was made. Of one that was made again, revisions say nothing about those before.
    """

    seq: int
    made: str
    names: tuple[str, ...]


class BundleStore:
    """The bucket through one NATS connection. Everything raises StoreUnavailable when JetStream does not answer."""

    def __init__(
        self, nc: Nats, *, bucket: str = BUCKET_POLICY, history: int = HISTORY, timeout_s: float = 5.0
    ) -> None:
        self._nc = nc
        self._js: JetStreamContext = nc.jetstream(timeout=timeout_s)
        self._bucket = bucket
        self._history = history
        self._stream = stream_of(bucket)
        self._prefix = prefix_of(bucket)
        self._timeout_s = timeout_s

    async def ensure(self, *, replicas: int = 1) -> None:
        """Create the bucket where it does not exist; let one that keeps less keep more (`ensure_bucket`)."""
        await self._bounded(ensure_bucket(self._js, self._bucket, history=self._history, replicas=replicas))

    async def get(self, name: str) -> StoredBundle | None:
        """The newest of `name`; None when there is none."""

        message = await self._bounded(self._message(name))
        return None if message is None or _is_removal(message) else _stored(name, message)

    async def history(self, name: str) -> AsyncIterator[StoredBundle]:
        """What is kept of `name`, oldest first, at most HISTORY files, one at a time."""
        subject, after = self._prefix + name, 0
        for _ in range(HISTORY + 1):  # one more may be written while this is read
            message = await self._bounded(self._next(subject, after + 1))
            if message is None:
                return
            after = message.seq or after + 1
            if not _is_removal(message):
                yield _stored(name, message)

    async def put(
        self,
        name: str,
        data: bytes,
        *,
        after_revision: int | None,
        unchanged_since: int | None = None,
        note: Note | None = None,
    ) -> int:
        """Store `data` and return its revision; BundleConflict when `after_revision` is not the newest any more.

        With `unchanged_since`, a number that `revisions` gave for the whole store, any other write is a conflict too.
        """

        async def work() -> int:
            last = await self._deleted_at(name) if after_revision is None else after_revision
            headers = {} if note is None else note.headers()
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(last)
            if unchanged_since is not None:
                headers[Header.EXPECTED_LAST_SEQUENCE] = str(unchanged_since)
            try:
                return (await self._js.publish(self._prefix + name, data, headers=headers)).seq
            except APIError as error:
                if error.err_code not in WRONG_LAST:
                    raise
                raise BundleConflict(
                    f"somebody else published while `{name}` was checked; look at what they published "
                    f"(`holdgate bundle log`, `diff`) and publish again"
                ) from error

        if len(data) > BUNDLE_BYTES_MAX:
            raise BundleConflict(f"{len(data)} bytes are over the limit of {BUNDLE_BYTES_MAX}", code="bundle_too_large")
        return await self._bounded(work())

    async def inventory(self, first: Collection[str] = ()) -> Inventory:
        """What is there, at most NAMES_MAX names, those in `first` before all others: names that somebody makes up
        hide none of them. Keys that no bundle can have are left out: what is told of a bundle names it.
        """

        async def work() -> Inventory:
            info = await self._js.stream_info(self._stream, subjects_filter=self._prefix + ">")
            keys = (key.removeprefix(self._prefix) for key in (info.state.subjects or {}))
            names = sorted((key for key in keys if NAME.match(key)), key=lambda name: (name not in first, name))
            return Inventory(info.state.last_seq, str(info.created), tuple(names[:NAMES_MAX]))

        return await self._bounded(work())

    async def revisions(self) -> dict[str, int]:
        """Names of all bundles, and a number for the whole store under the empty name: it rises with every write."""
        found = await self.inventory()
        return {"": found.seq, **dict.fromkeys(found.names, 0)}

    async def names(self) -> list[str]:
        """Names of all that was ever put, in order; of some there may be nothing left."""
        return sorted(name for name in await self.revisions() if name)

    async def remove(self, name: str) -> None:
        """Say that `name` is gone. Its history stays."""

        async def work() -> None:
            await self._js.publish(self._prefix + name, headers={KV_OP: KV_DEL})

        await self._bounded(work())

    async def on_write(self, callback: Callable[[], None]) -> Subscription:
        """Call `callback` when something was written; a hint that may be lost."""

        async def hear(_message: Msg) -> None:
            callback()

        return await self._nc.subscribe(self._prefix + ">", cb=hear)

    async def _next(self, subject: str, seq: int) -> RawStreamMsg | None:
        """The first message of `subject` at `seq` or later, as the leader has it: a direct get may be answered late."""
        try:
            return await self._js.get_msg(self._stream, seq=seq, subject=subject, next=True)
        except NotFoundError as error:
            _require_message_missing(error)
            return None

    async def _message(self, name: str) -> RawStreamMsg | None:
        """The newest under `name`, a file or that it was removed."""
        try:
            return await self._js.get_last_msg(self._stream, self._prefix + name)
        except NotFoundError as error:
            _require_message_missing(error)
            return None

    async def _deleted_at(self, name: str) -> int:
        """Where `name` was deleted last; 0 where it was not, or is there."""
        message = await self._message(name)
        return 0 if message is None or not _is_removal(message) else message.seq or 0

    async def _bounded(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await work
        except (NatsError, TimeoutError, OSError) as error:
            raise StoreUnavailable(f"the bundle store did not answer: {type(error).__name__}") from error


def shadow_store(nc: Nats) -> BundleStore:
    """Where candidates lie that are only watched, each under its bundle's name; none of them can be in force."""
    return BundleStore(nc, bucket=BUCKET_SHADOW, history=1)


async def end_hints(subscription: Subscription) -> None:
    """End what `on_write` began; that the connection ended first is no fault."""
    try:
        await subscription.unsubscribe()
    except NatsError as error:
        log.debug("the connection ended first", action="policy.stop", error=type(error).__name__)


def _require_message_missing(error: NotFoundError) -> None:
    """A store that is not there at all is no empty one."""
    if error.err_code != NO_MESSAGE:
        raise error


def _is_removal(message: RawStreamMsg) -> bool:
    return KV_OP in (message.headers or {})


def _stored(name: str, message: RawStreamMsg) -> StoredBundle:
    at = message.time if isinstance(message.time, datetime) else None
    published_ms = 0 if at is None else int(at.timestamp() * 1000)
    return StoredBundle(name, message.data or b"", message.seq or 0, published_ms, Note.read(message.headers or {}))
