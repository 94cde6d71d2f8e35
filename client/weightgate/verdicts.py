"""Verdicts: the four ways in which a check ends, each with its exit code, a sentence and what to do now."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar


class Result(StrEnum):
    """What a check found out."""

    PROVEN = "proven"
    REFUTED = "refuted"
    CANNOT_TELL = "cannot tell yet"
    WRONG_USE = "wrong use"


class ExitCode(IntEnum):
    """A promise to scripts."""

    PROVEN = 0
    REFUTED = 1
    WRONG_USE = 2
    CANNOT_TELL = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said at the end. code: for programs; sentence and next_step: for people."""

    result: Result
    code: str
    sentence: str
    next_step: str

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode[self.result.name]


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
