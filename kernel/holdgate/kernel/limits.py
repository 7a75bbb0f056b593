"""Every bound of the system that is not an operator's setting, with its reason.

Relations between them are asserted at the end: a change that breaks one does not import.
"""

from __future__ import annotations

# One job ------------------------------------------------------------------------------------------------------------
TOPIC_CHARS_MAX = 256
TOPIC_TOKENS_MAX = 16
LABELS_MAX = 64
LABEL_KEY_CHARS_MAX = 128
LABEL_VALUE_CHARS_MAX = 1024
TAGS_MAX = 64
"""Risk tags, and `requires`, of one job."""
TAG_CHARS_MAX = 128
SECRETS_MAX = 16
"""Names of secrets that one job asks its worker for."""
ARTIFACTS_MAX = 32
"""Files that one run leaves beside its value."""
PROMPT_CHARS_MAX = 64 * 1024
CONCURRENCY_KEY_CHARS_MAX = 128
IDEMPOTENCY_KEY_CHARS_MAX = 128
PRINCIPALS_MAX = 16
ATTEMPTS_MAX = 100
ATTEMPTS_DEFAULT = 3
SCHEDULE_AHEAD_S_MAX = 366 * 24 * 3600
"""How far ahead `run_at` and `deadline` may lie: a job further off is more likely a mistaken unit."""
REASON_CHARS_MAX = 2000
JSON_DEPTH_MAX = 64
"""Deep enough for any payload that a person wrote, far from the interpreter's recursion limit."""

# Bytes --------------------------------------------------------------------------------------------------------------
INLINE_BYTES_MAX = 256 * 1024
"""A larger payload or result travels through the object store and only its digest in messages."""
BODY_BYTES_DEFAULT = 8 * 1024 * 1024
ENVELOPE_BYTES_MAX = 16 * 1024 * 1024
"""What NATS must be willing to carry (`max_payload`): the largest result and its envelope."""

# Policy -------------------------------------------------------------------------------------------------------------
RULES_FILE_BYTES_MAX = 10 * 1024 * 1024
RULES_MAX = 20_000
DETECTORS_MAX = 200
"""Of all bundles together: each costs every output of those whom it is for, and all are handed out in one message."""
DETECTORS_PER_BUNDLE_MAX = 50
"""So that no bundle takes the room of the others; so for all that follows."""
DETECTOR_BYTES_MAX = 1024 * 1024
"""Of all together, as they are handed out."""
DETECTOR_SIZE_MAX = 80_000
"""Instructions of the patterns of all together: more would not fit into one automaton of the scanner."""
DETECTOR_EXAMPLES_MAX = 64
"""Of a kind, true or false, of one detector."""
DETECTOR_WORDS_MAX = 32
"""Keywords, and stop words, of one detector."""
DETECTOR_MODES_MAX = 2000
DETECTOR_MODES_PER_BUNDLE_MAX = 200
ALLOW_FINDINGS_MAX = 2000
ALLOW_FINDINGS_PER_BUNDLE_MAX = 200
ALLOW_FINDINGS_S_MAX = 366 * 24 * 3600
"""How far ahead a finding may be let through: what is to hold for longer is looked at again."""
FINGERPRINTS_MAX = 1000
"""Of one entry that lets findings through."""
DESTINATIONS_MAX = 5000
DESTINATIONS_PER_BUNDLE_MAX = 500
EXPRESSION_CHARS_MAX = 2000
EXPRESSION_PATTERN_CHARS_MAX = 512
"""Of one regular expression that is written down in an expression: a longer one is a list in disguise."""
EXPRESSION_MACROS_MAX = 4
"""`all`, `exists`, `map`, `filter` in one expression; each may walk a list."""
EXPRESSION_NESTING_MAX = 2
EXPRESSION_PAYLOAD_BYTES_MAX = 256 * 1024
"""Largest payload that a condition may see; beyond, it is not even parsed, and fails likewise."""
EXPRESSION_LIST_ITEMS_MAX = 1000
"""Longest list of a payload that a condition may see; beyond, it fails, and so counts as matched in a deny."""
EXPRESSION_NODES_MAX = 10_000
"""Values in a payload that a condition may see."""
EXPRESSION_ADDITIONS_MAX = 12
"""`+` in one expression: inside `map` each multiplies the length of a text."""
EXPRESSION_NESTED_BYTES_MAX = 16 * 1024
"""Prompt and payload that an expression with nested macros may look through: it can do so 10,000 times, which over a
whole prompt would take seconds."""
EVALUATION_COST_MAX = 50_000_000
"""What the conditions of one decision may cost together, as `kernel.cost` estimates it in nanoseconds: a kernel decides
nothing else meanwhile. A thousand ordinary conditions cost a fifth of it."""
DECISION_ERRORS_MAX = 20
"""Errors that a decision names; of more it says how many."""
RULE_ID_CHARS_MAX = 128
TRACE_RULES_MAX = 1000
"""Rules of which an explanation tells; one of all 20,000 would be megabytes."""
TRACE_VALUES_MAX = 8
"""Items of one list that an explanation shows."""
TRACE_CHARS_MAX = 160
"""Characters of one value, or of one expression, that an explanation shows."""
MATCH_VALUES_MAX = 1000
"""Items of one list in a `match`."""

