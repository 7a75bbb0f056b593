"""What an approver is told when a vote was refused: what it means for them, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdgate.scheduler.console.visit import ApiProblem

AT_REASON = frozenset({"approval_reason_required"})
AT_CONFIRM = frozenset({"approval_confirmation_required"})
FIELDS = frozenset(
    {
        "reason",
        "confirm",
        "until",
        "on_behalf_of",
        "delegate",
        "roles",
        "uses_max",
        "labels",
        "opened",
        "replacement",
    }
)
WANTED: Mapping[str, str] = {
    "until": "Choose the last day.",
    "delegate": "Name the person.",
    "reason": "Say why, in a sentence.",
    "uses_max": "Say how many jobs at most.",
    "roles": "Choose at least one role.",
}
"""What to say of a field that was left empty."""
_ADVICE: Mapping[str, tuple[str, str]] = {
    "approval_reason_required": (
        "A reason is needed",
        "Say in a sentence why you decide so. It is kept with the vote.",
    ),
    "approval_confirmation_required": (
        "The text to type is missing or wrong",
        "Type it exactly as it stands above the field. Nothing was released.",
    ),
    "approval_too_soon": ("There was not enough time to read it", "Nothing was released. Read on, then approve."),
    "approval_stale_policy": (
        "The policy changed while you looked",
        "Nothing was decided. Below is what holds now; read what changed, then decide on that.",
    ),
    "approval_stale_job": ("The job is not the one you were shown", "Nothing was decided. Below is what it is now."),
    "approval_altered": (
        "What is stored of this job was altered",
        "Nothing of it is shown. Tell an operator at once, who can cancel the job.",
    ),
    "approval_self": (
        "You cannot decide on this one",
        "You submitted it, or it was submitted in your name. Ask somebody else who may.",
    ),
    "approval_forbidden": (
        "The rule does not name you",
        "Under “Who must agree” you see whom it names. Ask one of them, or take it up once it has escalated.",
    ),
    "approval_duplicate_vote": ("You have voted already", "Your vote stands. Others must vote now."),
    "approval_resolved": ("Somebody was faster", "It is decided already; nothing was changed by you."),
    "approval_expired": ("Too late", "Nobody decided in time. The agent can submit it again."),
    "approval_not_found": ("There is no such held job", "Go back to the queue."),
    "approval_signature_required": (
        "This rule wants a vote signed with your own key",
        "Use the command that is shown in place of the button.",
    ),
    "bulk_mixed": ("They are not of one kind", "Select jobs of the same rule, topic and shape. Nothing was decided."),
    "bulk_forbidden": ("Its rule wants each decided alone", "Open it by itself."),
    "delegation_forbidden": (
        "That delegation does not hold",
        "Ask the person to delegate to you, or vote as yourself.",
    ),
    "grant_forbidden": (
        "No grant can be made of this",
        "The rules that hold the job, or its labels, do not allow one.",
    ),
    "grant_stale": ("The terms are not those you were shown", "Nothing was granted. Look at what it covers now."),
    "grant_ended": ("The grant has ended", "Propose a new one over a job that is held now."),
    "quarantine_resolved": ("Somebody was faster", "It is released or destroyed already; nothing was changed by you."),
    "quarantine_stale": ("It is not the output you were shown", "Nothing was decided. Look at what is sealed now."),
    "quarantine_unopenable": ("It cannot be opened", "What is sealed is damaged, or sealed to another key."),
    "quarantine_sealed_elsewhere": (
        "The key that opens it is not here",
        "Your vote was not counted. Whoever has the key opens it elsewhere; bring what was opened along.",
    ),
    "quarantine_too_many_votes": ("You changed your vote too often", "Somebody else decides, or you destroy it."),
    "kernel_unavailable": ("No kernel answers", "Nothing was released. Try again in a few seconds."),
    "no_policy": ("No policy is in force", "Nothing was released. Tell an operator."),
    "unavailable": ("A part of the system is away", "Nothing was released. Try again in a few seconds."),
    "log_unavailable": ("The job log is away", "Nothing was released. Try again in a few seconds."),
    "state_unavailable": ("The state store is away", "Nothing was changed. Try again in a few seconds."),
}


@dataclass(frozen=True, slots=True)
class Advice:
    """`field`: where on the page it belongs, empty for the whole of it."""

    code: str
    title: str
    advice: str
    field: str = ""
    detail: str = ""

    @property
    def at_field(self) -> str:
        """What stands beside the field that it is about."""
        return self.detail or f"{self.title}. {self.advice}"


def advice_of(problem: ApiProblem, form: Mapping[str, str] | None = None) -> Advice:
    """What to say of `problem`; of `form`, what was sent, the empty fields are asked for in plain words."""
    title, advice = words_of(problem.code, problem.detail)
    field, detail = _field(problem)
    if detail:
        empty = form is not None and not form.get(field, "").strip()
        detail = WANTED[field] if empty and field in WANTED else f"{detail[:1].upper()}{detail[1:]}."
        advice = detail if problem.code not in _ADVICE else advice
    return Advice(problem.code, title, advice, field, detail)


def more_needed(missing: int) -> str:
    """How many further votes something takes, as a sentence begins."""
    return f"{missing} more {'is' if missing == 1 else 'are'} needed"


def words_of(code: str, detail: str = "") -> tuple[str, str]:
    """What a code means to an approver, and what to do; `detail` is what the call said, where there are no words."""
    return _ADVICE.get(code, ("It was not done", f"{detail[:1].upper()}{detail[1:]}."))


def _field(problem: ApiProblem) -> tuple[str, str]:
    """Which field of the form is wrong, and what the call says of it where there is no advice of ours."""
    if problem.code in AT_CONFIRM:
        return "confirm", ""
    if problem.code in AT_REASON:
        return "reason", ""
    for error in problem.extra.get("errors", ()):
        field = str(error.get("field", "")).strip("/")
        field = {"expires_at": "until"}.get(field, field)
        if field in FIELDS:
            return field, str(error.get("detail", ""))
    return "", ""
