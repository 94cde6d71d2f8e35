"""The log's condition: what is not being sealed, or was found changed, is not appended to by a download."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from server.domain.access import clearances
from server.domain.downloads import issuing
from server.domain.identity import people
from server.domain.operation import readiness
from server.domain.release import holds
from server.domain.release.holds import EVERYTHING
from server.log import condition, entries, sealing
from server.log.condition import SEALED_WITHIN, LogUnsound
from server.log.entries import NoLog
from server.storage.database import Database
from tests.log.small_log import AT, SmallLog
from tests.web.problems import require_problem
from tests.world import World


def require(log: SmallLog, after: timedelta) -> condition.SoundLog:
    with log.database.reading() as session:
        return condition.require_sound(session, AT + after)


def test_thirty_seconds_are_the_limit(small_log: SmallLog) -> None:
    """To the moment, by the oldest entry that waits; without one the log may be silent for ever."""
    assert require(small_log, timedelta(days=999)).origin == small_log.signer.key.name
    small_log.append(2)  # the second one a second later
    assert timedelta(seconds=30) == SEALED_WITHIN
    assert require(small_log, SEALED_WITHIN).id == small_log.id
    with pytest.raises(LogUnsound, match="has not been sealed since 12:00:00 UTC: is the worker running"):
        require(small_log, SEALED_WITHIN + timedelta(microseconds=1))
    small_log.seal()
    assert require(small_log, timedelta(days=999)).id == small_log.id


def test_a_stopped_log_is_unsound_with_its_reason(small_log: SmallLog) -> None:
    """However fresh it is."""
    sealing.stop(small_log.database, small_log.signer.key.name, "entry 7 was edited", AT)
    with pytest.raises(LogUnsound, match="the log is stopped: entry 7 was edited"):
        require(small_log, timedelta(0))


def test_what_waits_in_an_abandoned_log_does_not_count(small_log: SmallLog) -> None:
    """It is sealed no more; the log that is appended to now is the one that matters, also its reason to be stopped."""
    small_log.append()
    with small_log.database.transaction() as session:
        entries.open_log(session, "weights.example.org/downloads/2027+", "vkey", AT)
    sealing.stop(small_log.database, small_log.signer.key.name, "entry 7 was edited", AT)
    sound = require(small_log, timedelta(seconds=31))
    assert (sound.origin, sound.receipt_vkey) == ("weights.example.org/downloads/2027", "vkey")
    small_log.append(newest=True)
    with pytest.raises(LogUnsound, match="has not been sealed"):
        require(small_log, timedelta(seconds=31))


def test_without_a_log_there_is_none_to_rely_on(new_sqlite: Any) -> None:
    """An instance that was not initialized."""
    database = Database(new_sqlite())
    with database.reading() as session, pytest.raises(NoLog):
        condition.require_sound(session, AT)
    database.close()


def test_the_question_costs_the_same_however_long_the_log_is(sqlite_log: SmallLog) -> None:
    """It is asked with each download: by an index, without a sort, and never over the entries."""
    sqlite_log.append(300)
    sqlite_log.seal()
    with sqlite_log.database.reading() as session:
        statement: Any = condition._CONDITION._prepared._statement
        query = statement.params(limit=AT).compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        plan = [row.detail for row in session.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    those_that_wait = "SCAN log_entries USING INDEX ix_log_entries_unsealed"
    assert [line for line in plan if line.startswith("SCAN log_entries") or "B-TREE" in line] == [those_that_wait]


def grow_old(world: World) -> None:
    """An entry is appended, and nobody seals it for half a minute."""
    world.seal()
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.clock.offset += timedelta(seconds=31)


def test_no_url_while_the_log_is_not_sealed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for partners, staff or passers-by; no entry is made; once it is sealed again all goes on."""
    monkeypatch.setattr(readiness, "TRIED_AGAIN_AFTER_SECONDS", 0)
    grow_old(world)
    known, signed = len(world.entries()), list(world.signed_urls)
    with pytest.raises(LogUnsound):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    for token, stage in (("cleared", "gpt-2/774M"), ("admin", "gpt-2/124M"), (None, "gpt-2/124M")):
        answer = world.api("POST", "/downloads", token, json={"stage": stage})
        require_problem(answer, 503, "log_unavailable")
        assert answer.headers["Retry-After"] == "2"
        assert "://" not in answer.json["detail"]
    assert (len(world.entries()), world.signed_urls) == (known, signed)
    assert world.client.get("/readyz").status_code == 503
    world.seal()
    assert world.client.get("/readyz").status_code == 200
    issuing.issue(world.use, world.caller("cleared"), world.order())
    assert len(world.signed_urls) == 2 * len(signed)


def test_everything_but_issuing_goes_on_while_the_log_is_not_sealed(world: World) -> None:
    """Above all what takes rights away: revoking, suspending, holding; then reading and signing in."""
    grow_old(world)
    with world.use.database.reading() as session:
        unsigned = world.person("unsigned").organization_id
        mine = session.query(clearances.Clearance).filter_by(organization_id=unsigned).first()
        assert mine is not None
    clearances.revoke(world.use, world.admin, mine.id)
    holds.place(world.use, world.admin, "organization:cedar-systems", "They asked for it.")
    holds.place(world.use, world.admin, EVERYTHING, "Something is wrong with the log.")
    world.lift(EVERYTHING)
    known = world.example.people["cleared"]
    assert people.sign_in_for_command(world.use, known["email"], known["password"]).organization == "aurora-institute"
    for path in ("/stages", "/me", "/downloads", "/log/entries"):
        assert world.api("GET", path).status_code == 200
    assert world.client.get("/log/checkpoint").status_code == 200
    kinds = {entry.kind for entry in world.entries() if entry.leaf_index is None}
    assert kinds == {
        "download", "clearance.revoke", "hold.place", "decision.propose", "decision.approve", "hold.lift",
    }  # fmt: skip
