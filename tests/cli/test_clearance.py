"""`clearance`: propose, approve, revoke, list."""

from tests.cli.operator import Operator
from tests.world import World

PROPOSE = ("clearance", "propose", "cedar-systems", "gpt-2", "research", "--until", "30d", "--purpose", "Study.")


def test_a_clearance_takes_two_admins(operator: Operator) -> None:
    """What one proposes, the same one cannot approve, and another can."""
    proposed = operator(*PROPOSE, "--json", by="admin").body
    assert proposed["state"] == "proposed"
    operator("clearance", "approve", proposed["id"], by="admin", code=1)
    assert "is active" in operator("clearance", "approve", proposed["id"], by="admin2").out


def test_a_revocation_stops_the_next_request(operator: Operator, sqlite_world: World) -> None:
    """Revoking acts on the running instance, and the command says what still works for how long."""
    listed = operator("clearance", "list", "--json", by="cleared").body
    (gpt2,) = [row["id"] for row in listed if row["model"] == "gpt-2"]
    assert "for up to 300 seconds" in operator("clearance", "revoke", gpt2, by="admin").out
    answer = sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    assert answer.json["code"] in {"not_cleared", "clearance_expired"}


def test_a_second_clearance_is_named_and_ended_with_the_first(operator: Operator) -> None:
    """Proposing, approving and revoking say that access continues under another; a reason can be given."""
    first = operator(*PROPOSE, "--json", by="admin").body["id"]
    operator("clearance", "approve", first, by="admin2")
    again = ("clearance", "propose", "cedar-systems", "gpt-2", "partner", "--until", "60d", "--purpose", "Study.")
    assert f"also has clearance {first} (research on gpt-2" in operator(*again, by="admin").out
    second = operator("clearance", "list", "--json", by="admin").body[0]["id"]
    assert f"also has clearance {first}" in operator("clearance", "approve", second, by="admin2").out
    out = operator("clearance", "revoke", first, "--reason", "The study has ended.", by="admin").out
    assert f"Access continues under clearance {second} (partner on gpt-2" in out
    third = operator(*PROPOSE, "--json", by="admin").body["id"]
    operator("clearance", "approve", third, by="admin2")
    assert "continues" not in operator("clearance", "revoke", third, "--all", by="admin").out
    states = {row["id"]: row["state"] for row in operator("clearance", "list", "--json", by="admin").body}
    assert {states[one] for one in (first, second, third)} == {"revoked"}


def test_the_list_shows_a_partner_its_own(operator: Operator) -> None:
    """A partner sees its own clearances; staff see all."""
    own = operator("clearance", "list", "--json", by="cleared").body
    assert {row["organization"] for row in own} == {"aurora-institute"}
    everyone = operator("clearance", "list", "--json", by="auditor").body
    assert {row["organization"] for row in everyone} == {"aurora-institute", "birch-university"}
    assert all(row["expires_at"].endswith("Z") for row in everyone)


def test_what_ends_soon_is_listed_the_next_to_end_first(operator: Operator) -> None:
    """Within so many days, and nothing that another one outlasts; the JSON has the columns of the whole list."""
    for days in ("20d", "10d"):
        proposed = operator(*PROPOSE[:6], days, "--purpose", "Study.", "--json", by="admin").body
        operator("clearance", "approve", proposed["id"], by="admin2")
    assert operator("clearance", "list", "--ending", 9, "--json", by="admin").body == []
    rows = operator("clearance", "list", "--ending", 30, "--json", by="auditor").body
    assert [(row["organization"], row["tier"]) for row in rows] == [("cedar-systems", "research")]
    assert rows[0].keys() == operator("clearance", "list", "--json", by="auditor").body[0].keys()
    operator("clearance", "list", "--ending", 0, by="admin", code=2)


def test_a_clearance_can_be_rehearsed(operator: Operator) -> None:
    """What it would open, for how many and until when: for people and for scripts; nothing is proposed."""
    what_if = ("clearance", "rehearse", "aurora-institute", "mini-gpt", "--tier", "partner", "--until", "30d")
    assert "opens" in operator(*what_if, by="auditor").out
    body = operator(*what_if, "--json", by="admin").body
    assert (body["organization"], body["model"], body["tier"]) == ("aurora-institute", "mini-gpt", "partner")
    large = next(stage for stage in body["stages"] if stage["stage"] == "mini-gpt/large")
    assert (large["may_download_now"], large["may_download_then"]) == (False, True)
    assert (large["refused_now"], large["refused_then"], large["people"]) == ("not_cleared", None, body["people"])
    assert large["until"] == body["expires_at"]
    assert len(operator("clearance", "list", "--json", by="admin").body) == 4
    operator(*what_if, by="cleared", code=1)
    operator(*what_if[:5], "nothing", "--until", "30d", by="admin", code=1)


def test_an_unknown_clearance_is_refused(operator: Operator) -> None:
    """A number that nothing has is one line."""
    assert "There is no clearance 4711" in operator("clearance", "revoke", 4711, by="admin", code=1).line


def test_a_day_ends_when_it_is_over_at_both_doors(operator: Operator, sqlite_world: World) -> None:
    """`--until 2027-01-31` is what the portal's last day means, and the exact moment is said."""
    typed = {"organization": "cedar-systems", "model": "gpt-2", "tier": "research", "purpose": "Study."}
    sent = sqlite_world.visit("admin").post("/admin/clearances/propose", typed | {"last_day": "2027-01-31"})
    assert sent.status_code == 303
    operator("clearance", "revoke", 5, by="admin")  # who has it until then does not get it once more
    proposed = operator(*PROPOSE[:6], "2027-01-31", "--purpose", "Another study.", by="admin")
    assert "It ends at 2027-02-01T00:00:00Z." in proposed.out
    rows = operator("clearance", "list", "--json", by="admin").body
    assert [row["expires_at"] for row in rows if row["organization"] == "cedar-systems"] == ["2027-02-01T00:00:00Z"] * 2
