"""`root.yaml`: a trust root as people write and read it, before anybody signs. No IO.

What always holds: what is read back is a `Root` or an error with its line; what is written here can be read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from holdgate.bundles.documents import parse_document
from holdgate.bundles.errors import DocumentInvalid, RootRefused
from holdgate.bundles.root import Root
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.permits import fingerprint

DRAFT_BYTES_MAX = 1024 * 1024
EVERYWHERE = {"tenants": ["*"], "topics": [">"]}
PROCESSES = ("api", "kernel", "dispatcher", "auditor")


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A public key in hex, and whose it is."""

    name: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What goes into a root.yaml; `fields` are members of `Root`, of which some may still be missing."""

    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def after(cls, root: Root) -> Draft:
        """What `root` says, under the next version."""
        return cls({**root.model_dump(mode="json"), "version": root.version + 1})

    def having(self, **changes: Any) -> Draft:
        """With members set, but for those that are None."""
        return replace(self, fields={**self.fields, **{name: v for name, v in changes.items() if v is not None}})

    def with_root(self, keys: Sequence[str], threshold: int | None) -> Draft:
        """With more root keys, and a threshold. Without one: as it was, or more than half."""
        before = self.fields.get("root", {"keys": [], "threshold": None})
        listed = _added(before["keys"], keys)
        chosen = threshold or before["threshold"] or len(listed) // 2 + 1
        return self.having(root={"threshold": chosen, "keys": listed})

    def with_authors(self, keys: Sequence[NamedKey]) -> Draft:
        """With more authors, who may rule everywhere."""
        more = [{"name": key.name, "public_key": key.public_key, "scope": EVERYWHERE} for key in keys]
        return self.having(authors=[*self.fields.get("authors", []), *more])

    def with_approvers(self, keys: Sequence[NamedKey]) -> Draft:
        """With more approvers, who hold no roles yet."""
        more = [{"actor": key.name, "public_key": key.public_key, "roles": []} for key in keys]
        return self.having(approvers=[*self.fields.get("approvers", []), *more])

    def with_process(self, process: str, keys: Sequence[str]) -> Draft:
        """With more keys of a process, one of PROCESSES."""
        name = f"{process}_keys"
        return self.having(**{name: _added(self.fields.get(name, []), keys)})

    def to_yaml(self) -> str:
        """The file, with comments that say what each part is for."""
        return "\n".join(_lines(self.fields)) + "\n"


def parse_draft(name: str, data: bytes, *, after: Root | None = None) -> Root:
    """The root in a root.yaml; DocumentInvalid with file, line and reason. RootRefused where its version is not next.

    Without `version` it is the one after `after`, or 1.
    """
    document = parse_document(name, data, bytes_max=DRAFT_BYTES_MAX)
    if not isinstance(document.data, dict):
        raise DocumentInvalid(name, [(1, (), "a mapping with `root`, `authors` and the rest")], code="root_malformed")
    next_version = 1 if after is None else after.version + 1
    try:
        root = Root.model_validate({"version": next_version, **document.data})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)[:20]
        found = [(document.line(problem["loc"]), problem["loc"], problem["msg"].lower()) for problem in problems]
        raise DocumentInvalid(name, found, code="root_malformed") from error
    if after is not None and root.version != next_version:
        raise RootRefused(
            f"`{name}` says version {root.version}; the root after version {after.version} is {next_version}",
            code="root_chain",
        )
    return root


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    yield "# The trust root of Holdgate: who may sign what. Public keys are 64 hex digits, as `holdgate keys show` says"
    yield "# them. `holdgate root build` makes root.json of this file; root keys sign that with `holdgate root sign`."
    yield f"version: {fields.get('version', 1)}"
    yield ""
    yield "# From then on nothing is decided any more but deny. Make the next version before."
    yield f"expires: {_text(fields.get('expires', ''))}"
    yield ""
    yield "# Who signs the next root, and how many of them must."
    root = fields.get("root", {"keys": [], "threshold": 1})
    yield "root:"
    yield f"  threshold: {root['threshold']}"
    yield from _keys("keys", root["keys"], "  ")
    yield ""
    yield "# Who signs bundles, where each may rule, and how many people must sign one. A person with an old and a new"
    yield "# key stands here twice under one name, and counts once."
    yield f"threshold: {fields.get('threshold', 1)}"
    yield from _records("authors", fields.get("authors", []))
    yield ""
    yield "# Keys of processes. A key has one purpose."
    for process in PROCESSES:
        yield from _keys(f"{process}_keys", fields.get(f"{process}_keys", []))
    yield ""
    yield "# People with keys of their own, for rules that want signed votes; `roles` are those their votes count for."
    yield from _records("approvers", fields.get("approvers", []))
    yield ""
    yield "# Roles that rules may ask approvals of, where, and of how many people at least. None: of whoever is named."
    yield '#   - {name: release-manager, scope: {tenants: ["*"], topics: ["job.deploy.>"]}, quorum_min: 2}'
    yield from _records("approver_roles", fields.get("approver_roles", []))
    yield ""
    yield "# X25519 key that quarantined output is sealed to (`holdgate keys generate --kind quarantine`). Without one"
    yield "# it is dropped."
    yield f"quarantine_key: {_text(fields.get('quarantine_key'))}"
    yield ""
    yield "# What happens to a job that no rule speaks of, and what gates do while no kernel answers. Anything else"
    yield "# than these lets through what nobody decided."
    yield f"default_decision: {fields.get('default_decision', 'deny')}"
    modes = fields.get("fail_modes", {})
    yield f"fail_modes: {{submit: {modes.get('submit', 'closed')}, dispatch: {modes.get('dispatch', 'closed')}}}"


def _keys(name: str, keys: Sequence[str], indent: str = "") -> Iterator[str]:
    yield f"{indent}{name}:" + ("" if keys else " []")
    for key in keys:
        yield f"{indent}  - {_text(key)}  # {fingerprint(bytes.fromhex(key))}"


def _records(name: str, records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"{name}:" + ("" if records else " []")
    for record in records:
        for place, (member, value) in enumerate(record.items()):
            note = f"  # {fingerprint(bytes.fromhex(value))}" if member == "public_key" else ""
            yield f"  {'-' if place == 0 else ' '} {member}: {_text(value)}{note}"


def _text(value: Any) -> str:
    """JSON, which is YAML; with a space after what YAML likes one after."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return canonical_bytes(value).decode()


def _added(keys: Sequence[str], more: Sequence[str]) -> list[str]:
    return [*keys, *(key for key in dict.fromkeys(more) if key not in keys)]
