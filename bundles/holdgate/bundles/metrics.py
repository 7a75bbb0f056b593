"""Metrics of loading policy."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from holdgate.bundles.documents import CODES
from holdgate.bundles.freshness import Freshness

RELOADS = Counter("holdgate_policy_reload_total", "Bundles looked at by this kernel", ["result"])
LAST_SUCCESS = Gauge(
    "holdgate_policy_last_success_seconds",
    "When a set of bundles was last verified (Unix time)",
    multiprocess_mode="livemostrecent",
)
EXPIRES = Gauge(
    "holdgate_policy_expires_seconds",
    "When the policy in force expires (Unix time); 0 without one",
    multiprocess_mode="livemostrecent",
)
RULES = Gauge("holdgate_policy_rules", "Rules in force", multiprocess_mode="livemostrecent")
DEFAULT_ALLOW = Gauge(
    "holdgate_policy_default_allow",
    "1 while the signed root lets through whatever no rule speaks of",
    multiprocess_mode="livemostrecent",
)
REVISION = Gauge(
    "holdgate_policy_store_revision",
    "Of the bundle store, as far as this kernel has dealt with it",
    multiprocess_mode="livemostrecent",
)
AGE = Gauge(
    "holdgate_policy_store_age_seconds",
    "Since this kernel last read the bundle store",
    multiprocess_mode="livemax",
)
FRESHNESS = Gauge(
    "holdgate_policy_freshness",
    "Bundles in force, and their root, by how long they still hold",
    ["state"],
    multiprocess_mode="livemax",
)
DROPPED = Gauge(
    "holdgate_policy_dropped_bundles",
    "Bundles whose scope is denied until they hold again",
    multiprocess_mode="livemax",
)
STORE_FROZEN = Gauge(
    "holdgate_policy_store_frozen", "1 while the API's stamp of the store is old", multiprocess_mode="livemax"
)
STORE_WITHHELD = Gauge(
    "holdgate_policy_store_withheld",
    "1 while the store does not deliver what is published or was",
    multiprocess_mode="livemax",
)
CLOCK_BACK = Gauge(
    "holdgate_policy_clock_back",
    "1 while the clock stands before a time seen, and nothing is decided",
    multiprocess_mode="livemax",
)
REFUSED = Counter("holdgate_policy_refused_total", "Bundles, roots and stamps that were refused, by reason", ["code"])
OTHER = "other"
REFUSAL_CODES = frozenset(
    {
        *CODES,
        "bundle_allow_expires",
        "bundle_approvers",
        "bundle_combining",
        "bundle_count",
        "bundle_expired",
        "bundle_files",
        "bundle_link",
        "bundle_malformed",
        "bundle_missing",
        "bundle_name",
        "bundle_not_canonical",
        "bundle_not_yet",
        "bundle_path",
        "bundle_reach",
        "bundle_rule_id",
        "bundle_scope",
        "bundle_set",
        "bundle_signature",
        "bundle_threshold",
        "bundle_too_large",
        "bundle_too_many_files",
        "bundle_truncated",
        "bundle_unknown_key",
        "bundle_version",
        "bundle_version_reused",
        "internal_error",
        "policy_invalid",
        "root_chain",
        "root_expired",
        "root_fork",
        "root_malformed",
        "root_refused",
        "root_threshold",
        "root_unavailable",
        "root_version",
        "shelf_unusable",
        "stamp_ahead",
        "stamp_refused",
    }
)
"""Values of the label `code`; any other is `other`."""


def count_refused(code: str) -> None:
    """Count a refusal."""
    REFUSED.labels(code if code in REFUSAL_CODES else OTHER).inc()


for _code in (*REFUSAL_CODES, OTHER):
    REFUSED.labels(_code)
for _state in Freshness:
    FRESHNESS.labels(str(_state))
for _result in ("accepted", "rejected", "unchanged", "unavailable"):
    RELOADS.labels(_result)

SHADOW = Counter(
    "holdgate_shadow_decisions_total", "Live decisions compared with shadowed candidates", ["phase", "outcome"]
)
for _phase in ("submit", "dispatch"):
    for _outcome in ("same", "wider", "tighter", "other", "failed", "dropped", "skipped"):
        SHADOW.labels(_phase, _outcome)
