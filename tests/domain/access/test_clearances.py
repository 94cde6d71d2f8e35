"""Clearances: proposed by one, approved by another, for a time, and revoked at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from server.domain.access import clearances
from server.domain.access.clearances import Clearance
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, Refused
from server.domain.mail.mails import Mail
from server.domain.paging import Slice
from server.domain.permissions import Role
from server.domain.release import tiers
from tests.world import World, cases

DAY = timedelta(days=1)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
LATER = datetime(2090, 1, 1, tzinfo=UTC)


def propose(world: World, tier: str = "research", by: str = "admin", **more: Any) -> Clearance:
    known: dict[str, Any] = {
        "organization": "cedar-systems", "model": "gpt-2", "expires_at": world.clock() + DAY, "purpose": "Study.",
    }  # fmt: skip
    return clearances.propose(world.use, world.person(by), tier=tier, **(known | more))


@pytest.mark.parametrize(
    ("settings_tier", "alone"),
    [
        ("research", {"registered"}),
        ("partner", {"registered", "research"}),
        ("registered", set()),
        ("nobody-defined-it", set()),
    ],
)
def test_a_tier_at_or_above_the_one_in_the_settings_takes_two_people(
    sqlite_world: World, settings_tier: str, alone: set[str]
) -> None:
    """Below it one admin is enough; when the settings name a tier that is not there, two always are needed."""
    world = sqlite_world
    world.settings = world.use.settings = world.settings.model_copy(update={"second_person_tier": settings_tier})
    approved = {tier for tier in ("registered", "research", "partner") if propose(world, tier).approved_at is not None}
    assert approved == alone


def test_proposing_and_approving_are_two_entries_by_two_people(world: World) -> None:
    """The log shows both, with all that was agreed."""
    made = propose(world, purpose="  Study of misuse. ")
    assert made.state_at(world.clock()) == "proposed"
    approved = clearances.approve(world.use, world.admin2, made.id)
    assert (approved.proposed_by, approved.approved_by) == (world.admin.person_id, world.admin2.person_id)
    first, second = world.records("clearance.propose")[-1], world.records("clearance.approve")[-1]
    assert [first["actor"]["person"], second["actor"]["person"]] == [world.admin.person, world.admin2.person]
    agreed = {
        "clearance": made.id, "organization": "cedar-systems", "model": "gpt-2", "tier": "research",
        "purpose": "Study of misuse.", "starts_at": int(made.starts_at.timestamp() * 1000),
        "expires_at": int(made.expires_at.timestamp() * 1000),
    }  # fmt: skip
    assert first | agreed == first
    assert second | agreed == second


def test_whoever_proposed_it_cannot_approve_it(world: World) -> None:
    """Not even by asking twice, and not while anything of it changes."""
    made = propose(world)
    for _ in range(2):
        with pytest.raises(NotPossible):
            clearances.approve(world.use, world.admin, made.id)
    assert world.entries("clearance.approve")[-1].subject != str(made.id)
    clearances.approve(world.use, world.admin2, made.id)


def test_a_low_tier_s_clearance_is_approved_by_its_proposer_at_once(world: World) -> None:
    """Where one person is enough the log still says who approved."""
    made = propose(world, "registered")
    assert made.approved_by == made.proposed_by == world.admin.person_id
    assert world.records("clearance.approve")[-1]["clearance"] == made.id


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_have_a_say_in_clearances(sqlite_world: World, by: str) -> None:
    """A partner's own owner least of all."""
    world = sqlite_world
    made = propose(world)
    acts: list[Any] = [
        lambda: propose(world, by=by),
        lambda: clearances.approve(world.use, world.person(by), made.id),
        lambda: clearances.revoke(world.use, world.person(by), made.id),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act()


BAD_CLEARANCES: list[tuple[dict[str, Any], type[Refused]]] = [
    ({"purpose": " "}, InvalidRequest), ({"purpose": "x" * 10_001}, InvalidRequest),
    ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, InvalidRequest),
    ({"starts_at": LATER, "expires_at": LATER}, InvalidRequest),
    ({"organization": "nobody"}, NotFound), ({"model": "gpt-9"}, NotFound), ({"tier": "royal"}, NotFound),
]  # fmt: skip


