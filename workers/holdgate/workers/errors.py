"""What can go wrong in a worker.

HoldgateError
├── InvalidInput
│   ├── BadHandler                a function cannot serve as a handler; raised when it is registered
│   ├── BadArtifact               a file that a run may not leave; raised in the handler
│   ├── SecretNotAsked            a secret that the job does not name; raised in the handler
│   └── MalformedDelivery         what the dispatcher sent is not a job with a permit
├── Forged
│   └── PermitRefused             the job must not run here; `code` says which check failed
├── SecretRefused                 a secret that the job names cannot be had (module `secrets`); it does not run
├── PermanentFailure              for handlers to raise: failed, and trying again would not help
└── Stopped                       the worker ends or lost the lease; the handler was stopped
"""

from __future__ import annotations

from enum import StrEnum

from holdgate.kernel.errors import Forged, HoldgateError, InvalidInput


class BadHandler(InvalidInput):
    """a function cannot serve as a handler"""

    code = "bad_handler"


class BadArtifact(InvalidInput):
    """a file that a run may not leave"""

    code = "bad_artifact"


class SecretNotAsked(InvalidInput):
    """the job does not name this secret"""

    code = "secret_not_asked"


class MalformedDelivery(InvalidInput):
    """what the dispatcher sent is not a job with a permit"""

    code = "malformed_delivery"


class Refusal(StrEnum):
    """Why a worker does not run a job that it was handed."""

    MALFORMED_DELIVERY = "malformed_delivery"
    PERMIT_SIGNATURE = "permit_signature"
    PERMIT_EXPIRED = "permit_expired"
    PERMIT_OTHER_WORKER = "permit_other_worker"
    PERMIT_OTHER_POOL = "permit_other_pool"
    PERMIT_JOB_MISMATCH = "permit_job_mismatch"
    JOB_HASH_MISMATCH = "job_hash_mismatch"
    PAYLOAD_MISMATCH = "payload_mismatch"
    PERMIT_REPLAYED = "permit_replayed"
    REPLAY_MEMORY_FULL = "replay_memory_full"
    FAIL_OPEN_REFUSED = "fail_open_refused"
    VOTES_UNSIGNED = "votes_unsigned"
    NO_HANDLER = "no_handler"
    MISSING_CAPABILITY = "missing_capability"
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105  a code
    SECRET_NOT_PERMITTED = "secret_not_permitted"  # noqa: S105  a code


class PermitRefused(Forged):
    """the job must not run here"""

    def __init__(self, refusal: Refusal, message: str) -> None:
        self.refusal = refusal
        super().__init__(message, code=str(refusal))


class PermanentFailure(HoldgateError):
    """the handler says that the job failed and that trying again would not help"""

    code = "permanent_failure"


class Stopped(HoldgateError):
    """the handler was stopped before its end"""

    code = "worker_stopped"
