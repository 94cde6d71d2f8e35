"""`python -m server` is `weightgate-server`."""

from server.cli import main

main()
