"""A provider that is set up by half stops the start, and says what is wanted; without one nothing of it is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdgate.scheduler.cli.consoleparts import _provider
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import ApiSettings

DEPS: Any = SimpleNamespace(sessions=SimpleNamespace(signing=None), clock=None)
WHOLE = {
    "public_url": "https://holdgate.example.com/",
    "oidc_issuer": "https://login.example.com",
    "oidc_client_id": "holdgate",
    "oidc_tenant": "acme",
}


def settings(**changes: Any) -> ApiSettings:
    """Those of an api."""
    given = {"root_file": "/r", "root_pins": "ed25519:00", "key_file": "/k", "api_keys_file": "/a", **WHOLE, **changes}
    return ApiSettings(**{name: value for name, value in given.items() if value is not None})


def test_a_whole_set_makes_a_provider() -> None:
    found = _provider(DEPS, settings())
    assert found is not None
    assert found.host == "login.example.com"
    assert _provider(DEPS, settings(oidc_issuer=None)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"public_url": None},
        {"oidc_client_id": None},
        {"oidc_tenant": None},
        {"oidc_tenant_claim": "tenant"},
        {"oidc_issuer": "http://login.example.com"},
        {"oidc_client_secret_file": "/none"},
        {"oidc_roles_file": "/none"},
    ],
    ids=str,
)
def test_by_half_it_stops_the_start(changes: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        _provider(DEPS, settings(**changes))


def test_templates_and_the_provider_are_loaded_when_they_are_needed(tmp_path: Path) -> None:
    """An api of `holdgate up` that nobody opens in a browser holds neither."""
    code = (
        "import sys, holdgate.scheduler.cli.consoleparts as _;"
        "print([name for name in ('jinja2', 'authlib', 'joserfc') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"
