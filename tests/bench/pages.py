"""What a page costs the server, with the worked example alone and with 10,000 organizations and a million entries.

Every page of `tests/browser/pages.txt` whose address needs nothing that a test made, as its person sees it: on SQLite,
in this process, through WSGI; what gunicorn and a browser cost is not in it.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Table, insert, select

from server.domain.access.clearances import Clearance
from server.domain.access.signatures import Signature
from server.domain.audit import sealer
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.identity import people
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.identity.tokens import Token
from server.domain.resources import Resources
from server.log import canonical
from server.log.entries import LogEntry, commitment_of
from server.storage.embedded import EmbeddedStore, free_port
from server.web import app as web
from tests.bench import measure
from tests.browser import pages
from tests.browser.pages import Shown
from tests.templates import Template, build_template
from tests.visits import Visit, visit
from tests.world import write_settings

ORGANIZATIONS, ENTRIES = 10_000, 1_000_000
AT_ONCE = 20_000  # rows that are inserted together
WARM_UP = 2
ROUNDS = 15
TARGET_MS, GROWTH_TARGET = 12.0, 1.5
GROWTH_COUNTS_FROM_MS = 2.0  # below, a ratio is that of two small numbers
SHOWN = 15  # rows of the table
STAGE, PATH = "gpt-2/774M", "hparams.json"
YEAR = timedelta(days=365)  # in which the entries were written
FIRST_ID = 1_000  # of what is filled in: nothing of the example has such a number


class Instance:
    """One instance with its pages. Filled: with this many organizations and entries more."""

    def __init__(self, template: Template, folder: Path, organizations: int, entries: int) -> None:
        folder.mkdir()
        path = folder / "weightgate.sqlite3"
        shutil.copyfile(template.settings.database_url.removeprefix("sqlite:///"), path)
        self.use = Resources(write_settings(template, folder, f"sqlite:///{path}"))
        self._template = template
        self._issue_one()
        if organizations:
            self._fill(organizations, entries)
        sealer.seal(self.use)
        with self.use.database.transaction() as session:
            session.connection().exec_driver_sql("ANALYZE")
        self._app = web.create(self.use)
        self._visits: dict[str | None, Visit] = {}

    def cost_ms(self, shown: Shown) -> float:
        """Open a page once; return the CPU time in ms. Raises RuntimeError for another status than the table's."""
        if shown.who not in self._visits:
            email = None if shown.who is None else self._template.example.people[shown.who]["email"]
            self._visits[shown.who] = visit(self._app, self.use, email)
        began = time.process_time()
        answer = self._visits[shown.who].get(shown.path)
        took = time.process_time() - began
        if answer.status_code != shown.status:
            raise RuntimeError(f"{shown.path} was answered with {answer.status_code}")
        return took * 1000

    def _issue_one(self) -> None:
        owner = self._template.example.people["cleared"]
        caller = people.sign_in_for_command(self.use, owner["email"], owner["password"])
        issuing.issue(self.use, caller, Order(STAGE, paths=[PATH]))

    def _fill(self, organizations: int, entries: int) -> None:
        """Partners like the example's first: each with a person, a signature, a clearance, a token and downloads."""
        with self.use.database.transaction() as session:
            home = session.scalars(select(Organization).where(Organization.slug == "aurora-institute")).one()
            for model, changes in _OF_EACH.items():
                like = session.scalars(select(model).where(_home_of(model) == home.id).limit(1)).one()
                table: Any = model.__table__
                row = {column.name: getattr(like, column.key) for column in table.columns}
                numbers = range(FIRST_ID, FIRST_ID + organizations)
                session.execute(insert(table), [row | changes(number) for number in numbers])
        with self.use.database.reading() as session:
            first = session.scalars(select(LogEntry).where(LogEntry.kind == "download").limit(1)).one()
        rows = _entries(first, organizations, entries)
        while some := list(islice(rows, AT_ONCE)):
            with self.use.database.transaction() as session:
                session.execute(insert(_table(LogEntry)), some)


def _home_of(model: Any) -> Any:
    return model.id if model is Organization else model.organization_id


def _table(model: Any) -> Table:
    table: Table = model.__table__
    return table


