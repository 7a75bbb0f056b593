"""`holdgate bundle …` with a scanner to ask about detectors."""

from __future__ import annotations

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.scanner import give_scanner
from holdgate.scheduler.cli.detectors import ScanKnowledge

__all__ = ["bundle_app"]

give_scanner(ScanKnowledge)
