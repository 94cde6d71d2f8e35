"""Kept facts: the next request is decided by them, yet nobody gets by them what a fresh look would refuse."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.domain.access import clearances, kept_facts, rule
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.errors import ClearanceExpired, NetworkNotAllowed, NoSuchFile, NotCleared, QuotaExceeded
from server.domain.identity import tokens
from server.domain.operation import carrying_out
from server.domain.paging import Slice
from server.domain.permissions import Scope
from server.domain.publish import checkpoints
from server.domain.release import stages
from server.log import authority
from tests.world import World

STAGE = "gpt-2/774M"


def issue(world: World, name: str = "cleared", **more: Any) -> issuing.Download:
    return issuing.issue(world.use, replace(world.caller(name), **more), world.order())


def expected(world: World, name: str = "cleared", **more: Any) -> kept_facts.Expected | None:
    caller = replace(world.caller(name), **more)
    return kept_facts.expect(world.use, caller, STAGE, "main", world.order().paths)


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From when it is called, facts that are read fail the test."""

    def stop(*_: Any, **__: Any) -> Any:
        raise AssertionError("the facts were read again")

    return lambda: monkeypatch.setattr(rule, "gather", stop)


def test_the_next_request_reads_no_facts(world: World, nothing_is_read: Any) -> None:
    """It says and logs the same as the one before, under an id of its own."""
    first = issue(world)
    nothing_is_read()
    second = issue(world)
    assert (first.checkpoint_id, first.files) == (second.checkpoint_id, second.files)
    one, two = (entry.record for entry in world.entries("download"))
    assert len(one) == len(two)
    assert first.id != second.id


def test_a_no_is_never_kept(world: World) -> None:
    """Whoever is cleared a moment later is served."""
    with pytest.raises(NotCleared):
        issue(world, "uncleared")
    assert expected(world, "uncleared") is None


def test_what_ends_by_the_clock_ends(world: World) -> None:
    """No row changes when a clearance runs out."""
    issue(world)
    world.clock.advance(timedelta(days=400))
    assert expected(world) is None
    with pytest.raises(ClearanceExpired):
        issuing.issue(world.use, world.person("cleared"), world.order())


def test_each_request_s_own_address_counts(world: World) -> None:
    """A token that is bound to a network is refused from another one, whatever it was given before."""
    owner = world.person("cleared")
    made = tokens.create(
        world.use, owner, "bound", [Scope.DOWNLOADS_CREATE], timedelta(days=1), networks=["192.0.2.0/24"]
    )
    caller = replace(
        world.caller("cleared"), token_id=made.token.id, token_public_id=made.token.public_id,
        scopes=frozenset({Scope.DOWNLOADS_CREATE}), address="192.0.2.7",
    )  # fmt: skip
    issuing.issue(world.use, caller, world.order())
    with pytest.raises(NetworkNotAllowed):
        issuing.issue(world.use, replace(caller, address="198.51.100.7"), world.order())


def test_they_are_one_caller_s(world: World) -> None:
    """Another token, or nobody, has none; nor another stage."""
    issue(world)
    assert expected(world) is not None
    assert expected(world, "uncleared") is None
    assert kept_facts.expect(world.use, world.person("cleared"), STAGE, "main", None) is None
    assert kept_facts.expect(world.use, world.caller("cleared"), "gpt-2/355M", "main", None) is None


def test_a_path_that_is_not_there_is_looked_for_and_said(world: World) -> None:
    """Kept facts have no refusals; the fresh look gives its own."""
    issue(world)
    with pytest.raises(NoSuchFile):
        issuing.issue(world.use, world.caller("cleared"), world.order(paths=["nothing.json"]))


def test_main_is_the_newest_at_each_request(world: World) -> None:
    """Publishing changes the stage, so it is read again."""
    order = Order("mini-gpt/base")
    newest = issuing.issue(world.use, world.caller("cleared"), order)
    with world.use.database.transaction() as session:
        stage = stages.get(session, order.stage)
        older = checkpoints.published(session, stage.id, Slice(10)).items[-1]
        stage.main_checkpoint_id = older.id
    assert newest.checkpoint_id != older.checkpoint_id
    world.tampered = True  # the log tells of no such move
    assert issuing.issue(world.use, world.caller("cleared"), order).checkpoint_id == older.checkpoint_id


def test_who_is_counted_is_decided_in_the_transaction_that_counts(world: World) -> None:
    """An organization with a quota has no kept facts, and none that were kept before it had one."""
    size = sum(file.size_bytes for file in issue(world).files)
    carrying_out.set_quota(world.use, world.admin, "aurora-institute", bytes_per_day=size, requests_per_minute=None)
    issue(world)
    with pytest.raises(QuotaExceeded):
        issue(world)


def test_only_so_many_are_kept(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first."""
    monkeypatch.setattr(authority, "KEPT_AT_MOST", 1)
    issue(sqlite_world)
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order("mini-gpt/base", paths=None))
    assert expected(sqlite_world) is None


def test_a_second_clearance_is_seen(world: World) -> None:
    """The log names the one that lasts longest, also when it was given a moment ago."""
    issue(world)
    ends = world.clock() + timedelta(days=900)
    made = clearances.propose(
        world.use, world.admin, "aurora-institute", "gpt-2", "research", expires_at=ends, purpose="Longer."
    )
    clearances.approve(world.use, world.admin2, made.id)
    issue(world)
    assert f'"clearance":{made.id}'.encode() in world.entries("download")[-1].record
