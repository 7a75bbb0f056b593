"""A handler that computes. It runs in a process of its own, so it neither blocks other jobs nor outlives its time.

`holdgate worker run cpu_bound:worker` in this folder.
"""

from pydantic import BaseModel, Field

from holdgate.workers import Job, Worker

worker = Worker(concurrency=2)


class Range(BaseModel):
    below: int = Field(gt=2, le=50_000_000)


@worker.job("job.math.primes", capabilities=["math"], executor="process", max_runtime_s=60)
def primes(job: Job, payload: Range) -> dict[str, int]:
    sieve = bytearray([1]) * payload.below
    sieve[0] = sieve[1] = 0
    root = int(payload.below**0.5) + 1
    for number in range(2, root):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, payload.below, number)))
        job.progress(number / root)
    return {"below": payload.below, "primes": sum(sieve)}
