"""`holdgate torture`: break a cluster on purpose, under load, and see whether everything held."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from holdgate.bundles.cli.refusal import tell
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.scheduler import logs
from holdgate.scheduler.cli.people.exits import Exit
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.torture.cluster import Topology
from holdgate.scheduler.torture.cluster.topology import RedisShape
from holdgate.scheduler.torture.faults import CATALOG
from holdgate.scheduler.torture.run import Options, Report, as_json, table, torture
from holdgate.scheduler.torture.schedule import BOUNDED, Pace

SHORT_S = 180.0
"""Below this the pace of the faults is that of a short run."""
SEED_BITS = 32


def run(
    *,
    minutes: float,
    seed: int | None,
    faults: str | None,
    shape: str,
    confirmed: bool,
    rate: float,
    keep: Path | None,
    as_json_: bool,
) -> Exit:
    """How `holdgate torture` ends."""
    try:
        names = chosen(faults)
    except InvalidInput as error:
        tell(error)
        return Exit.USAGE
    seed = secrets.randbits(SEED_BITS) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="holdgate-torture-")) if keep is None else keep.absolute()
    seconds = minutes * 60
    topology = Topology(redis=RedisShape(shape), redis_replicas=None if confirmed else 0, proxied=True)
    pace = BOUNDED if seconds < SHORT_S else Pace()
    logs.configure("torture", level="error")
    print(f"seed {seed}; `{shape}`, {len(names)} faults, {minutes:g} min; everything is in {folder}", file=sys.stderr)
    options = Options(seed, seconds, names, topology, folder, rate, pace=pace)
    try:
        report = asyncio.run(_until_told(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"interrupted; logs and data are in {folder}", file=sys.stderr)
        return Exit.INTERRUPTED
    except HoldgateError as error:
        tell(error)
        print(f"logs and data are in {folder}", file=sys.stderr)
        return Exit.UNAVAILABLE
    return _told(report, keep, as_json_=as_json_)


def show_faults(*, as_json: bool) -> None:
    """What `--faults` takes."""
    for name, entry in CATALOG.items():
        if as_json:
            Out(as_json).line({"name": name, "what": entry.what})
        else:
            print(f"{name:<22} {entry.what}")


def chosen(faults: str | None) -> tuple[str, ...]:
    """Names of faults; InvalidInput for one that there is not."""
    names = tuple(CATALOG) if faults is None else tuple(name.strip() for name in faults.split(",") if name.strip())
    unknown = [name for name in names if name not in CATALOG]
    if unknown or not names:
        raise InvalidInput(
            f"no such fault: {', '.join(f'`{name}`' for name in unknown)}; there are {', '.join(CATALOG)}"
        )
    return names


async def _until_told(options: Options) -> Report:
    """Ends early at Ctrl-C, and at what a service manager sends: in order, so that nothing is left behind."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await torture(options, lambda line: print(line, file=sys.stderr, flush=True))


def _told(report: Report, keep: Path | None, *, as_json_: bool) -> Exit:
    if as_json_:
        print(json.dumps(as_json(report), indent=2))  # noqa: TID251  for scripts
    else:
        print("\n".join(table(report)))
    if report.is_clean:
        injected = {row.fault for row in report.rows}
        named = injected | set(report.not_run) | set(report.not_reached)  # one that could not be done may be later
        held = f"all held: {len(injected)} of {len(named)} faults, {report.jobs} jobs, {report.seconds:.0f} s"
        print(f"{held}, seed {report.seed}", file=sys.stderr)
        if keep is None:
            shutil.rmtree(report.folder, ignore_errors=True)
        return Exit.DONE
    print(
        f"something did not hold: history, logs and data are in {report.folder}; again with `--seed {report.seed}`",
        file=sys.stderr,
    )
    return Exit.REFUSED
