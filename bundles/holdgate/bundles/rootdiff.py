"""What differs between two trust roots, and what in one is weak: in words, for those who are asked to sign. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.bundles.root import ApproverRole, Root, Scope
from holdgate.bundles.trusted import covers
from holdgate.kernel.permits import fingerprint


@dataclass(frozen=True, slots=True)
class RootChange:
    """One difference. `weakens`: more becomes possible to fewer people, or without anybody."""

    what: str
    weakens: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"what": self.what, "weakens": self.weakens}


def compare_roots(before: Root, after: Root) -> list[RootChange]:
    """What `after` says otherwise than `before`."""
    return [
        *_plain("version", before.version, after.version),
        *_plain("expires", before.expires, after.expires),
        *_root_keys(before, after),
        *_threshold("bundles: signatures of different authors", before.threshold, after.threshold),
        *_authors(before, after),
        *_processes(before, after),
        *_approvers(before, after),
        *_approver_roles(before.approver_roles, after.approver_roles),
        *_quarantine(before, after),
        *_modes(before, after),
    ]


def weaknesses(root: Root) -> list[str]:
    """What in `root` lets through undecided, or lets one person do everything."""
    found = []
    if root.default_decision == "allow":
        found.append("what no rule speaks of is allowed")
    open_gates = [gate for gate in ("submit", "dispatch") if getattr(root.fail_modes, gate) == "open"]
    found += [f"gate {gate} lets jobs through while no kernel answers" for gate in open_gates]
    if root.root.threshold == 1:
        found.append("any one root key makes the next root")
    if root.threshold == 1:
        found.append("any one author's key publishes a bundle")
    return found


def scope_words(scope: Scope) -> str:
    """A scope, for people."""
    everywhere = "*" in scope.tenants
    return f"{'all tenants' if everywhere else ', '.join(scope.tenants)}: {', '.join(scope.topics)}"


def _plain(what: str, before: object, after: object) -> Iterator[RootChange]:
    if before != after:
        yield RootChange(f"{what}: `{before}`, now `{after}`")


def _threshold(what: str, before: int, after: int) -> Iterator[RootChange]:
    if before != after:
        yield RootChange(f"{what}: {before} must sign, now {after}", weakens=after < before)


def _root_keys(before: Root, after: Root) -> Iterator[RootChange]:
    yield from _threshold("next root: signatures of different root keys", before.root.threshold, after.root.threshold)
    yield from _keys("root key", before.root.keys, after.root.keys)
    if len(after.root.keys) > len(before.root.keys) and after.root.threshold <= before.root.threshold:
        words = f"{after.root.threshold} of {len(after.root.keys)} root keys make a root"
        yield RootChange(f"{words}, before {before.root.threshold} of {len(before.root.keys)}", weakens=True)


def _keys(what: str, before: Sequence[str], after: Sequence[str]) -> Iterator[RootChange]:
    for key in sorted(set(before) - set(after)):
        yield RootChange(f"{what} {_name(key)} is removed")
    for key in sorted(set(after) - set(before)):
        yield RootChange(f"{what} {_name(key)} is added")


def _authors(before: Root, after: Root) -> Iterator[RootChange]:
    old = {author.public_key: author for author in before.authors}
    new = {author.public_key: author for author in after.authors}
    for key in old.keys() - new.keys():
        yield RootChange(
            f"author `{old[key].name}` {_name(key)} is removed; bundles that want its signature are dropped"
        )
    for key, author in new.items():
        if key not in old:
            yield RootChange(f"author `{author.name}` {_name(key)} is added, for {scope_words(author.scope)}")
            continue
        if old[key].name != author.name:
            # Two keys of one name are one person: under two names they are two, for the threshold.
            yield RootChange(
                f"author `{old[key].name}` {_name(key)} is called `{author.name}`", weakens=after.threshold > 1
            )
        yield from _scope(f"author `{author.name}` {_name(key)}", old[key].scope, author.scope)


def _scope(whose: str, before: Scope, after: Scope) -> Iterator[RootChange]:
    if before != after:
        weakens = not covers(before, after)
        yield RootChange(f"{whose}: {scope_words(before)}, now {scope_words(after)}", weakens)


def _processes(before: Root, after: Root) -> Iterator[RootChange]:
    for process in ("api", "kernel", "dispatcher", "auditor"):
        yield from _keys(f"{process} key", getattr(before, f"{process}_keys"), getattr(after, f"{process}_keys"))


def _approvers(before: Root, after: Root) -> Iterator[RootChange]:
    old = {approver.public_key: approver for approver in before.approvers}
    new = {approver.public_key: approver for approver in after.approvers}
    for key in old.keys() - new.keys():
        yield RootChange(f"approver `{old[key].actor}` {_name(key)} is removed")
    for key, approver in new.items():
        roles = ", ".join(approver.roles) or "no roles"
        if key not in old:
            yield RootChange(f"approver `{approver.actor}` {_name(key)} is added, with {roles}")
        elif old[key] != approver:
            more = bool(set(approver.roles) - set(old[key].roles)) or old[key].actor != approver.actor
            was = f"`{old[key].actor}` with {', '.join(old[key].roles) or 'no roles'}"
            yield RootChange(f"approver `{approver.actor}` {_name(key)} has {roles}; was {was}", weakens=more)


def _approver_roles(before: Sequence[ApproverRole], after: Sequence[ApproverRole]) -> Iterator[RootChange]:
    if before and not after:
        yield RootChange("approver roles: rules may now ask approvals of whomever they name", weakens=True)
        return
    old: Mapping[str, ApproverRole] = {role.name: role for role in before}
    new: Mapping[str, ApproverRole] = {role.name: role for role in after}
    for name in sorted(old.keys() - new.keys()):
        yield RootChange(f"approver role `{name}` is removed; rules that ask it are refused")
    for name, role in new.items():
        if name not in old:
            words = f"approver role `{name}` is added, for {scope_words(role.scope)}, of {role.quorum_min} at least"
            yield RootChange(words, weakens=bool(before))
            continue
        yield from _threshold(f"approver role `{name}`: votes", old[name].quorum_min, role.quorum_min)
        yield from _scope(f"approver role `{name}`", old[name].scope, role.scope)


def _quarantine(before: Root, after: Root) -> Iterator[RootChange]:
    if before.quarantine_key != after.quarantine_key:
        words = "is dropped" if after.quarantine_key is None else "is sealed to another key"
        yield RootChange(f"quarantined output {words} from now on", weakens=after.quarantine_key is not None)


def _modes(before: Root, after: Root) -> Iterator[RootChange]:
    if before.default_decision != after.default_decision:
        words = f"what no rule speaks of: `{before.default_decision}`, now `{after.default_decision}`"
        yield RootChange(words, weakens=after.default_decision == "allow")
    for gate in ("submit", "dispatch"):
        old, new = getattr(before.fail_modes, gate), getattr(after.fail_modes, gate)
        if old != new:
            yield RootChange(f"gate {gate} while no kernel answers: `{old}`, now `{new}`", weakens=new == "open")


def _name(key: str) -> str:
    return fingerprint(bytes.fromhex(key))
