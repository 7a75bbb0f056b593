"""`holdgate bundle …`, `holdgate keys …` and `holdgate root …`: thin commands over the modules of this package.

Exit code 0 when done, 1 when refused; the reason goes to standard error. `--json` prints one JSON document.
"""

from holdgate.bundles.cli import author, build, diff, keys, log, publish, rollback, root, testing
from holdgate.bundles.cli.apps import bundle_app, keys_app, root_app

__all__ = [
    "author",
    "build",
    "bundle_app",
    "diff",
    "keys",
    "keys_app",
    "log",
    "publish",
    "rollback",
    "root",
    "root_app",
    "testing",
]
