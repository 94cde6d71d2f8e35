"""Finishing: everything that was added is finished, and the first failure ends the whole."""

import threading

import pytest

from weightgate.download import finishing
from weightgate.download.finishing import Finishing
from weightgate.download.patience import Patience, Stopped
from weightgate.verdicts import Failed


def test_all_are_finished_before_it_ends() -> None:
    done, begin = set[int](), threading.Event()

    def finish(number: int) -> None:
        begin.wait(10)
        done.add(number)

    with Finishing(Patience(), finish) as it:
        for number in range(20):
            it.add(number)
        assert not done
        begin.set()
    assert done == set(range(20))


def test_the_first_failure_ends_the_whole() -> None:
    """Whoever receives stops at the next block; the reason is what is raised."""
    patience, full = Patience(), Failed("disk_full", "The disk is full.")

    def finish(_: int) -> None:
        raise full

    with pytest.raises(Failed) as raised, Finishing(patience, finish) as it:
        it.add(1)
    assert raised.value is full
    with pytest.raises(Stopped):
        patience.require()


def test_what_failed_before_is_what_is_raised() -> None:
    def finish(_: int) -> None:
        raise Failed("disk_full", "The disk is full.")

    def receive() -> None:
        with Finishing(Patience(), finish) as it:
            it.add(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        receive()


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is an open file: a slow disk holds up whoever receives, rather than using up all descriptors."""
    monkeypatch.setattr(finishing, "_WAITING_AT_MOST", 2)
    go_on, added = threading.Event(), list[int]()

    def add() -> None:
        for number in range(3):
            it.add(number)
            added.append(number)

    def finish(_: int) -> None:
        go_on.wait(10)

    with Finishing(Patience(), finish) as it:
        adding = threading.Thread(target=add)
        adding.start()
        adding.join(0.2)
        assert added == [0, 1]
        go_on.set()
        adding.join(10)
    assert added == [0, 1, 2]
