"""Usage: issued as the log says, fetched as the store's logs say, in the last week and month."""

from datetime import timedelta

import pytest

from server.domain.delivery import deliveries, usage
from server.domain.delivery.deliveries import Fetched
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from tests.world import World

ONE = Order("mini-gpt/base", paths=["config.json"])


def test_bytes_count_in_the_span_in_which_they_were_issued(world: World) -> None:
    """Nine days later they are of the month and no longer of the week; after a month, of neither."""
    issued = issuing.issue(world.use, world.caller("cleared"), ONE)
    size = issued.files[0].size_bytes
    fetched = Fetched("config.json", size, requests=1, bytes_sent=100, first_ms=0, last_ms=0)
    with world.use.database.transaction() as session:
        key = (issued.id, "config.json")
        deliveries.store(session, {key: fetched}, {key})
    aurora, at = world.person("cleared").organization_id or 0, world.clock()
    with world.use.database.reading() as session:
        for days, week, month in ((0, 1, 1), (9, 0, 1), (31, 0, 0)):
            for found in (
                usage.by_organization(session, world.admin, aurora, at + timedelta(days=days)),
                usage.of_stage(session, world.admin, "mini-gpt/base", at + timedelta(days=days)),
            ):
                for span, count in ((found.week, week), (found.month, month)):
                    got = (span.downloads, span.issued_bytes, span.fetched_bytes)
                    assert got == (count, count * size, count * 100)
                assert not found.at_least
        other = usage.by_organization(session, world.admin, aurora + 1, at)
        assert other.month.downloads == usage.of_stage(session, world.admin, "gpt-2/774M", at).month.downloads == 0


def test_more_than_are_looked_at_are_said_to_be_more(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number or by their size."""
    world = sqlite_world
    for _ in range(3):
        issuing.issue(world.use, world.caller("cleared"), ONE)
    checkpoint = world.records("download")[0]["checkpoint"]
    with world.use.database.reading() as session:
        assert usage.downloads_of_checkpoint(session, world.admin, "mini-gpt/base", checkpoint) == (3, False)
        assert usage.downloads_of_checkpoint(session, world.admin, "mini-gpt/base", "0" * 40) == (0, False)
        monkeypatch.setattr(usage, "RECORD_BYTES_AT_ONCE", 1)
        assert usage.of_stage(session, world.admin, "mini-gpt/base", world.clock()).at_least
        monkeypatch.undo()
        monkeypatch.setattr(usage, "LOOKED_AT_ONCE", 2)
        assert usage.of_stage(session, world.admin, "mini-gpt/base", world.clock()).at_least
        assert usage.downloads_of_checkpoint(session, world.admin, "mini-gpt/base", checkpoint) == (2, True)
