"""`person`: add, list, propose, approve and reject roles, disable, enable, reset a password."""

from tests.cli.operator import Operator
from tests.own_account import OWN, choose_password, set_up_app
from tests.world import World

ADD = ("person", "add", "nora@aurora-institute.example", "--organization", "aurora-institute", "--name", "Nora N")


def test_a_person_replaces_what_was_printed_first(operator: Operator, sqlite_world: World) -> None:
    """The password that `person add` prints is right, and good for nothing but replacing it, and the app."""
    body = operator(*ADD, "--role", "member", "--json", by="admin").body
    operator.people["nora"] = body
    assert f"Sign in at {sqlite_world.settings.public_url}" in operator("tier", "list", by="nora", code=1).line
    choose_password(sqlite_world.use, body["email"], body["password"])
    assert "Incorrect email address or password" in operator("tier", "list", by="nora", code=1).line
    operator.people["nora"] = body | {"password": OWN}
    assert "someone else set up for you" in operator("tier", "list", by="nora", code=1).line
    set_up_app(sqlite_world.use, body["email"])
    operator("tier", "list", by="nora")


def test_what_is_kept_of_an_address_is_printed(operator: Operator) -> None:
    """And by it, or as it was typed, the person signs in; a second one is not added."""
    typed = (*ADD[:2], "Kim@MÜNCHEN.example", *ADD[3:], "--role", "member")
    body = operator(*typed, "--json", by="admin").body
    assert body["email"] == "kim@xn--mnchen-3ya.example"
    operator.people["kim"] = body | {"email": "kim@münchen.example"}
    assert "someone else set up for you" in operator("tier", "list", by="kim", code=1).line
    assert "already belongs to Nora N, member of aurora-institute" in operator(*typed, by="admin", code=1).line
    assert "is not a valid email address" in operator(*ADD[:2], "a@b", *typed[3:], by="admin", code=1).line


def test_secrets_are_printed_once_and_never_again(operator: Operator) -> None:
    """The first password and the TOTP secret stand in the answer of `add`, and in no later one."""
    printed = operator(*ADD, "--role", "owner", by="cleared").out
    password, totp = (line.split()[-1] for line in printed.splitlines()[1:3])
    later = operator("person", "list", by="admin").out + operator("person", "list", "--json", by="admin").out
    assert "nora@" in later
    assert password not in later
    assert totp not in later


def test_a_password_reset_ends_the_old_one(operator: Operator) -> None:
    """After a reset the new password works and the old one does not."""
    email = operator.people["auditor"]["email"]
    body = operator("person", "reset-password", email, "--json", by="admin").body
    operator("tier", "list", by="auditor", code=1)
    operator.people["auditor"] = body
    operator("tier", "list", by="auditor")


def test_disabling_revokes_the_tokens_and_enabling_brings_none_back(operator: Operator, sqlite_world: World) -> None:
    """A disabled person's tokens are gone for good, and the command says how many."""
    email = operator.people["uncleared"]["email"]
    operator(
        *ADD[:2], "second@cedar-systems.example", *ADD[3:4], "cedar-systems", *ADD[5:], "--role", "owner", by="admin"
    )
    assert "Tokens revoked: 1" in operator("person", "disable", email, by="admin").out
    operator("person", "enable", email, by="admin")
    assert sqlite_world.api("GET", "/me", "uncleared").status_code == 401


def test_a_role_of_the_other_side_is_refused(operator: Operator) -> None:
    """A partner has no admins."""
    assert "does not exist in a partner" in operator(*ADD, "--role", "admin", by="admin", code=1).line


def test_unknown_people_are_refused(operator: Operator) -> None:
    """A misspelled address is named, with what to look at."""
    line = operator("person", "disable", "nobody@example.org", by="admin", code=1).line
    assert "There is no person nobody@example.org." in line
    assert "`list`" in line


def test_a_role_in_the_lab_takes_two_people(operator: Operator, sqlite_world: World) -> None:
    """`add` proposes it and says what is next; the list shows it until another admin approves."""
    email = "cleo@example-lab.example"
    added = operator("person", "add", email, "--organization", "example-lab", "--name", "Cleo", "--role", "admin",
                     "--json", by="admin").body  # fmt: skip
    assert {"email", "password", "totp_secret"} < set(added)
    assert (added["role"], added["proposed_role"]) == ("pending", "admin")
    assert f"person approve {email}" in added["next"]
    operator.people["cleo"] = added | {"password": OWN}
    choose_password(sqlite_world.use, email, added["password"])
    set_up_app(sqlite_world.use, email)
    assert "waits for a second admin" in operator("tier", "list", by="cleo", code=1).line
    assert "proposed this yourself" in operator("person", "approve", email, by="admin", code=1).line

    def listed() -> dict[str, str | None]:
        people = operator("person", "list", "--json", by="admin").body
        return next(one for one in people if one["email"] == email)

    assert (listed()["role"], listed()["proposed_role"]) == ("pending", "admin")
    assert operator("person", "approve", email, "--json", by="admin2").body == {"email": email, "role": "admin"}
    givers = [operator.people[name]["email"] for name in ("admin", "admin2")]
    assert (listed()["role_given_by"], listed()["proposed_role"]) == (" and ".join(givers), None)
    operator("tier", "list", by="cleo")
    operator("person", "propose", email, "--role", "auditor", by="admin")
    assert operator("person", "reject", email, "--json", by="admin2").body["state"] == "rejected"
    assert listed()["role"] == "admin"
