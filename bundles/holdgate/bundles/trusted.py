"""The set of bundles in force, as an ordered state machine without IO. One verification, for kernel, command and API.

A bundle becomes part of the set only after, in this order:

1. it is not larger than the limit and is a bundle file in its one form (`format.parse_bundle`), its files being
   byte for byte those that the manifest names;
2. no signature by an author key of the root is wrong, and those authors whose scope covers the scope of the bundle
   are at least the root's threshold in number; two keys of one author are one author. Signatures by keys that the root
   does not name count for nothing. Where a bundle of this name was seen before, the scope of those authors must cover
   the scope of that one too: who may rule over less cannot take away the rules of those who may rule over more;
3. its version is above the highest ever seen of this name, or equal with the very same content;
4. its time has come, give or take the skew of clocks, and it has not expired (`accept` only: one that was accepted
   before is restored whatever the time; whether its grace is over is looked at by the kernel at every decision);
5. every rule parses, takes no id that is kept for the kernel's own rules, and reaches no tenant and no topic outside
   the bundle's scope;
6. where the root says which roles approve what, rules ask approvals of those roles only, of enough people;
7. the whole set fits: rule ids are unique over all bundles, and the limits on all of them together hold.

What always holds: a step looks only at what the steps before it verified; a set never changes: `accept` gives a new one
or raises, so that anything wrong leaves what was in force untouched. A bundle that was in force once (`floors`) and is
not in the set is dropped: leaving it out silently could allow what it denied, so a rule of the set's own denies
everything in its scope, and another quarantines what is found in output there, until a bundle of this name holds again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdgate.bundles.documents import load_rules_file
from holdgate.bundles.errors import (
    BundleExpired,
    BundleNotYet,
    BundleOutdated,
    BundleOutOfScope,
    BundleRefused,
    BundleSetRefused,
    BundleUnsigned,
)
from holdgate.bundles.format import DOMAIN, BundleFile, parse_bundle
from holdgate.bundles.root import ApproverRole, AuthorKey, Root, Scope
from holdgate.kernel import limits
from holdgate.kernel.canonical import digest
from holdgate.kernel.errors import Forged, HoldgateError, PolicyInvalid
from holdgate.kernel.ids import Digest
from holdgate.kernel.match import Match
from holdgate.kernel.permits import Keyring, fingerprint
from holdgate.kernel.policy import Policy, compile_policy, snapshot_of
from holdgate.kernel.records import ApprovalRequirement, Verdict
from holdgate.kernel.rules import BundleRules, Combining, OutputRule, OutputVerdict, Rule
from holdgate.kernel.topics import ONE, REST
from holdgate.kernel.trust import ActivePolicy, BundleInfo, DroppedBundle, Trust

EVERYWHERE = Scope()
BUNDLES_MAX = 100
"""In one set, dropped ones too."""
SET_BYTES_MAX = 128 * 1024 * 1024
"""Of all bundle files of one set: a kernel holds them in memory."""
RESERVED_ID = "holdgate."
"""Ids that begin so are of the kernel's own rules."""
DROPPED_ID = "holdgate.dropped."
MISSING = "bundle_missing"
"""Why a bundle is dropped that is simply not there."""


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
        return BundleInfo(
            name=manifest.name,
            version=manifest.version,
            digest=self.digest,
            signers=self.signers,
            valid_from_ms=manifest.valid_from_ms,
            expires_ms=manifest.expires_ms,
            ends_ms=manifest.ends_ms,
            rules=len(self.rules.rules) + len(self.rules.output_rules),
        )


