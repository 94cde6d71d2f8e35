"""`proposal`: what one admin proposes beyond what one may do alone."""

from tests.cli.operator import Operator


def test_a_quota_beyond_the_bound_waits_for_a_second_admin(operator: Operator) -> None:
    """The command says so, the list shows it, and another admin's approval carries it out."""
    quota = ("organization", "quota", "aurora-institute")
    operator(*quota, "--bytes-per-day", "5", by="admin")
    waits = operator(*quota, "--json", by="admin").body
    assert (waits["id"], waits["state"]) == ("aurora-institute", "proposed")
    number = str(waits["proposal"])
    assert f"proposal approve {number}" in waits["next"]
    assert operator("proposal", "list", "--json", by="auditor").body[0]["state"] == "proposed"
    assert operator("proposal", "show", number, "--json", by="admin").body["bytes_per_day"] is None
    assert "another admin must approve" in operator("proposal", "approve", number, by="admin", code=1).line
    approved = operator("proposal", "approve", number, "--json", by="admin2").body
    assert approved == {"id": int(number), "state": "approved", "next": None}
    assert "already approved" in operator("proposal", "reject", number, by="admin2", code=1).line
    assert operator("organization", "show", "aurora-institute", "--json", by="admin").body["bytes_per_day"] is None
