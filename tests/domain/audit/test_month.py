"""A month of the log: one form, and where it begins and ends."""

from datetime import timedelta

import pytest

from server.domain.audit.month import Month


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026-1", "26-01", "2026-01-01", "", "2026-0\u0661"])
def test_what_is_no_month_is_refused(text: str) -> None:
    """One form only."""
    with pytest.raises(ValueError, match="such as 2027-01"):
        Month.parse(text)


def test_months_follow_each_other() -> None:
    """Over the end of a year, too."""
    assert str(Month.parse("2026-12").next) == "2027-01"
    assert Month.parse("2026-11").until == Month.parse("2026-12").since
    assert Month.of(Month.parse("2027-02").until - timedelta(microseconds=1)) == Month.parse("2027-02")