@dataclass(frozen=True, slots=True)
class TrustedSet:
    """The root, the bundles in force, and the highest versions seen. Starts empty.

    `why`: by name, the code of what is wrong with a dropped bundle, where that is known.
    """

    root: Root
    trust: Trust
    bundles: Mapping[str, TrustedBundle] = field(default_factory=dict)
    floors: Mapping[str, Floor] = field(default_factory=dict)
    policy: Policy | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def under(cls, root: Root, floors: Mapping[str, Floor] | None = None) -> TrustedSet:
        """An empty set under a verified root."""
        return cls(root, root.trust(), floors=dict(floors or {}))

    @property
    def missing(self) -> tuple[str, ...]:
        """Bundles that were in force once and are not here: their scope is denied."""
        return tuple(sorted(self.floors.keys() - self.bundles.keys()))

    @property
    def dropped(self) -> tuple[DroppedBundle, ...]:
        """The missing bundles and why."""
        return tuple(
            DroppedBundle(name, self.floors[name].version, self.why.get(name, MISSING)) for name in self.missing
        )

    def accept(self, data: bytes, now_ms: int) -> TrustedSet:
        """The set with the bundle in `data` in place of one of its name; BundleRefused or PolicyInvalid otherwise."""
        bundle = self._in_time(data, now_ms)
        return self._with({bundle.name: bundle})

    def verified(self, name: str, data: bytes, now_ms: int) -> TrustedBundle:
        """The bundle in `data`, stored as `name`, as `accept` would take it but for the last step."""
        bundle = self._in_time(data, now_ms)
        if bundle.name != name:
            raise BundleRefused(f"stored as `{name}`, named otherwise", code="bundle_name")
        return bundle

    def placed(self, bundles: Mapping[str, TrustedBundle]) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        """The set with those `verified` bundles that fit, and by name what is wrong with the others.

        All are placed at once where that does, so that a rule may move from one of them to another; else one after the
        other, as far as it does.
        """
        if not bundles:
            return self, {}
        try:
            return self._with(bundles), {}
        except BundleSetRefused as error:
            if len(bundles) == 1:
                return self, dict.fromkeys(bundles, error)
        return self._with_those_that_fit(bundles)

    def restore(self, data: bytes) -> TrustedSet:
        """As `accept`, for a bundle that was in force when this process ended, at whatever time."""
        bundle = self._verified(data)
        return self._with({bundle.name: bundle})

    def restore_all(self, files: Mapping[str, bytes]) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        """As `placed`, for bundles that were in force when this process ended; the set says why others dropped."""
        bundles: dict[str, TrustedBundle] = {}
        problems: dict[str, HoldgateError] = {}
        for name, data in sorted(files.items()):
            try:
                bundles[name] = self._verified(data)
            except (BundleRefused, PolicyInvalid) as error:
                problems[name] = error
        trusted, unfit = self.placed(bundles)
        problems.update(unfit)
        why = {**trusted.why, **{name: error.code for name, error in problems.items()}}
        return replace(trusted, why=why), problems

    def active(self, not_before_ms: int = 0) -> ActivePolicy | None:
        """What to decide under, by a clock that stands at `not_before_ms` or later; None while there is no bundle."""
        if self.policy is None:
            return None
        infos = tuple(bundle.info() for _, bundle in sorted(self.bundles.items()))
        return ActivePolicy(
            policy=self.policy,
            snapshot=self.policy.snapshot,
            trust=self.trust,
            bundles=infos,
            expires_ms=min(self.root.expires_ms, *(info.ends_ms for info in infos)),
            dropped=self.dropped,
            not_before_ms=not_before_ms,
        )

    def _in_time(self, data: bytes, now_ms: int) -> TrustedBundle:
        bundle = self._verified(data)
        manifest = bundle.file.manifest
        if now_ms >= manifest.expires_ms:
            raise BundleExpired(f"`{bundle.name}` expired at {manifest.expires}")
        if now_ms + limits.CLOCK_SKEW_S * 1000 < manifest.valid_from_ms:
            raise BundleNotYet(
                f"`{bundle.name}` is valid from {manifest.valid_from} only; is the clock right?", manifest.valid_from_ms
            )
        return bundle

    def _verified(self, data: bytes) -> TrustedBundle:
        file = parse_bundle(data)
        signers = verify_signatures(file, self.root, self._scope_before(file))
        self._verify_version(file)
        rules = parse_bundle_rules(file)
        verify_ids(rules)
        verify_reach(rules, file.manifest.scope)
        verify_approvers(rules, self.root.approver_roles)
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
            raise BundleOutdated(
                f"`{name}` version {version} was seen with other content; raise the version",
                code="bundle_version_reused",
            )

    def _with_those_that_fit(
        self, bundles: Mapping[str, TrustedBundle]
    ) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        trusted, problems = self, dict[str, HoldgateError]()
        left, fits = dict(bundles), True
        while left and fits:
            fits = False
            for name, bundle in list(left.items()):
                try:
                    trusted = trusted._with({name: bundle})
                except BundleSetRefused as error:
                    problems[name] = error
                    continue
                fits = True
                del left[name]
                problems.pop(name, None)
        return trusted, problems

    def _with(self, more: Mapping[str, TrustedBundle]) -> TrustedSet:
        bundles = {**self.bundles, **more}
        floors = {**self.floors, **{name: bundle.floor for name, bundle in more.items()}}
        dropped = {name: floor for name, floor in sorted(floors.items()) if name not in bundles}
        ordered = [item for _, item in sorted(bundles.items())]
        _verify_size(ordered, len(floors))
        digests = [item.digest for item in ordered]
        digests += [_digest_of_dropped(name, floor) for name, floor in dropped.items()]
        try:
            policy = compile_policy(
                [*(item.rules for item in ordered), *(_closing(name, floor) for name, floor in dropped.items())],
                snapshot=snapshot_of(digests, self.root.version),
                default=Verdict(self.root.default_decision),
            )
        except PolicyInvalid as error:
            raise BundleSetRefused(str(error)) from error
        return replace(self, bundles=bundles, floors=floors, policy=policy)


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


