"""Verdicts: the ways in which a command ends, each with its exit code, a sentence and what to do now."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import ClassVar


class Result(str, Enum):
    """What a check found out, or what became of a command."""

    PROVEN = "proven"
    DONE = "done"
    REFUTED = "refuted"
    REFUSED = "refused"
    FAILED = "failed"
    CANNOT_TELL = "cannot tell yet"
    WRONG_USE = "wrong use"

    def __str__(self) -> str:
        return self.value


class ExitCode(IntEnum):
    """A promise to scripts."""

    PROVEN = 0
    REFUTED = 1
    WRONG_USE = 2
    CANNOT_TELL = 3


_EXIT_CODES = {
    Result.PROVEN: ExitCode.PROVEN,
    Result.DONE: ExitCode.PROVEN,
    Result.REFUTED: ExitCode.REFUTED,
    Result.REFUSED: ExitCode.REFUTED,
    Result.FAILED: ExitCode.REFUTED,
    Result.CANNOT_TELL: ExitCode.CANNOT_TELL,
    Result.WRONG_USE: ExitCode.WRONG_USE,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said at the end. code: for programs; sentence and next_step: for people."""

    result: Result
    code: str
    sentence: str
    next_step: str

    @property
    def exit_code(self) -> ExitCode:
        return _EXIT_CODES[self.result]


class Ended(Exception):
    """A check cannot go on; the verdict is known."""

    result: ClassVar[Result]
    next_step: ClassVar[str]

    def __init__(self, code: str, sentence: str, next_step: str | None = None) -> None:
        super().__init__(sentence)
        self.verdict = Verdict(self.result, code, sentence, next_step or self.next_step)


class Refuted(Ended):
    """Something that was signed, hashed or promised does not hold."""

    result = Result.REFUTED
    next_step = "Keep the file and this message, and ask the lab for an explanation."


class Refused(Ended):
    """The server says no, and why. retry_after_seconds: when it may say something else; None where it does not know."""

    result = Result.REFUSED
    next_step = "Ask the lab."

    def __init__(
        self, code: str, sentence: str, next_step: str | None = None, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(code, sentence, next_step)
        self.retry_after_seconds = retry_after_seconds


class Failed(Ended):
    """This machine cannot do it, as long as what the sentence names stays as it is."""

    result = Result.FAILED
    next_step = "Fix this, and run the same command again. It continues where it stopped."


class CannotTell(Ended):
    """Nothing is refuted, and something is still missing."""

    result = Result.CANNOT_TELL
    next_step = "Try again later."


class WrongUse(Ended):
    """The command, a file that it was given, or its own memory must be put right first."""

    result = Result.WRONG_USE
    next_step = "`weightgate log verify --help` describes the command."


class Malformed(ValueError):
    """Bytes are not in the form that the specification gives them. The text completes "it is malformed: …"."""
