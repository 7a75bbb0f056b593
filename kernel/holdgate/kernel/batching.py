"""Group commit: what arrives while a flush is under way leaves together in the next one.

`GroupCommit` is the pattern; `BatchPublisher` is it for JetStream, with atomic batches (NATS ADR-50). What always
holds: every caller learns the fate of its own item; one failing item does not fail others; waiting is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import nats.errors
from nats.aio.client import Client as Nats

from holdgate.kernel.errors import Unavailable
from holdgate.kernel.ids import new_token
from holdgate.kernel.tasks import TaskSet

Item = TypeVar("Item")
Reply = TypeVar("Reply")

WAITING_MAX = 20_000
"""Beyond this the part behind is not slow but gone: refuse at once instead of piling up."""
ATOMIC_MESSAGES_MIN = 4
"""The server stages an atomic batch before it commits it. For fewer messages that takes longer than one by one: at 600
submits a second the median went from 11 to 4 ms."""
BATCH_MESSAGES_MAX = 512
"""JetStream takes up to 1,000 messages in an atomic batch."""
BATCH_BYTES_MAX = 4 * 1024 * 1024
_SUBJECT = re.compile(r"[\x21-\x7e]+\Z")
DUPLICATE_IN_BATCH = 10201
"""JetStream refuses an atomic batch that has a message id of the duplicate window."""


class GroupCommit(Generic[Item, Reply]):
    """Collects items while the last flush is under way.

    `flush` gets up to `batch_max` items and gives a reply or an exception for each, in order; what it raises goes to
    all of them.
    """

    def __init__(
        self,
        flush: Callable[[list[Item]], Awaitable[Sequence[Reply | Exception]]],
        *,
        batch_max: int,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._flush = flush
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: deque[tuple[Item, asyncio.Future[Reply]]] = deque()
        self._tasks = TaskSet(self._flusher_failed)
        self._is_closed = False
        self._is_running = False

    async def submit(self, item: Item) -> Reply:
        """The reply for `item`; Unavailable when too much is waiting or after `close`."""
        if self._is_closed or len(self._waiting) >= self._waiting_max:
            raise Unavailable("closed" if self._is_closed else "too many calls are waiting")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if not self._is_running:
            self._is_running = True
            self._tasks.start(self._run(), "group-commit")
        return await future

    async def close(self) -> None:
        """Refuse what waits and stop; idempotent."""
        self._is_closed = True
        await self._tasks.close()
        self._refuse_waiting(Unavailable("closed"))

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._run_once()
        finally:
            # Not left to the task's own end: a caller that is answered may submit before that is noticed.
            self._is_running = False

    async def _run_once(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
        batch = [entry for entry in batch if not entry[1].done()]
        if not batch:
            return
        replies: Sequence[Reply | Exception]
        try:
            replies = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  whatever the flush met, its callers hear of it
            replies = [error] * len(batch)
        except asyncio.CancelledError:
            for _, future in batch:
                if not future.done():
                    future.set_exception(Unavailable("closed while a flush was under way"))
            raise
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def _flusher_failed(self, _name: str, error: BaseException) -> None:
        self._refuse_waiting(error)

    def _refuse_waiting(self, error: BaseException) -> None:
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)


@dataclass(frozen=True, slots=True)
class Publication:
    """One message for a stream. `message_id` makes a repeat within the stream's duplicate window one message."""

    subject: str
    body: bytes
    message_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