def verify_ids(rules: BundleRules) -> None:
    """BundleRefused when a rule takes an id that is kept for the kernel's own rules."""
    for name in [*(rule.id for rule in rules.rules), *(rule.id for rule in rules.output_rules)]:
        if name.lower().startswith(RESERVED_ID):
            raise BundleRefused(f"rule `{name}`: no id begins with `{RESERVED_ID}`", code="bundle_rule_id")


def verify_approvers(rules: BundleRules, roles: Sequence[ApproverRole]) -> None:
    """BundleRefused when a rule asks approvals of others than `roles`, outside their scope or of too few people.

    Where the root names no roles, rules may ask of whomever they name.
    """
    allowed = {role.name: role for role in roles}
    for rule in rules.rules if roles else ():
        if rule.approval is not None and (problem := _misasked(rule, rule.approval, allowed)) is not None:
            raise BundleRefused(f"rule `{rule.id}`: {problem}", code="bundle_approvers")


def _misasked(rule: Rule, approval: ApprovalRequirement, allowed: Mapping[str, ApproverRole]) -> str | None:
    if approval.names:
        return "the root says which roles approve, so a rule names no people"
    for name in approval.roles:
        role = allowed.get(name)
        if role is None:
            return f"the root does not name the approver role `{name}`"
        if approval.quorum < role.quorum_min:
            return f"the root wants at least {role.quorum_min} of `{name}`"
        if not _reaches_within(rule.match.tenants, rule.match.topics, role.scope):
            return f"the root lets `{name}` approve elsewhere only"
    return None


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


def _reaches_within(tenants: Iterable[str], topics: Iterable[str], scope: Scope) -> bool:
    """Whether a rule for these, where none means all, stays in `scope`."""
    return _covers_tenants(scope, list(tenants) or EVERYWHERE.tenants) and _covers_topics(
        scope, list(topics) or EVERYWHERE.topics
    )


def _verify_size(bundles: Sequence[TrustedBundle], names: int) -> None:
    """BundleSetRefused when the set is over its limits."""
    if names > BUNDLES_MAX:
        raise BundleSetRefused(f"more than {BUNDLES_MAX} bundles", code="bundle_count")
    if sum(len(bundle.data) for bundle in bundles) > SET_BYTES_MAX:
        raise BundleSetRefused(f"all bundles together are over {SET_BYTES_MAX} bytes", code="bundle_count")


def _digest_of_dropped(name: str, floor: Floor) -> Digest:
    scope = None if floor.scope is None else floor.scope.model_dump(mode="json")
    return digest({"dropped": name, "scope": scope})


def _closing(name: str, floor: Floor) -> BundleRules:
    """What stands for a dropped bundle: everything in its scope is denied; all is its scope where that is not known.

    What its output rules would have kept back is quarantined: of a finding the strictest verdict counts.
    """
    scope = EVERYWHERE if floor.scope is None else floor.scope
    tenants = frozenset(() if "*" in scope.tenants else scope.tenants)
    topics = () if REST in scope.topics else tuple(scope.topics)
    reason = f"bundle `{name}` does not hold any more; its whole scope is closed until it is published again"
    return BundleRules(
        name=name,
        combining=Combining.DENY_OVERRIDES,
        rules=(
            Rule(
                id=f"{DROPPED_ID}{name}",
                bundle=name,
                decision=Verdict.DENY,
                reason=reason,
                match=Match(tenants=tenants, topics=topics).with_checks(),
            ),
        ),
        output_rules=(
            OutputRule(
                id=f"{DROPPED_ID}{name}.output",
                bundle=name,
                verdict=OutputVerdict.QUARANTINE,
                reason=reason,
                tenants=tenants,
                topics=topics,
            ),
        ),
    )


def _covers_tenants(outer: Scope, tenants: Iterable[str]) -> bool:
    return "*" in outer.tenants or set(tenants) <= set(outer.tenants)


def _covers_topics(outer: Scope, topics: Iterable[str]) -> bool:
    return all(any(covers_pattern(wide, narrow) for wide in outer.topics) for narrow in topics)
