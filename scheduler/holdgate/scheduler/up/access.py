"""Who may use which NATS subject: the least that each kind of process needs.

What always holds: a worker may publish its own pool's asks, beats and results, and read nothing but its own inbox and
its pool's control messages; nobody but `operator` may create or delete streams; replies are read by whoever asked only,
because every user has an inbox of its own. Answers go to inboxes of those who may ask: nobody may publish to whatever
subject a request names.

Each pool's workers live in an account of their own, where there is no stream. Asks and beats are heard from there, and
answers to them asked into it; results go the other way, and JetStream's acknowledgement comes back into the workers'
account: whatever subject a worker names for it, it is one of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from holdgate.bundles.buckets import prefix_of, stream_of
from holdgate.kernel import subjects
from holdgate.scheduler.up.accounts import NatsAccount, NatsUser, Shared

OPERATOR = subjects.OPERATOR_USER
"""Everything: creates streams, publishes the first bundle, repairs."""
PROCESSES = ("kernel", "api", "dispatcher", "output-gate", "auditor")
ACCOUNT = "HOLDGATE"
"""Of everybody but workers, and of all streams."""
DEMO_POOL = "default"
POOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
WORKERS_CONNECTIONS_MAX = 3072
"""Of the workers of all pools, each of which has its share: three quarters of the server's, so that the processes find
room."""
CONNECTIONS_MAX, CONNECTIONS_MIN = 2048, 64
"""Of the workers of one pool, however few or many pools there are."""
SUBSCRIPTIONS_MAX = 65_536
ANSWER_S = 5
"""How long the server remembers whom an answer with jobs was for, to say that nobody took it."""
_PAYLOAD_STREAM = f"OBJ_{subjects.BUCKET_PAYLOADS}"


@dataclass(frozen=True, slots=True)
class Access:
    """Subjects that a user may publish and subscribe to, beside its own inbox."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()


def worker_user(pool: str) -> str:
    """The name of the user that all workers of `pool` share."""
    return f"{subjects.WORKER_USER}{pool}"


def nats_user(name: str, nkeys: tuple[str, ...], access: Access | None) -> NatsUser:
    """A user for the server's configuration, who has one of these keys; None: everything."""
    if access is None:
        return NatsUser(name, nkeys=nkeys)
    return NatsUser(name, "", access.publish, (*access.subscribe, f"{subjects.inbox(name)}.>"), nkeys)


def accounts(nkeys: Mapping[str, tuple[str, ...]]) -> dict[str, NatsAccount]:
    """All accounts for the users in `nkeys`: their public keys by name."""
    pools = sorted(name.removeprefix(subjects.WORKER_USER) for name in nkeys if name.startswith(subjects.WORKER_USER))
    users = [nats_user(name, nkeys[name], access) for name, access in ACCESS.items()]
    return {
        ACCOUNT: NatsAccount(
            (*users, nats_user(OPERATOR, nkeys[OPERATOR], None)),
            exports=tuple(each for pool in pools for each in _to_workers(pool, worker_account(pool))),
            imports=tuple(each for pool in pools for each in _from_workers(pool, worker_account(pool))),
        ),
        **{worker_account(pool): _workers(pool, nkeys[worker_user(pool)], len(pools)) for pool in pools},
    }


def worker_account(pool: str) -> str:
    """The account of the workers of `pool`."""
    return f"WORKERS-{pool}"


def _workers(pool: str, nkeys: tuple[str, ...], pools: int) -> NatsAccount:
    return NatsAccount(
        (nats_user(worker_user(pool), nkeys, worker_access(pool)),),
        jetstream=False,
        exports=_from_workers(pool, ACCOUNT),
        imports=_to_workers(pool, ACCOUNT),
        connections_max=max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, WORKERS_CONNECTIONS_MAX // pools)),
        subscriptions_max=SUBSCRIPTIONS_MAX,
    )


def _from_workers(pool: str, account: str) -> tuple[Shared, ...]:
    """What others hear of a pool's workers, and where they answer. `account`: the other side's."""
    return (
        Shared("stream", subjects.ask(pool, "*"), account),
        Shared("stream", subjects.beat(pool, "*"), account),
        Shared("service", f"{subjects.inbox(worker_user(pool))}.>", account, ANSWER_S),
    )


def _to_workers(pool: str, account: str) -> tuple[Shared, ...]:
    """What a pool's workers hear of others, and where they leave results."""
    return (
        Shared("stream", subjects.control(pool, "*"), account),
        Shared("service", subjects.result(pool, "*"), account),
    )


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
