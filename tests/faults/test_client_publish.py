"""Publishing with the client under faults: whatever dies or is lost, what becomes visible is whole and comes once."""

import random
import signal
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from weightgate import Client

from server.domain.identity import authentication, tokens
from server.domain.permissions import Scope
from server.domain.publish import receiving
from tests.e2e.partner import digests
from tests.e2e.publisher import PARTS, PLANNED, Publisher, publishing, working
from tests.e2e.store_front import Spoil
from tests.faults.rounds import in_rounds
from tests.uploads import FILES, completed, seen
from tests.world import STRANGER, World

ODDS = random.Random(20191105)  # noqa: S311  # the same faults in each run
OFTEN = [3, pytest.param(10, marks=pytest.mark.fault)]


def require_published(lab: Publisher, checkpoint: str) -> None:
    """There is one such checkpoint, and its files are the folder's, as a partner's download proves."""
    world = lab.world
    assert sum(one["checkpoint"] == checkpoint for one in world.records("checkpoint.publish")) == 1
    world.move(PLANNED, "public")
    got = lab.folder.with_name("got")
    Client(environment=lab.environment("cleared")).download(PLANNED, to=got)
    assert digests(got) == digests(lab.folder)


def checkpoints(world: World) -> int:
    return len(world.records("checkpoint.publish"))


@pytest.mark.parametrize("times", OFTEN)
def test_a_client_that_is_killed_again_and_again_goes_on(lab: Publisher, times: int) -> None:
    """At random moments: hashing, asking, sending. No part that had arrived is sent again."""
    lab.front.seconds_a_piece, before = 0.002, checkpoints(lab.world)
    for _ in range(times):
        with lab.begin(PLANNED, "--jobs", "2") as running:
            time.sleep(ODDS.uniform(0.3, 1.8))
            running.send_signal(signal.SIGKILL)
        assert checkpoints(lab.world) == before
    lab.front.seconds_a_piece = 0.0
    with publishing(lab):
        done = lab.publish()
    stored = [target.partition("&X-Amz")[0] for target, status in lab.front.put if status == 200]
    assert len(set(stored)) == PARTS
    assert len(stored) <= PARTS + 2 * times  # what was on its way when it was killed
    require_published(lab, done.checkpoint)


@pytest.mark.fault
def test_a_publisher_process_that_is_killed_ten_times_goes_on(lab: Publisher) -> None:
    """The real process, at random moments of putting together, reading back, signing, storing and making visible."""
    before = checkpoints(lab.world)
    sending = threading.Thread(target=lambda: done.append(lab.publish(patience_seconds=120)), daemon=True)
    done = list[Any]()
    sending.start()
    for _ in range(10):
        with working(lab.world.folder) as process:
            time.sleep(ODDS.uniform(1.0, 4.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
        with lab.world.use.database.transaction() as session:  # the minute that a dead one keeps it from others
            session.connection().exec_driver_sql("UPDATE uploads SET worked_until = NULL")
    with working(lab.world.folder):
        sending.join(120)
    assert (len(done), checkpoints(lab.world)) == (1, before + 1)
    require_published(lab, done[0].checkpoint)


@pytest.mark.parametrize("share", [0.1, pytest.param(0.4, marks=pytest.mark.fault)])
def test_parts_that_are_lost_are_sent_again(lab: Publisher, share: float) -> None:
    """So many of all PUTs are cut, lost, damaged or put off."""
    kinds = (Spoil.CUT, Spoil.DEAD, Spoil.FLIP, Spoil.BUSY)
    lab.front.judge_put = lambda *_: ODDS.choice(kinds) if ODDS.random() < share else Spoil.NOTHING
    with publishing(lab):
        done = lab.publish(patience_seconds=60)
    require_published(lab, done.checkpoint)


@pytest.mark.fault
def test_a_store_that_is_away_is_waited_for(lab: Publisher) -> None:
    """For some seconds nobody answers, to the client as to the server; then all goes on."""
    store, put = lab.front.store, 0

    def judge(*_: str) -> Spoil:
        nonlocal put
        put += 1
        if put == 2:
            lab.front.store = "127.0.0.1:1"
            threading.Timer(5, lambda: setattr(lab.front, "store", store)).start()
        return Spoil.NOTHING

    lab.front.judge_put = judge
    with publishing(lab):
        done = lab.publish(patience_seconds=60)
    require_published(lab, done.checkpoint)


@pytest.mark.fault
def test_urls_that_live_for_two_seconds_are_enough(lab: Publisher) -> None:
    """The whole takes longer than they live."""
    lab.world.use.settings = lab.world.use.settings.model_copy(update={"url_lifetime_seconds": 2})
    lab.front.seconds_a_piece = 0.0005
    with publishing(lab):
        done = lab.publish(jobs=1)
    require_published(lab, done.checkpoint)


@in_rounds
@pytest.mark.usefixtures("no_uploads")
def test_after_a_revocation_nothing_becomes_visible(world: World, rounds: int) -> None:
    """Revoked while it is being published: whichever comes first in the log, never a publication after it."""
    for number in range(rounds // 5):
        made = tokens.create(
            world.use, replace(world.person("publisher"), via="session"), f"token {number}",
            [Scope.CHECKPOINTS_PUBLISH], timedelta(days=1),
        )  # fmt: skip
        caller, _ = authentication.identify(world.use, made.text, STRANGER)
        upload = completed(world, FILES | {"round.json": str(number).encode()}, caller=caller)
        both = [
            threading.Thread(target=receiving.publish_next, args=(world.use,)),
            threading.Thread(target=_revoke, args=(world, str(caller.token_public_id), ODDS.uniform(0, 0.4))),
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert seen(world, upload).state in {"published", "refused"}
        told = [
            entry.kind
            for entry in world.entries()
            if (entry.kind == "checkpoint.publish" and str(caller.token_public_id) in entry.record.decode())
            or (entry.kind == "token.revoke" and entry.subject == caller.token_public_id)
        ]
        assert told in (["token.revoke"], ["checkpoint.publish", "token.revoke"])
        world.keep_sealed()


def _revoke(world: World, public_id: str, after_seconds: float) -> None:
    time.sleep(after_seconds)
    tokens.revoke(world.use, world.admin, public_id)
