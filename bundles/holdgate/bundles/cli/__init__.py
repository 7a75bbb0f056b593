"""`holdgate bundle …` and `holdgate keys …`: thin commands over the modules of this package.

Exit code 0 when done, 1 when refused; the reason goes to standard error. `--json` prints one JSON document.
"""

from holdgate.bundles.cli import author, build, keys, log, publish, rollback, testing
from holdgate.bundles.cli.apps import bundle_app, keys_app

__all__ = ["author", "build", "bundle_app", "keys", "keys_app", "log", "publish", "rollback", "testing"]
