"""Where the API is and who calls it: the one place of this package that reads the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdgate.kernel.tls import Plaintext


class ClientSettings(BaseSettings):
    """Read from `HOLDGATE_API_…` variables; what the caller gives goes first."""

    model_config = SettingsConfigDict(env_prefix="HOLDGATE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    api_url: str = Field(
        "http://127.0.0.1:8081",
        pattern=r"^https?://[^,\s]+(\s*,\s*https?://[^,\s]+)*$",
        description="where the API is; several, comma separated, are asked in turn when one does not answer",
    )
    plaintext: Plaintext = Field(
        "loopback",
        description="`loopback`: no connection without TLS leaves this machine; `allow`: any may, with a warning",
    )
    api_key: SecretStr = Field(description="the caller's API key")
    api_tenant: str | None = Field(None, description="the tenant that the key must belong to; checked by the API")
    api_retry_s: float = Field(30.0, ge=0, le=3600, description="how long to try again while a part is away")
