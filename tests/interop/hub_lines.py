"""Lines of huggingface_hub, each in its own environment and process, and the server that they talk to."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import parts
from tests.faults.proxy import Proxy, Verdict
from tests.world import World

PROGRAM = Path(__file__).with_name("hub_client.py")


@dataclass
class Store:
    """What clients sent to the store, through a proxy in front of it."""

    asked: list[bytes] = field(default_factory=list)
    cut_next: bool = False  # the next file with a body, once

    def judge(self, chunk: bytes) -> Verdict:
        if b"amz-sdk-invocation-id" not in chunk:  # the server's own look at its bucket
            self.asked.append(chunk)
        if self.cut_next and chunk.startswith(b"GET "):
            self.cut_next = False
            return Verdict.CUT_HALFWAY
        return Verdict.PASS

    def ranges(self) -> list[str]:
        """The ranges that were asked for."""
        lines = b"".join(self.asked).decode("latin-1").split("\r\n")
        return [line.partition(":")[2].strip() for line in lines if line.lower().startswith("range:")]


@contextmanager
def watched(port: int) -> Iterator[tuple[Store, int]]:
    """A store's port behind a proxy that remembers; yields it and the port to use instead."""
    store = Store()
    with Proxy(port, store.judge) as proxy:
        yield store, proxy.port


@dataclass
class Line:
    """One running client."""

    name: str
    environment: dict[str, str]
    process: "subprocess.Popen[str]"
    world: World

    def call(self, name: str, *, token: str | None = "cleared", **arguments: Any) -> dict[str, Any]:
        """Make a call as the owner of a demo token (None: without one); return its outcome."""
        self.world.seal()
        asked = {"name": name, "token": False if token is None else self.world.example.tokens[token], **arguments}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        outcome: dict[str, Any] = json.loads(self.process.stdout.readline())
        return outcome

    def value(self, name: str, **arguments: Any) -> Any:
        """The same, of a call that succeeds."""
        outcome = self.call(name, **arguments)
        assert "value" in outcome, outcome
        return outcome["value"]

    def run(self, *command: str, token: str = "cleared") -> "subprocess.CompletedProcess[str]":
        """Run the command line of this environment."""
        self.world.seal()
        environment = self.environment | {"HF_TOKEN": self.world.example.tokens[token]}
        program = str(parts.HUB_LINES[self.name] / "bin" / "hf")
        return subprocess.run([program, *command], capture_output=True, text=True, timeout=60, env=environment)


@contextmanager
def running(name: str, world: World, folder: Path, endpoint: str, *names: str, **more: str) -> Iterator[Line]:
    """Start a client with a cache of its own. names: hosts that it finds at 127.0.0.1. more: of its environment."""
    if not (parts.HUB_LINES[name] / ".installed").exists():
        parts.missing(f"an environment with huggingface_hub {name}")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "HF_HOME": str(folder / "cache"),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **more,
    }
    with (folder / "messages").open("w") as messages:
        process = subprocess.Popen(
            [str(parts.HUB_LINES[name] / "bin" / "python"), str(PROGRAM), *names], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages,
        )  # fmt: skip
    try:
        yield Line(name, environment, process, world)
    finally:
        process.communicate(timeout=20)
