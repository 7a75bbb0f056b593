"""Who may do what in Redis: a user for each kind of process, with the commands that it sends and no others.

What always holds: no process can read or change how the server is configured, where passwords of replicas and
sentinels stand, look at other connections, list or drop what is there, or touch a key that is none of Holdgate's; who
copies the data, moves the primary or reads the configuration has no keys, and the operator alone has everything;
nobody comes in without a password, and the server's own user `default` is off; what lies in the server's file are
digests of passwords. Whoever may run scripts may do in them what stands here, and no more: Redis checks each
command of a script against the user that sent it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

KEYS = "hg:*"
CONNECTING = ("hello", "ping", "select", "client|setname", "role", "wait", "cluster|info", "cluster|slots")
"""What a connection of ours says: who the server is, and that replicas have what was written."""
CHECKING = ("info",)
"""What the start looks at: whether the server keeps what it confirms, as far as it says so to everybody."""
LOADING = ("script|exists", "script|load")
SCRIPTS = (*LOADING, "eval", "evalsha")
READING = (
    *("exists", "get", "hexists", "hget", "hgetall", "hmget", "hscan", "hstrlen", "lindex", "llen", "lrange", "pttl"),
    *("scard", "smembers", "srandmember", "xrange", "xrevrange", "zcard", "zmscore", "zrange", "zrangebyscore"),
    *("zrevrange", "zrevrangebylex", "zscore"),
)
WRITING = (
    *("del", "expire", "hdel", "hincrby", "hset", "hsetnx", "incr", "pexpire", "pexpireat", "rpush", "sadd", "set"),
    *("spop", "srem", "unlink", "xadd", "xdel", "zadd", "zpopmin", "zrem", "zremrangebylex", "zremrangebyrank"),
    "zremrangebyscore",
)


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Commands, `name` or `name|subcommand`, and patterns of keys and channels."""

    commands: tuple[str, ...]
    keys: tuple[str, ...] = (KEYS,)
    channels: tuple[str, ...] = ()


_STATE = RedisAccess((*CONNECTING, *CHECKING, *SCRIPTS, *READING, *WRITING))

REDIS_ACCESS: dict[str, RedisAccess] = {
    "api": _STATE,
    "dispatcher": _STATE,
    "output-gate": _STATE,
    # Reads the trail of each tenant and takes away what it has archived; says that it is there. It loads scripts, as
    # all do, and runs none.
    "auditor": RedisAccess(
        (*CONNECTING, *CHECKING, *LOADING, "get", "hdel", "hset", "smembers", "xrange", "xrevrange", "xtrim"),
        (
            "hg:*:audit",
            "hg:*:seq",
            *(f"hg:{{index}}:{name}" for name in ("audit_set_back", "processes", "records", "tenants")),
        ),
    ),
}
"""By kind of process. Kernels and workers have no user: they never speak to Redis."""

SETUP, REPLICA, SENTINELS = "setup", "replica", "sentinels"
SERVERS_ACCESS: dict[str, RedisAccess] = {
    # `holdgate setup`, which people run: reads how the server is configured, and so what replicas say to it.
    SETUP: RedisAccess((*CONNECTING, *LOADING, "config|get"), ()),
    # What a replica says to its primary (`masteruser`): it gets everything, and changes nothing.
    REPLICA: RedisAccess(("psync", "replconf", "ping"), ()),
    # What sentinels say to the servers that they watch (`sentinel auth-user`).
    SENTINELS: RedisAccess(
        (
            *("client|kill", "client|setname", "config|rewrite", "exec", "info", "multi", "ping", "publish"),
            *("replicaof", "role", "script|kill", "slaveof", "subscribe"),
        ),
        (),
        ("__sentinel__:hello",),
    ),
}
"""By user: who is no process of Holdgate's."""
USERS_ACCESS = REDIS_ACCESS | SERVERS_ACCESS
"""Everybody but the operator."""
SENTINEL_READING = RedisAccess(
    ("ping", "hello", "client|setname", "sentinel|get-master-addr-by-name", "sentinel|master"), ()
)
"""What processes ask sentinels, which have users of their own."""
SENTINEL_PEERS = RedisAccess(
    (
        *("ping", "hello", "client|setname", "publish", "subscribe", "info", "role"),
        *("sentinel|is-master-down-by-addr", "sentinel|myid"),
    ),
    (),
    ("__sentinel__:hello",),
)
"""What sentinels say to each other."""


@dataclass(frozen=True, slots=True)
class RedisUser:
    """`digests`: SHA-256 of each password that is taken, hex. `access` None: everything."""

    name: str
    digests: tuple[str, ...]
    access: RedisAccess | None

    def line(self) -> str:
        """Its line in the server's file of users."""
        rules = ["allkeys", "allchannels", "+@all"]
        if self.access is not None:
            rules = ["resetkeys", *(f"~{pattern}" for pattern in self.access.keys)]
            rules += ["resetchannels", *(f"&{pattern}" for pattern in self.access.channels), "-@all"]
            rules += [f"+{command}" for command in self.access.commands]
        return " ".join(["user", self.name, "on", *(f"#{digest}" for digest in self.digests), *rules])


def digest_of(password: str) -> str:
    """What the server keeps of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


def users_text(users: tuple[RedisUser, ...]) -> str:
    """The server's file of users (`aclfile`)."""
    default = "user default off resetpass resetkeys resetchannels -@all"
    return "\n".join([*(user.line() for user in users), default, ""])