def test_a_clearance_that_makes_no_sense_is_refused(sqlite_world: World) -> None:
    """It has a purpose, ends after it starts and not in the past, and is about things that are there."""
    known = len(sqlite_world.entries())
    for more, code in BAD_CLEARANCES:
        with pytest.raises(code):
            propose(sqlite_world, **more)
    assert len(sqlite_world.entries()) == known


@cases("state", ["active", "revoked", "expired"])
def test_only_a_proposed_clearance_is_approved(world: World, state: str) -> None:
    """What is approved, revoked or over is not put into force again."""
    made = propose(world)
    if state == "active":
        clearances.approve(world.use, world.admin2, made.id)
    elif state == "revoked":
        clearances.revoke(world.use, world.admin, made.id)
    else:
        world.clock.advance(2 * DAY)
    with pytest.raises(NotPossible, match=state):
        clearances.approve(world.use, world.admin2, made.id)


def test_revoking_is_for_good_and_is_said_once(world: World) -> None:
    """One admin revokes, also what was only proposed; a revoked clearance stays revoked."""
    made = propose(world)
    clearances.revoke(world.use, world.admin, made.id)
    with pytest.raises(NotPossible):
        clearances.revoke(world.use, world.admin2, made.id)
    assert [record["clearance"] for record in world.records("clearance.revoke")] == [made.id]


@pytest.mark.parametrize("act", [clearances.approve, clearances.revoke])
def test_an_unknown_clearance_is_not_found(sqlite_world: World, act: Any) -> None:
    """No act on nothing."""
    with pytest.raises(NotFound):
        act(sqlite_world.use, sqlite_world.admin, 10**6)


@pytest.mark.parametrize(
    ("approved", "revoked", "at", "word"),
    [
        (True, False, NOW - timedelta(microseconds=1), "upcoming"), (True, False, NOW, "active"),
        (True, False, NOW + DAY - timedelta(microseconds=1), "active"), (True, False, NOW + DAY, "expired"),
        (False, False, NOW, "proposed"), (False, False, NOW + DAY, "expired"),
        (True, True, NOW, "revoked"), (False, True, NOW + DAY, "revoked"),
    ],
)  # fmt: skip
def test_a_clearance_has_one_word_for_its_state(approved: bool, revoked: bool, at: datetime, word: str) -> None:
    """The words follow the same boundaries as the access rule."""
    clearance = Clearance(
        starts_at=NOW, expires_at=NOW + DAY, approved_at=NOW if approved else None, revoked_at=NOW if revoked else None
    )
    assert clearance.state_at(at) == word


def test_each_organization_sees_its_own_clearances_and_staff_all(world: World) -> None:
    """Newest first; whom else the lab cleared is nobody's business."""
    seen = {}
    for name in ("cleared", "uncleared", "auditor"):
        with world.use.database.reading() as session:
            page = clearances.visible(session, world.person(name), Slice(100))
            seen[name] = [(row.id, row.organization.slug, row.tier.name) for row in page.items]
    assert seen["cleared"] == [(2, "aurora-institute", "research"), (1, "aurora-institute", "research")]
    assert seen["uncleared"] == []
    assert [key for key, _, _ in seen["auditor"]] == [4, 3, 2, 1]


def test_an_approver_who_was_made_an_admin_later_counts(sqlite_world: World) -> None:
    """Any admin other than the proposer approves; it need not be one of the first two."""
    world = sqlite_world
    world.add_person("example-lab", "third@example-lab.example", Role.ADMIN)
    world.example.people["third"] = {"email": "third@example-lab.example"}
    made = propose(world)
    assert clearances.approve(world.use, world.person("third"), made.id).approved_at is not None


