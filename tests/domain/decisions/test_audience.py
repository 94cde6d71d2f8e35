"""A stage's audience: who is cleared for it now, and whether their signature is in force."""

import json
from datetime import datetime, timedelta

from sqlalchemy import select

from server.domain.access import clearances, signatures
from server.domain.decisions import audience, evidence
from server.domain.decisions.audience import Counts
from server.domain.downloads import issuing
from server.domain.identity import people
from server.domain.identity.organizations import Organization
from server.domain.permissions import Role
from server.domain.release import agreements, holds, stages
from tests.world import World


def cleared(world: World, stage: str = "gpt-2/774M", at: datetime | None = None) -> list[tuple[str, int, bool]]:
    """Slug, people who could, and whether it signed. What is counted is what is listed, whole and in parts."""
    with world.use.database.reading() as session:
        about, at = stages.get(session, stage), at or world.clock()
        found = audience.of(session, about, at)
        signed, unsigned = ([one for one in found if one.signed is wanted] for wanted in (True, False))
        assert audience.counts(session, about, at) == Counts(len(signed), len(unsigned))
        assert audience.people(session, about, at) == sum(one.people for one in signed)
        for part, wanted in ((signed, True), (unsigned, False)):
            assert audience.of(session, about, at, signed=wanted) == part
            some = audience.of(session, about, at, signed=wanted, at_most=1)
            assert len(some) == min(1, len(part))
            assert all(one in part for one in some)
        lacking = {one.slug for one in unsigned}
        for organization in session.scalars(select(Organization)):
            lacks = audience.lacks_signature(session, about, organization, at)
            assert lacks is (organization.slug in lacking), organization.slug
        return [(one.slug, one.people, one.signed) for one in found]


def test_it_is_who_is_cleared_now_with_their_signatures(world: World) -> None:
    """As the access rule has it: a tier that is high enough, in force, not suspended; people who are not disabled."""
    assert cleared(world) == [("aurora-institute", 1, True), ("birch-university", 1, False)]
    assert cleared(world, "mini-gpt/large") == []
    holds.place(world.use, world.admin, "organization:birch-university", "Asked to.")
    for name in ("mia", "moe"):
        world.add_person("aurora-institute", f"{name}@aurora-institute.example", Role.MEMBER)
    people.disable(world.use, world.admin, "moe@aurora-institute.example")
    assert cleared(world) == [("aurora-institute", 2, True)]
    clearances.revoke(world.use, world.admin, 1)
    assert cleared(world) == []


def test_a_signature_that_counts_for_nothing_opens_nothing(world: World) -> None:
    """Ended, or of words that were replaced at once; where nothing is to be signed, nobody lacks it."""
    stages.add(world.use, world.admin, "gpt-2/free", tier="registered")
    assert cleared(world, "gpt-2/free") == [("aurora-institute", 1, True), ("birch-university", 1, True)]
    signatures.end(world.use, world.admin, 1)
    assert [signed for _, _, signed in cleared(world)] == [False, False]
    agreements.publish(world.use, world.admin, "model-sharing", "Other words.\n")
    assert [signed for _, _, signed in cleared(world)] == [False, False]
    world.clock.advance(timedelta(days=400))
    assert cleared(world) == []


def test_while_there_is_time_to_sign_again_the_version_before_counts(world: World) -> None:
    """As in the access rule, to the instant, and as a decision keeps it for good; one of two versions back never."""
    made = agreements.publish(world.use, world.admin, "model-sharing", "# New terms\n\nx\n", resign_within_days=9)
    assert made.resign_until is not None
    assert cleared(world) == [("aurora-institute", 1, True), ("birch-university", 1, False)]
    with world.use.database.reading() as session:
        kept = json.loads(evidence.gathered(session, stages.get(session, "gpt-2/774M"), (), world.clock()))
    assert (kept["organizations_with_access"], kept["organizations_cleared"]) == (1, 2)
    issuing.issue(world.use, world.caller("cleared"), world.order())
    last = made.resign_until - timedelta(microseconds=1)
    assert [signed for _, _, signed in cleared(world, at=last)] == [True, False]
    assert [signed for _, _, signed in cleared(world, at=made.resign_until)] == [False, False]
    agreements.publish(world.use, world.admin, "model-sharing", "# Newest terms\n\nx\n", resign_within_days=9)
    assert [signed for _, _, signed in cleared(world)] == [False, False]
