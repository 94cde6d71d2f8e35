"""Exposure: what is computed from the log is what the access rule answered, at every moment of a lively history."""

import itertools
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from server.domain.access import clearances, signatures
from server.domain.access.facts import find_stage, gather
from server.domain.access.rule import refusal
from server.domain.audit import exposure
from server.domain.audit.exposure import Exposure, Span
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, NotFound, NotPossible, Refused
from server.domain.identity import people
from server.domain.permissions import POLICY, Permission, Role
from server.domain.release import agreements, holds
from server.domain.release.stages import StageState
from tests.world import DATABASES, STRANGER, World, copied_world

STAGES = ("gpt-2/774M", "mini-gpt/base", "mini-gpt/large")
PARTNERS = ("aurora-institute", "birch-university", "cedar-systems")
PEOPLE = ("admin", "admin2", "auditor", "publisher", "cleared", "unsigned", "uncleared")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ACTS = (
    "suspend", "hold", "hold", "disable", "disable", "change_role", "revoke", "replace_agreement", "end_signature",
    "clear_later", "take",
)  # fmt: skip
# Each is a world with dozens of acts, so few are looked at; the same ones each time.
FEW = settings(
    max_examples=4, stateful_step_count=14, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def asked(world: World, stage: str, since: datetime, until: datetime) -> Exposure:
    use = world.use
    with use.database.reading() as session:
        return exposure.exposure(session, world.person("auditor"), use.settings.second_person_tier, stage, since, until)


def decided(world: World, caller: Caller, stage: str, at: datetime) -> bool:
    """What the access rule says, asked directly."""
    if caller.role is not None and caller.role not in POLICY[Permission.DOWNLOAD_CREATE].roles:
        return False
    with world.use.database.reading() as session:
        row = find_stage(session, stage)
        return refusal(gather(session, caller, row), at) is None


def covers(spans: list[Span], at: datetime) -> bool:
    return any(span.since <= at < span.until for span in spans)


@dataclass
class Sample:
    """What was decided at one moment: by person, and for whoever is nobody."""

    at: datetime
    stage: str
    anyone: bool
    could: dict[str, bool]


class History:
    """Acts on one world, each taken back a little later, with what was decided after each. Chance gives the order."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world, self.chance = world, chance
        self.callers = {name: world.person(name) for name in PEOPLE}
        self.samples: list[Sample] = []
        self.waiting: list[Callable[[], object]] = []  # what takes back what was done
        self.done = 0
        for partner in (*PARTNERS, "example-lab"):
            self._clear(partner, "gpt-2", 200)
            self._clear(partner, "mini-gpt", 200)
            self._sign(partner)

    def act(self, what: Callable[[], Callable[[], object]]) -> None:
        """Something happens, time goes by, everybody asks; of what happened before, at most two things are left."""
        with suppress(NotPossible):  # it is so already
            self.waiting.append(what())
        self.sample()
        while len(self.waiting) > self.chance.randint(0, 2):
            with suppress(NotPossible):  # something else has taken it back, or made that pointless
                self.waiting.pop(0)()
            self.sample()

    def sample(self) -> None:
        self.world.clock.advance(self.chance.choice([timedelta(seconds=2), 7 * MINUTE, HOUR]))
        at = self.world.use.clock()
        for stage in STAGES:
            could = {str(one.person): decided(self.world, one, stage, at) for one in self.callers.values()}
            self.samples.append(Sample(at, stage, decided(self.world, STRANGER, stage, at), could))
        self.world.clock.advance(timedelta(seconds=2))

    def suspend(self) -> Callable[[], object]:
        partner = self.chance.choice(PARTNERS)
        holds.place(self.world.use, self.world.admin, f"organization:{partner}", "A question.")
        return lambda: self.world.lift(f"organization:{partner}")

    def hold(self) -> Callable[[], object]:
        on = self.chance.choice(["everything", "gpt-2", "mini-gpt", *STAGES])
        holds.place(self.world.use, self.world.admin, on, "A question.")
        return lambda: self.world.lift(on)

    def disable(self) -> Callable[[], object]:
        email = self.chance.choice([name for name in self.callers if "@" in name])
        people.disable(self.world.use, self.world.admin, email)
        return lambda: people.enable(self.world.use, self.world.admin, email)

    def change_role(self) -> Callable[[], object]:
        """An auditor downloads nothing."""
        self._change_role(Role.AUDITOR)
        return lambda: self._change_role(Role.PUBLISHER)

    def revoke(self) -> Callable[[], object]:
        """Of one partner all that it has on a model."""
        partner, model = self.chance.choice(PARTNERS), self.chance.choice(["gpt-2", "mini-gpt"])
        gone = {record["clearance"] for record in self.world.records("clearance.revoke")}
        for record in self.world.records("clearance.propose"):
            if (record["organization"], record["model"]) == (partner, model) and record["clearance"] not in gone:
                clearances.revoke(self.world.use, self.world.admin, record["clearance"])
        return lambda: self._clear(partner, model, self.chance.choice([1, 30, 300]))

    def replace_agreement(self) -> Callable[[], object]:
        self.done += 1
        text, days = f"# Sharing\n{self.done} terms.\n", self.chance.choice([0, 1, 2])  # to sign again
        agreements.publish(self.world.use, self.world.admin, "model-sharing", text, resign_within_days=days)
        return lambda: self._sign(*PARTNERS, "example-lab")

    def end_signature(self) -> Callable[[], object]:
        number = max(record["signature"] for record in self.world.records("signature.record"))
        (partner,) = {r["organization"] for r in self.world.records("signature.record") if r["signature"] == number}
        signatures.end(self.world.use, self.world.admin, number)
        return lambda: self._sign(partner)

    def clear_later(self) -> Callable[[], object]:
        """A clearance that is only proposed, and begins and ends by itself once it is approved."""
        number = self._propose("birch-university", "gpt-2", self.chance.randint(1, 3), HOUR)
        return lambda: clearances.approve(self.world.use, self.world.admin2, number)

    def take(self) -> Callable[[], object]:
        stage = self.chance.choice(STAGES)
        with suppress(Refused):
            issuing.issue(self.world.use, self.world.caller("cleared"), self.world.order(stage))
        return lambda: None

    def join(self) -> None:
        """Two more people, in two organizations: there is somebody to disable."""
        for partner in PARTNERS[:2]:
            email = f"member@{partner}.example"
            people.add(
                self.world.use, self.world.admin, partner, email, "M. Ember", Role.MEMBER, "a long enough password"
            )
            self.world.example.people[email] = {"email": email}
            self.callers[email] = self.world.person(email)

    def _change_role(self, role: Role) -> None:
        self.world.give_role(str(self.callers["publisher"].person), role)
        self.callers["publisher"] = self.world.person("publisher")

    def _clear(self, partner: str, model: str, hours: int) -> None:
        clearances.approve(self.world.use, self.world.admin2, self._propose(partner, model, hours, None))

    def _propose(self, partner: str, model: str, hours: int, after: timedelta | None) -> int:
        self.done += 1
        at = self.world.use.clock()
        return clearances.propose(
            self.world.use, self.world.admin, partner, model, "partner", expires_at=at + (after or HOUR) + hours * HOUR,
            starts_at=at + after if after else None, purpose=f"Study {self.done}.",
        ).id  # fmt: skip

    def _sign(self, *partners: str) -> None:
        for partner in partners:
            with suppress(NotPossible):
                signatures.record(
                    self.world.use, self.world.admin, partner, "model-sharing", signer_name="S. Officer",
                    signer_title="Dean", signed_on=date(2019, 8, 20), document_sha256="ab" * 32,
                    before_publication=True,
                )  # fmt: skip


def require_same(found: Exposure, samples: list[Sample]) -> None:
    spans = {person.email: person.spans for one in found.organizations for person in one.people.values()}
    for sample in samples:
        assert covers(found.anyone, sample.at) == sample.anyone, sample
        if not sample.anyone:  # else nobody needs to be anybody
            could = {email: covers(spans.get(email, []), sample.at) for email in sample.could}
            assert could == sample.could, sample


def require_told(history: History, start: datetime) -> None:
    """The log alone says what was decided at each moment; also when it is asked about parts of that time."""
    end = history.world.use.clock()
    for stage in STAGES:
        samples = [sample for sample in history.samples if sample.stage == stage]
        require_same(asked(history.world, stage, start, end), samples)
        third = (end - start) / 3
        for since, until in ((start, start + third), (start + third, start + 2 * third), (start + third, end)):
            found = asked(history.world, stage, since, until)
            require_same(found, [sample for sample in samples if since <= sample.at < until])
            told = [span for one in found.organizations for span in one.authorities] + found.anyone
            assert all(since <= span.since < span.until <= until for span in told)


def test_it_says_what_the_access_rule_answered(sqlite_world: World) -> None:
    """At each of many moments of a lively history, for everybody and for nobody; every act is in it."""
    world = sqlite_world
    history, start = History(world, random.Random(1)), world.use.clock()  # noqa: S311  # the same history each time
    history.sample()
    history.join()
    acts = [*ACTS]
    history.chance.shuffle(acts)
    for number, what in enumerate(acts):
        history.act(getattr(history, what))
        if number == 5:
            world.move("mini-gpt/base", StageState.PUBLIC, "No harm was seen.")
        if number == 8:
            world.move("mini-gpt/base", StageState.WITHDRAWN, "Harm was seen.")
    assert sum(sum(sample.could.values()) for sample in history.samples) > 100
    require_told(history, start)


class Histories(RuleBasedStateMachine):
    """Any acts in any order, on a world of its own: what tables and rule said, the log alone says at the end."""

    def __init__(self, world: AbstractContextManager[World]) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.world = self.closing.enter_context(world)
        self.history = History(self.world, random.Random(0))  # noqa: S311  # replaced by each act
        self.start = self.world.use.clock()
        self.history.join()
        self.history.sample()

    @rule(what=st.sampled_from(ACTS), chance=st.randoms(use_true_random=False))
    def act(self, what: str, chance: random.Random) -> None:
        self.history.chance = chance
        self.history.act(getattr(self.history, what))

    @rule(stage=st.sampled_from(STAGES), to=st.sampled_from(StageState), chance=st.randoms(use_true_random=False))
    def move(self, stage: str, to: StageState, chance: random.Random) -> None:
        self.history.chance = chance
        with suppress(NotPossible):  # there is no such move, or a hold forbids it
            self.world.move(stage, to)
        self.history.sample()

    @rule(hours=st.sampled_from([5, 26, 50]), chance=st.randoms(use_true_random=False))
    def time_goes_by(self, hours: int, chance: random.Random) -> None:
        self.history.chance = chance
        self.world.clock.advance(hours * HOUR)
        self.history.sample()

    def teardown(self) -> None:
        with self.closing:
            require_told(self.history, self.start)


@pytest.mark.parametrize("kind", DATABASES)
def test_the_log_alone_says_what_tables_and_rule_said(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """Whatever happened, in whichever order, on both databases: at each moment that was looked at, for everybody."""
    numbers = itertools.count()

    def fresh() -> Histories:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Histories(contextmanager(copied_world)(request, folder, kind))

    run_state_machine_as_test(fresh, settings=FEW)  # type: ignore[arg-type]  # whatever makes one


def test_going_back_to_partners_ends_what_anybody_could(sqlite_world: World) -> None:
    """From that entry on, only those who are cleared and have signed could; until then anybody."""
    world = sqlite_world
    start = world.use.clock()
    world.clock.advance(HOUR)
    world.move("gpt-2/124M", StageState.PARTNERS, "It is misused.")
    edge = datetime.fromtimestamp(world.records("decision.execute")[-1]["time"] / 1000, start.tzinfo)
    world.clock.advance(HOUR)
    found = asked(world, "gpt-2/124M", start, world.use.clock())
    assert [(span.since, span.until) for span in found.anyone] == [(start, edge)]
    assert [(one.slug, one.authorities[0].since) for one in found.organizations] == [("aurora-institute", edge)]


def test_an_edge_is_where_it_was(sqlite_world: World) -> None:
    """Revoked in the window: until that very entry. One that begins there finds nobody, one that ends there does."""
    world = sqlite_world
    start = world.use.clock()
    world.clock.advance(HOUR)
    clearances.revoke(world.use, world.admin, 1)
    record = world.records("clearance.revoke")[-1]
    edge = datetime.fromtimestamp(record["time"] / 1000, start.tzinfo)
    world.clock.advance(HOUR)
    (aurora,) = asked(world, "gpt-2/774M", start, world.use.clock()).organizations
    assert [(one.clearance, one.since, one.until) for one in aurora.authorities] == [(1, start, edge)]
    assert asked(world, "gpt-2/774M", edge, world.use.clock()).organizations == []
    assert len(asked(world, "gpt-2/774M", start, edge).organizations) == 1


def test_an_old_signature_is_an_authority_until_its_time_ends(sqlite_world: World) -> None:
    """Of the version before, and no longer: whoever has not signed the new one then could not any more."""
    world, start = sqlite_world, sqlite_world.use.clock()
    made = agreements.publish(world.use, world.admin, "model-sharing", "# New\n\nx\n", resign_within_days=2)
    (aurora,) = asked(world, "gpt-2/774M", start, start + timedelta(days=9)).organizations
    assert [(one.signature, one.until) for one in aurora.authorities] == [(1, made.resign_until)]
    assert aurora.authorities[0].agreement_sha256 != made.sha256


def test_who_did_is_added_up(world: World) -> None:
    """By person, with what was issued, in the window alone; on both databases."""
    start = world.use.clock()
    made = [issuing.issue(world.use, world.caller("cleared"), world.order()) for _ in range(3)]
    world.clock.advance(HOUR)
    later = world.use.clock()
    issuing.issue(world.use, world.caller("cleared"), world.order())
    (taken,) = asked(world, "gpt-2/774M", start, later).taken
    size_bytes = sum(file.size_bytes for file in made[0].files)
    assert (taken.organization, taken.downloads, taken.issued_bytes) == ("aurora-institute", 3, 3 * size_bytes)
    assert taken.person == world.example.people["cleared"]["email"]
    assert asked(world, "mini-gpt/base", start, later).taken == []


def test_what_cannot_be_asked_is_refused(sqlite_world: World) -> None:
    """A window of nothing or of years, and a stage that there is not."""
    world, at = sqlite_world, sqlite_world.use.clock()
    for since, until in ((at, at), (at, at - HOUR), (at, at + timedelta(days=367))):
        with pytest.raises(InvalidRequest):
            asked(world, "gpt-2/774M", since, until)
    with pytest.raises(NotFound):
        asked(world, "gpt-2/1B", at, at + HOUR)


def test_an_alias_is_the_stage(sqlite_world: World) -> None:
    """Asked about by its former name, it is the same stage."""
    at = sqlite_world.use.clock()
    assert asked(sqlite_world, "gpt-2/762M", at, at + HOUR).stage == "gpt-2/774M"
