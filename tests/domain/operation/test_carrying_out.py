"""Carrying out: what one admin may do alone up to a bound, and beyond it only where another lets it happen."""

import pytest

from server.domain.audit import verifying
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound, NotPermitted, NotPossible
from server.domain.identity import organizations, people
from server.domain.identity.proposals import Proposal
from server.domain.operation import carrying_out
from tests import tampering
from tests.world import World, cases

AURORA, BOUND = "aurora-institute", 10**6


@pytest.fixture
def world(world: World) -> World:
    """One admin alone may raise a quota up to a million bytes; the partner has half of that."""
    world.use.settings = world.settings.model_copy(update={"quota_alone_bytes_per_day": BOUND})
    assert ask(world, BOUND // 2) is None
    return world


def ask(world: World, limit: int | None, by: Caller | None = None) -> Proposal | None:
    return carrying_out.set_quota(
        world.use, by or world.admin, AURORA, bytes_per_day=limit, requests_per_minute=None
    )  # fmt: skip


def proposed(world: World, limit: int | None = None) -> int:
    waits = ask(world, limit)
    assert waits is not None
    return waits.id


def quota(world: World) -> int | None:
    with world.use.database.reading() as session:
        return organizations.quota_of(session, organizations.get(session, AURORA)).bytes_per_day


def found(world: World) -> list[tuple[str, str]]:
    world.seal()
    told = verifying.verify(world.use, tables=True)
    return [(fault.row, fault.sentence) for result in told for fault in result.faults]


@cases("limit", [BOUND, 1, BOUND // 2])
def test_up_to_the_bound_and_downwards_one_admin_is_enough(world: World, limit: int) -> None:
    """Taking away is always one person's act."""
    assert ask(world, limit) is None
    assert quota(world) == limit


@pytest.mark.parametrize("limit", [BOUND + 1, None])
def test_beyond_it_nothing_changes_until_another_approves(world: World, limit: int | None) -> None:
    """No limit is beyond any bound; the quota's own entry names the proposal."""
    number = proposed(world, limit)
    assert quota(world) == BOUND // 2
    with pytest.raises(NotPossible, match="another admin must approve"):
        carrying_out.approve(world.use, world.admin, number)
    with pytest.raises(NotPossible, match="still waiting"):
        ask(world, limit)
    carrying_out.approve(world.use, world.admin2, number)
    assert quota(world) == limit
    assert world.records("organization.quota")[-1]["proposal"] == number
    with pytest.raises(NotPossible, match="already approved"):
        carrying_out.approve(world.use, world.admin2, number)
    assert found(world) == []


def test_what_is_rejected_or_withdrawn_changes_nothing(world: World) -> None:
    """Anybody of the admins may; nobody else may decide."""
    for by, state in ((world.admin2, "rejected"), (world.admin, "withdrawn")):
        assert carrying_out.reject(world.use, by, proposed(world)).state == state
    number = proposed(world)
    for name in ("publisher", "auditor"):
        with pytest.raises(NotPermitted):
            carrying_out.approve(world.use, world.person(name), number)
    with pytest.raises(NotFound):
        carrying_out.approve(world.use, world.admin2, 99)
    assert quota(world) == BOUND // 2
    assert found(world) == []


def test_whoever_has_set_another_s_password_has_no_second_person_in_them(world: World) -> None:
    """As with everything that takes two."""
    number = proposed(world)
    people.reset_password(world.use, world.admin, str(world.admin2.person))
    with pytest.raises(NotPossible, match="could act in that name"):
        carrying_out.approve(world.use, world.admin2, number)


def planted(world: World, **more: object) -> str:
    """An entry that raises the quota past the rule, and the row that it says."""
    limits = {"bytes_per_day": None, "requests_per_minute": None, "alone_up_to": BOUND}
    who = {"actor": {"via": "session", "organization": world.admin.organization, "person": world.admin.person}}
    number = world.plant(EntryKind.ORGANIZATION_QUOTA, {"organization": AURORA, **limits, **who, **more}, AURORA)
    tampering.run(
        world.settings.database_url,
        "UPDATE quotas SET bytes_per_day = NULL WHERE organization_id = 2",
    )
    world.seal()
    return world.name_of(number)


ALONE = "it takes two people, and names no proposal that a second one approved"


def test_a_quota_that_one_person_raised_is_named(world: World) -> None:
    """Without a proposal, and with one that nobody approved."""
    first = planted(world)
    assert found(world) == [(first, ALONE)]


def test_a_quota_that_nobody_approved_is_named(world: World) -> None:
    """A proposal alone allows nothing."""
    number = planted(world, proposal=proposed(world))
    assert found(world) == [(number, ALONE)]


def test_a_quota_other_than_was_approved_is_named(world: World) -> None:
    """And an approved proposal allows one act."""
    number = proposed(world, BOUND * 2)
    carrying_out.approve(world.use, world.admin2, number)
    assert ask(world, 1) is None
    again = planted(world, proposal=number)
    assert found(world) == [(again, ALONE)]


def test_a_proposal_approved_by_its_proposer_is_named(world: World) -> None:
    """By an entry past the rules."""
    number = proposed(world)
    record = {
        name: value for name, value in world.records("proposal.create")[-1].items() if name not in {"kind", "time"}
    }
    planted_entry = world.plant(EntryKind.PROPOSAL_APPROVE, record)
    said = [sentence for row, sentence in found(world) if row == world.name_of(planted_entry)]
    assert said == ["it was proposed and approved by the same person"]
    assert (f"proposals {number}", "its approver differs from the log") in found(world)
