"""The output gate: no output is readable before its verdict."""

from holdgate.scheduler.gates.output.scanners import ScanSettings
from holdgate.scheduler.gates.output.service import OutputGateConfig, OutputGateService

__all__ = ["OutputGateConfig", "OutputGateService", "ScanSettings"]
