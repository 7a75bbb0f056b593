"""What the gates count beside decisions."""

from __future__ import annotations

from prometheus_client import Counter

INPUT_FAIL_OPEN = Counter(
    "holdgate_input_fail_open_total", "Jobs accepted without a decision because the signed root says submit fails open."
)
RECORDS_FORGED = Counter(
    "holdgate_forged_records_total", "Stored records that are not what was signed or hashed.", ["kind"]
)
for _kind in ("grant", "delegation", "job"):
    RECORDS_FORGED.labels(_kind)
GRANTS_USED = Counter("holdgate_grants_used_total", "Jobs that a standing grant released.")
PLATFORM_SECRETS_REFUSED = Counter(
    "holdgate_platform_secrets_refused_total",
    "Jobs that were refused because they held a live credential of the platform itself.",
)
