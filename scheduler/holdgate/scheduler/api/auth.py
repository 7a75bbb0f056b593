"""Who calls over HTTP: the key in the headers of a request becomes a principal, or the request ends here.

What always holds: a header can only agree with what the key's record says.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.identity.principals import ApiKeys, Principal

KEY_BYTES_MAX = 512


class KeyRefused(Problem):
    """a key was given that nobody has"""

    def __init__(self) -> None:
        super().__init__("unauthenticated", "the API key is not known, or it was revoked")


def authenticate(headers: Iterable[tuple[bytes, bytes]], keys: ApiKeys) -> Principal:
    """The caller of a request; Problem `unauthenticated` or `tenant_mismatch`.

    The key is in `X-API-Key` or in `Authorization: Bearer`; both at once must agree, so that a proxy and an
    application behind it cannot see two callers. `X-Tenant-ID` is optional and must be the key's tenant.
    """
    key: bytes | None = None
    tenant: bytes | None = None
    for name, value in headers:
        if name == b"x-api-key":
            key = _same(key, value.strip())
        elif name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                key = _same(key, token.strip())
        elif name == b"x-tenant-id":
            if tenant is not None and tenant != value:
                raise Problem("tenant_mismatch", "`X-Tenant-ID` is given twice")
            tenant = value
    if not key or len(key) > KEY_BYTES_MAX:
        raise Problem("unauthenticated", "send an API key as `X-API-Key` or `Authorization: Bearer`")
    principal = keys.principal_of(key)
    if principal is None:
        raise KeyRefused
    if tenant is not None and tenant != principal.tenant.encode():
        raise Problem("tenant_mismatch", "`X-Tenant-ID` is not the tenant of the key")
    return principal


def _same(one: bytes | None, other: bytes) -> bytes:
    if one is not None and one != other:
        raise Problem("unauthenticated", "two different API keys are given")
    return other
