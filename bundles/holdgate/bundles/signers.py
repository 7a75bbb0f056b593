"""Who signed a bundle, whether they may, and that they do not release what it holds where it says so. No IO."""

from __future__ import annotations

from dataclasses import replace

from holdgate.bundles.errors import BundleOutOfScope, BundleUnsigned
from holdgate.bundles.format import DOMAIN, BundleFile
from holdgate.bundles.reach import covers
from holdgate.bundles.root import AuthorKey, Root, Scope
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import people_of, person_of
from holdgate.kernel.permits import Keyring, fingerprint
from holdgate.kernel.rules import BundleRules, Rule


def verify_signatures(file: BundleFile, root: Root, replaced: Scope | None = None) -> tuple[str, ...]:
    """Fingerprints of the authors that signed and may sign this scope, and `replaced`, that of the bundle it replaces.

    BundleUnsigned when too few signed, BundleOutOfScope when too few of those may.
    """
    scopes = [file.manifest.scope] if replaced is None else [file.manifest.scope, replaced]
    signed = _author_signatures(file, root)
    within = {key: author for key, author in signed.items() if all(covers(author.scope, scope) for scope in scopes)}
    if len(people_of(author.name for author in within.values())) >= root.threshold:
        return tuple(within)
    authors = people_of(author.name for author in signed.values())
    if len(authors) >= root.threshold:
        names = ", ".join(f"`{author.name}`" for key, author in signed.items() if key not in within)
        what = "" if replaced is None else ", or of what it replaces"
        raise BundleOutOfScope(f"{names} may not sign for the scope of `{file.manifest.name}`{what}")
    if not authors and file.signatures:
        keys = ", ".join(f"`{signature.key[:48]}`" for signature in file.signatures[:3])
        raise BundleUnsigned(f"signed by {keys}, which no author of the root has", code="bundle_unknown_key")
    raise BundleUnsigned(f"{len(authors)} authors of the root signed, {root.threshold} must")


def names_of_authors(file: BundleFile, root: Root) -> tuple[str, ...]:
    """The names of all authors of `root` that signed, with whatever scope, and those by which they approve.

    An author's name is that person's name at the API; who approves with a key by which an author signs is that author.
    """
    names = {author.name for author in _author_signatures(file, root).values()}
    people = people_of(names)
    keys = {author.public_key for author in root.authors if person_of(author.name) in people}
    return tuple(sorted(names | {approver.actor for approver in root.approvers if approver.public_key in keys}))


def excluding(rules: BundleRules, names: tuple[str, ...]) -> BundleRules:
    """The rules with `names` kept from releasing what those rules hold that say `not_author`."""
    return replace(rules, rules=tuple(_excluding(rule, names) for rule in rules.rules))


def _excluding(rule: Rule, names: tuple[str, ...]) -> Rule:
    if rule.approval is None or not rule.approval.not_author:
        return rule
    return replace(rule, approval=replace(rule.approval, excluded=names))


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
