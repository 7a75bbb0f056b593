"""Every check by its code: how bad, what it finds, why, what to do. docs/reference/lint.md is made of it."""

from __future__ import annotations

from dataclasses import dataclass

from holdgate.bundles.lint.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `severity` is that of its findings unless the text says otherwise."""

    code: str
    severity: Severity
    what: str
    why: str
    instead: str


CHECKS = (
    Check(
        "unreachable-rule",
        Severity.ERROR,
        "A rule that never counts: in a `first-applicable` bundle an earlier one matches all that it matches; an "
        "output rule about kinds that are always quarantined",
        "Whoever reads it believes that it does something",
        "Put it before the other, narrow the other, or drop it",
    ),
    Check(
        "never-holds",
        Severity.ERROR,
        "Conditions that no job can meet: two fields that demand different values of one label, a `not` that takes "
        "away all of `match`, a `when` that is false whatever the job is, or contradicts `match` or, in a rule that "
        "allows, itself",
        "A deny that never holds denies nothing",
        "Correct the value that is wrong, or drop the rule",
    ),
    Check(
        "contradicting-bundles",
        Severity.WARNING,
        "Two bundles of which one denies exactly the jobs that the other allows",
        "The deny wins, and the authors of the other bundle do not know",
        "Agree on one; drop or narrow the other",
    ),
    Check(
        "clashing-id",
        Severity.ERROR,
        "Two bundles with a rule of the same id",
        "The kernel refuses the set: the bundle that comes second is never active",
        "Rename one",
    ),
    Check(
        "shallow-restriction",
        Severity.ERROR,
        "A rule that denies, holds or slows down topics `a.*`, while one that allows reaches deeper with `>`. A "
        "warning where that is in another bundle, or allows deeper topics only, such as `a.b.>`",
        "`*` is one token: `a.b` is stopped and `a.b.c` passes",
        "Say `a.>` in the restriction; where the deeper topics are meant to pass, allow `a.*.>` by a rule of its own",
    ),
    Check(
        "wrong-type",
        Severity.ERROR,
        "A `when` that compares a text, such as a label, with a number or a truth value, or a time as text with `now`",
        "It is never equal, and `<` fails: which counts as no in a rule that allows, and as yes in any other",
        "Quote the value, or convert: `int(job.labels.size) > 5`, `timestamp(job.run_at) > now`",
    ),
    Check(
        "allow-everything",
        Severity.WARNING,
        "A rule that allows with no `match`, or one that names every topic and nothing else. A note where `not`, "
        "`when` or constraints bound it",
        "What nobody thought of is allowed, too",
        "Name the topics",
    ),
    Check(
        "approvers-unheld",
        Severity.ERROR,
        "A rule that holds jobs for roles which nobody has. A warning where somebody has one of several. Names are not "
        "looked at",
        "Nobody can release what it holds",
        "Name a role that somebody has, or add it to the root or the vocabulary",
    ),
    Check(
        "escalation-unheld",
        Severity.WARNING,
        "A rule that escalates to a role which nobody has, or only to those who may release it anyway. A note where it "
        "does not say to whom, which is the role `escalation`",
        "It is shown as urgent, and nobody else can release it",
        "Name others in `escalate_to`, or give somebody the role",
    ),
    Check(
        "signed-unheld",
        Severity.WARNING,
        "A rule that wants votes signed with people's own keys, of more people than the root lists with a key and a "
        "role or name that the rule asks for",
        "Votes without such a signature do not count there, so that nobody can release what it holds",
        "List the approvers' keys under `approvers` in the root, or drop `signed`",
    ),
    Check(
        "released-unseen",
        Severity.WARNING,
        "A rule of severity `high` or `critical`, or one that wants several people, that takes standing grants; one of "
        "such a severity that may be released in bulk",
        "Under a grant nobody looks at a job, and in bulk hardly anybody",
        "Drop `grants` or `bulk`, or say less of its severity",
    ),
    Check(
        "shadowed-rule",
        Severity.WARNING,
        "A rule all of whose jobs are matched by stricter ones, so that dropping it changes no decision",
        "An allow below a deny allows nothing",
        "Narrow the stricter rule, or drop this one",
    ),
    Check(
        "duplicate-rule",
        Severity.WARNING,
        "Two rules that match the same jobs and say the same",
        "One of them will be changed and the other forgotten",
        "Drop one",
    ),
    Check(
        "constant-condition",
        Severity.WARNING,
        "A `when` that is true, or fails, whatever the job is",
        "It looks like a condition and is none",
        "Drop it, or compare with what it was meant to compare with",
    ),
    Check(
        "idle-not",
        Severity.WARNING,
        "A `not` that no job which `match` matches can meet",
        "The exception that was meant is not made",
        "Correct the value, or drop it",
    ),
    Check(
        "unanchored-regex",
        Severity.WARNING,
        "An allow by `matches` with an expression that is not held at both ends by `^` and `$`",
        "`matches` looks for it anywhere: `example.com` also finds `example.com.evil.org`",
        "Write `^…$`",
    ),
    Check(
        "unconstrained-write",
        Severity.WARNING,
        "An `allow` without constraints for a capability that changes something",
        "Nothing bounds how long it runs and what it reaches",
        "Say `allow_with_constraints`, or let another rule constrain the same jobs",
    ),
    Check(
        "throttle-alone",
        Severity.WARNING,
        "A throttle of jobs that no rule looked at allows or holds",
        "A throttle never allows by itself: within the limit the root's default holds, which is deny unless it says so",
        "Add the rule that allows them, or look at the bundle that does together with this one",
    ),
    Check(
        "remediation-denied",
        Severity.WARNING,
        "A remediation whose job would be denied, too",
        "The agent is sent from one closed door to the next",
        "Correct what it replaces, or allow the job that comes of it",
    ),
    Check(
        "missing-reason",
        Severity.WARNING,
        "A reason that says nothing: the id or the decision again, `TODO`, one short word",
        "It is all that the agent, the approver and the audit get to read",
        "Say why, and what to do instead",
    ),
    Check(
        "unknown-topic",
        Severity.WARNING,
        "A pattern, or the topic of a remediation, that is none of the vocabulary. A note in a rule that denies, "
        "unless it is nearly one",
        "Most often a typing mistake: the rule never matches",
        "Correct it, or add the topic to the vocabulary",
    ),
    Check(
        "unknown-label",
        Severity.WARNING,
        "A label that no topic of the vocabulary uses which the rule can reach",
        "Most often a typing mistake: the rule never matches",
        "Correct it, or add the label to the vocabulary",
    ),
    Check(
        "unknown-capability",
        Severity.WARNING,
        "A capability that no topic of the vocabulary uses which the rule can reach",
        "Most often a typing mistake: the rule never matches",
        "Correct it, or add the capability to the vocabulary",
    ),
    Check(
        "bundle-untested",
        Severity.WARNING,
        "A bundle that names no files of tests",
        "Nothing notices when a change of a rule changes more than was meant",
        "Write cases and name their file in `tests` of bundle.yaml",
    ),
    Check(
        "released-findings",
        Severity.WARNING,
        "An output rule that releases secrets, or whatever was found",
        "Results leave with what the scanner found in them",
        "Name the detectors and topics for which that is meant",
    ),
    Check(
        "unknown-detector",
        Severity.WARNING,
        "An output rule, an entry of `allow_findings` or a mode that names a detector which there is not",
        "It never counts; most often a typing mistake",
        "Correct the name; `holdgate scan rules` lists the built-in detectors",
    ),
    Check(
        "unknown-category",
        Severity.WARNING,
        "An output rule, or an entry of `allow_findings`, that names a category of which nothing is ever found",
        "It never counts; most often a typing mistake",
        "Correct the name",
    ),
    Check(
        "expired",
        Severity.WARNING,
        "Something that is let through, or a mode of a detector, whose day has come. A note two weeks before",
        "It is as if it were not there, so that a verdict changes on that day",
        "Look at it again: drop it, or say a later day",
    ),
    Check(
        "expires-too-late",
        Severity.ERROR,
        "Something that is let through for more than a year",
        "Kernels refuse the bundle: nobody would remember why",
        "Say an earlier day",
    ),
    Check(
        "detector-examples",
        Severity.ERROR,
        "A detector that does not find what its examples say it must, or finds what it must not. A warning where it "
        "is looked for in much of any text",
        "It lets through what it was written for, or stops what is harmless",
        "Correct the pattern, or the example; try it in shadow first",
    ),
    Check(
        "redundant-rule",
        Severity.NOTE,
        "A rule all of whose jobs are matched by a wider one that says the same",
        "Dropping it changes no decision",
        "Drop it, unless its reason is worth having",
    ),
    Check(
        "redundant-topic",
        Severity.NOTE,
        "A topic of a rule that another of its topics includes",
        "It is not needed",
        "Drop it, or the wider one if that reaches too far",
    ),
    Check(
        "dead-combining",
        Severity.NOTE,
        "`first-applicable` where no two rules can match the same job, or all say the same",
        "The order means nothing there, and a reader looks for what it means",
        "Drop `combining`",
    ),
    Check(
        "not-compared",
        Severity.NOTE,
        "There are so many rules that not all were compared with each other",
        "Checks of pairs of rules may have missed something",
        "Look at fewer bundles together",
    ),
)
BY_CODE = {check.code: check for check in CHECKS}


def finding(code: str, bundle: str, rule: str, message: str, severity: Severity | None = None) -> Finding:
    """A finding of the check `code`, with its severity unless another is given."""
    return Finding(code, severity or BY_CODE[code].severity, bundle, rule, message)
