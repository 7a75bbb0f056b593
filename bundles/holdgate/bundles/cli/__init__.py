"""`holdgate bundle …`, `holdgate keys …` and `holdgate root …`: thin commands over the modules of this package.

Exit code 0 when done, 1 when refused; the reason goes to standard error. `--json` prints one JSON document.

Nothing is imported here, so that `keys` and `root` do not load what only `bundle` needs.
"""
