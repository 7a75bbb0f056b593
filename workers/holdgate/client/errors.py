"""What can go wrong for a caller of the API, sorted by what to do about it.

ApiError                    the API said no; has `code`, `status`, `problem` (RFC 9457)
├── Denied                  policy denies the job: read `rule`, `reason`, `remediations`
├── Throttled               a limit is reached: wait `retry_after_s`
├── Invalid                 the request is wrong: read `errors`
├── Forbidden               this key may not do that
├── NotFound                there is no such thing, or it is not yours
├── Conflict                the state is not as the request supposes
├── ApprovalError           an approval cannot be given like this: `code` says why
├── OutputQuarantined       the output gate sealed the output
├── Unavailable             a part of the system is away; tried again for as long as was allowed
└── Unexpected              a reply that is not of this API
JobNotSucceeded             the job ended, but not well; has `job`
WaitTimeout                 the job has not ended in the time given; has `job`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from holdgate.client.models import Decision, Remediation
from holdgate.kernel.errors import HoldgateError

if TYPE_CHECKING:
    from holdgate.client.models import JobInfo

_remediations: TypeAdapter[list[Remediation]] = TypeAdapter(list[Remediation])


class ApiError(HoldgateError):
    """the API refused the request"""

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after_s: float | None = None) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code") or "unexpected")
        self.retry_after_s = retry_after_s
        self.job_id: str | None = problem.get("job_id")
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP status {status}"))


class Denied(ApiError):
    """policy denies the job"""

    @property
    def decision(self) -> Decision | None:
        """The whole decision, where the API gave one."""
        shown = self.problem.get("decision")
        return Decision.model_validate(shown) if isinstance(shown, dict) else None

    @property
    def rule(self) -> str | None:
        """Id of the rule that decided; None when no rule allows the job."""
        rule = self.problem.get("rule")
        return rule if isinstance(rule, str) else None

    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of all rules that matched, the deciding ones first."""
        return () if self.decision is None else self.decision.rules

    @property
    def reason(self) -> str:
        """Why, in the words of the policy's author."""
        return str(self.problem.get("reason") or self)

    @property
    def remediations(self) -> tuple[Remediation, ...]:
        """Safer versions of the job, to be taken with `client.jobs.remediate`."""
        try:
            return tuple(_remediations.validate_python(self.problem.get("remediations") or []))
        except ValidationError:
            return ()


class Throttled(ApiError):
    """a limit is reached; try again after `retry_after_s`"""


class Invalid(ApiError):
    """the request is wrong"""

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Each wrong field and what is wrong with it."""
        listed = self.problem.get("errors")
        return listed if isinstance(listed, list) else []


class Forbidden(ApiError):
    """this key may not do that"""


class NotFound(ApiError):
    """there is no such thing, or it is not yours"""


class Conflict(ApiError):
    """the state is not as the request supposes"""


class ApprovalError(ApiError):
    """the approval cannot be given like this"""


class OutputQuarantined(ApiError):
    """the output gate sealed the output"""


class Unavailable(ApiError):
    """a part of the system is away"""


class Unexpected(ApiError):
    """a reply that is not of this API"""


class JobNotSucceeded(HoldgateError):
    """the job ended, but not well"""

    code = "job_not_succeeded"

    def __init__(self, job: JobInfo) -> None:
        self.job = job
        because = f" ({job.code})" if job.code else ""
        super().__init__(f"job `{job.job_id}` ended `{job.state}`{because}")


class WaitTimeout(HoldgateError, TimeoutError):
    """the job has not ended in the time given"""

    code = "wait_timeout"

    def __init__(self, job: JobInfo) -> None:
        self.job = job
        super().__init__(f"job `{job.job_id}` is still `{job.state}`")


_BY_CODE: Mapping[str, type[ApiError]] = {
    "denied": Denied,
    "output_quarantined": OutputQuarantined,
}
_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: Throttled,
    500: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of(status: int, problem: Mapping[str, Any], retry_after_s: float | None) -> ApiError:
    """The error that tells of a problem reply."""
    code = str(problem.get("code") or "")
    kind = _BY_CODE.get(code) or (ApprovalError if code.startswith("approval_") else None)
    return (kind or _BY_STATUS.get(status, Unexpected))(status, problem, retry_after_s=retry_after_s)
