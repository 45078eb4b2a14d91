"""`python -m proxy` is `sidekey`."""

from proxy.cli import main

main()
