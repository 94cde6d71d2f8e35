"""Quotas: bytes in a rolling day, requests in a minute, and never the last byte twice."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from server.domain.access import quotas, rule
from server.domain.access.quotas import QuotaHour
from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, QuotaExceeded, RateLimited, Refused
from server.domain.identity.organizations import Quota
from server.domain.operation import carrying_out
from tests.world import World

START = datetime(2026, 5, 1, 12, 20, 7, 250_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def limit(world: World, *, bytes_per_day: int | None = None, requests_per_minute: int | None = None) -> None:
    waits = carrying_out.set_quota(
        world.use, world.admin, "aurora-institute",
        bytes_per_day=bytes_per_day, requests_per_minute=requests_per_minute,
    )  # fmt: skip
    if waits is not None:
        carrying_out.approve(world.use, world.admin2, waits.id)


def take(world: World, size_bytes: int, at: datetime) -> Refused | None:
    """Take from the cleared partner's quota as issuing does; returns the refusal, which takes nothing."""
    organization_id = world.person("cleared").organization_id or 0
    try:
        with world.use.database.transaction() as session:
            quota = quotas.lock(session, organization_id)
            assert quota is not None
            quotas.take(session, quota, size_bytes, at)
    except Refused as refused:
        return refused
    return None


def test_an_organization_without_limits_is_not_counted(world: World) -> None:
    """No limit means no lock either: its downloads do not wait for each other."""
    with world.use.database.transaction() as session:
        assert quotas.lock(session, world.person("cleared").organization_id or 0) is None


def test_the_last_byte_may_be_taken_and_not_one_more(world: World) -> None:
    """The limit itself is allowed; one byte above it is not, and is told what is left."""
    limit(world, bytes_per_day=100)
    assert take(world, 60, START) is None
    refused = take(world, 41, START)
    assert isinstance(refused, QuotaExceeded)
    assert "60 are used, 41 asked" in refused.detail
    assert take(world, 40, START) is None
    assert isinstance(take(world, 1, START), QuotaExceeded)


def test_a_day_s_bytes_come_back_within_the_hour_after_it(world: World) -> None:
    """What was issued counts for 24 hours at least and 25 at most, never less."""
    limit(world, bytes_per_day=100)
    hour_began = START.replace(minute=0, second=0, microsecond=0)
    assert take(world, 100, START) is None
    tick = timedelta(microseconds=1)
    for moment in (START + 24 * HOUR, hour_began + 25 * HOUR - tick):
        assert isinstance(take(world, 1, moment), QuotaExceeded)
    assert take(world, 100, hour_began + 25 * HOUR) is None


@pytest.mark.parametrize("asked", [1, 30, 31, 100])
@pytest.mark.parametrize("fraction", [0, 250_000])
def test_waiting_as_long_as_is_said_is_enough_and_necessary(sqlite_world: World, asked: int, fraction: int) -> None:
    """After Retry-After the same request succeeds; a second earlier it does not, give or take the rounding up."""
    world = sqlite_world
    limit(world, bytes_per_day=100)
    assert take(world, 30, START) is None
    assert take(world, 70, START + 3 * HOUR) is None
    now = START.replace(microsecond=fraction) + 5 * HOUR
    refused = take(world, asked, now)
    assert refused is not None
    wait = refused.retry_after_seconds * SECOND
    assert isinstance(take(world, asked, now + wait - SECOND), QuotaExceeded)
    assert take(world, asked, now + wait) is None


def test_more_than_a_whole_day_s_bytes_is_told_to_come_back_in_a_day(sqlite_world: World) -> None:
    """Nothing that could be waited for would help; the answer is still a number."""
    limit(sqlite_world, bytes_per_day=100)
    refused = take(sqlite_world, 101, START)
    assert isinstance(refused, QuotaExceeded)
    assert refused.retry_after_seconds == 24 * 3600


seconds = st.builds(lambda hour, second: 3600 * hour + second, st.integers(0, 49), st.sampled_from([0, 1, 1799, 3599]))
requests_in_two_days = st.lists(st.tuples(seconds, st.integers(30, 100)), min_size=1, max_size=8)


@settings(max_examples=300)
@given(requests=requests_in_two_days.map(sorted))
def test_no_24_hours_ever_hold_more_than_a_day_s_bytes(requests: list[tuple[int, int]]) -> None:
    """The rolling day is a promise about every window, not about calendar days."""
    engine, hour_began = create_engine("sqlite://"), START.replace(minute=0, second=0, microsecond=0)
    QuotaHour.metadata.create_all(engine, [QuotaHour.__table__])  # type: ignore[list-item]
    issued: list[tuple[int, int]] = []
    with Session(engine) as session:
        for second, size in requests:
            with suppress(QuotaExceeded):
                quotas.take(session, Quota(organization_id=1, bytes_per_day=100), size, hour_began + second * SECOND)
                issued.append((second, size))
    engine.dispose()
    for start, _ in issued:
        assert sum(size for second, size in issued if start <= second < start + 86_400) <= 100


