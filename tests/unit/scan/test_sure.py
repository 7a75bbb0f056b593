"""Which rules may look at pieces put together: those whose matches begin with letters that only a vendor writes."""

from __future__ import annotations

from holdgate.scan.ruleset import builtin_rules
from holdgate.scan.views.sure import either, prefixes


def test_nothing_that_ordinary_text_is_full_of_begins_a_token() -> None:
    """Each such beginning is followed up by itself: where one stood on every line, a scan took twenty times as long."""
    heads = either({head.encode() for rule in builtin_rules() for head in prefixes(rule)})
    line = b'{"ts":"2026-01-02T03:04:05Z","level":"info","path":"https://api.service.dev/v1/items","error":"not found"}'
    assert heads.search(line) is None


def test_beginnings_in_any_case_behind_a_boundary_and_with_parts_that_may_be_missing_are_beginnings() -> None:
    """Each as its vendor documents it; what an address or a name may begin with is none."""
    heads = {rule.id: prefixes(rule) for rule in builtin_rules()}
    for rule, head in (
        ("clojars-token", "CLOJARS_"),
        ("new-relic-key", "NRAK-"),
        ("password-hash", "$6$"),
        ("slack-token", "xoxb-"),
        ("slack-app-token", "xapp-"),
    ):
        assert head in heads[rule]
    assert not heads["sidekiq-license-url"]
