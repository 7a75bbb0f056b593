"""Bundles, snapshots, replays and shadows."""

from __future__ import annotations

from holdgate.kernel.records import Phase, Verdict
from holdgate.scheduler.api.schemas.shapes import (
    BOOLEAN,
    COUNT,
    COUNTS,
    DIGEST,
    ID_OUT,
    LABELS_OUT,
    OBJECT,
    TEXTS,
    TIME,
    Schema,
    listed,
    nullable,
    page,
    record,
    ref,
    text,
)

SIGNERS = listed(record({"key": text(), "author": text()}))
BUNDLE_ROW: dict[str, Schema] = {
    "name": text(),
    "version": nullable(COUNT),
    "digest": nullable(DIGEST),
    "revision": COUNT,
    "published_at": TIME,
    "publisher": nullable(text()),
    "accepted_widening": BOOLEAN,
    "signers": SIGNERS,
    "expires": nullable(TIME),
    "restores": nullable(COUNT),
    "renews": nullable(COUNT),
    "problem": nullable(text()),
}
BUNDLE_TOLD: dict[str, Schema] = {
    "description": text(),
    "scope": record({"tenants": TEXTS, "topics": TEXTS}),
    "valid_from": nullable(TIME),
    "grace": nullable(text()),
    "files": listed(record({"path": text(), "sha256": DIGEST, "bytes": COUNT})),
    "rules": TEXTS,
    "tests": TEXTS,
}
POLICY_COMPONENTS: dict[str, Schema] = {
    "SnapshotPage": page(
        record(
            {
                "replica": text(),
                "snapshot": DIGEST,
                "policy": BOOLEAN,
                "reason": text(),
                "root_version": nullable(COUNT),
                "uptime_s": {"type": "number"},
                "bundles": listed(OBJECT),
                "revision": nullable(COUNT),
                "signers": nullable(TEXTS),
                "freshness": nullable(LABELS_OUT),
                "dropped": nullable(listed(OBJECT)),
                "last_success": nullable(TIME),
                "last_error": nullable(OBJECT),
                "age_s": nullable(COUNT),
                "source": OBJECT,
            }
        ),
        agreed=BOOLEAN,
    ),
    "BundlePage": page(record({**BUNDLE_ROW, **BUNDLE_TOLD}, optional=frozenset(BUNDLE_TOLD))),
    "BundleShown": record({**BUNDLE_ROW, **BUNDLE_TOLD}, optional=frozenset(BUNDLE_TOLD)),
    "BundleVersionPage": page(record(BUNDLE_ROW)),
    "BundleReview": record(
        {
            "name": text(),
            "version": COUNT,
            "digest": DIGEST,
            "signers": SIGNERS,
            "widens": BOOLEAN,
            "publishable": BOOLEAN,
            "objections": listed(
                record(
                    {
                        "code": text(),
                        "detail": text(),
                        "errors": listed(record({"field": text(), "detail": text()})),
                    }
                )
            ),
            "tests": OBJECT,
            "diff": OBJECT,
            "changes_left_out": COUNT,
            "findings": listed(OBJECT),
            "left_out": LABELS_OUT,
        }
    ),
    "BundleRules": record(
        {"items": listed(record({"path": text(), "text": text(), "cut": BOOLEAN})), "left_out": COUNT}
    ),
    "BundleDiff": record(
        {
            "name": text(),
            "before": COUNT,
            "after": COUNT,
            "widens": BOOLEAN,
            "changes": listed(
                record(
                    {
                        "direction": text(enum=["widens", "unclear", "tightens", "changes"]),
                        "bundle": text(),
                        "rule": text(),
                        "what": text(),
                        "example": OBJECT,
                    },
                    optional=frozenset({"example"}),
                )
            ),
            "changes_left_out": COUNT,
        }
    ),
    "BundleFile": {
        "type": "object",
        "description": "A built and signed bundle file (`holdgate bundle build`, `sign`).",
    },
    "Published": record(
        {
            "name": text(),
            "version": COUNT,
            "digest": DIGEST,
            "revision": COUNT,
            "signers": SIGNERS,
            "widens": BOOLEAN,
            "accepted_widening": BOOLEAN,
            "restores": nullable(COUNT),
            "renews": nullable(COUNT),
            "tests": COUNT,
            "findings": listed(OBJECT),
        }
    ),
    "ReplayForm": record(
        {
            "bundle": {"type": "object", "description": "The object in a built bundle file, signed or not."},
            "last": {"type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 10_000},
            "since": nullable(TIME),
            "baseline": text(enum=["recorded", "active"], default="recorded"),
        },
        optional=frozenset({"last", "since", "baseline"}),
    ),
    "ReplayReport": record(
        {
            "candidate": record({"name": text(), "version": COUNT, "digest": DIGEST}),
            "baseline": text(enum=["recorded", "active"]),
            "complete": BOOLEAN,
            "stopped": nullable(text(enum=["time", "slow"])),
            "decisions": COUNT,
            "unchanged": COUNT,
            "wider": COUNT,
            "other": COUNT,
            "tighter": COUNT,
            "widens": BOOLEAN,
            "not_comparable": COUNTS,
            "errors": COUNT,
            "transitions": COUNTS,
            "groups": listed(ref("ReplayGroup")),
            "oldest": nullable(TIME),
            "newest": nullable(TIME),
        }
    ),
    "ReplayGroup": record(
        {
            "outcome": text(enum=["wider", "other", "tighter"]),
            "before": text(enum=[str(item) for item in Verdict]),
            "after": text(enum=[str(item) for item in Verdict]),
            "rule_before": nullable(text()),
            "rule_after": nullable(text()),
            "differs": TEXTS,
            "count": COUNT,
            "examples": listed(
                record(
                    {
                        "job_id": ID_OUT,
                        "topic": text(),
                        "capability": nullable(text()),
                        "labels": LABELS_OUT,
                        "decided_at": TIME,
                    }
                )
            ),
        }
    ),
    "Shadowed": record({"name": text(), "version": COUNT, "digest": DIGEST, "revision": COUNT}),
    "ShadowStopped": record({"name": text()}),
    "ShadowPage": page(
        record(
            {
                "name": text(),
                "replicas": listed(
                    record(
                        {
                            "replica": text(),
                            "state": text(enum=["shadowed", "refused"]),
                            "version": nullable(COUNT),
                            "digest": nullable(DIGEST),
                            "code": nullable(text()),
                            "message": nullable(text()),
                        }
                    )
                ),
                "counts": {"type": "object", "additionalProperties": COUNTS},
                "samples": listed(
                    record(
                        {
                            "tenant": text(),
                            "job_id": text(),
                            "topic": text(),
                            "phase": text(enum=[str(Phase.SUBMIT), str(Phase.DISPATCH)]),
                            "outcome": text(enum=["wider", "other", "tighter"]),
                            "before": text(enum=[str(item) for item in Verdict]),
                            "after": text(enum=[str(item) for item in Verdict]),
                            "rules_before": TEXTS,
                            "rules_after": TEXTS,
                            "differs": TEXTS,
                            "decided_at": TIME,
                        }
                    )
                ),
            }
        )
    ),
}
