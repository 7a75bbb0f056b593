"""What befalls a bucket from outside: nobody can empty one, so that who wants it empty makes it anew."""

from __future__ import annotations

from nats.aio.client import Client as Nats

from holdgate.bundles.buckets import ensure_bucket, stream_of


async def emptied(nc: Nats, bucket: str) -> None:
    """Delete `bucket` with all that is in it, and make it again as it was."""
    js = nc.jetstream()
    held = (await js.stream_info(stream_of(bucket))).config
    await js.delete_stream(stream_of(bucket))
    await ensure_bucket(js, bucket, history=held.max_msgs_per_subject or 1, replicas=held.num_replicas or 1)
