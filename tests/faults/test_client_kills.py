"""The client under faults: killed, cut off, lied to, with URLs that end at once. A verified file or a clear refusal."""

import json
import random
import signal
import time

import pytest
from weightgate.verdicts import Refuted

from tests.e2e.partner import Partner
from tests.e2e.store_front import Spoil

ODDS = random.Random(20191105)  # noqa: S311  # the same faults in each run


def killed_again_and_again(partner: Partner, times: int, jobs: int) -> None:
    """Begin, kill -9 when a random part has been sent, look at what is there; then let it come to its end.

    All parts together are less than the whole, so that no run is done before it is killed.
    """
    most_bytes = 4_000_000 // times
    partner.front.seconds_a_piece = 0.005
    for _ in range(times):
        with partner.begin("--jobs", str(jobs)) as running:
            assert running.stdout is not None
            json.loads(running.stdout.readline())  # it has begun
            until = partner.front.sent_bytes + ODDS.randrange(most_bytes // 4, most_bytes)
            while partner.front.sent_bytes < until and running.poll() is None:
                time.sleep(0.001)
            running.send_signal(signal.SIGKILL)
        assert running.returncode == -signal.SIGKILL
        partner.require_nothing_wrong()
    partner.front.seconds_a_piece = 0.0
    done = partner.download()
    partner.require_all()
    assert done.fetched_bytes < done.size_bytes  # what was verified before was kept


def test_a_client_that_is_killed_goes_on_where_it_was(partner: Partner) -> None:
    """Three times; what has its name is whole after each, and the next run completes the rest."""
    killed_again_and_again(partner, 3, jobs=4)


@pytest.mark.fault
def test_a_client_that_is_killed_twenty_times_goes_on_where_it_was(partner: Partner) -> None:
    """The same, for long."""
    killed_again_and_again(partner, 20, jobs=1)


def unlucky(share: float, *kinds: Spoil) -> Spoil:
    return ODDS.choice(kinds) if ODDS.random() < share else Spoil.NOTHING


@pytest.mark.parametrize("share", [0.05, pytest.param(0.4, marks=pytest.mark.fault)])
def test_reads_that_are_cut_cost_no_more_than_themselves(partner: Partner, share: float) -> None:
    """So many of all reads end within, and the rest of each is asked for: what came is not fetched again."""
    partner.front.judge = lambda *_: unlucky(share, Spoil.CUT, Spoil.DEAD, Spoil.BUSY)
    done = partner.download(patience_seconds=30)
    partner.require_all()
    assert done.fetched_bytes == done.size_bytes


def test_urls_that_live_for_two_seconds_are_enough(partner: Partner) -> None:
    """The whole takes longer than they live, and each renewal is decided and logged."""
    world = partner.world
    world.use.settings = world.use.settings.model_copy(update={"url_lifetime_seconds": 2})
    partner.front.seconds_a_piece = 0.02
    done = partner.download(jobs=2)
    partner.require_all()
    assert len(world.records("download")) == len(done.receipts) > 1


def test_a_store_that_restarts_is_waited_for(partner: Partner) -> None:
    """For a while nobody answers, then all goes on."""
    store, asked = partner.front.store, 0

    def judge(*_: str) -> Spoil:
        nonlocal asked
        asked += 1
        partner.front.store = "127.0.0.1:1" if 5 < asked < 15 else store
        return Spoil.NOTHING

    partner.front.judge = judge
    done = partner.download(patience_seconds=30)
    partner.require_all()
    assert done.fetched_bytes == done.size_bytes


@pytest.mark.parametrize("seed", range(2))
def test_one_flipped_bit_never_gets_a_name(partner: Partner, seed: int) -> None:
    """In a random range once, it is fetched again; in every range always, it is refuted and no file is kept."""
    which, asked = random.Random(seed).randrange(30), 0  # noqa: S311

    def once(*_: str) -> Spoil:
        nonlocal asked
        asked += 1
        return Spoil.FLIP if asked == which else Spoil.NOTHING

    partner.front.judge = once
    partner.download("config.json")
    partner.front.judge = lambda *_: Spoil.FLIP
    with pytest.raises(Refuted):
        partner.download()
    assert partner.require_nothing_wrong() == 1
    partner.front.judge = once
    partner.download()
    partner.require_all()
