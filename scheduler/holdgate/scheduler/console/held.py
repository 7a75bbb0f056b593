"""A held job as its page shows it: out of what the API says of it, in the words of who decides.

What always holds: everything here comes from calls of the API; what a vote must send back is taken from the same reply
that the page shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.console.tree import LINES_MAX, tree_of
from holdgate.scheduler.words.durations import is_urgent, time_left
from holdgate.scheduler.words.needs import PENDING

RAW_CHARS_MAX = 50_000
AROUND = ("topic", "capability", "risk_tags", "requires", "secrets", "concurrency_key")
"""Short texts of a job that are its submitter's words, as the masked view names them."""
ENDED: Mapping[str, str] = {
    "released": "It is released",
    "consumed": "It was released, and the release is used",
    "rejected": "It was rejected",
    "expired": "Nobody decided in time",
    "stale": "The policy changed after it was released",
    "cancelled": "The job was cancelled",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the rules ask of who approves, beside a reason."""

    confirm: str = ""
    signed: bool = False
    grants: bool = False
    break_glass: bool = False
    reading_s: int = 0


def asked_of(item: Mapping[str, Any]) -> Asked:
    """All of what the deciding rules ask."""
    needs = item["requirements"]
    return Asked(
        confirm=item["confirm"] or "",
        signed=any(need["signed"] for need in needs),
        grants=bool(needs) and all(need["grants"] for need in needs),
        break_glass=bool(needs) and all(need["break_glass"] for need in needs),
        reading_s=item["reading_s"],
    )


def job_context(masked: Mapping[str, Any], lines: int) -> dict[str, Any]:
    """The part that the submitter wrote, with its secrets masked."""
    told = {
        "revealed": bool(masked.get("revealed")),
        "too_large": masked["payload_left_out"],
        "payload_bytes": masked["payload_bytes"],
    }
    shown = masked["shown"]
    if shown is None:
        nothing = {"hidden": True, "masked": 0, "labels": {}, "prompt": None, "payload": None, "raw": ""}
        return {**told, **nothing}
    return {
        **told,
        "hidden": False,
        "masked": masked["masked"],
        "labels": shown["labels"],
        "prompt": shown["prompt"],
        "payload": None if masked["payload_left_out"] else tree_of(shown["payload"], max(LINES_MAX, lines)),
        "raw": "" if masked["payload_left_out"] else _raw(shown["payload"]),
    }


def masked_item(item: Mapping[str, Any], masked: Mapping[str, Any]) -> dict[str, Any]:
    """The approval with what is masked of its job's short texts, too."""
    shown = masked["shown"]
    if shown is None:
        return dict(item)
    around = {name: shown[name] for name in AROUND if name in shown}
    return {**item, "topic": around.get("topic", item["topic"]), "job": {**item["job"], **around}}


def _raw(payload: Any) -> str:
    """The beginning of it as text; no more is written than is shown."""
    parts: list[str] = []
    left = RAW_CHARS_MAX
    for part in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(payload):
        parts.append(part[:left])
        left -= len(part)
        if left <= 0:
            return "".join([*parts, "\n…"])
    return "".join(parts)


def revealed_of(reply: Mapping[str, Any]) -> dict[str, Any]:
    """What `reveal` gave, in the form of the masked view."""
    shown = {name: reply[name] for name in ("labels", "payload", "prompt")}
    portion = {name: reply[name] for name in ("payload_shown", "payload_bytes", "payload_left_out")}
    return {"shown": shown, "masked": 0, "scanned": True, "revealed": True, **portion}


def rules_context(item: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The deciding rules, each with its reason, and the others that matched."""
    reasons = {need["rule"]: need["reason"] for need in item["requirements"]}
    known = {rule["id"]: rule for rule in rules}
    bare = dict.fromkeys(("bundle", "text", "as_decided"))
    deciding = [{**bare, **known.get(rule, {}), "id": rule, "reason": reasons.get(rule, "")} for rule in item["rules"]]
    return {"deciding": deciding, "others": [rule for rule in rules if rule["id"] not in item["rules"]]}


def time_context(item: Mapping[str, Any]) -> dict[str, Any]:
    """How long approvers have."""
    remaining_s = item.get("remaining_s")
    return {"left": time_left(remaining_s), "urgent": is_urgent(remaining_s), "pending": item["status"] == PENDING}
