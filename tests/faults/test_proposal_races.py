"""Races of proposals: it is carried out once or not at all, whoever approves, closes it or loses a role meanwhile."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from server.domain.accounts import granting
from server.domain.identity import organizations, people, proposals
from server.domain.operation import carrying_out
from server.domain.permissions import Role
from server.domain.resources import Resources
from tests.faults.rounds import WHOLE, in_rounds
from tests.faults.test_hold_races import at_once
from tests.faults.test_hold_races import second_process as second_process
from tests.world import World

LAB, AURORA = "example-lab", "aurora-institute"
CLEO, DAN = "cleo@example-lab.example", "dan@example-lab.example"  # who proposes, and who approves


def _nothing(_: World) -> None: ...


@dataclass(frozen=True)
class Rival:
    """What happens while Dan approves what Cleo proposed. before, after: what it needs, and what it leaves."""

    act: Callable[[World, Resources, int], object]
    outcomes: set[str]
    before: Callable[[World], object] = _nothing
    after: Callable[[World], object] = _nothing


def losing_role(email: str) -> Rival:
    """Two others give them another role; afterwards the old one again."""

    def restore(world: World) -> None:
        if world.person_of(email).role != Role.ADMIN:
            world.give_role(email, Role.ADMIN)

    return Rival(
        lambda world, use, _: granting.approve(use, world.admin2, email), {"approved", "proposed"},
        lambda world: granting.propose(world.use, world.admin, email, Role.AUDITOR), restore,
    )  # fmt: skip


def being_disabled(email: str) -> Rival:
    """By one admin, who enables them afterwards."""
    return Rival(
        lambda world, use, _: people.disable(use, world.admin, email), {"approved", "proposed"},
        after=lambda world: people.enable(world.use, world.admin, email),
    )  # fmt: skip


RIVALS = {
    "another approval": Rival(lambda world, use, number: carrying_out.approve(use, world.admin2, number), {"approved"}),
    "a rejection": Rival(
        lambda world, use, number: carrying_out.reject(use, world.admin2, number), {"approved", "rejected"}
    ),
    "a withdrawal": Rival(
        lambda world, use, number: carrying_out.reject(use, world.person_of(CLEO), number), {"approved", "withdrawn"}
    ),
    "its proposer loses the role": losing_role(CLEO),
    "its proposer is disabled": being_disabled(CLEO),
    "its approver loses the role": losing_role(DAN),
    "its approver is disabled": being_disabled(DAN),
}


def proposed(world: World) -> int:
    """A quota that is to be lifted whole."""
    assert carrying_out.set_quota(world.use, world.admin, AURORA, bytes_per_day=1, requests_per_minute=None) is None
    waits = carrying_out.set_quota(
        world.use, world.person_of(CLEO), AURORA, bytes_per_day=None, requests_per_minute=None
    )
    assert waits is not None
    return waits.id


def outcome(world: World, number: int) -> str:
    """The state of the proposal, which the quota has followed."""
    with world.use.database.reading() as session:
        state = proposals.get(session, world.admin, number).state
        quota = organizations.quota_of(session, organizations.get(session, AURORA)).bytes_per_day
    assert (quota is None) == (state == "approved")
    return state


@in_rounds
@pytest.mark.parametrize("name", RIVALS)
def test_a_proposal_and_its_rival_have_one_order(
    world: World, second_process: Resources, name: str, rounds: int
) -> None:
    """Carried out once, or not at all; the audit finds each approval to be by whoever could give it then."""
    for email in (CLEO, DAN):
        world.add_person(LAB, email, Role.ADMIN)
    rival, seen = RIVALS[name], Counter[str]()
    for turn in range(rounds):
        number, approver = proposed(world), world.person_of(DAN)
        rival.before(world)
        acts = (
            lambda: carrying_out.approve(world.use, approver, number),  # noqa: B023  # they end within the round
            lambda: rival.act(world, second_process, number),  # noqa: B023
        )
        done = at_once(*(acts if turn % 2 else reversed(acts)))
        state = outcome(world, number)
        seen[state] += 1
        if rival.outcomes != {"approved", "proposed"}:
            assert sorted(done) == [False, True]
        if state == "proposed":
            carrying_out.reject(world.use, world.admin2, number)
        rival.after(world)
        world.keep_sealed()
    print(f"{world.kind}, {name}: {rounds} rounds, {dict(seen)}")
    assert set(seen) == rival.outcomes or (set(seen) < rival.outcomes and rounds < WHOLE), seen
    carried_out = Counter(one["proposal"] for one in world.records("organization.quota") if "proposal" in one)
    assert set(carried_out.values()) <= {1}
    assert len(carried_out) == seen["approved"]
    world.check()
