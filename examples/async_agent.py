"""Many jobs at once, and one that a person has to release. Needs `HOLDGATE_API_URL` and `HOLDGATE_API_KEY`."""

import asyncio

from holdgate.client import AsyncClient


async def main() -> None:
    async with AsyncClient() as client:
        jobs = await asyncio.gather(*(client.submit("job.demo.read", prompt=f"host {n}") for n in range(10)))
        for output in await asyncio.gather(*(job.result(timeout_s=30) for job in jobs)):
            print(output.value)
        deploy = await client.submit("job.deploy.apply", labels={"env": "prod"}, capability="infra.write")
        print(f"{deploy.job_id} is {deploy.state}: {deploy.decision.reason}")
        async for job in deploy.events():
            print(job.state)


asyncio.run(main())
