"""What the gates count beside decisions."""

from __future__ import annotations

from prometheus_client import Counter

INPUT_FAIL_OPEN = Counter(
    "holdgate_input_fail_open_total", "Jobs accepted without a decision because the signed root says submit fails open."
)
