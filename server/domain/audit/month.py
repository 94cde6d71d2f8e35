"""A month of the log."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

_MONTH = re.compile(r"(?P<year>20[0-9]{2})-(?P<month>0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month, in UTC."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2027-01`. Raises ValueError."""
        found = _MONTH.fullmatch(text)
        if found is None:
            raise ValueError("write year and month, such as 2027-01")
        return cls(int(found["year"]), int(found["month"]))

    @classmethod
    def of(cls, at: datetime) -> Self:
        at = at.astimezone(UTC)
        return cls(at.year, at.month)

    @property
    def since(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def until(self) -> datetime:
        return self.next.since

    @property
    def next(self) -> Self:
        return type(self)(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def folder(self) -> str:
        """Where its file is, in the form that DuckDB, Athena and Spark read columns from."""
        return f"year={self.year}/month={self.month:02d}/"

    def __str__(self) -> str:
        return f"{self.year}-{self.month:02d}"
