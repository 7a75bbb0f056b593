"""The load: open-loop clients of two tenants, from a seed."""

from holdgate.scheduler.torture.load.load import Load, LoadFacts

__all__ = ["Load", "LoadFacts"]
