"""Who signed a bundle, and whether they may. No IO."""

from __future__ import annotations

from holdgate.bundles.errors import BundleOutOfScope, BundleUnsigned
from holdgate.bundles.format import DOMAIN, BundleFile
from holdgate.bundles.reach import covers
from holdgate.bundles.root import AuthorKey, Root, Scope
from holdgate.kernel.errors import Forged
from holdgate.kernel.permits import Keyring, fingerprint


def verify_signatures(file: BundleFile, root: Root, replaced: Scope | None = None) -> tuple[str, ...]:
    """Fingerprints of the authors that signed and may sign this scope, and `replaced`, that of the bundle it replaces.

    BundleUnsigned when too few signed, BundleOutOfScope when too few of those may.
    """
    scopes = [file.manifest.scope] if replaced is None else [file.manifest.scope, replaced]
    signed = _author_signatures(file, root)
    within = {key: author for key, author in signed.items() if all(covers(author.scope, scope) for scope in scopes)}
    if len({author.name for author in within.values()}) >= root.threshold:
        return tuple(within)
    authors = {author.name for author in signed.values()}
    if len(authors) >= root.threshold:
        names = ", ".join(f"`{author.name}`" for key, author in signed.items() if key not in within)
        what = "" if replaced is None else ", or of what it replaces"
        raise BundleOutOfScope(f"{names} may not sign for the scope of `{file.manifest.name}`{what}")
    if not authors and file.signatures:
        keys = ", ".join(f"`{signature.key[:48]}`" for signature in file.signatures[:3])
        raise BundleUnsigned(f"signed by {keys}, which no author of the root has", code="bundle_unknown_key")
    raise BundleUnsigned(f"{len(authors)} authors of the root signed, {root.threshold} must")


def _author_signatures(file: BundleFile, root: Root) -> dict[str, AuthorKey]:
    """Authors by the fingerprint of the key of theirs that signed `file`; BundleUnsigned when one does not hold."""
    authors = {fingerprint(bytes.fromhex(author.public_key)): author for author in root.authors}
    keyring = Keyring(bytes.fromhex(author.public_key) for author in root.authors)
    found: dict[str, AuthorKey] = {}
    for signature in file.signatures:
        author = authors.get(signature.key)
        if author is None:
            continue
        try:
            keyring.verify(DOMAIN, signature)
        except Forged as error:
            raise BundleUnsigned(f"the signature of `{author.name}` does not hold", code="bundle_signature") from error
        found[signature.key] = author
    return found
