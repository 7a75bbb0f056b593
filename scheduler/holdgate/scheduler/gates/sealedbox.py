"""What is in a sealed box, and that it is what was sealed: opened with the key here, or elsewhere by whoever has it.

What always holds: bytes count as the content only where their digest is that of the sealed bytes and the key opens
them, or where they are what the output gate committed to; and only where they name this job and attempt.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nacl.public import PrivateKey

from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import Forged
from holdgate.scan.output import Output
from holdgate.scheduler.errors import NotFound, QuarantineSealedElsewhere, QuarantineUnopenable
from holdgate.scheduler.gates.sealing import commitment_of, content_of, open_box
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.quarantine import QuarantineItem


@dataclass(frozen=True, slots=True)
class Boxes:
    """Reads sealed bytes; opens them where there is a `key`."""

    payloads: PayloadStore
    key: PrivateKey | None = None

    async def sealed(self, item: QuarantineItem) -> bytes:
        """The sealed bytes, those that the output gate recorded. QuarantineUnopenable, LogUnavailable."""
        data = item.sealed or b""
        if item.sealed_ref is not None:
            try:
                data = await self.payloads.get(item.sealed_ref)
            except (NotFound, Forged) as error:
                raise QuarantineUnopenable("the sealed bytes are gone or altered; destroy what is left") from error
        if digest_bytes(data) != item.digest:
            raise QuarantineUnopenable
        return data

    async def open(self, item: QuarantineItem) -> Output:
        """The output in the box. QuarantineSealedElsewhere without a key, QuarantineUnopenable."""
        if self.key is None:
            raise QuarantineSealedElsewhere
        try:
            opened = await asyncio.to_thread(open_box, await self.sealed(item), self.key)
        except Forged as error:
            raise QuarantineUnopenable from error
        return _output_of(item, opened)


def verify_opened(item: QuarantineItem, opened: bytes) -> Output:
    """The output in what was opened elsewhere; QuarantineUnopenable where it is not what was sealed."""
    if item.commitment is None:
        raise QuarantineUnopenable("this was sealed without a commitment; only the key can show what is in it")
    if commitment_of(opened) != item.commitment:
        raise QuarantineUnopenable("the opened file is not what was sealed for this job; open its own export again")
    return _output_of(item, opened)


def _output_of(item: QuarantineItem, opened: bytes) -> Output:
    try:
        content = content_of(opened)
        if (content["job_id"], content["attempt"]) != (item.job_id, item.attempt):
            raise QuarantineUnopenable("the box holds the output of another job")
        return Output.from_dict(content["output"])
    except (Forged, KeyError, TypeError, ValueError) as error:
        raise QuarantineUnopenable from error
