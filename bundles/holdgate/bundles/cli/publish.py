"""`holdgate bundle publish`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import nats
import typer
from nats.errors import Error as NatsError

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import (
    BuiltFile,
    Json,
    PinsOption,
    RootOption,
    describe,
    load_trust,
    read_file,
    refusals,
    show,
)
from holdgate.bundles.errors import BundleOutdated, StoreUnavailable
from holdgate.bundles.publish import publish
from holdgate.bundles.root import Root
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import TrustedBundle
from holdgate.kernel.clock import Clock, SystemClock
from holdgate.kernel.subjects import inbox

CONNECT_TIMEOUT_S = 5


@bundle_app.command("publish")
def publish_command(
    file: BuiltFile,
    root: RootOption,
    pins: PinsOption,
    url: Annotated[str, typer.Option("--nats", envvar="HOLDGATE_NATS_URL", help="Where NATS is")],
    user: Annotated[str | None, typer.Option("--nats-user", envvar="HOLDGATE_NATS_USER")] = None,
    password_file: Annotated[
        Path | None, typer.Option("--nats-password-file", envvar="HOLDGATE_NATS_PASSWORD_FILE")
    ] = None,
    if_newer: Annotated[bool, typer.Option("--if-newer", help="Done, too, when this version is published")] = False,
    as_json: Json = False,
) -> None:
    """Check a bundle against what is published, and publish it. Kernels verify it again."""
    with refusals():
        clock = SystemClock()
        data, trust = read_file(file), load_trust(root, pins, clock)
        password = None if password_file is None else password_file.read_text().strip()
        try:
            trusted = asyncio.run(_publish(data, trust, clock, url, _credentials(user, password)))
        except BundleOutdated as error:
            if not if_newer:
                raise
            show({"published": False, "reason": str(error)}, as_json)
            return
        show({"published": True, **describe(trusted.file), "counted": list(trusted.signers)}, as_json)


async def _publish(data: bytes, root: Root, clock: Clock, url: str, options: dict[str, Any]) -> TrustedBundle:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await nats.connect(
                servers=url.split(","), max_reconnect_attempts=1, reconnect_time_wait=0.1, **options
            )
    except (NatsError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"cannot reach NATS: {type(error).__name__}") from error
    try:
        return await publish(BundleStore(connection), data, root, clock.now_ms())
    finally:
        await connection.close()


def _credentials(user: str | None, password: str | None) -> dict[str, Any]:
    """Options of a connection; a user's replies come to an inbox that nobody else may read."""
    options: dict[str, Any] = {} if user is None else {"user": user, "inbox_prefix": inbox(user)}
    return options if password is None else {**options, "password": password}
