"""The demo's second factor: prints the code that an authenticator app would show for one of the demo's people."""

import json
from datetime import UTC, datetime

import click
import pyotp

from server.cli.demo import DESCRIPTION
from server.cli.terminal import Instance, console
from server.domain.errors import NotFound


@click.command("demo-code")
@click.argument("name")
@click.pass_obj
def demo_code(instance: Instance, name: str) -> None:
    """Print the one-time code of NAME, who is one of the demo's people: admin, cleared, …"""
    try:
        people = json.loads((instance.folder / DESCRIPTION).read_text(encoding="utf-8"))["people"]
    except FileNotFoundError:
        raise NotFound(f"{instance.folder} holds no demo.", next_step="Name its folder with --data.") from None
    if name not in people:
        raise NotFound(f"The demo has no {name}.", next_step=f"Name one of: {', '.join(people)}.")
    codes = pyotp.TOTP(people[name]["totp_secret"])
    left = codes.interval - int(datetime.now(UTC).timestamp()) % codes.interval
    console.print(f"{codes.now()}  ({left} s left; each code works once)", markup=False, highlight=False)


COMMANDS = [demo_code]
