"""Races: whoever stops something wins from that moment on, whoever else is issuing at the same time."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import func, select, text, update

from server.cli.worked_example import PARTNERS
from server.domain.access import clearances, signatures
from server.domain.accounts import granting
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.errors import Refused
from server.domain.identity import authentication, tokens
from server.domain.identity.tokens import Token
from server.domain.permissions import Role, Scope
from server.domain.release import holds
from server.domain.release.holds import EVERYTHING
from server.domain.resources import Resources
from server.log.entries import LogEntry
from tests.faults.rounds import in_rounds
from tests.world import STRANGER, WatchedResources, World

ISSUERS = 4
WAIT_SECONDS = 20
PARTNER = PARTNERS["cleared"]
ORDER = Order("gpt-2/774M", paths=["hparams.json"])
CLEARANCE_OF_PARTNER, SIGNATURE_OF_PARTNER = 1, 1  # as the worked example has made them


class Stoppable:
    """Something that lets downloads be issued. It begins stopped: each round lets, and then stops."""

    lets: str  # kinds of log entries
    stops: str
    order = ORDER

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = world.example.tokens["cleared"]
        self.stop_first()

    def stop_first(self) -> None: ...
    def let(self) -> None: ...
    def stop(self) -> None: ...

    def turned_by(self, entry: LogEntry) -> bool | None:
        """Whether this entry let or stopped it; None: neither."""
        return {self.lets: True, self.stops: False}.get(entry.kind)


class Clearance(Stoppable):
    """Approved, then revoked; a new one each round."""

    lets, stops = "clearance.approve", "clearance.revoke"
    number = CLEARANCE_OF_PARTNER

    def stop_first(self) -> None:
        self.stop()

    def let(self) -> None:
        use, ends = self.world.use, self.world.clock() + timedelta(days=30)
        proposed = clearances.propose(
            use, self.world.admin, PARTNER, "gpt-2", "research", expires_at=ends, purpose="A race."
        )
        self.number = clearances.approve(use, self.world.admin2, proposed.id).id

    def stop(self) -> None:
        clearances.revoke(self.world.use, self.world.admin, self.number)


class Signature(Stoppable):
    """Recorded, then ended; a new one each round."""

    lets, stops = "signature.record", "signature.end"
    number = SIGNATURE_OF_PARTNER

    def stop_first(self) -> None:
        self.stop()

    def let(self) -> None:
        self.number = signatures.record(
            self.world.use, self.world.admin, PARTNER, "model-sharing", signer_name="Sol Signer",
            signer_title="Head of Research", signed_on=self.world.clock().date(), document_sha256="ab" * 32,
        ).id  # fmt: skip

    def stop(self) -> None:
        signatures.end(self.world.use, self.world.admin, self.number)


class Standing(Stoppable):
    """The organization, resumed, then suspended."""

    lets, stops = "hold.lift", "hold.place"

    def stop_first(self) -> None:
        self.stop()

    def let(self) -> None:
        self.world.lift(f"organization:{PARTNER}")

    def stop(self) -> None:
        holds.place(self.world.use, self.world.admin, f"organization:{PARTNER}", "A race.")


class Hold(Stoppable):
    """A hold, lifted, then laid."""

    lets, stops = "hold.lift", "hold.place"
    on = EVERYTHING

    def stop_first(self) -> None:
        self.stop()

    def let(self) -> None:
        self.world.lift(self.on)

    def stop(self) -> None:
        holds.place(self.world.use, self.world.admin, self.on, "A race.")


class StageHold(Hold):
    on = ORDER.stage


class OneToken(Stoppable):
    """Made, then revoked; a new one each round."""

    lets, stops = "token.create", "token.revoke"

    def stop_first(self) -> None:
        self.stop()

    def let(self) -> None:
        owner = self.world.person("cleared")
        made = tokens.create(self.world.use, owner, "a race", [Scope.DOWNLOADS_CREATE], timedelta(days=1))
        self.token = made.text

    def stop(self) -> None:
        public_id = tokens.public_id_of(self.token)
        assert public_id is not None
        tokens.revoke(self.world.use, self.world.admin, public_id)


class RoleOfStaff(Stoppable):
    """A publisher's, who is made an auditor: auditors download nothing."""

    lets = stops = "role.grant"
    order = Order("gpt-2/124M", paths=["hparams.json"])  # the lab has no clearance for anything that is not public

    def stop_first(self) -> None:
        publisher = self.world.person("publisher")
        made = tokens.create(self.world.use, publisher, "a race", [Scope.DOWNLOADS_CREATE], timedelta(days=1))
        self.token, self.publisher = made.text, str(publisher.person)
        self._propose(Role.AUDITOR)
        self.stop()

    def let(self) -> None:
        self._propose(Role.PUBLISHER)
        granting.approve(self.world.use, self.world.admin2, self.publisher)
        self._propose(Role.AUDITOR)

    def stop(self) -> None:
        granting.approve(self.world.use, self.world.admin2, self.publisher)

    def _propose(self, role: Role) -> None:
        granting.propose(self.world.use, self.world.admin, self.publisher, role)

    def turned_by(self, entry: LogEntry) -> bool | None:
        if entry.kind != self.lets or (record := orjson.loads(entry.record))["person"] != self.publisher:
            return None
        return bool(record["role"] == Role.PUBLISHER)


