"""Whether the caller of a call that lasts may still make it.

What always holds: nobody hears more of a stream than what the key that they showed would give them now; a file of keys
that does not load gives nobody anything.
"""

from __future__ import annotations

from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler.api.auth import authenticate
from holdgate.scheduler.api.calls import Call
from holdgate.scheduler.api.inside import principal_inside


def may_still(call: Call) -> bool:
    """Whether the caller's key gives exactly what it gave when the call began: the same person, tenant and roles.

    A call from inside the process has no key: who makes it looks whether the session lives.
    """
    if principal_inside(call.scope) is not None:
        return True
    try:
        return authenticate(call.scope["headers"], call.deps.keys) == call.caller
    except HoldgateError:
        return False
