"""Policy: trying rules, bundles, replay, shadows."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import (
    ACCEPT_WIDENING,
    AFTER,
    ANY_KEY,
    API,
    AUTHOR,
    BEFORE,
    KERNEL_ERRORS,
    PAGE,
    REVIEW_ERRORS,
    SEES_BUNDLES,
    SEES_SHADOWS,
    STATE_ERRORS,
    STORE_ERRORS,
)
from holdgate.scheduler.api.routes import bundle_texts, bundles, policy, replay, shadow

# One row a call; read across, not down.
# fmt: off
POLICY: tuple[Operation, ...] = (
    Operation(
        "POST", f"{API}/policy/evaluate", "evaluate", "What submitting this would be answered", policy.evaluate,
        "policy", ANY_KEY, reply="Decision", request="EvaluateForm", errors=KERNEL_ERRORS,
    ),
    Operation(
        "POST", f"{API}/policy/simulate", "simulate", "What would be decided, as another actor or at another time",
        policy.simulate, "policy", ANY_KEY, reply="Decision", request="Facts", errors=KERNEL_ERRORS,
    ),
    Operation(
        "POST", f"{API}/policy/explain", "explain", "The same, with why each other rule did not match", policy.explain,
        "policy", ANY_KEY, reply="Decision", request="Facts", errors=KERNEL_ERRORS,
    ),
    Operation(
        "GET", f"{API}/policy/snapshots", "listSnapshots", "What each kernel decides under", policy.list_snapshots,
        "policy", ANY_KEY, reply="SnapshotPage", errors=KERNEL_ERRORS,
    ),
    Operation(
        "GET", f"{API}/policy/bundles", "listBundles", "Published bundles, by name", bundles.list_bundles, "policy",
        SEES_BUNDLES, reply="BundlePage", query=PAGE, errors=("bad_cursor", *STORE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}", "getBundle", "The newest bundle of a name", bundles.get_bundle,
        "policy", SEES_BUNDLES, reply="BundleShown", errors=("bundle_not_found", *STORE_ERRORS),
    ),
    Operation(
        "PUT", f"{API}/policy/bundles/{{name}}", "putBundle", "Publish a signed bundle", bundles.put_bundle, "policy",
        AUTHOR, reply="Published", request="BundleFile", query=(ACCEPT_WIDENING,),
        errors=(*REVIEW_ERRORS, "bundle_tests", "bundle_lint", "bundle_widening", "bundle_conflict", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/policy/bundles/{{name}}/check", "checkBundle", "What publishing this would be told",
        bundles.check_bundle, "policy", AUTHOR, reply="BundleReview", request="BundleFile", errors=REVIEW_ERRORS,
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}/versions", "listBundleVersions", "Who published what, newest first",
        bundles.list_versions, "policy", SEES_BUNDLES, reply="BundleVersionPage", query=PAGE,
        errors=("bad_cursor", "bundle_not_found", *STORE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}/versions/{{version}}/file", "getBundleFile",
        "A bundle file as it was published", bundles.get_file, "policy", SEES_BUNDLES, reply="BundleFile",
        errors=("bundle_not_found", *STORE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}/versions/{{version}}/rules", "getBundleRules",
        "The files of rules of a bundle, as their authors wrote them", bundle_texts.get_rules, "policy", SEES_BUNDLES,
        reply="BundleRules", errors=("bundle_not_found", "bundle_malformed", *STORE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}/diff", "diffBundle", "What one version does otherwise than another",
        bundle_texts.get_diff, "policy", SEES_BUNDLES, reply="BundleDiff", query=(BEFORE, AFTER),
        errors=(*REVIEW_ERRORS, "overloaded"),
    ),
    Operation(
        "POST", f"{API}/policy/replay", "replay", "What a candidate would have decided about what was decided",
        replay.replay, "policy", AUTHOR, reply="ReplayReport", request="ReplayForm",
        errors=(*REVIEW_ERRORS, "no_policy", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/shadow", "listShadows", "What kernels shadow, and how it would have decided",
        shadow.status, "policy", SEES_SHADOWS, reply="ShadowPage", errors=("unavailable", *KERNEL_ERRORS),
    ),
    Operation(
        "PUT", f"{API}/policy/shadow/{{name}}", "startShadow", "Have kernels shadow a signed bundle", shadow.start,
        "policy", AUTHOR, reply="Shadowed", request="BundleFile",
        errors=(*REVIEW_ERRORS, "bundle_conflict", "limited", *STATE_ERRORS),
    ),
    Operation(
        "DELETE", f"{API}/policy/shadow/{{name}}", "stopShadow", "Have kernels shadow a bundle no more", shadow.stop,
        "policy", AUTHOR, reply="ShadowStopped",
        errors=("bundle_not_found", "bundle_tenant", "unavailable", *STATE_ERRORS),
    ),
)
# fmt: on
