"""The client of the HTTP API, for agents and people: `Client`, `AsyncClient`, and what they raise."""

from holdgate.client.client import AsyncClient, AsyncJobHandle, Client, JobHandle
from holdgate.client.errors import (
    ApiError,
    ApprovalError,
    Conflict,
    Denied,
    Forbidden,
    Invalid,
    JobNotSucceeded,
    NotFound,
    OutputQuarantined,
    Throttled,
    Unavailable,
    WaitTimeout,
)
from holdgate.client.webhooks import WebhookRefused, verify_webhook

__all__ = [
    "ApiError",
    "ApprovalError",
    "AsyncClient",
    "AsyncJobHandle",
    "Client",
    "Conflict",
    "Denied",
    "Forbidden",
    "Invalid",
    "JobHandle",
    "JobNotSucceeded",
    "NotFound",
    "OutputQuarantined",
    "Throttled",
    "Unavailable",
    "WaitTimeout",
    "WebhookRefused",
    "verify_webhook",
]
