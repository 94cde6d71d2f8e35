"""The command line as an operator runs it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.world import World


def publish_command(data: Path, world: World, folder: Path, stage: str, who: str = "publisher") -> list[str]:
    """The command that publishes a folder for a person of the example; the password comes by the environment."""
    email = world.example.people[who]["email"]
    return [sys.executable, "-m", "server", "--data", str(data), "publish", str(folder), stage, "--as", email, "--json"]


def environment(world: World, who: str = "publisher") -> dict[str, str]:
    return os.environ | {"WEIGHTGATE_PASSWORD": world.example.people[who]["password"]}


def publish(world: World, folder: Path, stage: str, who: str = "publisher") -> "subprocess.CompletedProcess[str]":
    """Run `weightgate-server publish` to its end."""
    command = publish_command(world.folder, world, folder, stage, who)
    return subprocess.run(command, env=environment(world, who), capture_output=True, text=True, timeout=300)
