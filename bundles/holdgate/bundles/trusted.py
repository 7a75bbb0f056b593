"""The set of bundles in force, as an ordered state machine without IO. One verification, for kernel, command and API.

A bundle becomes part of the set only after, in this order:

1. it is not larger than the limit and is a bundle file in its one form (`format.parse_bundle`), its files being
   byte for byte those that the manifest names;
2. no signature by an author key of the root is wrong, and those authors whose scope covers the scope of the bundle
   are at least the root's threshold in number; two keys of one author are one author. Signatures by keys that the root
   does not name count for nothing. Where a bundle of this name was seen before, the scope of those authors must cover
   the scope of that one too: who may rule over less cannot take away the rules of those who may rule over more;
3. its version is above the highest ever seen of this name, or equal with the very same content;
4. its time has come, give or take the skew of clocks, and it has not expired (not `restore`: one that was accepted
   before is restored whatever the time; and `verified` takes the very bundle that was in force here, or one of a name
   of which nothing was seen, also after its expiry, as kernels that had it before decide by it in its grace);
5. every rule parses, takes no id that is kept for the kernel's own rules, and reaches no tenant and no topic outside
   the bundle's scope; nothing that it lets through does it for longer than a year from now (not `restore`);
6. where the root says which roles approve what, rules ask approvals of those roles only, of enough people, and
   escalate to no others; who signed the bundle is kept from releasing what it holds, where its rules say so;
7. the whole set fits: rule ids are unique over all bundles, and the limits on all of them together hold.

What always holds: a step looks only at what the steps before it verified; a set never changes: `accept` gives a new one
or raises, so that anything wrong leaves what was in force untouched. A bundle that was in force once (`floors`) and is
not in the set is dropped: leaving it out silently could allow what it denied, so a rule of the set's own denies
everything in its scope, and another quarantines all output there, until a bundle of this name holds again.
The same stands for a bundle whose grace has ended (`without_ended`), so that the end of one is not the end of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdgate.bundles.documents import load_rules_file
from holdgate.bundles.dropped import ENDED, MISSING, closing_rules, digest_of_dropped
from holdgate.bundles.errors import BundleExpired, BundleNotYet, BundleOutdated, BundleRefused, BundleSetRefused
from holdgate.bundles.format import BundleFile, parse_bundle
from holdgate.bundles.reach import (
    EVERYWHERE,
    covers,
    covers_pattern,
    verify_approvers,
    verify_ids,
    verify_lifts,
    verify_reach,
)
from holdgate.bundles.root import Root, Scope
from holdgate.bundles.signers import excluding, names_of_authors, verify_signatures
from holdgate.kernel import limits
from holdgate.kernel.errors import HoldgateError, PolicyInvalid
from holdgate.kernel.ids import Digest
from holdgate.kernel.policy import Policy, compile_policy, snapshot_of
from holdgate.kernel.records import Verdict
from holdgate.kernel.rules import BundleRules
from holdgate.kernel.trust import ActivePolicy, BundleInfo, DroppedBundle, Trust

__all__ = [
    "BUNDLES_MAX",
    "ENDED",
    "MISSING",
    "SET_BYTES_MAX",
    "Floor",
    "TrustedBundle",
    "TrustedSet",
    "covers",
    "covers_pattern",
    "parse_bundle_rules",
    "verify_ids",
    "verify_reach",
    "verify_signatures",
]

BUNDLES_MAX = 100
"""In one set, dropped ones too."""
SET_BYTES_MAX = 128 * 1024 * 1024
"""Of all bundle files of one set: a kernel holds them in memory."""


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

    def is_over(self, now_ms: int) -> bool:
        """Whether its grace has ended."""
        return now_ms >= self.file.manifest.ends_ms

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

    `ended`: bundles that hold but for the time, which is over; they are dropped. `why`: by name, the code of what is
    wrong with a dropped bundle, where that is known.
    """

    root: Root
    trust: Trust
    bundles: Mapping[str, TrustedBundle] = field(default_factory=dict)
    floors: Mapping[str, Floor] = field(default_factory=dict)
    policy: Policy | None = None
    why: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, TrustedBundle] = field(default_factory=dict)

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
            DroppedBundle(name, self.floors[name].version, ENDED if name in self.ended else self.why.get(name, MISSING))
            for name in self.missing
        )

    @property
    def ends_ms(self) -> int | None:
        """When the grace of the next bundle ends; None while none is in force."""
        return min((bundle.file.manifest.ends_ms for bundle in self.bundles.values()), default=None)

    def held(self, name: str) -> TrustedBundle | None:
        """The bundle of `name` that is in force, or was until its time was over."""
        return self.bundles.get(name) or self.ended.get(name)

    def without_ended(self, now_ms: int) -> TrustedSet:
        """The set with those bundles dropped whose grace is over."""
        ended = {name: item for name, item in self.bundles.items() if item.is_over(now_ms)}
        return self._closed(ended) if ended else self

    def accept(self, data: bytes, now_ms: int) -> TrustedSet:
        """The set with the bundle in `data` in place of one of its name; BundleRefused or PolicyInvalid otherwise."""
        bundle = self._verified(data)
        _verify_time(bundle, now_ms, may_be_over=False)
        verify_lifts(bundle.rules, now_ms)
        return self._with({bundle.name: bundle})

    def verified(self, name: str, data: bytes, now_ms: int) -> TrustedBundle:
        """The bundle in `data`, stored as `name`, as `accept` would take it but for the last step and its expiry.

        What expired here or before this kernel first looked is taken: it decides in its grace, and closes its scope
        after it, as it does on kernels that had it all the time. What would replace another must be in time.
        """
        bundle = self._verified(data)
        floor = self.floors.get(bundle.name)
        is_known = floor is not None and floor.digest == bundle.digest
        _verify_time(bundle, now_ms, may_be_over=floor is None or is_known)
        if not is_known:
            verify_lifts(bundle.rules, now_ms)
        if bundle.name != name:
            raise BundleRefused(f"stored as `{name}`, named otherwise", code="bundle_name")
        return bundle

    def placed(
        self, bundles: Mapping[str, TrustedBundle], now_ms: int | None = None
    ) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        """The set with those `verified` bundles that fit, and by name what is wrong with the others.

        All are placed at once where that does, so that a rule may move from one of them to another; else one after the
        other, as far as it does. Of those whose grace is over at `now_ms` no rule is placed: they are `ended`.
        """
        over = {} if now_ms is None else {name: item for name, item in bundles.items() if item.is_over(now_ms)}
        fresh = {name: item for name, item in bundles.items() if name not in over}
        trusted, problems = self._ending(over)
        if not fresh:
            return trusted, problems
        try:
            return trusted._with(fresh), problems
        except BundleSetRefused as error:
            if len(fresh) == 1:
                return trusted, {**problems, **dict.fromkeys(fresh, error)}
        trusted, unfit = trusted._with_those_that_fit(fresh)
        return trusted, {**problems, **unfit}

    def restore(self, data: bytes) -> TrustedSet:
        """As `accept`, for a bundle that was in force when this process ended, at whatever time."""
        bundle = self._verified(data)
        return self._with({bundle.name: bundle})

    def restore_all(
        self, files: Mapping[str, bytes], now_ms: int | None = None
    ) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        """As `placed`, for bundles that were in force when this process ended; the set says why others dropped.

        Of a name that was seen, none but the highest seen was in force.
        """
        bundles: dict[str, TrustedBundle] = {}
        problems: dict[str, HoldgateError] = {}
        for name, data in sorted(files.items()):
            try:
                bundles[name] = self._restored(data)
            except (BundleRefused, PolicyInvalid) as error:
                problems[name] = error
        trusted, unfit = self.placed(bundles, now_ms)
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

    def _verified(self, data: bytes) -> TrustedBundle:
        file = parse_bundle(data)
        signers = verify_signatures(file, self.root, self._scope_before(file))
        self._verify_version(file)
        rules = parse_bundle_rules(file)
        verify_ids(rules)
        verify_reach(rules, file.manifest.scope)
        verify_approvers(rules, self.root.approver_roles)
        rules = excluding(rules, names_of_authors(file, self.root))
        return TrustedBundle(file, data, rules, signers, file.digest)

    def _restored(self, data: bytes) -> TrustedBundle:
        bundle = self._verified(data)
        floor = self.floors.get(bundle.name)
        if floor is not None and floor.digest != bundle.digest:
            raise BundleRefused(f"`{bundle.name}` on disk is not the one that was in force", code=MISSING)
        return bundle

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

    def _ending(self, over: Mapping[str, TrustedBundle]) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        if not over:
            return self, {}
        try:
            return self._closed(over), {}
        except BundleSetRefused as error:
            return self, dict.fromkeys(over, error)

    def _closed(self, ended: Mapping[str, TrustedBundle]) -> TrustedSet:
        """The set with the scopes of `ended` closed."""
        left = {name: item for name, item in self.bundles.items() if name not in ended}
        floors = {**self.floors, **{name: item.floor for name, item in ended.items()}}
        return replace(self, bundles=left, floors=floors, ended={**self.ended, **ended})._with({})

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
        ended = {name: item for name, item in self.ended.items() if name not in bundles}
        if not ordered:
            return replace(self, bundles={}, floors=floors, policy=None, ended=ended)
        digests = [item.digest for item in ordered]
        digests += [digest_of_dropped(name, floor.scope) for name, floor in dropped.items()]
        try:
            policy = compile_policy(
                [
                    *(item.rules for item in ordered),
                    *(closing_rules(name, floor.scope) for name, floor in dropped.items()),
                ],
                snapshot=snapshot_of(digests, self.root.version),
                default=Verdict(self.root.default_decision),
            )
        except PolicyInvalid as error:
            raise BundleSetRefused(str(error)) from error
        return replace(self, bundles=bundles, floors=floors, policy=policy, ended=ended)


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
        allow_findings=tuple(item for part in parts for item in part.allow_findings),
        destinations=tuple(item for part in parts for item in part.destinations),
        detectors=tuple(item for part in parts for item in part.detectors),
        detector_modes=tuple(item for part in parts for item in part.detector_modes),
    )


def _verify_time(bundle: TrustedBundle, now_ms: int, *, may_be_over: bool) -> None:
    manifest = bundle.file.manifest
    if now_ms >= manifest.expires_ms and not may_be_over:
        raise BundleExpired(f"`{bundle.name}` expired at {manifest.expires}")
    if now_ms + limits.CLOCK_SKEW_S * 1000 < manifest.valid_from_ms:
        raise BundleNotYet(
            f"`{bundle.name}` is valid from {manifest.valid_from} only; is the clock right?", manifest.valid_from_ms
        )


def _verify_size(bundles: Sequence[TrustedBundle], names: int) -> None:
    """BundleSetRefused when the set is over its limits."""
    if names > BUNDLES_MAX:
        raise BundleSetRefused(f"more than {BUNDLES_MAX} bundles", code="bundle_count")
    if sum(len(bundle.data) for bundle in bundles) > SET_BYTES_MAX:
        raise BundleSetRefused(f"all bundles together are over {SET_BYTES_MAX} bytes", code="bundle_count")
