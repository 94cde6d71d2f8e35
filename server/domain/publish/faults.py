"""What is wrong with a folder that is to be published: all of it in one answer, each fault on a line of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: with which file, what, and what to do about it."""

    path: str
    fault: str
    fix: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.fault}; {self.fix}"


class NotPublishable(ValueError):
    """Files cannot be published. The text has a line for each fault."""

    def __init__(self, path: str, fault: str, fix: str) -> None:
        self._found(Fault(path, fault, fix))

    def _found(self, *faults: Fault) -> None:
        self.faults: Sequence[Fault] = faults
        self.args = ("\n".join(map(str, faults)),)


class Faults:
    """Gathers what checks refuse, so that a publisher learns everything in one run."""

    def __init__(self) -> None:
        self._gathered: list[Fault] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep what the block raises as NotPublishable, and go on behind it."""
        try:
            yield
        except NotPublishable as error:
            self._gathered.extend(error.faults)

    def add(self, path: str, fault: str, fix: str) -> None:
        self._gathered.append(Fault(path, fault, fix))

    def about(self, path: str) -> bool:
        """Say whether something is wrong with this file already."""
        return any(fault.path == path for fault in self._gathered)

    def __bool__(self) -> bool:
        return bool(self._gathered)

    def refuse(self) -> None:
        """Raise NotPublishable with every fault, sorted by path, when there is one."""
        if self._gathered:
            first, *_ = ordered = sorted(self._gathered, key=lambda fault: fault.path)
            error = NotPublishable(first.path, first.fault, first.fix)
            error._found(*ordered)
            raise error


def shown(text: str) -> str:
    """Return foreign text fit for one line of a message: control characters escaped, a long middle left out."""
    escaped = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    half = _SHOWN_CHARACTERS // 2
    return escaped if len(escaped) <= 2 * half else f"{escaped[:half]}…{escaped[-half:]}"
