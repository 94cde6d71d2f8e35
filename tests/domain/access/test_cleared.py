"""Cleared: each partner once that the access rule would let through, found along an index of its own."""

from datetime import timedelta

from sqlalchemy import func, select, text

from server.domain.access import clearances, cleared
from server.domain.identity.organizations import Organization
from server.domain.release import holds, stages
from tests.world import World


def found(world: World, stage: str, days_later: int = 0) -> list[str]:
    """Slugs."""
    with world.use.database.reading() as session:
        about = stages.get(session, stage)
        ids = cleared.organizations(about.model_id, about.tier.rank, world.clock() + timedelta(days=days_later))
        slugs = select(Organization.slug).where(Organization.id.in_(ids)).order_by(Organization.slug)
        counted = session.scalar(select(func.count()).select_from(ids.subquery()))
        names = list(session.scalars(slugs))
        assert counted == len(names)
        return names


def test_each_active_partner_is_there_once_while_its_clearance_holds(world: World) -> None:
    """However many it has; of a tier that is high enough; not the lab, nor one that is suspended."""
    until = world.clock() + timedelta(days=30)
    for organization in ("aurora-institute", "example-lab"):
        made = clearances.propose(
            world.use, world.admin, organization, "gpt-2", "partner", expires_at=until, purpose="A study."
        )
        clearances.approve(world.use, world.admin2, made.id)
    assert found(world, "gpt-2/774M") == ["aurora-institute", "birch-university"]
    assert found(world, "mini-gpt/large") == found(world, "gpt-2/774M", days_later=366) == []
    holds.place(world.use, world.admin, "organization:birch-university", "Asked to.")
    assert found(world, "gpt-2/774M") == ["aurora-institute"]


def test_they_are_counted_along_their_index(sqlite_world: World) -> None:
    """From organization to organization: nothing is sorted, and nothing kept aside."""
    with sqlite_world.use.database.reading() as session:
        query = select(func.count()).select_from(cleared.organizations(1, 1, sqlite_world.clock()).subquery())
        asked = query.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        plan = " ".join(row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {asked}")))
    assert "USING INDEX ix_clearances_of_model" in plan
    assert "USING INDEX ix_organizations_shut_out" in plan
    assert "TEMP B-TREE" not in plan
