"""`finding`: list, show, triage."""

from pathlib import Path

from server.domain.access import finding_releases
from tests.cli.operator import Operator
from tests.findings import report
from tests.world import World


def test_findings_are_listed_and_shown(operator: Operator, sqlite_world: World) -> None:
    """All of them, or a stage's; one with its words."""
    first, second = report(sqlite_world), report(sqlite_world, stage="mini-gpt/base", title="Another")
    assert [row["id"] for row in operator("finding", "list", "--json", by="auditor").body] == [second, first]
    assert [row["id"] for row in operator("finding", "list", "gpt-2/774M", "--json", by="admin").body] == [first]
    shown = operator("finding", "show", first, "--json", by="admin").body
    assert (shown["text"], shown["reported_by"]) == ("What we saw.", "owner@aurora-institute.example")
    assert "What we saw." in operator("finding", "show", first, by="admin").out


def test_a_finding_is_triaged_and_answered(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """Forward only; the answer is read from a file."""
    number = report(sqlite_world)
    words = tmp_path / "answer.md"
    words.write_text("We saw it *too*.")
    done = operator(
        "finding", "triage", number, "--state", "confirmed", "--severity", "high", "--answer-file", words, "--json",
        by="admin",
    )  # fmt: skip
    assert done.body == {"id": number, "state": "confirmed", "severity": "high", "answered": True}
    assert (
        "can become considered or closed"
        in operator("finding", "triage", number, "--state", "open", by="admin", code=1).line
    )
    assert "is considered" in operator("finding", "triage", number, "--state", "considered", by="admin2").out
    assert operator("finding", "show", number, "--json", by="admin").body["answer"] == "We saw it *too*."


def test_an_answer_that_is_no_text_is_wrong_use(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """Nothing has happened then."""
    number = report(sqlite_world)
    (tmp_path / "answer.md").write_bytes(b"\xff\xfe")
    operator(
        "finding", "triage", number, "--state", "confirmed", "--answer-file", tmp_path / "answer.md", by="admin", code=2
    )
    assert sqlite_world.entries("finding.triage") == []


def test_a_partner_sees_here_what_it_sees_elsewhere(operator: Operator, sqlite_world: World) -> None:
    """Of a finding that was released to it neither the reporter nor the answer, and of others nothing."""
    world = sqlite_world
    number = report(world, may_publish=True)
    assert operator("finding", "list", "--json", by="unsigned").body == []
    operator("finding", "show", number, by="unsigned", code=1)
    finding_releases.release(world.use, world.admin, number, ["birch-university"])
    shown = operator("finding", "show", number, "--json", by="unsigned").body
    assert (shown["organization"], "reported_by" in shown, shown["text"]) == (None, False, "What we saw.")