# What differs from the row that is copied.
_OF_EACH: dict[Any, Any] = {
    Organization: lambda n: {"id": n, "slug": f"partner-{n}", "name": f"Partner {n}"},
    Person: lambda n: {"id": n, "organization_id": n, "email": f"owner@partner-{n}.example", "name": f"Owner {n}"},
    Signature: lambda n: {"id": n, "organization_id": n},
    Clearance: lambda n: {"id": n, "organization_id": n},
    Token: lambda n: {
        "id": n, "organization_id": n, "person_id": n, "public_id": f"partner{n:05}"[:12],
        "secret_sha256": os.urandom(32), "made_with": None,
    },
}  # fmt: skip


def _entries(first: LogEntry, organizations: int, count: int) -> Iterator[dict[str, object]]:
    """Downloads of each partner in turn, as they are issued: each with its own id, time, salt and commitment."""
    record, since = orjson.loads(first.record), first.appended_at - YEAR
    for number in range(count):
        home = FIRST_ID + number % organizations
        moment = since + YEAR * number / count
        told = {
            "download": str(uuid.UUID(int=number, version=4)), "time": int(moment.timestamp() * 1000),
            "organization": f"partner-{home}", "person": f"owner@partner-{home}.example",
        }  # fmt: skip
        content = canonical.encode({**record, **told})
        salt = number.to_bytes(32, "big")  # a bench keeps no secrets
        yield {
            "log_id": first.log_id, "kind": first.kind, "subject": told["download"], "organization_id": home,
            "person": told["person"], "stage": first.stage, "code": None, "appended_at": moment, "record": content,
            "salt": salt, "commitment": commitment_of(salt, content), "leaf_index": None,
        }  # fmt: skip


def asked() -> list[Shown]:
    """The pages that any instance has; those that are drawn only after another step are left out."""
    special = (pages.NEW_APP, pages.CONFIRM, pages.KEPT, *pages.SECOND_STEP)
    return [shown for shown in pages.listed() if "{" not in shown.path and shown.path not in special]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--organizations", type=int, default=ORGANIZATIONS)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(EmbeddedStore(folder / "store", free_port(), "weights"))
        template = build_template("sqlite", folder, f"sqlite:///{folder}/template.sqlite3", store)
        small = Instance(template, folder / "small", 0, 0)
        large = Instance(template, folder / "large", options.organizations, options.entries)
        found = _measure(small, large, options.rounds)
    report = _report(found, options.organizations, options.entries)
    print(report)
    measure.write_section("pages", report)
    return 0


def _measure(small: Instance, large: Instance, rounds: int) -> dict[str, tuple[float, float]]:
    """Medians in ms, by address: of the small instance and of the large one, page by page in turns."""
    found, skipped = dict[str, tuple[float, float]](), list[str]()
    for shown in asked():
        try:
            turns = [(small.cost_ms(shown), large.cost_ms(shown)) for _ in range(rounds + WARM_UP)][WARM_UP:]
        except RuntimeError as error:
            skipped.append(str(error))
            continue
        few, many = zip(*turns, strict=True)
        found[shown.path] = (statistics.median(few), statistics.median(many))
    for reason in skipped:
        print(f"left out: {reason}")
    return found


def _report(found: dict[str, tuple[float, float]], organizations: int, entries: int) -> str:
    by_cost = sorted(found.items(), key=lambda one: -one[1][1])
    rows = [[path, f"{few:.1f}", f"{many:.1f}", f"{many / few:.2f}"] for path, (few, many) in by_cost[:SHOWN]]
    dear = [path for path, (_, many) in by_cost if many > TARGET_MS]
    grown = [path for path, (few, many) in by_cost if many > GROWTH_COUNTS_FROM_MS and many / few > GROWTH_TARGET]
    median = statistics.median(many for _, many in found.values())
    targets = [
        f"no page over {TARGET_MS:.0f} ms: {_met(dear)}",
        f"no page over {GROWTH_TARGET} × its cost in the worked example: {_met(grown)}",
    ]
    parts = (
        measure.header(["flask", "sqlalchemy", "jinja2"]),
        f"{len(found)} pages, SQLite; the {SHOWN} dearest, the median of all is {median:.1f} ms.",
        measure.table(
            ["CPU ms a page", "worked example", f"{organizations:,} organizations, {entries:,} entries", "×"], rows
        ),
        "\n".join(f"- {target}" for target in targets),
    )
    return "\n\n".join(parts)


def _met(broken_by: list[str]) -> str:
    return "met" if not broken_by else f"NOT met by {', '.join(broken_by)}"


if __name__ == "__main__":
    sys.exit(main())
