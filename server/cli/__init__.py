"""The operator's commands: `weightgate-server …`."""

from server.cli.main import main

__all__ = ["main"]