class BatchPublisher:
    """Publishes into one stream; what is waiting leaves as one atomic batch."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._nc = nc
        self._timeout_s = timeout_s
        self._commit: GroupCommit[Publication, None] = GroupCommit(self._flush, batch_max=BATCH_MESSAGES_MAX)

    async def publish(self, publication: Publication) -> None:
        """In the stream, as durable as the stream is, when it returns; Unavailable otherwise (a repeat is safe)."""
        if len(publication.body) > self._nc.max_payload:
            # Refused at the door: in a batch it would take the others with it.
            raise Unavailable(f"a message of {len(publication.body)} bytes is over the limit of the NATS server")
        _verify(publication)
        await self._commit.submit(publication)

    async def close(self) -> None:
        """Refuse what waits; idempotent."""
        await self._commit.close()

    async def _flush(self, batch: list[Publication]) -> list[Exception | None]:
        outcomes: list[Exception | None] = []
        for part in _parts(batch):
            outcomes += await (self._single(part) if len(part) < ATOMIC_MESSAGES_MIN else self._atomic(part))
        return outcomes

    async def _atomic(self, batch: list[Publication]) -> list[Exception | None]:
        batch_id = new_token()
        try:
            await self._send([(item, _batch_headers(item, batch_id, n)) for n, item in enumerate(batch[:-1], start=1)])
            last = batch[-1]
            headers = {**_batch_headers(last, batch_id, len(batch)), "Nats-Batch-Commit": "1"}
            refused = await self._request(last, headers)
        except Unavailable as error:
            return [error] * len(batch)
        except (nats.errors.Error, OSError) as error:
            return [_unavailable(error)] * len(batch)
        if refused is None:
            return [None] * len(batch)
        if refused == DUPLICATE_IN_BATCH:
            return await self._single(batch)
        return [Unavailable(f"the stream refused a batch (JetStream error {refused})")] * len(batch)

    async def _send(self, messages: list[tuple[Publication, dict[str, str]]]) -> None:
        """All in one piece. `Client.publish` checks, encodes and hands over each message for itself, which took a
        quarter of the processor time of a submit; the client has no public call for many messages at once."""
        if not self._nc.is_connected:
            raise Unavailable("JetStream is not connected")
        await self._nc._send_command(b"".join([_command(publication, headers) for publication, headers in messages]))

    async def _single(self, batch: list[Publication]) -> list[Exception | None]:
        return list(await asyncio.gather(*(self._one(publication) for publication in batch)))

    async def _one(self, publication: Publication) -> Exception | None:
        try:
            refused = await self._request(publication, _headers(publication))
        except Unavailable as error:
            return error
        return None if refused is None else Unavailable(f"the stream refused a message (JetStream error {refused})")

    async def _request(self, publication: Publication, headers: dict[str, str]) -> int | None:
        """None when the stream confirmed, else its error code; Unavailable when nothing answered in time."""
        try:
            reply = await self._nc.request(
                publication.subject, publication.body, timeout=self._timeout_s, headers=headers
            )
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise _unavailable(error) from error
        return _refusal(reply.data)


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable(f"JetStream did not confirm: {type(error).__name__}")


def _headers(publication: Publication) -> dict[str, str]:
    return {**publication.headers, "Nats-Msg-Id": publication.message_id}


def _batch_headers(publication: Publication, batch_id: str, number: int) -> dict[str, str]:
    return {**_headers(publication), "Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}


def _verify(publication: Publication) -> None:
    """ValueError when a word of the message would end its line in the protocol, and so begin another command."""
    words = (publication.message_id, *publication.headers, *publication.headers.values())
    if _SUBJECT.match(publication.subject) is None or not all(map(str.isprintable, words)):
        raise ValueError("a subject or a header of a message has a space or a control character in it")


def _command(publication: Publication, headers: Mapping[str, str]) -> bytes:
    """The message as the NATS protocol writes it (`HPUB`)."""
    head = "NATS/1.0\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) + "\r\n"
    encoded = head.encode()
    size = len(encoded)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (
        publication.subject.encode(),
        size,
        size + len(publication.body),
        encoded,
        publication.body,
    )


def _parts(batch: list[Publication]) -> list[list[Publication]]:
    """`batch` in order, cut where its bytes pass the bound or an id comes twice (JetStream would refuse the batch)."""
    parts: list[list[Publication]] = [[]]
    size, ids = 0, set[str]()
    for publication in batch:
        if parts[-1] and (size + len(publication.body) > BATCH_BYTES_MAX or publication.message_id in ids):
            parts.append([])
            size, ids = 0, set()
        parts[-1].append(publication)
        size += len(publication.body)
        ids.add(publication.message_id)
    return parts


def _refusal(data: bytes) -> int | None:
    answer: Any = None
    with contextlib.suppress(ValueError):
        answer = json.loads(data)
    if not isinstance(answer, dict):
        return 0
    error = answer.get("error")
    return None if error is None else int(error.get("err_code") or error.get("code") or 0)
