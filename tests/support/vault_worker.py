"""A worker whose handlers are given a secret and are careless with it, or not."""

from __future__ import annotations

import base64
import logging
from typing import Any

from holdgate.workers import Job, Worker

worker = Worker(concurrency=4)


@worker.job("job.demo.read", capabilities=["demo.read", "vault"])
async def use(job: Job) -> dict[str, Any]:
    """Does with the secret what the payload says."""
    value = job.secret("db").reveal()
    match job.payload["way"]:
        case "value":
            return {"text": base64.b64encode(f"user:{value}".encode()).decode()}
        case "log":
            logging.getLogger("careless").warning("connecting with %s", value)
            job.log(value.encode().hex())
        case "error":
            raise ValueError(f"cannot connect with {value}")
        case "file":
            job.artifact("settings.ini", f"[db]\npassword = {value}\n")
        case _:
            job.artifact("report.csv", "rows\n3\n", "text/csv")
    return {"length": len(value)}
