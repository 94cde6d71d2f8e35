"""deploy/README.md as a program: its commands in their order, the outputs that it shows, and a shell to run them in."""

import re
import secrets
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[1] / "deploy" / "README.md"
ENDS_WITHIN_SECONDS = 300
_FENCE = re.compile(r" *```(\w*)$")
_HERE_DOCUMENT = re.compile(r"<<'?(\w+)'?$")
# What differs from run to run, and what is shown instead. In this order.
_MASKS = [(re.compile(pattern), shown) for pattern, shown in (
    (r"wgk_\w+", "wgk_…"),
    (r"\b[0-9a-f]{64}\b", "(sha256)"),
    (r"\b[0-9a-f]{40}\b", "(checkpoint)"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "(id)"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "(time)"),
    (r"\b\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC", "(time)"),
    (r"/downloads/\d{4}\b", "/downloads/(year)"),
    (r"(password|TOTP secret) +\S+", r"\1 (secret)"),
    (r"\bToken \w+", "Token (id)"),
    (r"\bDecision \d+\b", "Decision (number)"),
    (r"\b\d+ (sealed entries|m?s\b)", r"(number) \1"),
    (r"(sealed entries|at size) +\d+", r"\1 (number)"),
)]  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One command of the guide. output: what the guide shows of it; None where it shows none."""

    chapter: str
    line: int
    command: str
    output: str | None = None

    def __str__(self) -> str:
        return f"{README.name}:{self.line}: {self.command}"


@dataclass(frozen=True)
class Block:
    """A fenced block of the guide. kind: what its fence says it is, or nothing. first: the number of its first line."""

    chapter: str
    kind: str
    first: int
    lines: list[str]


def blocks() -> Iterator[Block]:
    """Every fenced block of the guide."""
    chapter = ""
    block: Block | None = None
    for number, line in enumerate(README.read_text(encoding="utf-8").splitlines(), start=1):
        if match := _FENCE.fullmatch(line):
            if block is not None:
                yield block
            block = Block(chapter, match[1], number + 1, []) if block is None else None
        elif block is not None:
            block.lines.append(line)
        elif line.startswith("## "):
            chapter = line[3:]


def steps() -> list[Step]:
    """Every command of the guide's `sh` and `console` blocks."""
    return [
        step
        for block in blocks()
        if block.kind in {"sh", "console"}
        for step in _of_block(block.chapter, block.first, block.lines, shows=block.kind == "console")
    ]


def _of_block(chapter: str, first: int, lines: list[str], *, shows: bool) -> Iterator[Step]:
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    rest = [(first + number, line[indent:]) for number, line in enumerate(lines)]
    while rest:
        number, text = rest.pop(0)
        if not text.strip() or text.startswith("#"):
            continue
        command = [text.removeprefix("$ ") if shows else text]
        while _goes_on(command) and rest:
            command.append(rest.pop(0)[1])
        output = []
        while shows and rest and not rest[0][1].startswith("$ "):
            output.append(rest.pop(0)[1])
        yield Step(chapter, number, "\n".join(command), "\n".join(output) if shows else None)


def _goes_on(command: list[str]) -> bool:
    if match := _HERE_DOCUMENT.search(command[0]):
        return command[-1] != match[1]
    return command[-1].endswith(("\\", "|"))


def masked(text: str) -> list[str]:
    """The lines of an output, without what differs from run to run."""
    for pattern, shown in _MASKS:
        text = pattern.sub(shown, text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


class Shell:
    """One bash, in which a command finds what those before it have exported."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=dict(environment), text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, command: str) -> tuple[int, str]:
        """Return a command's exit code, and what it wrote."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        mark = secrets.token_hex(16)
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\necho; echo {mark} $?\n")
        self._bash.stdin.flush()
        written: list[str] = []
        patience = threading.Timer(ENDS_WITHIN_SECONDS, self._bash.kill)
        patience.start()
        for line in self._bash.stdout:
            if line.startswith(mark):
                patience.cancel()
                return int(line.split()[1]), "".join(written).removesuffix("\n")
            written.append(line)
        raise AssertionError(f"the shell ended within {command!r}: {written}")

    def close(self) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(10)
        if self._bash.stdout is not None:
            self._bash.stdout.close()
