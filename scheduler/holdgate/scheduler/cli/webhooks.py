"""`holdgate webhooks`: what the operator's file says, and whether a receiver takes what is sent."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.refusal import refusals
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.notify.config import Webhook, read_webhooks

app = typer.Typer(no_args_is_help=True, help="Where notices go.", add_completion=False)
WebhooksFile = Annotated[Path, typer.Argument(help="As `HOLDGATE_WEBHOOKS_FILE` names it")]


@app.command("list")
def list_webhooks(file: WebhooksFile) -> None:
    """Check the file and say what goes where; secrets are not shown."""
    with refusals():
        for webhook in read_webhooks(file).items:
            tenants = "all tenants" if webhook.tenants is None else ", ".join(sorted(webhook.tenants))
            print(f"{webhook.name}  {webhook.url}  {', '.join(sorted(webhook.kinds))}  {tenants}")


@app.command("test")
def try_webhook(file: WebhooksFile, name: Annotated[str, typer.Argument(help="Which webhook")]) -> None:
    """Send one signed notice of type `test`, once. Exit code 1 when it does not arrive."""
    with refusals():
        found = [webhook for webhook in read_webhooks(file).items if webhook.name == name]
        if not found:
            raise Misconfigured(f"`{file}` has no webhook `{name[:64]}`")
        wrong = asyncio.run(_try(found[0]))
    if wrong is not None:
        print(f"not delivered: {_told(wrong, found[0].url)}", file=sys.stderr)
        raise typer.Exit(1)
    print("delivered")


def _told(wrong: str, url: str) -> str:
    """What went wrong, for who set the webhook up."""
    if wrong == "timeout":
        return f"`{url}` gave no answer in time"
    if wrong.startswith("status_"):
        return f"`{url}` answers with status {wrong.removeprefix('status_')}"
    return f"nothing answers at `{url}` ({wrong})"


async def _try(webhook: Webhook) -> str | None:
    from holdgate.scheduler.notify.message import trial
    from holdgate.scheduler.notify.sender import HttpSender
    from holdgate.scheduler.notify.signature import signed_headers

    now_ms = SystemClock().now_ms()
    message_id, body = trial(now_ms)
    sender = HttpSender()
    try:
        return await sender.post(webhook.url, body, signed_headers(message_id, now_ms, body, webhook.secrets()))
    finally:
        await sender.close()
