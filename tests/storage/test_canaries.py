"""Canaries: a URL that works is tried until the store refuses it, and the object is gone afterwards."""

import threading
import time
from dataclasses import replace

import pytest

from server.storage import canaries, probes
from server.storage.canaries import Canary
from tests.world import World


def test_a_canary_lives_as_long_as_its_block(sqlite_world: World) -> None:
    """Its URL works, nobody's text shows it, and nothing is left at the store."""
    use = sqlite_world.use
    with canaries.planted(use.store, use.signer, "checkpoints/gpt-2/774M/", 60) as canary:
        assert canary.works()
        assert canaries.is_probe(canary.key)
        assert "X-Amz" not in repr(canary)
    assert not canary.works()
    assert use.store.head(canary.key) is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("checkpoints/canary-0123456789abcdef", True),
        ("checkpoints/gpt-2/canary-0123456789abcdef", True),
        ("checkpoints/gpt-2/774M/canary-0123456789abcdef", True),
        ("canary-0123456789abcdef", True),
        ("checkpoints/doctor/0123", True),
        ("checkpoints/gpt-2/774M/aabb/canary-0123456789abcdef", False),  # a file of a checkpoint may be called so
        ("checkpoints/gpt-2/774M/canary-0123456789abcdef/config.json", False),
        ("checkpoints/gpt-2/774M/canary-0123456789abcdeX", False),
    ],
)
def test_a_probe_is_known_by_its_key(key: str, expected: bool) -> None:
    """No file of a checkpoint is taken for one: reads of probes raise no alarm."""
    assert canaries.is_probe(key) == expected


class Answers:
    """A store's answers, as they are to come; the last one stays."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.asked = 0

    def __call__(self, _: str) -> int:
        self.asked += 1
        return self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Canary:
    monkeypatch.setattr(canaries, "TRIED_EVERY_SECONDS", 0)
    return Canary("checkpoints/canary-0", "http://127.0.0.1/")


def test_one_refusal_is_not_the_end(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that copies its policy about answers now so, now so: three refusals in a row count, from the first."""
    answers = Answers(200, 403, 200, 0, 403, 403, 403)
    monkeypatch.setattr(probes, "status_of", answers)
    began = time.monotonic()
    assert (canary.milliseconds_until_refused(began, began + 30) or 0) >= 1
    assert answers.asked == 7


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_what_is_no_refusal_is_no_end(canary: Canary, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A store that is away, or lost the object, has not refused: nobody may claim that URLs died."""
    monkeypatch.setattr(probes, "status_of", Answers(status))
    began = time.monotonic()
    assert canary.milliseconds_until_refused(began, began + 0.05) is None


def test_the_time_is_that_of_the_first_refusal(sqlite_world: World) -> None:
    """At the real store, where the object's URL is refused while it is tried."""
    use = sqlite_world.use
    with canaries.planted(use.store, use.signer, "checkpoints/gpt-2/774M/", 60) as planted:
        ended = threading.Timer(0.3, lambda: use.bucket_policy.deny_signed(["checkpoints/gpt-2/774M/"]))
        began = time.monotonic()
        ended.start()
        took = planted.milliseconds_until_refused(began, began + 30)
        ended.join()
    use.bucket_policy.deny_signed([])
    assert took is not None
    assert 300 <= took <= 5000


def test_keys_that_still_read_it_keep_it_alive(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store made keys: refused is what neither a URL nor they open."""
    monkeypatch.setattr(probes, "status_of", Answers(403))
    began = time.monotonic()
    reads = replace(canary, reads=lambda _: True)
    assert not reads.works()
    assert reads.milliseconds_until_refused(began, began + 0.05) is None
    assert replace(canary, reads=lambda _: False).milliseconds_until_refused(began, began + 30) is not None
    monkeypatch.setattr(probes, "status_of", Answers(200))
    assert reads.works()
    assert not replace(canary, reads=lambda _: False).works()
