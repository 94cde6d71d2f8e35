"""Folded: LIKE finds a text in capitals or not, on both databases."""

import pytest
from sqlalchemy import select

from server.domain.identity.organizations import Organization
from server.storage.folded import Folded
from tests.world import World


@pytest.mark.parametrize(("part", "count"), [("institute", 1), ("AURORA".casefold(), 1), ("rora i", 1), ("o_a", 0)])
def test_capitals_of_a_column_make_no_difference(world: World, part: str, count: int) -> None:
    """The text that is looked for is in small letters already; what LIKE takes for any character is escaped."""
    query = select(Organization.slug).where(Folded(Organization.name).contains(part, autoescape=True))
    with world.use.database.reading() as session:
        assert len(session.scalars(query).all()) == count