class Scopes(Stoppable):
    """A token's, which nothing here changes: as whoever owns the database would, and the log does not learn of it."""

    lets = stops = ""

    def stop_first(self) -> None:
        owner = self.world.person("cleared")
        made = tokens.create(self.world.use, owner, "a race", [Scope.DOWNLOADS_CREATE], timedelta(days=1))
        self.token, self.id = made.text, made.token.id
        self.turned: dict[int, bool] = {}  # from after which entry on
        self.stop()

    def let(self) -> None:
        self._set(Scope.DOWNLOADS_CREATE)

    def stop(self) -> None:
        self._set(Scope.STAGES_READ)

    def _set(self, scope: Scope) -> None:
        with self.world.use.database.transaction() as session:
            session.execute(update(Token).where(Token.id == self.id).values(scopes=str(scope)))
            if self.world.kind == "postgresql":
                session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # who relies on the token has committed
            newest = session.scalars(select(func.max(LogEntry.id))).one()
            self.turned[newest] = scope == Scope.DOWNLOADS_CREATE

    def turned_by(self, entry: LogEntry) -> bool | None:
        return self.turned.get(entry.id)


KINDS: dict[str, type[Stoppable]] = {
    "clearance": Clearance, "signature": Signature, "standing": Standing, "hold": Hold,
    "hold on the stage": StageHold, "token": OneToken, "role": RoleOfStaff, "scopes": Scopes,
}  # fmt: skip


@dataclass
class Issuers:
    """Threads that issue without a pause, through one process's resources and through another's."""

    stoppable: Stoppable
    processes: list[Resources]
    issued: list[tuple[float, float]] = field(default_factory=list)  # when each request began and ended
    refused: int = 0
    going: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)
    failures: list[BaseException] = field(default_factory=list)

    def run(self, number: int) -> None:
        use = self.processes[number % len(self.processes)]
        try:
            while not self.ending.is_set():
                self.going.wait()
                self._issue(use)
        except BaseException as error:
            self.failures.append(error)
            raise

    def wait_for(self, what: Callable[[], int], more: int) -> None:
        """Wait until a count has grown by so many."""
        with self.changed:
            goal = what() + more
            assert self.changed.wait_for(lambda: what() >= goal or self.failures, WAIT_SECONDS)
        assert not self.failures

    def _issue(self, use: Resources) -> None:
        began = time.monotonic()
        try:
            caller, refused = authentication.identify(use, self.stoppable.token, STRANGER)
            if refused is None:
                issuing.issue(use, caller, self.stoppable.order)
        except Refused as error:
            refused = error
        with self.changed:
            if refused is None:
                self.issued.append((began, time.monotonic()))
            else:
                self.refused += 1
            self.changed.notify_all()


@pytest.fixture
def second_process(world: World) -> Iterator[Resources]:
    """Resources as another process on the same database would have them: nothing shared in memory."""
    use = WatchedResources(world.settings, world.clock)
    yield use
    world.use.watched.urls += use.watched.urls
    use.close()


def race(world: World, second: Resources, stoppable: Stoppable, rounds: int) -> Issuers:
    """Let and stop again and again while others issue. Asserts what no interleaving may break."""
    issuers = Issuers(stoppable, [world.use, second])
    threads = [threading.Thread(target=issuers.run, args=(number,)) for number in range(ISSUERS)]
    chance = random.Random(7)  # noqa: S311  # no secret
    stopped_at = time.monotonic()
    closed: list[tuple[float, float]] = []  # from when a stop had returned until it was let again
    for thread in threads:
        thread.start()
    try:
        for _ in range(rounds):
            closed.append((stopped_at, time.monotonic()))
            stoppable.let()
            issuers.going.set()
            issuers.wait_for(lambda: len(issuers.issued), chance.randrange(1, ISSUERS + 1))
            stoppable.stop()
            stopped_at = time.monotonic()
            issuers.wait_for(lambda: issuers.refused, ISSUERS)  # some of them have begun after the stop
            issuers.going.clear()  # letting is no race: it only has to be quick
            stoppable.world.keep_sealed()
        closed.append((stopped_at, time.monotonic()))
    finally:
        issuers.ending.set()
        issuers.going.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
    require_none_issued_while_closed(issuers.issued, closed)
    return issuers


def require_none_issued_while_closed(issued: list[tuple[float, float]], closed: list[tuple[float, float]]) -> None:
    """No URL for a request that began after a stop had returned and ended before it was let again."""
    for since, until in closed:
        assert not [one for one in issued if one[0] >= since and one[1] <= until]


def require_log_in_order(world: World, stoppable: Stoppable) -> None:
    """In the log's own order, no download stands between a stop and the next time it was let."""
    open_ = True
    for entry in world.entries():
        assert open_ or entry.kind != "download", f"a download (row {entry.id}) after a stop"
        turned = stoppable.turned_by(entry)
        open_ = open_ if turned is None else turned


def run_race(world: World, second: Resources, what: str, rounds: int) -> None:
    began = time.monotonic()
    stoppable = KINDS[what](world)
    issuers = race(world, second, stoppable, rounds)
    require_log_in_order(world, stoppable)
    stops = [entry for entry in world.entries() if stoppable.turned_by(entry) is False]
    assert len(stops) == rounds + 1 or not stoppable.stops
    print(f"{world.kind} {what}: {rounds} rounds, {len(issuers.issued)} issued, {issuers.refused} refused, "
          f"{time.monotonic() - began:.1f} s")  # fmt: skip


@in_rounds
@pytest.mark.parametrize("what", KINDS)
def test_nothing_is_issued_after_a_stop(world: World, second_process: Resources, what: str, rounds: int) -> None:
    """Two processes issue while something is stopped: no entry after the stop's, no URL once the stop returned."""
    run_race(world, second_process, what, rounds)
