"""Votes on held jobs over HTTP: bytes → form → approval gate → answer."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.kernel.links import Signed
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.problems import Problem, invalid, invalid_fields
from holdgate.scheduler.api.routes.approvals import approval_id_of, approver_of
from holdgate.scheduler.api.shapes import approval_row
from holdgate.scheduler.gates.approval import Shown, VoteForm
from holdgate.scheduler.state.approvals import VoteResult

DEFER_S_MAX = 7 * 24 * 3600
SIGNED_BYTES_MAX = 16 * 1024
"""Of a vote that an approver signed: its reason is what is long in it."""
RECONFIRM_FIELDS = frozenset({"job_hash", "snapshot", "confirm"})
REJECT_FIELDS = frozenset({"job_hash", "snapshot", "reason", "on_behalf_of", "vote"})
APPROVE_FIELDS = REJECT_FIELDS | {"confirm", "break_glass"}


async def approve(call: Call) -> Reply:
    """`POST /approvals/{job_id}/approve`"""
    job_id = approval_id_of(call)
    form = vote_form(call.json, APPROVE_FIELDS)
    return _voted(job_id, await call.deps.approval_gate.approve(approver_of(call), job_id, form))


async def reject(call: Call) -> Reply:
    """`POST /approvals/{job_id}/reject`"""
    job_id = approval_id_of(call)
    form = vote_form(call.json, REJECT_FIELDS)
    return _voted(job_id, await call.deps.approval_gate.reject(approver_of(call), job_id, form))


async def reconfirm(call: Call) -> Reply:
    """`POST /approvals/{job_id}/reconfirm`: the yes of an earlier round again, with its reason"""
    job_id = approval_id_of(call)
    body = _object(call.json, RECONFIRM_FIELDS)
    shown, confirm = _shown(body), _text(body, "confirm", limits.REASON_CHARS_MAX)
    return _voted(job_id, await call.deps.approval_gate.reconfirm(approver_of(call), job_id, shown, confirm or ""))


async def defer(call: Call) -> Reply:
    """`POST /approvals/{job_id}/defer`: marks it as looked at, to be taken up again at `until`"""
    job_id, now_ms = approval_id_of(call), call.deps.clock.now_ms()
    until_ms, reason = _defer_body(call.json, now_ms)
    approval = await call.deps.approval_gate.defer(approver_of(call), job_id, until_ms, reason)
    return reply_json(approval_row(approval, now_ms))


def _voted(job_id: JobId, result: VoteResult) -> Reply:
    return reply_json(
        {
            "job_id": job_id,
            "status": str(result.status),
            "state": str(result.state),
            "votes_missing": result.votes_missing,
        }
    )


def vote_form(body: Any, fields: frozenset[str]) -> VoteForm:
    """A vote as it was sent, with no member but `fields`; a problem that names what is wrong."""
    sent = _object(body, fields)
    on_behalf_of = _text(sent, "on_behalf_of", 128)
    break_glass = sent.get("break_glass", False)
    if not isinstance(break_glass, bool):
        raise invalid("break_glass", "true or false is expected")
    return VoteForm(
        shown=_shown(sent),
        reason=_reason(sent),
        confirm=_text(sent, "confirm", limits.REASON_CHARS_MAX) or "",
        on_behalf_of=None if on_behalf_of is None else ActorId(on_behalf_of),
        break_glass=break_glass,
        signed=None if sent.get("vote") is None else _signed(sent["vote"]),
    )


def _object(body: Any, fields: frozenset[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise invalid("body", "an object is expected")
    if unknown := [name for name in body if name not in fields]:
        raise invalid_fields([(name[:64], "an unknown key") for name in unknown])
    return body


def _shown(body: dict[str, Any]) -> Shown:
    errors = [
        (name, "is needed, as `GET /approvals/{job_id}` shows it")
        for name in ("job_hash", "snapshot")
        if not isinstance(body.get(name), str) or len(body[name]) > 128
    ]
    if errors:
        raise invalid_fields(errors)
    return Shown(Digest(body["job_hash"]), Digest(body["snapshot"]))


def _text(body: dict[str, Any], name: str, chars_max: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= chars_max or not value.isprintable():
        raise invalid(name, f"a text of 1 to {chars_max} printable characters is expected")
    return value


def _signed(value: Any) -> Signed:
    """`{body, key, signature}`, body and signature in base64."""
    members = {"body": 4 * SIGNED_BYTES_MAX // 3 + 4, "key": 64, "signature": 128}
    if not isinstance(value, dict) or set(value) != set(members):
        raise invalid("vote", "an object of `body`, `key` and `signature` is expected")
    for name, chars_max in members.items():
        if not isinstance(value[name], str) or not 1 <= len(value[name]) <= chars_max:
            raise invalid(f"vote.{name}", f"a text of 1 to {chars_max} characters is expected")
    try:
        raw = {name: base64.b64decode(value[name], validate=True) for name in ("body", "signature")}
    except (binascii.Error, ValueError) as error:
        raise invalid("vote", "`body` and `signature` are in base64") from error
    return Signed(raw["body"], value["key"], raw["signature"])


def _defer_body(body: Any, now_ms: int) -> tuple[int, str]:
    if not isinstance(body, dict) or set(body) - {"until", "reason"} or not isinstance(body.get("until"), str):
        raise invalid("until", "a time such as `2026-01-02T03:04:05Z` is needed")
    try:
        until_ms = parse_rfc3339(body["until"])
    except (ValueError, OverflowError) as error:
        raise invalid("until", "a time such as `2026-01-02T03:04:05Z` is needed") from error
    if not now_ms < until_ms <= now_ms + DEFER_S_MAX * 1000:
        raise invalid("until", f"must be within the next {DEFER_S_MAX // 86400} days")
    return until_ms, _reason(body)


def _reason(body: dict[str, Any]) -> str:
    reason = body.get("reason")
    if reason is None or (isinstance(reason, str) and not reason.strip()):
        raise Problem("approval_reason_required", extra={"errors": [{"field": "reason", "detail": "is needed"}]})
    if not isinstance(reason, str) or len(reason) > limits.REASON_CHARS_MAX:
        raise invalid("reason", f"a text of at most {limits.REASON_CHARS_MAX} characters is expected")
    if any(ord(character) < 32 and character not in "\t\n\r" for character in reason):
        raise invalid("reason", "has a control character")
    return reason
