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
    """Print the current one-time code of a person in the demo. NAME: admin, cleared, …"""
    try:
        people = json.loads((instance.folder / DESCRIPTION).read_text(encoding="utf-8"))["people"]
    except FileNotFoundError:
        raise NotFound(
            f"{instance.folder} does not contain a demo.", next_step="Choose its folder with --data."
        ) from None
    if name not in people:
        raise NotFound(f"The demo has nobody named {name}.", next_step=f"Choose one of: {', '.join(people)}.")
    codes = pyotp.TOTP(people[name]["totp_secret"])
    left = codes.interval - int(datetime.now(UTC).timestamp()) % codes.interval
    console.print(f"{codes.now()}  ({left} s left; each code works once)", markup=False, highlight=False)


COMMANDS = [demo_code]
