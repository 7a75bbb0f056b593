"""What a new set of bundles lets jobs do that the one in force does not.

`compare(before, after)` takes whole sets, since what a rule allows depends on what all the others forbid. What always
holds: a change that may let something through that was not is WIDENS or UNCLEAR, never less; WIDENS carries a job, as
facts for `holdgate policy simulate`, that the two sets decide differently. No IO.
"""

from holdgate.bundles.diff.changes import Change, Diff, Direction
from holdgate.bundles.diff.compare import compare
from holdgate.bundles.diff.samples import samples_of

__all__ = ["Change", "Diff", "Direction", "compare", "samples_of"]
