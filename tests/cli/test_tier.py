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


def test_what_renewing_takes_can_be_changed(operator: Operator) -> None:
    """With the tier or later; the list says it, and one of the two options must be given."""
    operator("tier", "add", "close", "--rank", 25, "--report-to-renew", by="admin")
    assert "takes a report" in operator("tier", "edit", "research", "--report-to-renew", by="admin").out
    assert (
        "already takes a report" in operator("tier", "edit", "research", "--report-to-renew", by="admin", code=1).line
    )
    listed = operator("tier", "list", "--json", by="cleared").body
    assert {row["name"] for row in listed if row["report_to_renew"]} == {"close", "research"}
    edited = operator("tier", "edit", "close", "--no-report-to-renew", "--json", by="admin").body
    assert edited == {"name": "close", "report_to_renew": False}
    operator("tier", "edit", "close", by="admin", code=2)
    operator("tier", "edit", "nothing", "--report-to-renew", by="admin", code=1)
