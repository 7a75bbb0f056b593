"""What is counted of sign-ins. Labels are kinds and results, never people, keys or addresses."""

from __future__ import annotations

from prometheus_client import Counter

SIGN_INS = Counter(
    "holdgate_signin_total", "Sign-ins to the console, and API keys that are not known", ["kind", "result"]
)
KINDS = ("key", "oidc", "api_key")
"""By API key in the console, by the OpenID provider, and an API key in the headers of a call."""
RESULTS = ("accepted", "refused", "limited")
for _kind in KINDS:
    for _result in RESULTS:
        SIGN_INS.labels(_kind, _result)
