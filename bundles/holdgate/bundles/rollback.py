"""Rollback: the files of an older version under a version above all others, for authors to sign. No IO.

What always holds: rules, tests, scope and everything else that the older version said come back as they were, byte for
byte; only version and times are new. Whoever signs knows that authors signed what is brought back: a store or an API
that hands out another file gets no signature, and neither does one that makes up a version far away.
"""

from __future__ import annotations

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import DOMAIN, BundleFile
from holdgate.bundles.manifest import Manifest
from holdgate.bundles.root import Root
from holdgate.bundles.trusted import verify_signatures
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import Forged
from holdgate.kernel.permits import Keyring, Signer

DAY_MS = 86_400_000
LIFETIME_MS_MIN = DAY_MS
LIFETIME_MS_MAX = 366 * DAY_MS
LIFETIME_MS_UNKNOWN = 90 * DAY_MS
"""Of a version of which nobody knows when it was published."""
STEP_MAX = 1000
"""How far above the version that comes back the next one may be, unless its author names it."""


def roll_back(old: BundleFile, *, version: int, expires: str) -> bytes:
    """The bundle file of `version` with the files of `old`, not signed; `expires` is RFC 3339."""
    changed = {**old.manifest.model_dump(mode="json"), "version": version, "expires": expires, "valid_from": None}
    return BundleFile(Manifest.model_validate(changed), old.files, ()).to_bytes()


def next_version(highest: int, old: int) -> int:
    """The version above the `highest` that was seen; BundleRefused where that is out of the way of `old`.

    A store or an API says what was seen. After a version near the last that there is, nothing follows under this name.
    """
    following = max(highest, old) + 1
    if following - old > STEP_MAX:
        raise BundleRefused(
            f"the next version would be {following}, more than {STEP_MAX} above {old}; look at `holdgate bundle log`, "
            f"and where that is right, say it with `--version {following}`",
            code="bundle_version",
        )
    return following


def expiry_ms(old: Manifest, published_ms: int | None, now_ms: int) -> int:
    """As long from now as `old` was to hold when it was published, from a day to a year."""
    since_ms = old.valid_from_ms or published_ms
    life_ms = LIFETIME_MS_UNKNOWN if since_ms is None else old.expires_ms - since_ms
    return now_ms + min(max(life_ms, LIFETIME_MS_MIN), LIFETIME_MS_MAX)


def parse_expires(text: str, now_ms: int) -> str:
    """`text` where it is a time to come in RFC 3339; BundleRefused otherwise."""
    try:
        in_time = parse_rfc3339(text) > now_ms
    except ValueError as error:
        raise BundleRefused("`--expires` is a time such as `2030-01-01T00:00:00Z`") from error
    if not in_time:
        raise BundleRefused(f"`{text}` is over already; name a time to come", code="bundle_expired")
    return text


def require_version(old: BundleFile, name: str, version: int) -> None:
    """BundleRefused where `old` is not the version of the bundle that was asked for."""
    manifest = old.manifest
    if (manifest.name, manifest.version) != (name, version):
        raise BundleRefused(
            f"this is `{manifest.name}` version {manifest.version}, not `{name}` version {version}", code="bundle_name"
        )


def verify_origin(old: BundleFile, signer: Signer, root: Root | None) -> None:
    """That authors signed `old`: as many as `root` wants, or `signer`. BundleRefused where neither can be told."""
    if root is not None:
        verify_signatures(old, root)
        return
    own = Keyring([signer.public_key])
    for signature in old.signatures:
        if signature.key == signer.name:
            try:
                own.verify(DOMAIN, signature)
            except Forged as error:
                raise BundleRefused("the signature of your own key does not hold", code="bundle_signature") from error
            return
    raise BundleRefused(
        "nothing shows that authors signed this older version, and your key did not; name the trust root with `--root` "
        "and `--pins`, or a file that you trust with `--from`",
        code="bundle_unknown_key",
    )
