"""Votes on held jobs over HTTP: bytes → form → approval gate → answer."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.kernel.links import Signed
from holdgate.kernel.standing import BREAK_GLASS_QUORUM
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.forms import confirm_of, members_of, reason_of, text_of, time_of
from holdgate.scheduler.api.problems import invalid, invalid_fields
from holdgate.scheduler.api.routes.approvals import approver_of
from holdgate.scheduler.api.routes.held_jobs import approval_id_of
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
    body = members_of(call.json, optional=RECONFIRM_FIELDS)
    shown, confirm = _shown(body), confirm_of(body)
    return _voted(job_id, await call.deps.approval_gate.reconfirm(approver_of(call), job_id, shown, confirm))


async def defer(call: Call) -> Reply:
    """`POST /approvals/{job_id}/defer`: marks it as looked at, to be taken up again at `until`"""
    job_id, now_ms = approval_id_of(call), call.deps.clock.now_ms()
    body = members_of(call.json, required={"until", "reason"})
    until_ms, reason = time_of(body, "until", now_ms, DEFER_S_MAX), reason_of(body)
    approval = await call.deps.approval_gate.defer(approver_of(call), job_id, until_ms, reason)
    return reply_json(approval_row(approval, now_ms))


def _voted(job_id: JobId, result: VoteResult) -> Reply:
    return reply_json(
        {
            "job_id": job_id,
            "status": str(result.status),
            "state": str(result.state),
            "votes_missing": result.votes_missing,
            "glass_votes": result.glass_votes,
            "glass_votes_needed": None if result.glass_votes is None else BREAK_GLASS_QUORUM,
        }
    )


def vote_form(body: Any, fields: frozenset[str]) -> VoteForm:
    """A vote as it was sent, with no member but `fields`; a problem that names what is wrong."""
    sent = members_of(body, optional=fields)
    break_glass = sent.get("break_glass", False)
    if not isinstance(break_glass, bool):
        raise invalid("break_glass", "true or false is expected")
    return VoteForm(
        shown=_shown(sent),
        reason=reason_of(sent),
        confirm=confirm_of(sent),
        on_behalf_of=None if sent.get("on_behalf_of") is None else ActorId(text_of(sent, "on_behalf_of", 128)),
        break_glass=break_glass,
        signed=None if sent.get("vote") is None else _signed(sent["vote"]),
    )


def _shown(body: dict[str, Any]) -> Shown:
    errors = [
        (name, "is needed, as `GET /approvals/{job_id}` shows it")
        for name in ("job_hash", "snapshot")
        if not isinstance(body.get(name), str) or len(body[name]) > 128
    ]
    if errors:
        raise invalid_fields(errors)
    return Shown(Digest(body["job_hash"]), Digest(body["snapshot"]))


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
