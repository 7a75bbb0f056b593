"""A worker in ten lines: `holdgate worker run worker:worker` in this folder."""

from holdgate.workers import Job, Worker

worker = Worker(pool="default")


@worker.job("job.demo.read", capabilities=["demo.read"])
async def read(job: Job) -> dict[str, str | None]:
    job.log("reading the status")
    return {"status": "ok", "asked": job.prompt}
