"""`organization`: add, rename, list, show, suspend, resume, limit."""

from tests.cli.operator import Operator
from tests.world import World


def test_an_organization_is_added_and_listed(operator: Operator) -> None:
    """What was added stands in the list, for scripts and for people."""
    added = operator("organization", "add", "dover-lab", "--name", "Dover Lab", "--json", by="admin")
    assert added.body == {"id": "dover-lab", "name": "Dover Lab", "looks_like": []}
    listed = {row["id"]: row for row in operator("organization", "list", "--json", by="auditor").body}
    assert listed["dover-lab"]["kind"] == "partner"
    assert listed["dover-lab"]["suspended_at"] is None
    assert "Dover Lab" in operator("organization", "list", by="auditor").out


def test_an_owner_lists_the_own_organization_only(operator: Operator) -> None:
    """A partner learns of no other partner at the command line either."""
    assert [row["id"] for row in operator("organization", "list", "--json", by="cleared").body] == ["aurora-institute"]


def test_suspension_stops_the_next_request_and_resuming_ends_it(operator: Operator, sqlite_world: World) -> None:
    """The commands act on the running instance: refused after the one, served after the other."""
    order = {"stage": "gpt-2/774M"}
    suspended = operator("organization", "suspend", "aurora-institute", "--reason", "audit", by="admin")
    assert "URLs that were already issued work for up to 300 seconds" in suspended.out
    assert sqlite_world.api("POST", "/downloads", json=order).json["code"] == "organization_suspended"
    operator("organization", "resume", "aurora-institute", "--reason", "Explained.", by="admin")
    operator("hold", "approve-lift", "organization:aurora-institute", by="admin2")
    assert sqlite_world.api("POST", "/downloads", json=order).status_code == 201


def test_a_quota_is_set_and_taken_away(operator: Operator, sqlite_world: World) -> None:
    """A limit holds from the next request on, and leaving it out removes it, once two admins agree."""
    order = {"stage": "gpt-2/774M"}
    operator("organization", "quota", "aurora-institute", "--bytes-per-day", 1, by="admin")
    assert sqlite_world.api("POST", "/downloads", json=order).json["code"] == "quota_exceeded"
    operator("organization", "quota", "aurora-institute", by="admin")
    assert sqlite_world.api("POST", "/downloads", json=order).json["code"] == "quota_exceeded"
    operator("proposal", "approve", 1, by="admin2")
    assert sqlite_world.api("POST", "/downloads", json=order).status_code == 201


def test_what_is_there_already_is_refused(operator: Operator) -> None:
    """Adding the same organization again changes nothing and says so."""
    line = operator("organization", "add", "aurora-institute", "--name", "Again", by="admin", code=1).line
    assert "An organization aurora-institute already exists." in line


def test_the_log_says_that_it_was_done_here(operator: Operator, sqlite_world: World) -> None:
    """An act at the command line is logged with the person and `via: cli`."""
    operator("organization", "add", "dover-lab", "--name", "Dover Lab", by="admin")
    actor = sqlite_world.records("organization.add")[-1]["actor"]
    assert (actor["via"], actor["person"]) == ("cli", operator.people["admin"]["email"])


def test_an_organization_is_shown_with_its_limits(operator: Operator) -> None:
    """What was set can be read back, and whose people they are; another organization's owner finds nothing."""
    operator("organization", "quota", "aurora-institute", "--bytes-per-day", 10**12, by="admin")
    operator("organization", "networks", "aurora-institute", "192.0.2.0/24", by="admin")
    body = operator("organization", "show", "aurora-institute", "--json", by="auditor").body
    assert (body["kind"], body["bytes_per_day"], body["requests_per_minute"]) == ("partner", 10**12, None)
    assert body["networks"] == ["192.0.2.0/24"]
    assert operator.people["cleared"]["email"] in body["people"]
    assert "192.0.2.0/24" in operator("organization", "show", "aurora-institute", by="cleared").out
    assert "no organization" in operator("organization", "show", "birch-university", by="cleared", code=1).line


def test_an_organization_is_renamed_and_keeps_its_id(operator: Operator) -> None:
    """With the warning that adding gives; its own former name is nobody else's."""
    renamed = operator("organization", "rename", "cedar-systems", "--name", "Aurora lnstitute", by="admin")
    assert renamed.out == "cedar-systems is now named Aurora lnstitute.\n"
    assert "looks like that of Aurora Institute (aurora-institute)" in renamed.err
    again = operator("organization", "rename", "cedar-systems", "--name", "Cedar Systems", "--json", by="admin")
    assert (again.body, again.err) == ({"id": "cedar-systems", "name": "Cedar Systems", "looks_like": []}, "")
    assert operator("organization", "show", "cedar-systems", "--json", by="admin").body["name"] == "Cedar Systems"


def test_a_look_alike_is_named_and_networks_are_echoed(operator: Operator) -> None:
    """Beside the answer, so that scripts read it as ever; and networks as they are kept."""
    added = operator("organization", "add", "aurora-2", "--name", "Aurora lnstitute", "--json", by="admin")
    assert added.body["looks_like"] == ["aurora-institute"]
    assert "looks like that of Aurora Institute (aurora-institute)" in added.err
    said = operator("organization", "networks", "aurora-2", "::ffff:192.0.2.0/120", by="admin").out
    assert "192.0.2.0/24" in said
    refused = operator("organization", "networks", "aurora-2", "fe80::1%lo", by="admin", code=1)
    assert "without a zone" in refused.line
