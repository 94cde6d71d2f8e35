"""Charts: what was issued and fetched, refused, and how quickly it was sealed, day by day."""

from datetime import date, timedelta
from typing import Any

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.delivery import statistics
from server.domain.delivery.statistics import DAYS_AT_MOST, Days, Traffic
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit import records
from server.web.portal.kit.auth import page
from server.web.portal.kit.filters import day, of_address
from server.web.portal.kit.forms import Form
from server.web.portal.kit.rendering import render

bp = Blueprint("audit_charts", __name__, url_prefix="/audit/charts")
DEFAULT_DAYS = 30
BARS_AT_MOST = 20
ISSUED_AND_FETCHED = ("Issued", "Fetched")


class Range(Form):
    """From a day to a day."""

    since = day("From")
    until = day("To")

    def fill(self, today: date) -> None:
        """What is left out: until today, and thirty days."""
        self.until.data = self.until.data or today
        self.since.data = self.since.data or self.until.data - timedelta(days=DEFAULT_DAYS - 1)

    def validate(self, extra_validators: Any = None) -> bool:
        """Also when a day was left out and filled in, which a field's own validators would pass over."""
        if not super().validate(extra_validators):
            return False
        if self.until.data < self.since.data:
            self.until.errors = ["The last day is before the first."]
        elif (self.until.data - self.since.data).days >= DAYS_AT_MOST:
            self.until.errors = [f"Choose at most {DAYS_AT_MOST} days."]
        return not self.until.errors


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """All charts of a range of days."""
    use = resources()
    form: Range = of_address(Range)
    if not form.since.process_errors and not form.until.process_errors:
        form.fill(use.clock().date())
    if not form.validate():
        return render("audit/charts/index.html", 422, form=form, charts=None)
    with use.database.reading() as session:
        charts = _charts(session, caller, Days(form.since.data, form.until.data))
    return render("audit/charts/index.html", form=form, charts=charts)


def _charts(session: Session, caller: Caller, days: Days) -> list[dict[str, Any]]:
    """What `macros/charts.html` draws: title, kind, columns, rows, unit."""
    by_day = statistics.traffic_by_day(session, caller, days)
    sealing = statistics.sealing_by_day(session, caller, days)
    named = {slug or "without sign-in": traffic
             for slug, traffic in statistics.traffic_by_organization(session, caller, days).items()}  # fmt: skip
    refusals = statistics.refusals_by_code(session, caller, days)
    return [
        _chart("How many bytes were issued and fetched each day?", "bars", ("Day", *ISSUED_AND_FETCHED),
               [(f"{day}", one.issued_bytes, one.fetched_bytes) for day, one in by_day.items()], "bytes"),
        _chart("Which organizations were issued and fetched the most?", "bars", ("Organization", *ISSUED_AND_FETCHED),
               _ranked(named), "bytes"),
        _chart("Which stages were issued and fetched the most?", "bars", ("Stage", *ISSUED_AND_FETCHED),
               _ranked(statistics.traffic_by_stage(session, caller, days)), "bytes"),
        _chart("How many downloads were issued each day?", "line", ("Day", "Downloads"),
               [(f"{day}", one.downloads) for day, one in by_day.items()]),
        _chart("Why were requests refused?", "bars", ("Reason", "Refusals"),
               [(records.refused_in_words(code), count) for code, count in refusals.items()]),
        _chart("How long did entries wait to be sealed?", "line", ("Day", "Mean", "Longest"),
               [(f"{day}", *((None, None) if one is None else (_rounded(one.mean_seconds),
                                                               _rounded(one.longest_seconds))))
                for day, one in sealing.items()], "seconds"),
    ]  # fmt: skip


def _chart(title: str, kind: str, columns: tuple[str, ...], rows: list[Any], unit: str = "") -> dict[str, Any]:
    return {"title": title, "kind": kind, "columns": columns, "rows": rows, "unit": unit}


def _ranked(found: dict[str, Traffic]) -> list[tuple[str, int, int]]:
    """The first of them, and the rest as one."""
    rows = [(name, one.issued_bytes, one.fetched_bytes) for name, one in found.items()]
    rest = rows[BARS_AT_MOST:]
    if not rest:
        return rows
    more = (f"{len(rest)} more", sum(row[1] for row in rest), sum(row[2] for row in rest))
    return [*rows[:BARS_AT_MOST], more]


def _rounded(seconds: float) -> float:
    return round(seconds, 2)
