"""A partner at a terminal: runs `weightgate`, with a token, a memory and a clock of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.tests.far_side import TOKEN, FarSide
from weightgate.cli import Surroundings, run


@dataclass(frozen=True)
class Outcome:
    """What the command ended with. code: the exit code."""

    code: int
    out: str
    err: str

    @property
    def fields(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


class Partner:
    """Asks the far side unless a test says otherwise."""

    def __init__(self, far: FarSide, folder: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.far = far
        self.folder = folder
        self.memory = folder / "state" / "log-memory.json"
        self.environment = {"WEIGHTGATE_STATE": str(folder / "state"), "WEIGHTGATE_TOKEN": TOKEN}
        self._captured = captured

    def run(self, *arguments: str) -> Outcome:
        self._captured.readouterr()
        code = run(arguments, Surroundings(self.environment, lambda: self.far.now))
        captured = self._captured.readouterr()
        return Outcome(code, captured.out, captured.err)

    def save(self, answer: object, name: str = "answer.json") -> Path:
        path = self.folder / name
        path.write_bytes(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        return path

    def verify(self, answer: object, *options: str, endpoint: str | None = None) -> Outcome:
        """`weightgate log verify --json` on a saved answer, at the far side."""
        where = self.far.endpoint if endpoint is None else endpoint
        return self.run("log", "verify", str(self.save(answer)), "--json", "--endpoint", where, *options)

    def verify_offline(self, answer: object, *options: str) -> Outcome:
        return self.run("log", "verify", str(self.save(answer)), "--json", *options)

    def known_keys(self) -> tuple[str, ...]:
        """The options of a partner whom the lab told the keys."""
        return ("--log-vkey", self.far.log_signer.vkey, "--receipt-vkey", self.far.receipt_signer.vkey)
