"""Tiers: named ranks that never change."""

import pytest

from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.paging import Slice
from server.domain.release import tiers
from tests.world import World


def test_a_tier_needs_a_plain_name_and_a_rank_that_both_databases_hold(sqlite_world: World) -> None:
    """Names are a-z, 0-9 and '-', at most 64; a rank out of bounds is refused before any database could."""
    bad_names = [(name, 50) for name in ("", "Partner", "a b", "-a", "é", "x" * 65, "a\n")]
    for name, rank in [*bad_names, ("huge", -1), ("huge", 1_000_001), ("huge", 2**40)]:
        with pytest.raises(InvalidRequest):
            tiers.add(sqlite_world.use, sqlite_world.admin, name, rank)


@pytest.mark.parametrize(("name", "rank"), [("research", 99), ("another", 20)])
def test_name_and_rank_are_taken_once(world: World, name: str, rank: int) -> None:
    """Two tiers of one rank or name would make clearances ambiguous."""
    with pytest.raises(NotPossible):
        tiers.add(world.use, world.admin, name, rank)


def test_only_admins_define_tiers(sqlite_world: World) -> None:
    """A publisher releases; who may have it is for admins."""
    with pytest.raises(NotPermitted):
        tiers.add(sqlite_world.use, sqlite_world.person("publisher"), "new", 50)


def test_tiers_are_listed_and_found_by_name(world: World) -> None:
    """An unknown one names those that there are, lowest first, since the command line shows it to the operator."""
    made = tiers.add(world.use, world.admin, "new", 5)
    with world.use.database.reading() as session:
        assert [tier.name for tier in tiers.all_of_them(session, Slice(2)).items] == ["registered", "research"]
        assert tiers.get(session, "new").id == made.id
        with pytest.raises(NotFound, match="new, registered, research, partner"):
            tiers.get(session, "royal")
    assert world.records("tier.add")[-1] | {"tier": "new", "rank": 5} == world.records("tier.add")[-1]
