"""`python -m holdgate.scheduler.cli` is `holdgate`."""

from holdgate.scheduler.cli import main

main()
