"""Notifiers between a real Redis and real receivers, with a clock that tests turn."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdgate.kernel.canonical import canonical_bytes
from holdgate.scheduler.notify import NotifyService, read_webhooks
from holdgate.scheduler.notify.sender import HttpSender
from support.state import World

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()
WAIT_S = 10.0


def write_owned(file: Path, data: bytes) -> Path:
    """A file that only its owner can read."""
    file.write_bytes(data)
    file.chmod(0o600)
    return file


@dataclass
class Post:
    """Notifiers over one store. `world` is the store and the clock."""

    world: World
    folder: Path
    made: list[NotifyService] = field(default_factory=list)

    def now_ms(self) -> int:
        """What the world says."""
        return self.world.now_ms

    def configure(self, *webhooks: dict[str, Any], **more: Any) -> Path:
        """The operator's file; each webhook has the secret of these tests."""
        write_owned(self.folder / "secret", SECRET.encode())
        items = [{"secret_file": "secret", **webhook} for webhook in webhooks]
        return write_owned(self.folder / "webhooks.json", canonical_bytes({"webhooks": items, **more}))

    async def notifier(
        self, *webhooks: dict[str, Any], chance: bytes = b"\xff", timeout_s: float = WAIT_S, **more: Any
    ) -> NotifyService:
        """One that claims when it is told to; it has looked once, so that what happens from now on is sent."""
        service = NotifyService(
            self.world.scripts,
            read_webhooks(self.configure(*webhooks, **more)),
            clock=self,
            entropy=lambda n: chance * n,
            sender=HttpSender(timeout_s=timeout_s),
        )
        self.made.append(service)
        await service.run_once()
        return service

    async def send(self, service: NotifyService) -> int:
        """Claim what is due and wait until it was tried; how many were claimed."""
        claimed = await service.run_once()
        await service.settled(WAIT_S)
        return claimed
