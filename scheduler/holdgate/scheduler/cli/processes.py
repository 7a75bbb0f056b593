"""The composition root: each process of Holdgate put together from its settings.

Imports stand in the functions, so that each process loads only its own parts: the kernel's is the trusted base, and its
process holds nothing but `holdgate.kernel`, the verifying half of `holdgate.bundles`, and how a process lives.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler import lifecycle, logs
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.lifecycle import Runtime, nats_connection
from holdgate.scheduler.settings import (
    ApiSettings,
    AuditorSettings,
    DispatcherSettings,
    Keeping,
    KernelSettings,
    OutputGateSettings,
    Process,
    SetupSettings,
    Signing,
    Stateful,
    Trusting,
    read_secret,
    read_secrets,
    refuse_unknown,
)

if TYPE_CHECKING:
    from holdgate.bundles.rootfile import RootFile
    from holdgate.kernel.permits import Keyring, Signer
    from holdgate.scheduler.state.address import RedisAddress
    from holdgate.scheduler.state.connection import Scripts

Settings = TypeVar("Settings", bound=Process)
Compose = Callable[[Runtime, Any], contextlib.AbstractAsyncContextManager[None]]


def run_process(name: str) -> int:
    """Run the process `name` until a signal; its exit code."""
    kind, compose = COMPOSITIONS[name]
    settings = _settings(name, kind)
    if settings is None:
        return lifecycle.REFUSED
    logs.configure(name, level=settings.log_level, form=settings.log_format)
    return lifecycle.run(name, settings, lambda runtime: compose(runtime, settings))


def run_setup() -> int:
    """Look at how the servers keep what they confirm, create what must exist in NATS; the exit code."""
    settings = _settings("setup", SetupSettings)
    if settings is None:
        return lifecycle.REFUSED
    logs.configure("setup", level=settings.log_level, form=settings.log_format)

    @contextlib.asynccontextmanager
    async def compose(runtime: Runtime) -> AsyncIterator[None]:
        from holdgate.scheduler.up.setup import ensure_all

        async with nats_connection(settings, runtime) as nc, redis_connected(settings) as scripts:
            await check_durability(scripts, settings)
            await ensure_all(nc, replicas=settings.replicas, file_store_bytes=settings.file_store_bytes())
            runtime.stop()
            yield

    return lifecycle.run("setup", settings, compose)


def _settings(name: str, kind: type[Settings]) -> Settings | None:
    """Checked settings; None, and on standard error why, when they do not hold."""
    try:
        refuse_unknown()
        return kind()
    except Misconfigured as error:
        print(f"holdgate {name}: {error}", file=sys.stderr)
        return None
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            field = "_".join(map(str, problem["loc"])).upper()
            print(f"holdgate {name}: HOLDGATE_{field}: {problem['msg']}", file=sys.stderr)
        return None


@contextlib.asynccontextmanager
async def kernel(runtime: Runtime, settings: KernelSettings) -> AsyncIterator[None]:
    """Decides and signs permits."""
    from holdgate.bundles.activate import BundleActivator
    from holdgate.bundles.root import Pins
    from holdgate.bundles.shadowing import BundleShadow
    from holdgate.bundles.stampstore import StampStore
    from holdgate.bundles.store import BundleStore, shadow_store
    from holdgate.kernel.service import KernelService
    from holdgate.scheduler.cli.checks import clock_check, disk_check, nats_check, policy_checks

    clock = SystemClock()
    signer = _signer(settings)
    async with nats_connection(settings, runtime) as nc:
        source = BundleActivator(
            root=settings.root_file,
            pins=Pins.parse(settings.root_pins),
            directory=settings.kernel_dir,
            clock=clock,
            store=BundleStore(nc),
            stamps=StampStore(nc),
        )
        source.load()
        if source.trust is not None:
            _require_listed(signer, source.trust.kernel, "kernel")
        shadow = BundleShadow(shadow_store(nc), source, clock)
        # In containers every kernel has the same process id.
        replica_id = f"kernel-{socket.gethostname().partition('.')[0]}-{os.getpid()}"
        service = KernelService(nc, source, signer, clock, replica_id=replica_id, shadow=shadow)
        runtime.readiness.add(
            nats_check(nc),
            clock_check(service),
            *policy_checks(source, clock),
            disk_check(settings.kernel_dir, is_needed=False),
        )
        async with _started(source), _started(shadow), _started(service):
            yield


@contextlib.asynccontextmanager
async def api(runtime: Runtime, settings: ApiSettings) -> AsyncIterator[None]:
    """HTTP, the submit gate, approvals, the console."""
    from holdgate.scheduler.cli.apiparts import api_deps
    from holdgate.scheduler.cli.consoleparts import create_site
    from holdgate.scheduler.cli.http import serving

    signer = _signer(settings)
    trust = _root(settings)
    _require_listed(signer, _in_force(trust).api, "api")
    async with nats_connection(settings, runtime) as nc, redis_connection(settings) as scripts:
        durability = await check_durability(scripts, settings)
        async with (
            api_deps(settings, nc, scripts, signer, trust, durability, runtime) as deps,
            serving(create_site(deps, settings), settings, runtime, on_leave=deps.events.dismiss),
        ):
            yield


@contextlib.asynccontextmanager
async def dispatcher(runtime: Runtime, settings: DispatcherSettings) -> AsyncIterator[None]:
    """Everything that moves jobs between the gates."""
    from holdgate.kernel.client import KernelClient
    from holdgate.scheduler.cli.checks import serving_checks, state_check
    from holdgate.scheduler.dispatch.config import DispatchConfig
    from holdgate.scheduler.dispatch.parts import FailOpen
    from holdgate.scheduler.dispatch.service import DispatcherService
    from holdgate.scheduler.tenants import Tenants

    clock = SystemClock()
    signer = _signer(settings)
    root = _root(settings)
    _require_listed(signer, _in_force(root).dispatcher, "dispatcher")
    async with nats_connection(settings, runtime) as nc, redis_connection(settings) as scripts:
        await check_durability(scripts, settings)
        require_message_size(nc.max_payload, settings)
        client, tenants = KernelClient(nc, clock=clock), Tenants(settings.tenants_file, clock)
        service = DispatcherService(
            nc,
            scripts,
            client,
            clock=clock,
            config=DispatchConfig(
                in_flight_max=settings.tenant_running_max,
                in_flight_of=tenants.running_max,
                weights=tenants.weights,
                retention_s=settings.retention_s,
                quarantine_keep_s=settings.quarantine_keep_s,
            ),
            fail_open=FailOpen(root, signer),
            # A result that no stream takes is a run for nothing, and perhaps one more of the same job.
            is_closed=lambda: runtime.readiness.is_known_away("jetstream"),
        )
        runtime.readiness.add(*serving_checks(settings, nc, scripts, client), state_check(service.recovery))
        async with _started(client), _notifier(scripts, settings), _started(service), _present(runtime, scripts):
            yield


@contextlib.asynccontextmanager
async def _notifier(scripts: Scripts, settings: DispatcherSettings) -> AsyncIterator[None]:
    """Serves webhooks where there are any; without, nothing of it is loaded."""
    if settings.webhooks_file is None:
        yield
        return
    from holdgate.scheduler.notify import NotifyService, read_webhooks

    service = NotifyService(scripts, read_webhooks(settings.webhooks_file), clock=SystemClock())
    async with _started(service):
        yield


@contextlib.asynccontextmanager
async def output_gate(runtime: Runtime, settings: OutputGateSettings) -> AsyncIterator[None]:
    """Scans results and decides what may be read."""
    from holdgate.kernel.client import KernelClient
    from holdgate.scheduler.cli.checks import serving_checks
    from holdgate.scheduler.cli.ownsecrets import own_digests, own_secrets
    from holdgate.scheduler.gates.output.scanners import ScanSettings
    from holdgate.scheduler.gates.output.service import OutputGateConfig, OutputGateService
    from holdgate.scheduler.state.log import PayloadStore
    from holdgate.scheduler.state.results import Results

    clock = SystemClock()
    trust = _in_force(_root(settings))
    (fingerprint_key,) = read_secrets(settings.fingerprint_key_file)[:1]
    scan = ScanSettings(
        own_secrets(settings),
        fingerprint_key,
        known_digests=own_digests(settings),
        seconds=settings.scan_timeout_s,
        children=settings.scan_children,
        fast=settings.scan_fast,
    )
    async with nats_connection(settings, runtime) as nc, redis_connection(settings) as scripts:
        await check_durability(scripts, settings)
        client = KernelClient(nc, clock=clock)
        service = OutputGateService(
            nc=nc,
            results=Results(scripts),
            kernel=client,
            store=PayloadStore(nc),
            quarantine_key=trust.quarantine_key,
            config=OutputGateConfig(scan=scan, stop_s=settings.stop_timeout_s / 2),
            clock=clock,
        )
        runtime.readiness.add(*serving_checks(settings, nc, scripts, client))
        async with _started(client), _started(service), _present(runtime, scripts):
            yield


@contextlib.asynccontextmanager
async def auditor(runtime: Runtime, settings: AuditorSettings) -> AsyncIterator[None]:
    """Archives and seals the audit log."""
    from holdgate.scheduler.audit.service import AuditConfig, AuditorService
    from holdgate.scheduler.cli.checks import disk_check, redis_check

    signer = _signer(settings)
    _require_listed(signer, _in_force(_root(settings)).auditor, "auditor")
    async with redis_connection(settings) as scripts:
        await check_durability(scripts, settings)
        service = AuditorService(
            scripts,
            settings.audit_dir,
            signer,
            clock=SystemClock(),
            config=AuditConfig(seal_after_s=settings.audit_seal_s),
            on_failure=runtime.fail,
        )
        runtime.readiness.add(redis_check(scripts), disk_check(settings.audit_dir, is_needed=True))
        async with _started(service), _present(runtime, scripts):
            yield


@contextlib.asynccontextmanager
async def _present(runtime: Runtime, scripts: Scripts) -> AsyncIterator[None]:
    """The process says in Redis that it is there, for the block."""
    from holdgate.scheduler.cli.checks import present
    from holdgate.scheduler.state.presence import Presences

    async with present(runtime.readiness, Presences(scripts, SystemClock())):
        yield


COMPOSITIONS: dict[str, tuple[type[Process], Compose]] = {
    "kernel": (KernelSettings, kernel),
    "api": (ApiSettings, api),
    "dispatcher": (DispatcherSettings, dispatcher),
    "output-gate": (OutputGateSettings, output_gate),
    "auditor": (AuditorSettings, auditor),
}


def redis_address(settings: Keeping) -> RedisAddress:
    """Where Redis is, and how this process comes in; Misconfigured."""
    from dataclasses import replace

    from holdgate.scheduler.state.address import Kind, RedisAddress

    address = RedisAddress.parse(settings.redis_url)
    replicas = settings.redis_replicas
    if replicas is None:
        replicas = 0 if address.kind is Kind.SINGLE else 1
    monitors = (settings.nats_monitor_url or "").split(",")
    lifecycle.verify_private_links([settings.redis_url, *filter(None, monitors)], settings.plaintext)
    password, sentinel = settings.redis_password(), settings.redis_sentinel_password_file
    return replace(
        address,
        user=settings.redis_user or address.user,
        password=password or address.password,
        sentinel_password=None if sentinel is None else read_secret(sentinel),
        tls=settings.redis_tls(),
        replicas=replicas,
        loopback_only=settings.plaintext != "allow",
    )


@contextlib.asynccontextmanager
async def redis_connection(settings: Stateful) -> AsyncIterator[Scripts]:
    """Redis with all scripts loaded; tried for a while, because servers may start at the same time as this process."""
    from holdgate.scheduler.errors import StateUnavailable

    async with redis_connected(settings) as scripts:
        await lifecycle.retried(
            lambda: _records(scripts, settings), StateUnavailable, timeout_s=lifecycle.START_TIMEOUT_S
        )
        yield scripts


@contextlib.asynccontextmanager
async def redis_connected(settings: Keeping) -> AsyncIterator[Scripts]:
    """The same, and what form the state has is not looked at."""
    from holdgate.scheduler.errors import StateUnavailable
    from holdgate.scheduler.state.connection import connect_redis

    address = redis_address(settings)
    scripts = await lifecycle.retried(
        lambda: connect_redis(address), StateUnavailable, timeout_s=lifecycle.START_TIMEOUT_S
    )
    try:
        yield scripts
    finally:
        await scripts.close()


async def _records(scripts: Scripts, settings: Stateful) -> None:
    """Whether this process knows the form of the state. The auditor only looks: it may write nothing there."""
    from holdgate.scheduler.state.records import mark_records, verify_records

    await (verify_records if isinstance(settings, AuditorSettings) else mark_records)(scripts)


def require_message_size(bytes_max: int, settings: Stateful) -> None:
    """Misconfigured when NATS takes no messages as large as jobs may be: they would be accepted and never run."""
    from holdgate.kernel import limits

    if settings.durability == "strict" and bytes_max < limits.ENVELOPE_BYTES_MAX:
        raise Misconfigured(
            f"NATS takes messages of at most {bytes_max} bytes: set `max_payload: {limits.ENVELOPE_BYTES_MAX}` there"
        )


async def check_durability(scripts: Scripts, settings: Keeping) -> str:
    """The profile in force; DurabilityMismatch when the servers are weaker than `strict` and that is declared.

    All that counts is looked at by `holdgate setup`; a process looks at what it may see, and says what it does not.
    """
    import structlog

    from holdgate.kernel.errors import Unavailable
    from holdgate.scheduler import metrics
    from holdgate.scheduler.state.durability import BY_CONFIG, BY_INFO, UNSEEN, Profile, verify_durability

    log = structlog.get_logger("holdgate.lifecycle")
    profile = Profile(settings.durability)
    look = BY_CONFIG if isinstance(settings, SetupSettings) else BY_INFO
    differences = await lifecycle.retried(
        lambda: verify_durability(
            scripts, settings.nats_monitor_url, profile=profile, tls=settings.monitor_tls(), look=look
        ),
        Unavailable,
        timeout_s=lifecycle.START_TIMEOUT_S,
    )
    metrics.DURABILITY_RELAXED.set(1 if differences else 0)
    if differences:
        log.warning(
            "durability is relaxed: a crash or a failover may lose what was acknowledged",
            action="durability_relaxed",
            differences=differences,
        )
    if look is BY_INFO:
        log.info("not seen from here; `holdgate setup` looks at it", action="durability_unseen", settings=UNSEEN)
    return str(profile)


@contextlib.asynccontextmanager
async def _started(service: Any) -> AsyncIterator[None]:
    await service.start()
    try:
        yield
    finally:
        await service.stop()


def _signer(settings: Signing) -> Signer:
    from holdgate.bundles.keys import load_signer

    return load_signer(settings.key_file)


def _root(settings: Trusting) -> RootFile:
    from holdgate.bundles.root import Pins
    from holdgate.bundles.rootfile import RootFile

    return RootFile(settings.root_file, Pins.parse(settings.root_pins), SystemClock())


def _in_force(root: RootFile) -> Any:
    trust = root()
    if trust is None:
        raise Misconfigured("the trust root has expired")
    return trust


def _require_listed(signer: Signer, keyring: Keyring, kind: str) -> None:
    if signer.name not in keyring:
        raise Misconfigured(f"the trust root does not list `{signer.name}` as a key of the {kind}")