@pytest.mark.parametrize("requests_per_minute", [1, 2, 7, 9, 13, 60, 61, 1000])
def test_a_minute_s_worth_of_requests_may_come_at_once(requests_per_minute: int) -> None:
    """A burst of exactly the limit is let through, whatever the limit does to a minute's division."""
    quota = Quota(organization_id=1, requests_per_minute=requests_per_minute)
    for _ in range(requests_per_minute):
        quotas._advance_rate(quota, requests_per_minute, START)
    with pytest.raises(RateLimited) as answer:
        quotas._advance_rate(quota, requests_per_minute, START)
    assert answer.value.retry_after_seconds == math.ceil(60_000_000 // requests_per_minute / 1_000_000)


def test_the_rate_refills_one_request_an_interval(world: World) -> None:
    """After a burst the next request comes when Retry-After has passed, and not before."""
    limit(world, requests_per_minute=4)
    for _ in range(4):
        assert take(world, 1, START) is None
    for moment in (START, START + 14 * SECOND):
        refused = take(world, 1, moment)
        assert isinstance(refused, RateLimited)
        assert refused.retry_after_seconds == (START + 15 * SECOND - moment).seconds
    assert take(world, 1, START + 15 * SECOND) is None
    assert isinstance(take(world, 1, START + 15 * SECOND), RateLimited)
    for _ in range(4):
        assert take(world, 1, START + 300 * SECOND) is None
    assert isinstance(take(world, 1, START + 300 * SECOND), RateLimited)


def test_a_refusal_uses_nothing_up(world: World) -> None:
    """A request that the byte quota refused does not count against the rate, and the other way round."""
    limit(world, bytes_per_day=10, requests_per_minute=1)
    assert isinstance(take(world, 11, START), QuotaExceeded)
    assert take(world, 5, START) is None
    assert isinstance(take(world, 5, START), RateLimited)
    assert take(world, 5, START + 60 * SECOND) is None


@pytest.mark.parametrize(
    ("limits", "code"), [({"bytes_per_day": 1}, QuotaExceeded), ({"requests_per_minute": 1}, RateLimited)]
)
def test_issuing_is_refused_over_the_limit_and_leaves_nothing(
    world: World, limits: dict[str, int], code: type[Refused]
) -> None:
    """Row 8 of the table: no entry, no URL, and how long to wait."""
    limit(world, **limits)
    caller = world.caller("cleared")
    if code is RateLimited:
        issuing.issue(world.use, caller, world.order(paths=["hparams.json"]))
    known = len(world.entries()), len(world.signed_urls)
    with pytest.raises(code) as answer:
        issuing.issue(world.use, caller, world.order())
    assert answer.value.retry_after_seconds > 0
    assert (len(world.entries()), len(world.signed_urls)) == known


@pytest.mark.parametrize("kind", ["bytes", "requests"])
def test_two_at_once_cannot_both_take_the_last_of_it(world: World, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The counters are locked from before the decision until the commit: one of two gets what is left."""
    order = world.order(paths=["hparams.json"])
    caller = world.caller("cleared")
    with world.use.database.reading() as session:
        listed = rule.require_reading(session, world.use, caller, "gpt-2/774M", "main")[1]
    size = listed.files["hparams.json"].size_bytes
    limit(world, **({"bytes_per_day": size} if kind == "bytes" else {"requests_per_minute": 1}))
    both = threading.Barrier(2)
    take_alone = quotas.take

    def take_together(*parts: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # whoever is alone past the lock waits in vain
        take_alone(*parts)

    def issue() -> bool:
        try:
            issuing.issue(world.use, caller, order)
        except (QuotaExceeded, RateLimited):
            return False
        return True

    monkeypatch.setattr(quotas, "take", take_together)
    with ThreadPoolExecutor(2) as pool:
        issued = [future.result() for future in [pool.submit(issue), pool.submit(issue)]]
    assert sorted(issued) == [False, True]
    assert len(world.entries("download")) == 1


def test_one_partner_s_limit_is_not_another_s(world: World) -> None:
    """Limits belong to an organization; the lab's and the others' go on."""
    limit(world, bytes_per_day=1)
    with pytest.raises(QuotaExceeded):
        issuing.issue(world.use, world.caller("cleared"), world.order("gpt-2/124M"))
    issuing.issue(world.use, world.caller("unsigned"), world.order("gpt-2/124M"))


def test_a_limit_that_cannot_be_kept_is_refused(sqlite_world: World) -> None:
    """Zero, negative and unmeasurable limits."""
    bad = [{"bytes_per_day": value} for value in (0, -1, 2**53)]
    bad += [{"requests_per_minute": value} for value in (0, -1, 1_000_001)]
    for limits in bad:
        with pytest.raises(InvalidRequest):
            limit(sqlite_world, **limits)


def test_the_biggest_limits_can_be_stored(world: World) -> None:
    """What is accepted fits into both databases' columns."""
    limit(world, bytes_per_day=2**53 - 1, requests_per_minute=1_000_000)
    assert take(world, 2**53 - 1, START) is None
    assert isinstance(take(world, 1, START), QuotaExceeded)
