"""What can go wrong in Holdgate, sorted by who is at fault.

    HoldgateError                     everything below; has a stable `code`
    ├── InvalidInput                  the caller's bytes are wrong (4xx)
    │   ├── MalformedJson             not the JSON that can be hashed
    │   ├── RecordNewer               a newer release wrote it, and can read it
    │   ├── FormInvalid               a submitted job is not of the form's shape; names the fields
    │   └── PolicyInvalid             a rules file does not load
    ├── Forged                        a signature, hash or binding does not hold
    └── Unavailable                   a part is away; safe to try again (503)
        ├── KernelUnavailable         no decision could be had in time
        └── NoPolicy                  kernels answer, and none has a valid policy

Each package draws its own branch in an `errors.py` of its own.
"""

from __future__ import annotations


class HoldgateError(Exception):
    """something went wrong"""

    code = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InvalidInput(HoldgateError):
    """the input is not valid"""

    code = "invalid_input"


class MalformedJson(InvalidInput):
    """the body is not JSON that can be hashed"""

    code = "malformed_json"


class RecordNewer(InvalidInput):
    """a record of a newer release: only that one reads it"""

    code = "record_newer"


class FormInvalid(InvalidInput):
    """a job is not of the form's shape

    `problems` are `(field, reason)` pairs; a field is a dotted path such as `labels.env` or `risk_tags.3`. Reasons
    never repeat what was sent.
    """

    code = "invalid_input"

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"`{field}`: {why}" for field, why in problems))


class PolicyInvalid(InvalidInput):
    """a rules file does not load

    `problems` are `(location, reason)` pairs; a location is a path into the document, such as `("rules", 3, "match")`.
    """

    code = "policy_invalid"

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{'.'.join(map(str, where)) or 'document'}: {why}" for where, why in problems))


class Forged(HoldgateError):
    """a signature, a hash or a binding does not hold"""

    code = "forged"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class Unavailable(HoldgateError):
    """a part of the system is away; nothing was done; try again"""

    code = "unavailable"


class KernelUnavailable(Unavailable):
    """the kernel gave no decision in time; nothing was done; try again"""

    code = "kernel_unavailable"


class NoPolicy(Unavailable):
    """no valid policy is in force; what waits was left as it is; try again

    Not a `KernelUnavailable`: a fail mode other than closed is for a kernel that is away, not for one that says no.
    """

    code = "no_policy"
