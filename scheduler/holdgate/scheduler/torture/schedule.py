"""Which faults when: drawn from the seed alone, so that the same seed breaks the same things in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random  # noqa: TID251  a seeded one comes in as an argument

from holdgate.scheduler.torture.faults import CATALOG

MIX_MAX = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things last."""

    hold_s: tuple[float, float] = (3.0, 10.0)
    long_s: float = 20.0
    """Of what must last longer than time limits: a process that is stopped and comes back."""
    rest_s: float = 2.0
    noticed_s: float = 20.0
    """By then others have noticed that one of them hangs: NATS lets go of it in nine seconds, and a breaker closes."""
    recovery_timeout_s: float = 60.0
    settle_timeout_s: float = 90.0


BOUNDED = Pace(
    hold_s=(1.0, 2.5), long_s=0.0, rest_s=0.5, noticed_s=60.0, recovery_timeout_s=60.0, settle_timeout_s=60.0
)
"""For runs of a minute or two, on a machine that does other things, too."""


@dataclass(frozen=True, slots=True)
class Step:
    """Faults that hold together, and for how long. `seed`: of what each of them chooses."""

    faults: tuple[str, ...]
    hold_s: float
    seed: int


def steps(seed: int, names: Sequence[str], pace: Pace) -> Iterator[Step]:
    """Each of `names` alone, in an order of the seed; then mixes, without end."""
    rng = Random(f"{seed} schedule")  # noqa: S311  a schedule is to be repeatable
    order = list(names)
    rng.shuffle(order)
    for name in order:
        yield _step((name,), rng, pace)
    mixable = [name for name in names if not CATALOG[name].alone]
    while True:
        if len(mixable) < 2 or rng.random() < 1 / 3:
            yield _step((rng.choice(order),), rng, pace)
        else:
            count = rng.randint(2, min(MIX_MAX, len(mixable)))
            yield _step(tuple(rng.sample(mixable, count)), rng, pace)


def _step(faults: tuple[str, ...], rng: Random, pace: Pace) -> Step:
    hold_s = round(rng.uniform(*pace.hold_s), 2)
    if any(CATALOG[name].lasts for name in faults):
        hold_s = max(hold_s, pace.long_s)
    return Step(faults, hold_s, rng.getrandbits(32))
