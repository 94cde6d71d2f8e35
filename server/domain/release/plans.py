"""Plans: what the lab says of a stage in advance: the months in which it takes its next step, and a public note."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from server.dates import LAST_YEAR
from server.domain.errors import InvalidRequest

NOTE_CHARACTERS_AT_MOST = 500
UNDECIDED = "undecided"
_MONTH = re.compile(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])", re.ASCII)
_FORM = f"Write a month as 2026-11, a window as 2026-11..2027-01, or {UNDECIDED}."
_STEPS = {  # by the stage's state: what is planned next, and what was, once the window is over
    "planned": ("Planned for", "Was planned for"),
    "partners": ("Public release planned for", "Public release was planned for"),
}


@dataclass(frozen=True, slots=True)
class Window:
    """From the beginning of one month to the end of another, in UTC. Months are written `2026-11`."""

    first: str
    last: str

    def __post_init__(self) -> None:
        for month in (self.first, self.last):
            if (form := _MONTH.fullmatch(month)) is None or int(form[1]) > LAST_YEAR:
                raise InvalidRequest(f"{month!r} is not a month. {_FORM}")
        if self.first > self.last:
            raise InvalidRequest(f"A window cannot end before it begins: {self.first} is after {self.last}.")

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"

    @property
    def in_words(self) -> str:
        """`November 2026 to January 2027`; of one month its name."""
        first, last = (f"{date.fromisoformat(f'{month}-01'):%B %Y}" for month in (self.first, self.last))
        return first if first == last else f"{first} to {last}"

    def is_over(self, at: datetime) -> bool:
        return f"{at.astimezone(UTC):%Y-%m}" > self.last


@dataclass(frozen=True, slots=True)
class Plan:
    """window: None while it is undecided. note: what else the public is told, None for nothing."""

    window: Window | None = None
    note: str | None = None

    @property
    def is_empty(self) -> bool:
        return self.window is None and self.note is None

    def when(self, state: str, at: datetime) -> str | None:
        """`Planned for May 2027`; honest about a window that is over. None where no step is planned, or left."""
        if self.window is None or state not in _STEPS:
            return None
        planned, was_planned = _STEPS[state]
        return f"{was_planned if self.window.is_over(at) else planned} {self.window.in_words}"

    def in_words(self, state: str, at: datetime) -> str | None:
        """The whole plan as one text; None where there is none."""
        when = self.when(state, at)
        return " ".join(part for part in (when and f"{when}.", self.note) if part) or None


def of(first: str | None, last: str | None, note: str | None) -> Plan:
    """The plan that a row's columns say."""
    return Plan(None if first is None or last is None else Window(first, last), note)


def parse(text: str) -> Window | None:
    """Read `2026-11..2027-01`, a single month, or `undecided` (None). Raises InvalidRequest."""
    if text == UNDECIDED:
        return None
    first, separator, last = text.partition("..")
    return Window(first, last if separator else first)


def as_text(window: Window | None) -> str:
    """The other way round: as the log has it, and as commands take it."""
    return UNDECIDED if window is None else str(window)


def require_note(note: str | None) -> str | None:
    """Return a note without the spaces around it, None for an empty one. Raises InvalidRequest where it is too long."""
    note = (note or "").strip() or None
    if note is not None and len(note) > NOTE_CHARACTERS_AT_MOST:
        raise InvalidRequest(f"A note can have up to {NOTE_CHARACTERS_AT_MOST} characters. This has {len(note)}.")
    return note
