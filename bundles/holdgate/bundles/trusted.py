"""The set of bundles in force, as an ordered state machine without IO. One verification, for kernel, command and API.

A bundle becomes part of the set only after, in this order:

1. it is not larger than the limit and is a bundle file in its one form (`format.parse_bundle`), its files being
   byte for byte those that the manifest names;
2. no signature by an author key of the root is wrong, and those author keys whose scope covers the scope of the bundle
   are at least the root's threshold in number. Signatures by keys that the root does not name count for nothing. Where
   a bundle of this name was seen before, the scope of those authors must cover the scope of that one too: who may rule
   over less cannot take away the rules of those who may rule over more;
3. its version is above the highest ever seen of this name, or equal with the very same content;
4. it has not expired (`accept` only: one that was accepted before is restored whatever the time; what expired is
   looked at by the kernel at every decision, and denies everything);
5. every rule parses, and reaches no tenant and no topic outside the bundle's scope;
6. the whole set compiles: rule ids are unique over all bundles.

What always holds: a step looks only at what the steps before it verified; a set never changes: `accept` gives a new one
or raises, so that anything wrong leaves what was in force untouched. A bundle that was in force once (`floors`) and is
not in the set makes the set incomplete: dropping a bundle silently could allow what it denied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from holdgate.bundles.documents import load_rules_file
from holdgate.bundles.errors import BundleExpired, BundleOutdated, BundleOutOfScope, BundleRefused, BundleUnsigned
from holdgate.bundles.format import DOMAIN, BundleFile, parse_bundle
from holdgate.bundles.root import AuthorKey, Root, Scope
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import Digest
from holdgate.kernel.permits import Keyring, fingerprint
from holdgate.kernel.policy import Policy, compile_policy, snapshot_of
from holdgate.kernel.records import Verdict
from holdgate.kernel.rules import BundleRules, OutputRule, Rule
from holdgate.kernel.topics import ONE, REST
from holdgate.kernel.trust import ActivePolicy, BundleInfo, Trust

EVERYWHERE = Scope()


@dataclass(frozen=True, slots=True)
class Floor:
    """The highest version of a bundle ever seen, and what it was."""

    version: int
    digest: Digest
    scope: Scope | None = None
    """Of a bundle; None where it is not known."""


@dataclass(frozen=True, slots=True)
class TrustedBundle:
    """A bundle that passed steps 1 to 5."""

    file: BundleFile
    data: bytes = field(repr=False)
    rules: BundleRules
    signers: tuple[str, ...]
    digest: Digest

    @property
    def name(self) -> str:
        """Its name; a set has one bundle of a name."""
        return self.file.manifest.name

    @property
    def floor(self) -> Floor:
        """What no later bundle of this name may fall below."""
        return Floor(self.file.manifest.version, self.digest, self.file.manifest.scope)

    def info(self) -> BundleInfo:
        """For status."""
        manifest = self.file.manifest
        count = len(self.rules.rules) + len(self.rules.output_rules)
        return BundleInfo(manifest.name, manifest.version, self.digest, self.signers, manifest.expires_ms, count)


@dataclass(frozen=True, slots=True)
class TrustedSet:
    """The root, the bundles in force, and the highest versions seen. Starts empty."""

    root: Root
    trust: Trust
    bundles: Mapping[str, TrustedBundle] = field(default_factory=dict)
    floors: Mapping[str, Floor] = field(default_factory=dict)
    policy: Policy | None = None

    @classmethod
    def under(cls, root: Root, floors: Mapping[str, Floor] | None = None) -> TrustedSet:
        """An empty set under a verified root."""
        return cls(root, root.trust(), floors=dict(floors or {}))

    @property
    def missing(self) -> tuple[str, ...]:
        """Bundles that were in force once and are not here."""
        return tuple(sorted(self.floors.keys() - self.bundles.keys()))

    def accept(self, data: bytes, now_ms: int) -> TrustedSet:
        """The set with the bundle in `data` in place of one of its name; BundleRefused or PolicyInvalid otherwise."""
        bundle = self._verified(data)
        if now_ms >= bundle.file.manifest.expires_ms:
            raise BundleExpired(f"`{bundle.name}` expired at {bundle.file.manifest.expires}")
        return self._with(bundle)

    def restore(self, data: bytes) -> TrustedSet:
        """As `accept`, for a bundle that was in force when this process ended, at whatever time."""
        return self._with(self._verified(data))

    def active(self) -> ActivePolicy | None:
        """What to decide under; None while there is no bundle, or one that was in force is missing."""
        if self.policy is None or self.missing:
            return None
        infos = tuple(bundle.info() for _, bundle in sorted(self.bundles.items()))
        expires_ms = min(self.root.expires_ms, *(info.expires_ms for info in infos))
        return ActivePolicy(self.policy, self.policy.snapshot, self.trust, infos, expires_ms)

    def _verified(self, data: bytes) -> TrustedBundle:
        file = parse_bundle(data)
        signers = verify_signatures(file, self.root, self._scope_before(file))
        self._verify_version(file)
        rules = parse_bundle_rules(file)
        verify_reach(rules, file.manifest.scope)
        return TrustedBundle(file, data, rules, signers, file.digest)

    def _scope_before(self, file: BundleFile) -> Scope | None:
        """The scope of what `file` would replace; everything where that is not known. None: it replaces nothing."""
        floor = self.floors.get(file.manifest.name)
        if floor is None or floor.digest == file.digest:
            return None
        return EVERYWHERE if floor.scope is None else floor.scope

    def _verify_version(self, file: BundleFile) -> None:
        name, version = file.manifest.name, file.manifest.version
        floor = self.floors.get(name)
        if floor is None or version > floor.version:
            return
        if version < floor.version:
            raise BundleOutdated(f"`{name}` version {version} is older than {floor.version}, which was seen before")
        if file.digest != floor.digest:
            raise BundleOutdated(f"`{name}` version {version} was seen with other content; raise the version")

    def _with(self, bundle: TrustedBundle) -> TrustedSet:
        bundles = {**self.bundles, bundle.name: bundle}
        ordered = [item for _, item in sorted(bundles.items())]
        snapshot = snapshot_of((item.digest for item in ordered), self.root.version)
        policy = compile_policy(
            [item.rules for item in ordered], snapshot=snapshot, default=Verdict(self.root.default_decision)
        )
        return replace(self, bundles=bundles, floors={**self.floors, bundle.name: bundle.floor}, policy=policy)


def verify_signatures(file: BundleFile, root: Root, replaced: Scope | None = None) -> tuple[str, ...]:
    """Fingerprints of the authors that signed and may sign this scope, and `replaced`, that of the bundle it replaces.

    BundleUnsigned when too few signed, BundleOutOfScope when too few of those may.
    """
    scopes = [file.manifest.scope] if replaced is None else [file.manifest.scope, replaced]
    authors = {fingerprint(bytes.fromhex(author.public_key)): author for author in root.authors}
    keyring = Keyring(bytes.fromhex(author.public_key) for author in root.authors)
    within: list[str] = []
    beyond: list[AuthorKey] = []
    for signed in file.signatures:
        author = authors.get(signed.key)
        if author is None:
            continue
        try:
            keyring.verify(DOMAIN, signed)
        except Forged as error:
            raise BundleUnsigned(f"the signature of `{author.name}` does not hold", code="bundle_signature") from error
        if all(covers(author.scope, scope) for scope in scopes):
            within.append(signed.key)
        else:
            beyond.append(author)
    if len(within) >= root.threshold:
        return tuple(within)
    if len(within) + len(beyond) >= root.threshold:
        names = ", ".join(f"`{author.name}`" for author in beyond)
        what = "" if replaced is None else ", or of what it replaces"
        raise BundleOutOfScope(f"{names} may not sign for the scope of `{file.manifest.name}`{what}")
    raise BundleUnsigned(f"{len(within) + len(beyond)} authors of the root signed, {root.threshold} must")


def parse_bundle_rules(file: BundleFile) -> BundleRules:
    """The rules of all files of a bundle, in the order of the manifest; DocumentInvalid names file and line."""
    name = file.manifest.name
    parts = [load_rules_file(path, data, name) for path, data in file.rules.items()]
    if len({part.combining for part in parts}) != 1:
        raise BundleRefused("the files of a bundle must say the same `combining`", code="bundle_combining")
    return BundleRules(
        name=name,
        combining=parts[0].combining,
        rules=tuple(rule for part in parts for rule in part.rules),
        output_rules=tuple(rule for part in parts for rule in part.output_rules),
    )


def verify_reach(rules: BundleRules, scope: Scope) -> None:
    """BundleOutOfScope when a rule reaches outside `scope`. One that names no tenant or topic reaches all of them."""
    for rule in rules.rules:
        _verify_rule(rule, rule.match.tenants, rule.match.topics, scope)
    for output_rule in rules.output_rules:
        _verify_rule(output_rule, output_rule.tenants, output_rule.topics, scope)


def covers(outer: Scope, inner: Scope) -> bool:
    """Whether everything in `inner` is in `outer`."""
    return _covers_tenants(outer, inner.tenants) and _covers_topics(outer, inner.topics)


def covers_pattern(outer: str, inner: str) -> bool:
    """Whether every topic that the pattern `inner` names is named by `outer`."""
    wide, narrow = outer.split("."), inner.split(".")
    for index, part in enumerate(wide):
        if part == REST:
            return len(narrow) > index
        if index >= len(narrow) or narrow[index] == REST or part not in (ONE, narrow[index]):
            return False
    return len(wide) == len(narrow)


def _verify_rule(rule: Rule | OutputRule, tenants: Iterable[str], topics: Iterable[str], scope: Scope) -> None:
    if not _covers_tenants(scope, list(tenants) or EVERYWHERE.tenants):
        raise BundleOutOfScope(f"rule `{rule.id}` reaches tenants outside the bundle's scope", code="bundle_reach")
    if not _covers_topics(scope, list(topics) or EVERYWHERE.topics):
        raise BundleOutOfScope(f"rule `{rule.id}` reaches topics outside the bundle's scope", code="bundle_reach")


def _covers_tenants(outer: Scope, tenants: Iterable[str]) -> bool:
    return "*" in outer.tenants or set(tenants) <= set(outer.tenants)


def _covers_topics(outer: Scope, topics: Iterable[str]) -> bool:
    return all(any(covers_pattern(wide, narrow) for wide in outer.topics) for narrow in topics)
