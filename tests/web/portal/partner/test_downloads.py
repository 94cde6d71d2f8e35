"""Downloads: what one's own organization took, how much was fetched, and a proof that was verified for the page."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from weightgate.log import answer as client_answer

from server.domain.audit import log_entries
from server.domain.audit.log_entries import EntryFilter
from server.domain.delivery.deliveries import Delivery
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download, Order
from server.domain.entry_kinds import EntryKind
from server.domain.paging import Slice
from server.log.entries import LogEntry
from tests import tampering
from tests.visits import words
from tests.world import World

FILES = ("", "/record", "/proof", "/receipt")


def take(world: World, stage: str = "mini-gpt/base", **more: Any) -> Download:
    made = issuing.issue(world.use, world.caller("cleared"), Order(stage, **more))
    world.seal()
    return made


def fetch(world: World, download: Download, path: str, size_bytes: int, bytes_sent: int) -> None:
    with world.use.database.transaction() as session:
        session.add(
            Delivery(
                download_id=download.id, path=path, size_bytes=size_bytes, requests=1, bytes_sent=bytes_sent,
                first_ms=1_790_000_000_000, last_ms=1_790_000_005_000, addresses="192.0.2.77", other_requests=0,
            )
        )  # fmt: skip


def test_the_list_shows_who_took_what_and_how_much_of_it_arrived(sqlite_world: World) -> None:
    """Not fetched, partly, complete once every file is, and from when on that is final."""
    one = take(sqlite_world, paths=["config.json"])
    size_bytes = one.files[0].size_bytes
    visit = sqlite_world.visit("cleared")
    assert "not fetched provisional" in words(visit.get("/downloads"))
    fetch(sqlite_world, one, "config.json", size_bytes, size_bytes // 2)
    page = words(visit.get("/downloads"))
    assert "partly fetched" in page
    assert "50 %" in page
    with sqlite_world.use.database.transaction() as session:
        session.execute(text("UPDATE deliveries SET bytes_sent = size_bytes"))
    assert "complete provisional" in words(visit.get("/downloads"))
    assert "192.0.2.77" in words(visit.get(f"/downloads/{one.id}"))
    sqlite_world.clock.advance(timedelta(hours=49))
    assert "complete final" in words(sqlite_world.visit("cleared").get("/downloads"))


def test_filters_stay_in_the_address_and_pages_lead_on(sqlite_world: World) -> None:
    """By person, stage and day; fifty a page; a filter that is not well formed is said at its field."""
    for _ in range(51):
        issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), Order("mini-gpt/base", paths=["config.json"]))
    take(sqlite_world, "gpt-2/774M")
    visit = sqlite_world.visit("cleared")
    first = visit.get("/downloads?stage=mini-gpt/base")
    assert "gpt-2/774M</td>" not in first.text
    assert first.text.count('<a href="/downloads/0') == 50
    following = first.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "stage=mini-gpt" in following
    assert visit.get(f"/downloads{following}").text.count('<a href="/downloads/0') == 1
    today = f"{sqlite_world.clock():%Y-%m-%d}"
    assert visit.get(f"/downloads?since={today}&until={today}").text.count('<a href="/downloads/0') == 50
    for query in ("until=2019-08-20", "stage=355M"):
        assert "No downloads match" in words(visit.get(f"/downloads?{query}")), query
    for query in ("since=bad", "since=0001-01-01", "until=9999-12-31", "stage=a%00b", f"stage={'x' * 300}",
                  "stage=nothing/x", "person=nobody@x.example"):  # fmt: skip
        assert visit.get(f"/downloads?{query}").status_code == 422
    for cursor in ("-1", "x", "9" * 19):
        assert visit.get(f"/downloads?cursor={cursor}").status_code == 400


def test_another_organization_s_downloads_do_not_exist(sqlite_world: World) -> None:
    """Not in the list, the CSV or by their id; the lab sees everybody's."""
    made, foreign = take(sqlite_world), sqlite_world.visit("unsigned")
    assert made.id not in foreign.get("/downloads").text
    assert made.id not in foreign.get("/downloads/all.csv").text
    assert foreign.get("/downloads?organization=aurora-institute").status_code == 404
    assert foreign.get("/downloads/all.csv?organization=aurora-institute").status_code == 404
    for path in FILES:
        assert foreign.get(f"/downloads/{made.id}{path}").status_code == 404
        assert sqlite_world.visit("auditor").get(f"/downloads/{made.id}{path}").status_code == 200
        assert sqlite_world.visit(None).get(f"/downloads/{made.id}{path}").status_code == 303


