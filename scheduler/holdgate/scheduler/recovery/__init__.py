"""After a loss: the state is made again from the log, and the log from the state."""

from holdgate.scheduler.recovery.drift import Drift, Kind
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.reconcile import reconcile

__all__ = ["Drift", "Kind", "RecoveryParts", "reconcile"]
