"""The dispatch gate: a picked job becomes a handed-over one only with the kernel's permit."""

from __future__ import annotations

from holdgate.scheduler.gates.dispatch.gate import DispatchGate, Passage, Payloads
from holdgate.scheduler.gates.dispatch.handover import Asker, Handover

__all__ = ["Asker", "DispatchGate", "Handover", "Passage", "Payloads"]
