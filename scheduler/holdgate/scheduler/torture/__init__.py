"""Everything that breaks, on purpose, under load: a cluster, faults, a load, and a checker of what happened."""