def test_a_new_tier_in_between_takes_its_place(sqlite_world: World) -> None:
    """Ranks, not the order of definition, decide who needs a second person."""
    world = sqlite_world
    tiers.add(world.use, world.admin, "almost", 19)
    tiers.add(world.use, world.admin, "above", 21)
    assert propose(world, "almost").approved_at is not None
    assert propose(world, "above").approved_at is None


def test_an_extension_is_a_clearance_of_its_own_under_the_same_rules(world: World) -> None:
    """With a later end, from now on; what was decided stays as it is, and what is not in force is not extended."""
    made = propose(world)
    with pytest.raises(NotPossible):
        clearances.extend(world.use, world.admin, made.id, world.clock() + 9 * DAY)  # only proposed
    clearances.approve(world.use, world.admin2, made.id)
    with pytest.raises(InvalidRequest):
        clearances.extend(world.use, world.admin, made.id, made.expires_at)
    longer = clearances.extend(world.use, world.admin2, made.id, made.expires_at + 9 * DAY)
    assert longer.approved_at is None
    assert (longer.tier_id, longer.model_id, longer.purpose) == (made.tier_id, made.model_id, made.purpose)
    assert world.records("clearance.propose")[-1]["extends"] == made.id
    with pytest.raises(NotPossible, match="another admin"):
        clearances.approve(world.use, world.admin2, longer.id)
    clearances.revoke(world.use, world.admin, made.id)
    with pytest.raises(NotPossible):
        clearances.extend(world.use, world.admin, made.id, made.expires_at + 99 * DAY)


def test_the_same_proposal_sent_twice_is_made_once(world: World) -> None:
    """One that was revoked may be proposed again."""
    ends = world.clock() + DAY
    first = propose(world, expires_at=ends)
    with pytest.raises(NotPossible, match=f"Clearance {first.id} already gives"):
        propose(world, by="admin2", expires_at=ends)
    clearances.revoke(world.use, world.admin, first.id)
    assert propose(world, expires_at=ends).id > first.id


def test_a_revocation_says_why_and_what_goes_on(world: World) -> None:
    """The reason is mailed and logged; another clearance on the model is named, and ended if that is asked."""
    first = propose(world, tier="research")
    other = propose(world, tier="partner")
    for one in (first, other):
        clearances.approve(world.use, world.admin2, one.id)
    left = clearances.revoke(world.use, world.admin, first.id, "The study has ended.\nThank you.")
    assert [one.id for one in left] == [other.id]
    assert f"clearance {other.id} (partner on gpt-2, until " in clearances.in_words(left)
    assert world.records("clearance.revoke")[-1]["because"] == "The study has ended.\nThank you."
    with world.use.database.reading() as session:
        mail = session.scalars(select(Mail).where(Mail.kind == "access_revoked").order_by(Mail.id.desc())).first()
    assert mail is not None
    assert "> The study has ended.\n> Thank you." in mail.text
    third = propose(world, tier="registered")
    assert clearances.revoke(world.use, world.admin, third.id, with_others=True) == []
    assert {record["clearance"] for record in world.records("clearance.revoke")} == {first.id, other.id, third.id}
    assert "because" not in world.records("clearance.revoke")[-1]
    with pytest.raises(InvalidRequest):
        clearances.revoke(world.use, world.admin, 1, " ")


def test_the_same_is_not_given_twice(sqlite_world: World) -> None:
    """Another purpose makes it no other clearance; another day or tier does."""
    until = sqlite_world.clock() + timedelta(days=30)
    first = propose(sqlite_world, expires_at=until)
    with pytest.raises(NotPossible, match=f"Clearance {first.id} already gives"):
        propose(sqlite_world, expires_at=until, purpose="Another study.")
    propose(sqlite_world, expires_at=until + timedelta(days=1))


def test_a_clearance_does_not_start_before_today(sqlite_world: World) -> None:
    """What was not allowed then is not allowed afterwards; a day that has begun is today."""
    today = sqlite_world.clock().replace(hour=0, minute=0, second=0, microsecond=0)
    with pytest.raises(InvalidRequest, match="before today"):
        propose(sqlite_world, starts_at=today - timedelta(seconds=1))
    propose(sqlite_world, starts_at=today)
