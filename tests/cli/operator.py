"""An operator at the command line: gives commands as a shell would, and sees lines and exit codes."""

import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.cli import main
from tests.world import World


@dataclass
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def body(self) -> Any:
        """The JSON on standard output, which must hold nothing else."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line on standard error that a failure is told in."""
        (line,) = self.err.splitlines()
        assert line.startswith("weightgate-server: ")
        assert self.out == ""
        return line


class Operator:
    """Runs commands in this process, on one folder, as people of the world's example."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.people: dict[str, dict[str, str]] = {}
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object, by: str | None = None, code: int | None = 0) -> Answer:
        """Run a command, proving the person `by`, and expect the exit code; None: whichever."""
        argv = ["weightgate-server", "--data", str(self.folder), *map(str, arguments)]
        if by is not None:
            person = self.people[by]
            argv += ["--as", person["email"]]
            self._monkeypatch.setenv("WEIGHTGATE_PASSWORD", person["password"])
        answer = self.raw(argv)
        assert code is None or answer.code == code, answer
        return answer

    def raw(self, argv: list[str]) -> Answer:
        """Run `main` on an argument list, and put back what it changes for a process of its own."""
        self._monkeypatch.setattr(sys, "argv", argv)
        root, umask = logging.getLogger(), os.umask(0o022)
        handlers, level = root.handlers[:], root.level
        os.umask(umask)
        self._capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            os.umask(umask)
            root.handlers[:], root.level = handlers, level
        printed = self._capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    def elsewhere(self, folder: Path) -> "Operator":
        """The same operator, at another folder."""
        return Operator(folder, self._monkeypatch, self._capsys)

    def knows_people_of(self, other: "Operator") -> "Operator":
        """Tell the operator the passwords that another one knows."""
        self.people = other.people
        return self

    def knows(self, world: World) -> "Operator":
        """Tell the operator the passwords of the world's example."""
        self.people = world.example.people
        return self
