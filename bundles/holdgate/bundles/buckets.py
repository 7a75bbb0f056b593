"""Key-value buckets in JetStream that only grow older: what was written is pushed out by newer writes, never erased.

What always holds: a message on a bucket's subjects cannot take others away (`Nats-Rollup`), and neither can a purge or
a delete of one message: whoever may write may add a version, or say that a name is gone, and no more. To start anew an
operator deletes the whole stream and runs the setup again.
"""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError


def stream_of(bucket: str) -> str:
    """The stream that `bucket` lies in."""
    return f"KV_{bucket}"


def prefix_of(bucket: str) -> str:
    """What a key stands behind."""
    return f"$KV.{bucket}."


async def ensure_bucket(js: JetStreamContext, bucket: str, *, history: int, replicas: int) -> None:
    """Create `bucket` where it does not exist; let one that keeps less, or lets itself be erased, keep what it should.

    Raises what nats-py does.
    """
    try:
        found = (await js.stream_info(stream_of(bucket))).config
    except NotFoundError:
        await js.add_stream(_config(bucket, history, replicas))
        return
    keeps = (found.max_msgs_per_subject or 0) >= history
    if keeps and found.deny_purge and found.deny_delete and not found.allow_rollup_hdrs:
        return
    await js.update_stream(
        found,
        max_msgs_per_subject=max(history, found.max_msgs_per_subject or 0),
        allow_rollup_hdrs=False,
        deny_purge=True,
        deny_delete=True,
    )


def _config(bucket: str, history: int, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=stream_of(bucket),
        subjects=[f"{prefix_of(bucket)}>"],
        max_msgs_per_subject=history,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        num_replicas=replicas,
        allow_rollup_hdrs=False,
        deny_purge=True,
        deny_delete=True,
    )
