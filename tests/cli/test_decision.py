"""`decision`: propose, approve, reject, cancel, list, show."""

from pathlib import Path

import pytest

from server.domain.release import holds
from tests.cli.operator import Answer, Operator
from tests.world import World


@pytest.fixture
def texts(tmp_path: Path) -> tuple[object, ...]:
    """The options that every proposal has."""
    rationale, would_change = tmp_path / "rationale.md", tmp_path / "would-change.md"
    rationale.write_text("# Why\n\nNo partner found **misuse**.\n")
    would_change.write_text("A finding of misuse.\n")
    files = ("--rationale-file", rationale, "--would-change-file", would_change)
    return (*files, "--public-reason", "Partners found no misuse.")


def propose(operator: Operator, texts: tuple[object, ...], *more: object, stage: str = "gpt-2/774M") -> Answer:
    return operator("decision", "propose", stage, "--to", "public", *texts, *more, by="admin")


def test_a_stage_moves_by_two_admins(operator: Operator, sqlite_world: World, texts: tuple[object, ...]) -> None:
    """What is printed is what the next command takes; the proposer cannot approve; then everybody can download it."""
    made = propose(operator, texts, "--json").body
    assert made == {"id": made["id"], "state": "proposed", "opens_at": None}
    line = operator("decision", "approve", made["id"], by="admin", code=1).line
    assert "another admin must approve it" in line
    assert sqlite_world.api("GET", "/stages/gpt-2/774M", None).status_code == 401
    assert operator("decision", "approve", made["id"], "--json", by="admin2").body["state"] == "done"
    assert sqlite_world.api("GET", "/stages/gpt-2/774M", None).json["state"] == "public"


def test_a_scheduled_one_takes_any_zone_and_is_cancelled(
    operator: Operator, sqlite_world: World, texts: tuple[object, ...]
) -> None:
    """It is approved, waits for its moment in UTC, and either admin stops it."""
    at = (sqlite_world.clock().replace(microsecond=0)).isoformat().replace("+00:00", "-05:00")
    made = propose(operator, texts, "--opens-at", at, "--json").body
    assert made["opens_at"].endswith("Z")
    approved = operator("decision", "approve", made["id"], by="admin2")
    assert f"Decision {made['id']} is approved. It will be carried out on " in approved.out
    cancelled = operator("decision", "cancel", made["id"], "--reason", "Not yet.", by="admin")
    assert f"Decision {made['id']} is cancelled." in cancelled.out
    assert "nothing left to cancel" in operator("decision", "cancel", made["id"], by="admin", code=1).line


def test_one_that_is_blocked_is_a_failure_to_scripts(
    operator: Operator, sqlite_world: World, texts: tuple[object, ...]
) -> None:
    """Exit 1, with what forbids it; nothing has moved."""
    made = propose(operator, texts, "--json").body
    holds.place(sqlite_world.use, sqlite_world.admin, "gpt-2", "Wait.")
    answer = operator("decision", "approve", made["id"], "--json", by="admin2", code=1)
    assert answer.body["state"] == "blocked"
    assert answer.body["blocked_because"] == "There is a hold on gpt-2."
    assert operator("stage", "show", "gpt-2/774M", "--json", by="admin").body["state"] == "partners"


def test_rejecting_is_for_another_admin(operator: Operator, texts: tuple[object, ...]) -> None:
    """Whoever proposed it takes it back by cancelling."""
    made = propose(operator, texts, "--json").body["id"]
    assert "cancel it" in operator("decision", "reject", made, by="admin", code=1).line
    operator("decision", "reject", made, "--reason", "Too early.", by="admin2")
    shown = operator("decision", "show", made, "--json", by="auditor").body
    assert (shown["state"], shown["closed_because"]) == ("rejected", "Too early.")


def test_the_list_and_one_of_it(operator: Operator, texts: tuple[object, ...]) -> None:
    """Of all stages or of one, by an alias too; a decision is shown with its texts and what it rested on."""
    made = propose(operator, texts, "--json").body["id"]
    everything = operator("decision", "list", "--json", by="auditor").body
    assert everything[0]["id"] == made
    of_one = operator("decision", "list", "gpt-2/762M", "--json", by="auditor").body
    assert {row["subject"] for row in of_one} == {"gpt-2/774M"}
    assert (of_one[0]["from"], of_one[0]["to"]) == ("partners", "public")
    shown = operator("decision", "show", made, "--json", by="auditor").body
    assert shown["rationale"] == "# Why\n\nNo partner found **misuse**."
    assert [one["stage"] for one in shown["evidence"]["ladder"]][:2] == ["gpt-2/124M", "gpt-2/355M"]
    assert "No partner found **misuse**." in operator("decision", "show", made, by="auditor").out


def test_what_is_no_text_or_no_time_is_one_line(operator: Operator, tmp_path: Path, texts: tuple[object, ...]) -> None:
    """A file of bytes, a moment that has passed, one without a zone."""
    (tmp_path / "bytes.md").write_bytes(b"\xff\xfe")
    bad = ("--rationale-file", tmp_path / "bytes.md", *texts[2:])
    assert "is not UTF-8 text" in operator("decision", "propose", "gpt-2/774M", "--to", "public", *bad, by="admin",
                                           code=1).line  # fmt: skip
    past = ("--opens-at", "2019-08-20T14:00:00Z")
    propose_past = operator("decision", "propose", "gpt-2/774M", "--to", "public", *texts, *past, by="admin", code=1)
    assert "has passed" in propose_past.line
    zoneless = ("--opens-at", "2099-08-20T14:00:00")
    operator("decision", "propose", "gpt-2/774M", "--to", "public", *texts, *zoneless, by="admin", code=2)
