"""Races on the whole cluster: whoever revokes a token wins over both machines."""

import contextlib
import threading
import time
from datetime import timedelta

import pytest

from server.domain.callers import Caller
from server.domain.identity import people, tokens
from server.domain.permissions import Scope
from server.domain.resources import Resources
from tests.cluster import checks, load_clients, stops
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.stops import Stop

ROUNDS = 100
ASKERS, ASKS_PER_SECOND = 4, 8  # nginx lets one address ask 50 times a second
WAIT_SECONDS = 30

pytestmark = pytest.mark.fault


class Racing(Stop):
    """Revoked by the functions that pages and commands call, on either machine, so that a round takes no second."""

    def prepare(self) -> None:
        self.uses = [self._stack.enter_context(self.cluster.resources(machine)) for machine in (1, 2)]
        self.admin, self.admin2, self.owner = (self.caller(name) for name in ("admin", "admin2", "cleared"))
        super().prepare()

    def __enter__(self) -> "Racing":
        self._stack = contextlib.ExitStack()
        self.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def use(self) -> Resources:
        return self.uses[self.revoked % 2]

    def caller(self, name: str) -> Caller:
        person = self.cluster.known["people"][name]
        return people.sign_in_for_command(self.uses[0], person["email"], person["password"])

    def askers(self) -> list[load_clients.Client]:
        return [load_clients.Client(f"asker {n}", ASKS_PER_SECOND, self._asker()) for n in range(ASKERS)]


class RacingToken(Racing, stops.OneToken):
    def let(self) -> None:
        made = tokens.create(self.use, self.owner, "a race", [Scope.DOWNLOADS_CREATE], timedelta(days=1))
        self.token, self.public_id = made.text, made.token.public_id

    def revoke(self) -> None:
        tokens.revoke(self.use, self.admin, self.public_id)


def test_nothing_is_issued_for_a_request_begun_after_a_revoke(cluster: Cluster) -> None:
    """F7: through nginx over two machines, whichever of them revokes and whichever answers."""
    ledger, ending = Ledger(), threading.Event()
    with RacingToken(cluster, ledger) as stop:
        threads = [load_clients.start(ledger, asker, ending) for asker in stop.askers()]
        try:
            for _ in range(ROUNDS):
                before = len(ledger.downloads)
                deadline = time.monotonic() + WAIT_SECONDS
                while len(ledger.downloads) == before:
                    assert time.monotonic() < deadline
                    time.sleep(0.005)
                stop.stop(threading.Event(), 0)
        finally:
            ending.set()
            for thread in threads:
                thread.join(WAIT_SECONDS)
    proven = checks.settle(cluster, ledger, 50)
    print(f"{stop.name}: {stop.revoked} revokes, {len(ledger.downloads)} issued, {stop.refused} requests refused that "
          f"began afterwards, {proven} receipts proven")  # fmt: skip
    assert ledger.faults == []
    assert stop.revoked == ROUNDS
    assert stop.refused >= ROUNDS
