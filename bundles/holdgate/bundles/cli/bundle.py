"""`holdgate bundle`, with all of its commands."""

from holdgate.bundles.cli import author, build, diff, log, publish, rollback, testing
from holdgate.bundles.cli.apps import bundle_app

__all__ = ["author", "build", "bundle_app", "diff", "log", "publish", "rollback", "testing"]
