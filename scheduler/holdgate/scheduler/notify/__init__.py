"""Webhooks: people are told of what waits for them and of what became of it."""

from __future__ import annotations

from holdgate.scheduler.notify.config import Webhook, Webhooks, read_webhooks
from holdgate.scheduler.notify.service import NotifyService

__all__ = ["NotifyService", "Webhook", "Webhooks", "read_webhooks"]
