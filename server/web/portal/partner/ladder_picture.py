"""The ladder as a picture: where the steps of a staircase stand, for the template that draws it.

Across, everything is in percent, so that words keep their size on a phone; up and down it is in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from server.dates import day
from server.domain.access.releases import Family, Release

STEPS_AT_MOST = 24  # of more the table alone tells
STEPS_SIDE_BY_SIDE = 6  # on a phone; the picture of more is wider than the screen
STEP_WIDTH = 96
LOWEST, RISE_AT_MOST, ABOVE, BELOW = 74, 132, 40, 12


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its left edge, width and middle in percent, its upper edge and height in pixels."""

    release: Release
    left: float
    width: float
    middle: float
    top: int
    height: int

    @property
    def kind(self) -> str:
        return "held" if self.release.held_since is not None else str(self.release.state)

    @property
    def when(self) -> str | None:
        """The month since when it is what it is, or in which it may be released; None where that is undecided."""
        month, window = self.release.held_since or self.release.since, self.release.plan.window
        if self.release.state == "planned" and self.release.held_since is None:
            if window is None:
                return None
            month = datetime.fromisoformat(f"{window.first}-01")
        return f"{month:%b %Y}"

    @property
    def word(self) -> str:
        return "on hold" if self.release.held_since is not None else str(self.release.state)


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole: its height and, where it is wider than a phone, its width in pixels; and what it shows, in words."""

    steps: Sequence[Step]
    height: int
    ground: int
    width: int | None
    title: str
    description: str


def of(family: Family) -> Picture | None:
    """Return where each step stands; None for a ladder that is too long to be drawn."""
    count = len(family.stages)
    if count > STEPS_AT_MOST:
        return None
    rise = min(34, RISE_AT_MOST // max(1, count - 1))
    ground = ABOVE + LOWEST + rise * (count - 1)
    share = 100 / count
    steps = [
        Step(
            release, left=round(share * at + 1, 3), width=round(share - 2, 3), middle=round(share * (at + 0.5), 3),
            top=ground - LOWEST - rise * at, height=LOWEST + rise * at,
        )
        for at, release in enumerate(family.stages)
    ]  # fmt: skip
    return Picture(
        steps, ground + BELOW, ground, STEP_WIDTH * count if count > STEPS_SIDE_BY_SIDE else None,
        title=f"The release ladder of {family.title}",
        description=f"A staircase of {count} step{'s' if count != 1 else ''}, from the first stage to the last: "
        + "; ".join(_in_words(release) for release in family.stages) + ".",
    )  # fmt: skip


def _in_words(release: Release) -> str:
    if release.held_since is not None:
        return f"{release.name} {release.state}, on hold since {day(release.held_since)}"
    return f"{release.name} {release.state}" + ("" if release.state == "planned" else f" since {day(release.since)}")