def test_the_csv_has_the_same_rows_and_no_formulas(sqlite_world: World) -> None:
    """The list's filter is the file's, and no cell is computed by whoever opens it."""
    made = take(sqlite_world)
    take(sqlite_world, "gpt-2/774M")
    visit = sqlite_world.visit("cleared")
    rows = list(csv.DictReader(io.StringIO(visit.get("/downloads/all.csv?stage=mini-gpt/base").text)))
    assert [(row["id"], row["state"], row["final"]) for row in rows] == [(made.id, "unused", "no")]
    assert rows[0]["size_bytes"] == str(sum(file.size_bytes for file in made.files))
    sqlite_world.tampered = True  # nobody of that name is in the log
    people = "UPDATE people SET email = '=cmd@aurora-institute.example' WHERE email LIKE 'owner@aurora%'"
    with sqlite_world.use.database.transaction() as session:
        session.execute(text(people))
    sqlite_world.example.people["cleared"]["email"] = "=cmd@aurora-institute.example"
    take(sqlite_world)
    assert ",'=cmd@aurora-institute.example," in sqlite_world.visit("cleared").get("/downloads/all.csv").text


def test_a_receipt_is_made_once_more_and_holds_for_the_client(sqlite_world: World) -> None:
    """The same bytes as were given with the download, which the client's own code accepts."""
    made, visit = take(sqlite_world), sqlite_world.visit("cleared")
    saved = visit.get(f"/downloads/{made.id}/receipt").data
    assert json.loads(saved)["receipt"] == made.receipt.decode()
    client_answer.require_agreement(client_answer.parse(saved))
    assert visit.get(f"/downloads/{made.id}/record").data == made.entry.record
    with sqlite_world.use.database.reading() as session:
        assert visit.get(f"/downloads/{made.id}/proof").data == issuing.proof(
            session, sqlite_world.caller("cleared"), made.id
        )


def test_the_check_is_green_only_for_what_was_verified(sqlite_world: World) -> None:
    """Not before it is sealed, and never again once the stored record is another one."""
    made = issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), Order("mini-gpt/base"))
    visit = sqlite_world.visit("cleared")
    assert "not sealed yet" in words(visit.get(f"/downloads/{made.id}"))
    assert visit.get(f"/downloads/{made.id}/receipt").status_code == 404
    sqlite_world.seal()
    assert "Verified just now" in words(visit.get(f"/downloads/{made.id}"))
    sqlite_world.tampered = True
    tampering.run(
        sqlite_world.settings.database_url,
        "UPDATE log_entries SET record = replace(CAST(record AS TEXT), '127.0.0.1', '127.0.0.2') WHERE subject = :id",
        id=made.id,
    )
    page = visit.get(f"/downloads/{made.id}")
    assert "stored entry does not match the log" in words(page)
    assert "Verified just now" not in words(page)
    assert visit.get(f"/downloads/{made.id}/receipt").status_code == 409


PLANS = [
    EntryFilter(kind=EntryKind.DOWNLOAD),
    EntryFilter(kind=EntryKind.DOWNLOAD, person="owner@aurora-institute.example"),
    EntryFilter(kind=EntryKind.DOWNLOAD, stage="mini-gpt/base"),
]


@pytest.mark.parametrize("name", ["cleared", "auditor"])
def test_a_page_of_the_list_is_read_from_an_index(world: World, name: str) -> None:
    """On both databases: no filter makes it read the whole log."""
    caller = world.person(name)
    with world.use.database.reading() as session:
        if world.kind == "postgresql":
            session.execute(text("SET enable_seqscan = off"))  # of the few rows here, it would be right to read all
        for wanted in PLANS:
            query = log_entries.chosen(session, caller, wanted).order_by(LogEntry.id.desc()).limit(51)
            compiled = str(query.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
            explain = "EXPLAIN QUERY PLAN" if world.kind == "sqlite" else "EXPLAIN"
            plan = " ".join(str(row[-1]) for row in session.execute(text(f"{explain} {compiled}")))
            assert "ix_log_entries_" in plan, plan
            assert "SCAN log_entries" not in plan.replace("SCAN log_entries USING INDEX", "")
            assert "Seq Scan" not in plan
            assert log_entries.visible(session, caller, wanted, Slice(1)).items == []
