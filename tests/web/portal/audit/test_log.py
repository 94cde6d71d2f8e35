"""The log's pages: whoever may read finds every entry, and its proof is verified before it is called proven."""

import re
from datetime import timedelta

import pytest

from server.domain.audit import erasure, heartbeat
from server.domain.downloads import issuing
from server.log import notes, proofs, tree
from server.log.entries import Log, LogEntry
from tests import tampering
from tests.plans import plans
from tests.visits import words
from tests.world import World


def place_of(world: World, entry: LogEntry) -> str:
    """Where a sealed entry is shown."""
    return f"/audit/log/{world.clock().year}/{entry.leaf_index}"


def test_staff_see_all_and_partners_their_own(sqlite_world: World) -> None:
    """The same page; another organization's entries, and whether there is such an organization, stay unknown."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    lab, partner = world.visit("auditor"), world.visit("unsigned")
    assert "aurora-institute" in words(lab.get("/audit/log?kind=download"))
    assert "aurora-institute" not in words(partner.get("/audit/log"))
    assert "Token created" in words(partner.get("/audit/log"))
    for organization in ("aurora-institute", "nobody"):
        assert partner.get(f"/audit/log?organization={organization}").status_code == 404
    foreign = world.entries("download")[0]
    assert partner.get(f"/audit/log/{foreign.id}").status_code == 404
    for path in ("", "/proof", "/record"):
        assert partner.get(f"{place_of(world, foreign)}{path}").status_code == 404
        assert world.visit("cleared").get(f"{place_of(world, foreign)}{path}").status_code == 200


def test_an_entry_is_proven_against_the_head(sqlite_world: World) -> None:
    """Before it is sealed the page says so; afterwards against which head; and the file proves it elsewhere too."""
    world, visit = sqlite_world, sqlite_world.visit("cleared")
    issuing.issue(world.use, world.caller("cleared"), world.order())
    entry = world.entries("download")[0]
    page = visit.get(f"/audit/log/{entry.id}")
    assert "not sealed yet" in words(page)
    assert "Verified just now" not in words(page)
    assert visit.get(f"/audit/log/{world.clock().year}/{len(world.entries()) - 1}/proof").status_code == 404
    world.seal()
    entry = world.entries("download")[0]
    sealed = words(visit.get(place_of(world, entry)))
    assert f"under its signed head of {len(world.entries())} entries" in sealed
    assert entry.salt.hex()[:8] in sealed
    assert entry.record.decode() in sealed
    with world.use.database.reading() as session:
        key = notes.VerifierKey.parse(session.get_one(Log, 1).vkey)
    proof = visit.get(f"{place_of(world, entry)}/proof").data
    assert proofs.verify(proof, tree.leaf_hash(entry.commitment), key).size == len(world.entries())
    assert proofs.Proof.parse(proof).extra == entry.salt
    assert visit.get(f"{place_of(world, entry)}/record").data == entry.record


@pytest.mark.parametrize(
    ("table", "column", "where", "said"),
    [
        ("log_entries", "record", "id = 5", "this row has been tampered with"),
        ("log_entries", "commitment", "id = 5", "this row has been tampered with"),
        ("log_tiles", "data", "level = 0", "The proof is not valid"),
    ],
)
def test_what_was_changed_is_never_called_proven(
    sqlite_world: World, table: str, column: str, where: str, said: str
) -> None:
    """A record, its commitment, or a hash beside it: the page shows it, and no green check."""
    world = sqlite_world
    world.seal()
    world.tampered = True
    tampering.flip(world.settings.database_url, table, column, where, at=3)
    page = words(world.visit("auditor").get(place_of(world, world.entries()[4])))
    assert said in page
    assert "Verified just now" not in page


def test_filters_stay_and_what_is_wrong_is_said(sqlite_world: World) -> None:
    """Dates that are none, a year of no calendar, characters that nobody sees: a message, and what was typed."""
    visit = sqlite_world.visit("auditor")
    for query in ("since=yesterday", "until=2026-02-30", "since=0001-01-01", "since=9999-12-31",
                  "since=2026-02-01&until=2026-01-01", "person=%00", "organization=nobody",
                  "stage=775M", "person=nobody@x.example", "kind=downloads", "kind=" + "x" * 300):  # fmt: skip
        page = visit.get(f"/audit/log?kind=download&{query}" if "kind" not in query else f"/audit/log?{query}")
        assert page.status_code == 422, query
        assert "There is a problem" in words(page)
    page = visit.get("/audit/log?stage=gpt-2%2F774M&since=2020-01-01")
    assert page.status_code == 200
    assert 'value="gpt-2/774M"' in page.text
    assert visit.get("/audit/log?cursor=x").status_code == 400
    for path in ("/audit/log/0", "/audit/log/999999", f"/audit/log/{2**63 - 1}", f"/audit/log/{2**70}",
                 "/audit/log/2026/999999", "/audit/log/1999/1", "/audit/log/%00/1"):  # fmt: skip
        assert visit.get(path).status_code == 404, path


def test_filters_take_what_the_table_shows(sqlite_world: World) -> None:
    """Its words for a kind, a stage's short name, an organization's name; what is unknown is said with a suggestion."""
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    lab, partner = sqlite_world.visit("auditor"), sqlite_world.visit("cleared")
    for query in ("kind=Download+issued", "stage=774M&kind=download", "organization=Aurora+Institute&kind=download"):
        page = lab.get(f"/audit/log?{query}")
        assert page.status_code == 200, query
        assert '<option selected value="download">Download issued</option>' in page.text
        assert "gpt-2/774M" in words(page)
        assert "gpt-2/774M" in words(partner.get(f"/audit/log?{query}"))
    wrong = lab.get("/audit/log?stage=775M")
    assert "There is no stage 775M. Did you mean 774M?" in words(wrong)
    assert "No entries match" not in words(wrong)


def test_the_list_goes_by_an_index(world: World) -> None:
    """Whatever it is narrowed by, for staff and for partners, and on a later page; on both databases."""
    lab, partner = world.visit("auditor"), world.visit("cleared")
    for query in ("", "kind=download", "person=owner@aurora-institute.example", "stage=gpt-2%2F774M", "code=ghost_read",
                  "organization=aurora-institute", "organization=aurora-institute&kind=download", "cursor=30",
                  "since=2026-01-01&until=2026-01-31&kind=download"):  # fmt: skip
        plans(world, "log_entries", lambda query=query: lab.get(f"/audit/log?{query}"))  # type: ignore[misc]
    plans(world, "log_entries", lambda: partner.get("/audit/log?kind=download"))


def test_every_kind_of_the_example_has_words(sqlite_world: World) -> None:
    """And its page opens."""
    visit = sqlite_world.visit("auditor")
    sqlite_world.seal()
    one_of_each = {entry.kind: entry for entry in sqlite_world.entries()}
    assert len(one_of_each) > 10
    for entry in one_of_each.values():
        assert "Verified just now" in words(visit.get(place_of(sqlite_world, entry)))


def test_an_entry_has_one_number(sqlite_world: World) -> None:
    """Its place in the log: in the list, on its page, in both addresses; until it is sealed, it says that it is not."""
    world, visit = sqlite_world, sqlite_world.visit("auditor")
    issuing.issue(world.use, world.caller("cleared"), world.order())
    waiting = world.entries("download")[-1]
    before = words(visit.get(f"/audit/log/{waiting.id}"))
    assert "Entry that is not sealed yet" in before
    assert f"Entry {waiting.id}" not in before
    world.seal()
    entry = world.entries("download")[-1]
    moved = visit.get(f"/audit/log/{entry.id}")
    assert (moved.status_code, moved.headers["Location"]) == (303, place_of(world, entry))
    page = visit.get(place_of(world, entry))
    assert f"Entry {entry.leaf_index}" in words(page)
    assert f"Entry {entry.id}" not in words(page)
    assert f'href="{place_of(world, entry)}"' in visit.get("/audit/log").text
    assert f'href="/audit/log/{entry.id}"' not in visit.get("/audit/log").text


def test_what_was_erased_is_named_by_its_place(sqlite_world: World) -> None:
    """On the page of the entry that tells of it."""
    world = sqlite_world
    made = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    erasure.erase(world.use, world.admin, made.id, "The law.")
    erased, told = world.entries("download")[-1], world.entries("entry.erase")[-1]
    page = world.visit("auditor").get(place_of(world, told))
    assert f"The erased entry, at place {erased.leaf_index}" in words(page)
    assert f'href="{place_of(world, erased)}"' in page.text
    assert "entry of kind Download issued" in words(world.visit("auditor").get("/audit/log"))


def test_heartbeats_do_not_bury_the_log(world: World) -> None:
    """They are left out unless asked for, and then folded; the worker's other entries are folded as well."""
    for _ in range(3):
        world.clock.advance(timedelta(minutes=1))
        heartbeat.beat(world.use)
    world.seal()
    visit = world.visit("auditor")
    without, asked = visit.get("/audit/log"), visit.get("/audit/log?heartbeats=y")
    assert "Heartbeat" not in re.sub(r"<select.*?</select>", "", without.text, flags=re.DOTALL)
    assert "entries by the worker: Heartbeat (3)" in words(asked)
    assert "by the worker" not in words(visit.get("/audit/log?kind=heartbeat"))
    assert visit.get("/audit/log?kind=heartbeat").text.count(">Heartbeat</a>") == 3
    for query in ("", "?cursor=30", "?heartbeats=y"):
        plans(world, None, lambda query=query: visit.get(f"/audit/log{query}"))  # type: ignore[misc]
