"""A handler with a typed payload: what does not fit fails before the handler sees it, and is not tried again.

`holdgate worker run typed_payload:worker` in this folder.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from holdgate.workers import Job, PermanentFailure, Worker

worker = Worker()


class Transfer(BaseModel):
    account: Annotated[str, Field(pattern=r"^[A-Z]{2}[0-9]{6}$")]
    amount_cents: Annotated[int, Field(gt=0, le=1_000_000)]


class Receipt(BaseModel):
    account: str
    booked_cents: int


@worker.job("job.money.transfer", capabilities=["money.write"])
async def transfer(job: Job, payload: Transfer) -> Receipt:
    if payload.account.startswith("XX"):
        raise PermanentFailure(f"account {payload.account} is closed")
    job.log(f"booking for {job.actor}")
    return Receipt(account=payload.account, booked_cents=payload.amount_cents)
