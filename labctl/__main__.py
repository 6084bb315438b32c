"""`python -m labctl` is `labctl`."""

from labctl.cli import main

main()
