"""What a decision rested on: as it was when proposed and when it was done, whatever changes later."""

from datetime import timedelta

from server.domain.decisions import deciding, execution
from server.domain.downloads import issuing
from server.domain.release import finding_triage, stages
from server.domain.release.findings import FindingKind, FindingState, Severity
from server.domain.release.stages import StageState
from tests.domain.decisions.test_proposing import propose
from tests.findings import report
from tests.world import World


def test_the_ladder_is_kept_as_it_was(world: World) -> None:
    """Two pictures of it, a day apart; a stage that is added after them is in neither."""
    made = propose(world, opens_at=world.clock() + timedelta(days=1))
    deciding.approve(world.use, world.admin2, made.id)
    world.move("gpt-2/1558M", StageState.PARTNERS)
    world.clock.advance(timedelta(days=2))
    (done,) = execution.carry_out_due(world.use)
    stages.add(world.use, world.admin, "gpt-2/9B", tier="research")
    then, at_last = done.rested_on["ladder"], (done.rested_on_when_done or {})["ladder"]
    assert [(one["stage"], one["state"]) for one in then] == [
        ("gpt-2/124M", "public"), ("gpt-2/355M", "public"), ("gpt-2/774M", "partners"), ("gpt-2/1558M", "planned"),
    ]  # fmt: skip
    assert [one["state"] for one in at_last] == ["public", "public", "partners", "partners"]


def test_the_counts_are_those_of_its_stage_at_that_moment(world: World) -> None:
    """Organizations, downloads that were just issued, refusals, reports; another stage's are not among them."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    issuing.issue(world.use, world.caller("cleared"), world.order("mini-gpt/base"))
    assert world.api("POST", "/downloads", "unsigned", json={"stage": "gpt-2/762M"}).status_code == 403
    number = report(world, kind=FindingKind.NOTHING_FOUND, severity=Severity.NONE)
    found = propose(world, findings=(number,)).rested_on
    counts = {name: found[name] for name in ("downloads", "refusals", "alarms", "fetched_bytes", "reports")}
    assert counts == {"downloads": 1, "refusals": 1, "alarms": 0, "fetched_bytes": 0, "reports": 1}
    assert (found["organizations_with_access"], found["organizations_cleared"]) == (1, 2)
    assert found["findings"] == [
        {"id": number, "stage": "gpt-2/774M", "kind": "nothing_found", "severity": "none", "state": "open",
         "organization": "aurora-institute"}
    ]  # fmt: skip


def test_what_is_found_later_changes_nothing_of_it(world: World) -> None:
    """A finding that is triaged after the proposal is in its evidence as it was then, and at last as it was at last."""
    number = report(world)
    made = propose(world, findings=(number,))
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED)
    done = deciding.approve(world.use, world.admin2, made.id)
    assert done.rested_on["findings"][0]["state"] == "open"
    assert (done.rested_on_when_done or {})["findings"][0]["state"] == "confirmed"
    assert done.rested_on == made.rested_on
