"""What the metrics say of looks over state store and log."""

from __future__ import annotations

from prometheus_client import REGISTRY

from holdgate.scheduler.recovery.drift import Drift, Kind
from holdgate.scheduler.recovery.service import FOUND_SHOWN_S, tell_metrics


def shown(kind: Kind) -> float | None:
    """What is scraped."""
    return REGISTRY.get_sample_value("holdgate_reconcile_drift", {"kind": str(kind)})


def test_what_a_look_found_is_shown_for_longer_than_until_the_next_one() -> None:
    """That may come at once and find nothing, long before anybody reads metrics. The one in an hour ends it."""
    found_s: dict[Kind, float] = {}
    loss, nothing = Drift(mended=True), Drift(mended=True)
    loss.counts[Kind.MISSING] = 3
    tell_metrics(loss, 0, found_s, 100.0)
    tell_metrics(nothing, 0, found_s, 100.1)
    assert (shown(Kind.MISSING), shown(Kind.BEHIND)) == (3, 0)
    tell_metrics(nothing, 0, found_s, 100.0 + FOUND_SHOWN_S)
    assert shown(Kind.MISSING) == 0
