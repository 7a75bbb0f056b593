"""Who may use which NATS subject: the least that each kind of process needs.

What always holds: a worker may publish its own pool's asks, beats and results, and read nothing but its own inbox and
its pool's control messages; nobody but `operator` may create or delete streams; replies are read by whoever asked only,
because every user has an inbox of its own. Answers go to inboxes of those who may ask: nobody may publish to whatever
subject a request names.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdgate.bundles.buckets import prefix_of, stream_of
from holdgate.kernel import subjects
from holdgate.scheduler.up.servers import NatsUser

OPERATOR = subjects.OPERATOR_USER
"""Everything: creates streams, publishes the first bundle, repairs."""
PROCESSES = ("kernel", "api", "dispatcher", "output-gate", "auditor")
DEMO_POOL = "default"
_PAYLOAD_STREAM = f"OBJ_{subjects.BUCKET_PAYLOADS}"


@dataclass(frozen=True, slots=True)
class Access:
    """Subjects that a user may publish and subscribe to, beside its own inbox."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()


def worker_user(pool: str) -> str:
    """The name of the user that all workers of `pool` share."""
    return f"{subjects.WORKER_USER}{pool}"


def nats_user(name: str, password: str, access: Access | None) -> NatsUser:
    """A user for the server's configuration; None: everything."""
    if access is None:
        return NatsUser(name, password)
    return NatsUser(name, password, access.publish, (*access.subscribe, f"{subjects.inbox(name)}.>"))


def worker_access(pool: str) -> Access:
    """What a worker of `pool` may do."""
    return Access(
        publish=(subjects.ask(pool, "*"), subjects.beat(pool, "*"), subjects.result(pool, "*")),
        subscribe=(subjects.control(pool, "*"),),
    )


def _read(stream: str) -> tuple[str, ...]:
    """Read what lies in a stream, one message at a time.

    Neither by a consumer nor by a direct get: the server sends what those give with rights of its own to whatever
    subject their user names, just as it was written, so who may write to the stream could speak as anybody. What these
    two give comes wrapped, as an answer of the server, and is nobody's message.
    """
    return (f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}")


def _read_values(*buckets: str) -> tuple[str, ...]:
    """Read key-value buckets."""
    return tuple(subject for bucket in buckets for subject in _read(stream_of(bucket)))


def _keys(*buckets: str) -> tuple[str, ...]:
    """All keys of key-value buckets: to write them, or to hear that one was written."""
    return tuple(f"{prefix_of(bucket)}>" for bucket in buckets)


def _write_objects(stream: str, bucket: str) -> tuple[str, ...]:
    """Put and delete in an object store."""
    return (f"$O.{bucket}.>", f"$JS.API.STREAM.PURGE.{stream}")


def _consume(stream: str, consumer: str) -> tuple[str, ...]:
    """Fetch and acknowledge with a durable consumer that exists."""
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.CONSUMER.INFO.{stream}.{consumer}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}",
        f"$JS.ACK.{stream}.{consumer}.>",
        # With a domain and an account hash in front, as newer servers may number them.
        f"$JS.ACK.*.*.{stream}.{consumer}.>",
    )


_OBJECTS = (*_read(_PAYLOAD_STREAM), *_write_objects(_PAYLOAD_STREAM, subjects.BUCKET_PAYLOADS))
_HINTS = (f"{subjects.WAKE}.*", f"{subjects.EVENT}.*", f"{subjects.CONTROL}.*.*")
_INFO = "$JS.API.INFO"

ACCESS: dict[str, Access] = {
    "kernel": Access(
        publish=(
            _INFO,
            subjects.POLICY_SNAPSHOT,
            subjects.POLICY_EVENT,
            *(f"{inbox}.>" for inbox in subjects.KERNEL_INBOXES if inbox != subjects.INBOX),
            *_read_values(subjects.BUCKET_POLICY, subjects.BUCKET_SHADOW, subjects.BUCKET_STAMP),
        ),
        subscribe=("holdgate.kernel.*", *_keys(subjects.BUCKET_POLICY, subjects.BUCKET_SHADOW)),
    ),
    "api": Access(
        publish=(
            _INFO,
            subjects.KERNEL_DECIDE,
            subjects.KERNEL_STATUS,
            # About what is to be read instead of a sealed output.
            subjects.KERNEL_OUTPUT,
            subjects.KERNEL_DETECTORS,
            f"{subjects.JOB}.*",
            *_HINTS,
            *_OBJECTS,
            *_read_values(subjects.BUCKET_POLICY, subjects.BUCKET_SHADOW, subjects.BUCKET_STAMP),
            *_keys(subjects.BUCKET_POLICY, subjects.BUCKET_SHADOW, subjects.BUCKET_STAMP),
        ),
        subscribe=(subjects.POLICY_SNAPSHOT, f"{subjects.EVENT}.*"),
    ),
    "dispatcher": Access(
        publish=(
            _INFO,
            subjects.KERNEL_DECIDE,
            subjects.KERNEL_PERMIT,
            subjects.KERNEL_STATUS,
            f"{subjects.JOB}.*",
            f"{subjects.inbox(worker_user('*'))}.>",
            # Nobody but an operator can listen to these two.
            f"{subjects.INBOX}.>",
            f"{subjects.inbox(OPERATOR)}.>",
            *_HINTS,
            *_OBJECTS,
            f"{subjects.ENDING}.*",
            *_read(subjects.STREAM_JOBS),
            *_read(subjects.STREAM_ENDED),
            *_consume(subjects.STREAM_JOBS, subjects.CONSUMER_INTAKE),
            *_consume(subjects.STREAM_RESULTS, subjects.CONSUMER_RESULT_WATCH),
            f"$JS.API.CONSUMER.INFO.{subjects.STREAM_RESULTS}.{subjects.CONSUMER_OUTPUT_GATE}",
        ),
        subscribe=(
            f"{subjects.ASK}.*.*",
            f"{subjects.BEAT}.*.*",
            f"{subjects.WAKE}.*",
            subjects.POLICY_SNAPSHOT,
            subjects.POLICY_EVENT,
        ),
    ),
    "output-gate": Access(
        publish=(
            _INFO,
            subjects.KERNEL_OUTPUT,
            subjects.KERNEL_DETECTORS,
            subjects.KERNEL_STATUS,
            f"{subjects.WAKE}.*",
            f"{subjects.EVENT}.*",
            *_OBJECTS,
            *_consume(subjects.STREAM_RESULTS, subjects.CONSUMER_OUTPUT_GATE),
        ),
        subscribe=(subjects.POLICY_SNAPSHOT,),
    ),
    "auditor": Access(publish=(_INFO,)),
}
