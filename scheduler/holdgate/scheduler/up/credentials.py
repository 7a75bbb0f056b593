"""Users of NATS and Redis in the directory of a system: made, found, exchanged, taken away.

What always holds: a seed or a password lies in a file of its own, 0600; what servers are told of it, a public key or
a digest, lies beside it (`.pub`), and is all that their configuration is made from. So a seed can be taken to where it
is used, and its user goes on. While a credential is exchanged the old one holds, until it is retired.
"""

from __future__ import annotations

import os
from pathlib import Path

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Entropy
from holdgate.kernel.nkeys import Nkey, verify_public
from holdgate.kernel.subjects import OPERATOR_USER, WORKER_USER
from holdgate.scheduler.errors import NotFound
from holdgate.scheduler.settings import read_secret
from holdgate.scheduler.up.access import ACCESS, DEMO_POOL, POOL, worker_user
from holdgate.scheduler.up.home import REDIS, Home, redis_secret
from holdgate.scheduler.up.redisusers import USERS_ACCESS, RedisUser, digest_of
from holdgate.scheduler.up.servers import write_private

ACCEPTED_MAX = 2
"""Credentials of one user that hold at a time: the newest, and the one before it."""


def ensure_nkey(home: Home, user: str, entropy: Entropy) -> None:
    """A key of `user`, unless there is one; its seed may be elsewhere."""
    if home.public_file(user).exists():
        return
    file = home.nkey_file(user)
    key = nkey_of(home, user) if file.exists() else Nkey.generate(entropy)
    write_private(file, key.seed + "\n")
    _accept(home, user, (key.public,))


def ensure_password(home: Home, name: str, entropy: Entropy) -> str:
    """The password in `secrets/name`, made where there is none; its digest beside it."""
    password = secret_in(home.password_file(name), entropy)
    if digest_of(password) not in accepted(home, name):
        _accept(home, name, (digest_of(password),))
    return password


def secret_in(file: Path, entropy: Entropy) -> str:
    """The secret in `file`, made where there is none."""
    if not file.exists():
        write_private(file, entropy(24).hex() + "\n")
    return file.read_text().strip()


def nkey_of(home: Home, user: str) -> Nkey:
    """The key of `user`; Misconfigured when its seed is not here, or others may read it."""
    return Nkey.parse(read_secret(home.nkey_file(user)).get_secret_value())


def nkeys(home: Home) -> tuple[Nkey, ...]:
    """All keys whose seeds are here."""
    return tuple(nkey_of(home, file.stem) for file in sorted(home.path.glob("secrets/*.nkey")))


def pools(home: Home) -> tuple[str, ...]:
    """Pools that have a user."""
    files = home.path.glob(f"secrets/{WORKER_USER}*.pub")
    return tuple(sorted(file.stem.removeprefix(WORKER_USER) for file in files))


def nats_users(home: Home) -> dict[str, tuple[str, ...]]:
    """Public keys of each user of NATS."""
    names = (*ACCESS, OPERATOR_USER, *map(worker_user, pools(home)))
    return {name: accepted(home, name) for name in names}


def redis_users(home: Home) -> tuple[RedisUser, ...]:
    """Users of Redis."""
    bound = [RedisUser(name, accepted(home, redis_secret(name)), access) for name, access in USERS_ACCESS.items()]
    return (*bound, RedisUser(OPERATOR_USER, accepted(home, REDIS), None))


def accepted(home: Home, name: str) -> tuple[str, ...]:
    """What servers take from `name`, newest first."""
    file = home.public_file(name)
    return tuple(file.read_text().split()) if file.exists() else ()


def known_digests(home: Home) -> tuple[str, ...]:
    """Of every seed that is here and every password, and of those before them that still hold."""
    passwords = (digest for name in (REDIS, *map(redis_secret, USERS_ACCESS)) for digest in accepted(home, name))
    former = (file.read_text().strip() for file in sorted(home.path.glob("secrets/*.former")))
    return (*(digest_of(key.seed) for key in nkeys(home)), *passwords, *former)


def add_pool(home: Home, pool: str, public: str | None, entropy: Entropy = os.urandom) -> None:
    """A user for the workers of `pool`: with the key that `public` is of, or a new one whose seed is left here.

    InvalidInput when the pool has one, or cannot be called so.
    """
    user = worker_user(pool)
    if POOL.match(pool) is None:
        raise InvalidInput("a pool's name has lower-case letters, digits, `-` and `_`, at most 63")
    if home.public_file(user).exists():
        raise InvalidInput(f"pool `{pool}` has a user; `holdgate users rotate {user}` gives it another key")
    if public is None:
        ensure_nkey(home, user, entropy)
    else:
        _accept(home, user, (verify_public(public),))


def remove_pool(home: Home, pool: str) -> None:
    """The user of `pool` goes, with its seed. NotFound where there is none; InvalidInput for the one always made."""
    if pool == DEMO_POOL:
        raise InvalidInput(f"pool `{pool}` always has a user; `holdgate users rotate` gives it another key")
    user = _known(home, worker_user(pool))
    home.public_file(user).unlink()
    home.nkey_file(user).unlink(missing_ok=True)
    home.former_file(user).unlink(missing_ok=True)


def rotate(home: Home, user: str, public: str | None, entropy: Entropy = os.urandom) -> None:
    """Another credential for `user`; the one before it holds as well, until `retire`. NotFound, InvalidInput."""
    before = accepted(home, _known(home, user))
    if len(before) >= ACCEPTED_MAX:
        raise InvalidInput(f"`{user}` has two that hold: `holdgate users retire {user}` ends the older one first")
    if user.startswith(REDIS):
        if public is not None:
            raise InvalidInput("Redis knows passwords, and no public keys")
        password = entropy(24).hex()
        _accept(home, user, (digest_of(password), *before))
        write_private(home.password_file(user), password + "\n")
        return
    if home.nkey_file(user).exists():
        write_private(home.former_file(user), digest_of(nkey_of(home, user).seed) + "\n")
    key = Nkey.generate(entropy) if public is None else None
    _accept(home, user, (key.public if key is not None else verify_public(public or ""), *before))
    if key is not None:
        write_private(home.nkey_file(user), key.seed + "\n")


def retire(home: Home, user: str) -> None:
    """Only the newest credential of `user` holds. NotFound."""
    _accept(home, user, accepted(home, _known(home, user))[:1])
    home.former_file(user).unlink(missing_ok=True)
    if home.nkey_file(user).exists() and nkey_of(home, user).public not in accepted(home, user):
        home.nkey_file(user).unlink()  # its newer key is elsewhere


def users(home: Home) -> tuple[str, ...]:
    """All names."""
    return (*nats_users(home), *map(redis_secret, USERS_ACCESS), REDIS)


def _known(home: Home, user: str) -> str:
    if user not in users(home):
        raise NotFound(f"there is no user `{user}`; `holdgate users list` shows them")
    return user


def _accept(home: Home, user: str, texts: tuple[str, ...]) -> None:
    write_private(home.public_file(user), "".join(f"{text}\n" for text in texts))
