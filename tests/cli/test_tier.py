"""`tier`: add, list."""

from tests.cli.operator import Operator


def test_tiers_are_listed_by_rank(operator: Operator) -> None:
    """A new tier stands where its rank puts it."""
    operator("tier", "add", "trial", "--rank", 15, by="admin")
    listed = operator("tier", "list", "--json", by="cleared").body
    assert [row["name"] for row in listed] == ["registered", "trial", "research", "partner"]


def test_a_taken_rank_is_refused(operator: Operator) -> None:
    """Two tiers of one rank would be one tier with two names."""
    assert "already has rank 20" in operator("tier", "add", "other", "--rank", 20, by="admin", code=1).line