# Kernel calls -------------------------------------------------------------------------------------------------------
KERNEL_BATCH_MAX = 256
KERNEL_TIMEOUT_S = 2.0
BREAKER_FAILURES = 3
BREAKER_OPEN_S = 5.0
DECISION_CACHE_ENTRIES = 10_000
DECISION_CACHE_TTL_S = 5.0
PERMIT_LIFETIME_S = 30
"""From signing to the worker's check; a worker starts what it got at once or gives it back."""
CLOCK_SKEW_S = 5
"""How far apart the clocks of two machines may be."""

# Approvals ----------------------------------------------------------------------------------------------------------
BULK_JOBS_MAX = 100
"""Held jobs released or rejected in one act: as many as a person can be said to have looked through."""
DELEGATION_S_MAX = 30 * 24 * 3600
"""A longer absence is a change of who holds the role."""
DELEGATIONS_MAX = 50
"""That one person has given, or was given, at one time; a vote looks through those of its voter."""
GRANT_S_MAX = 30 * 24 * 3600
"""What is to hold for longer is a rule, with an author and tests."""
GRANT_USES_MAX = 1000
"""Beyond this nobody thinks of single jobs any more: that, too, is a rule. Each use is kept with its job."""
GRANT_LABELS_MAX = 16
GRANTS_PER_TOPIC_MAX = 16
"""Of one agent for one topic at one time: a submit that is held looks through them and checks their signatures."""
GRANTS_LIVE_MAX = 1000
"""Of one tenant at one time: a change of policy looks at all of them."""
ENDED_KEPT_S = 30 * 24 * 3600
"""How long a grant or delegation is shown after its end; the audit trail tells of it for good."""
SIMILAR_JOBS_MAX = 20
"""Past jobs shown beside a held one."""

# Quarantine ---------------------------------------------------------------------------------------------------------
QUARANTINE_KEEP_S = 30 * 24 * 3600
"""How long a sealed output waits for people to decide about it, unless an operator says otherwise."""
QUARANTINE_KEEP_S_MAX = 366 * 24 * 3600
"""Sealed secrets that nobody asked for in a year are a risk and no use."""
REPLACEMENT_BYTES_MAX = 1024 * 1024
"""Of what is to be read instead of a sealed output: it lies beside it until people have voted."""

# Dispatch -----------------------------------------------------------------------------------------------------------
ASK_JOBS_MAX = 256
ASK_WAIT_S_MAX = 30
LEASE_S = 30
HEARTBEAT_S = 5
CONTROL_SUBJECT_BYTES_MAX = 64 * 1024

assert KERNEL_BATCH_MAX >= ASK_JOBS_MAX, "one ask is one kernel call"
assert BULK_JOBS_MAX <= KERNEL_BATCH_MAX, "one act is one kernel call"
assert LEASE_S >= 3 * HEARTBEAT_S, "two lost heartbeats must not cost a lease"
assert DETECTOR_BYTES_MAX < ENVELOPE_BYTES_MAX, "all detectors are one message"
assert INLINE_BYTES_MAX < BODY_BYTES_DEFAULT < ENVELOPE_BYTES_MAX
