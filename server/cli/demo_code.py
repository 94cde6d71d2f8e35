"""The demo's second factor: prints the code that an authenticator app would show for one of the demo's people."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pyotp

from server.cli.demo import BEGUN, DESCRIPTION
from server.cli.terminal import Instance, console
from server.domain.errors import NotFound


@click.command("demo-code")
@click.argument("name")
@click.pass_obj
def demo_code(instance: Instance, name: str) -> None:
    """Print the current one-time code of a person in the demo. NAME: admin, cleared, …"""
    described = _described(instance.folder)
    people = described["people"]
    if name not in people:
        raise NotFound(f"The demo has nobody named {name}.", next_step=f"Choose one of: {', '.join(people)}.")
    codes = pyotp.TOTP(people[name]["totp_secret"])
    now = datetime.now(UTC) + timedelta(seconds=described.get("ahead_seconds", 0))
    left = codes.interval - int(now.timestamp()) % codes.interval
    console.print(f"{codes.at(now)}  ({left} s left; each code works once)", markup=False, highlight=False)


def _described(folder: Path) -> dict[str, Any]:
    """What is known of the demo in a folder, and of its clock while it tells its story."""
    for name in (DESCRIPTION, BEGUN):
        with contextlib.suppress(FileNotFoundError):
            described: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
            return described
    raise NotFound(f"{folder} does not contain a demo.", next_step="Choose its folder with --data.")


COMMANDS = [demo_code]
