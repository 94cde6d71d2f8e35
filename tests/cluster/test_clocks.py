"""F5 on the cluster: the clock of one machine jumps by an hour and by a day, while it serves."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from server.storage.outside import PROBED_EVERY_SECONDS
from tests.cluster import checks
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.machines import ROOT
from tests.cluster.other_clock import AHEAD_FILE
from tests.cluster.test_faults import issue
from tests.cluster.test_tampering import until
from tests.cluster.visitor import Visitor

HOUR, DAY = 3600, 86_400
LIVES_AT_MOST_SECONDS = 15 * 60
NOTICED_SECONDS = PROBED_EVERY_SECONDS + 5
ASKED_SECONDS, ASKED_EVERY_SECONDS = 3, 0.1

pytestmark = pytest.mark.fault


class Clock:
    """The clock of the first machine's web server, which a test moves."""

    def __init__(self, cluster: Cluster) -> None:
        self._path = cluster.machines[0].folder / "clock"
        self.jump(0)
        cluster.machines[0].stop("web")
        more = {AHEAD_FILE: str(self._path), "PYTHONPATH": str(ROOT)}
        cluster.machines[0].start("web", app="tests.cluster.other_clock:app", **more)
        cluster.wait_until_ready()

    def jump(self, seconds: int) -> None:
        """Away from the true time by so much."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._path)


@pytest.fixture
def clock(own_cluster: Cluster) -> Clock:
    return Clock(own_cluster)


@dataclass(frozen=True)
class Told:
    """One answer to a download. at: seconds since the first; machine: 1 has the clock that jumps, 2 the right one."""

    at: float
    machine: int
    status: int
    url: str | None

    @property
    def ahead_seconds(self) -> float:
        """How far the URL's date is ahead of the true time, at the most."""
        assert self.url is not None
        dated = datetime.strptime(signed(self.url)["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
        return (dated - datetime.now(UTC)).total_seconds()


def signed(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


class Asking:
    """Asks for downloads through nginx, one after the other; what is issued is held by a ledger."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._visitor, self.ledger = cluster, Visitor(cluster), Ledger()

    def once(self, began: float) -> Told:
        answer = issue(self._cluster)
        url = None
        if answer.status_code == 201:
            self.ledger.holds("issue", answer.json(), self._cluster.known["tokens"]["cleared"])
            url = answer.json()["files"][0]["url"]
        return Told(time.monotonic() - began, self._visitor.machine_of(answer), answer.status_code, url)

    def for_seconds(self, seconds: float) -> list[Told]:
        began, told = time.monotonic(), list[Told]()
        while time.monotonic() < began + seconds:
            told.append(self.once(began))
            time.sleep(ASKED_EVERY_SECONDS)
        return told

    def require_only_the_right_one_issues(self) -> None:
        told = self.for_seconds(ASKED_SECONDS)
        assert {one.status for one in told if one.machine == 1} == {503}
        assert {one.status for one in told if one.machine == 2} == {201}
        answers = Counter(f"{one.status} by machine {one.machine}" for one in told)
        print(f"while the first clock was wrong: {dict(answers)}")
        for one in told:
            if one.url is not None:
                ends = one.ahead_seconds + int(signed(one.url)["X-Amz-Expires"])
                assert ends <= LIVES_AT_MOST_SECONDS

    def until_both_issue(self) -> None:
        began = time.monotonic()
        while {one.machine for one in self.for_seconds(1) if one.status == 201} != {1, 2}:
            assert time.monotonic() < began + NOTICED_SECONDS


def test_a_machine_with_a_wrong_clock_issues_nothing_and_the_other_does(own_cluster: Cluster, clock: Clock) -> None:
    """Behind by an hour or a day it is stopped by the log at once; ahead, once it has looked at the others' clocks."""
    asking, (wrong, _) = Asking(own_cluster), own_cluster.machines
    asking.until_both_issue()
    for seconds in (-HOUR, -DAY):
        clock.jump(seconds)
        asking.require_only_the_right_one_issues()
    clock.jump(0)
    asking.until_both_issue()
    own_cluster.front.take_out(wrong)
    clock.jump(HOUR)
    until(lambda: requests.get(f"http://{wrong.address}/readyz", timeout=5).status_code == 503, 0.5)
    own_cluster.front.put_back(wrong)
    for seconds in (HOUR, DAY):
        clock.jump(seconds)
        asking.require_only_the_right_one_issues()
    clock.jump(0)
    asking.until_both_issue()
    assert checks.settle(own_cluster, asking.ledger, 100) > 0
    assert asking.ledger.faults == []


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, DAY])
def test_a_clock_that_jumps_between_two_looks_issues_nothing_from_then_on(
    own_cluster: Cluster, clock: Clock, seconds: int
) -> None:
    """Not one URL: the other machine goes on, since no entry is dated ahead either."""
    asking = Asking(own_cluster)
    asking.until_both_issue()
    clock.jump(seconds)
    time.sleep(0.5)  # what was begun before the jump is answered
    asking.require_only_the_right_one_issues()
    clock.jump(0)
    asking.until_both_issue()
    assert checks.settle(own_cluster, asking.ledger, 100) > 0
    assert asking.ledger.faults == []
