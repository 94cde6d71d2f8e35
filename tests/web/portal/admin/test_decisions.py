"""The pages of decisions: what they offer to whom, and that everything a decision rested on is on its page."""

from server.domain.decisions import deciding, lifting
from server.domain.release import holds
from server.domain.release.findings import FindingKind, Severity
from server.domain.release.stages import StageState
from tests.domain.decisions.test_proposing import propose
from tests.findings import report
from tests.visits import words
from tests.world import World


def test_a_decision_s_page_says_all_that_it_rested_on(sqlite_world: World) -> None:
    """Who, when and why, in Markdown; counts, findings and the ladder of then; also after the stage moved on."""
    world = sqlite_world
    number = report(world, kind=FindingKind.NOTHING_FOUND, severity=Severity.NONE)
    made = propose(world, rationale="# Why\n\nWe **looked**.", findings=(number,))
    deciding.approve(world.use, world.admin2, made.id, "I agree.")
    world.move("gpt-2/774M", StageState.WITHDRAWN)
    answer = world.visit("auditor").get(f"/admin/decisions/{made.id}")
    assert "<strong>looked</strong>" in answer.text
    page = words(answer)
    for part in (
        "Ada Quist proposed it", "Ben Tanaka approved it", "I agree.", "Partners studied it for months.",
        "A finding of misuse.", "Organizations with access 1 1", "nothing found", "774M", "Carried out,",
    ):  # fmt: skip
        assert part in page, part


def test_only_who_can_decide_is_offered_to(sqlite_world: World) -> None:
    """The proposer is told why not, an auditor is offered nothing, and another admin approves with one button."""
    world = sqlite_world
    made = propose(world)
    address = f"/admin/decisions/{made.id}"
    assert "You proposed this decision" in words(world.visit("admin").get(address))
    assert "Approve decision" not in world.visit("admin").get(address).text
    assert "Approve decision" not in world.visit("auditor").get(address).text
    other = world.visit("admin2")
    assert "Approve decision" in other.get(address).text
    assert other.post(f"{address}/approve", {}).status_code == 303
    late = other.post(f"{address}/approve", {})
    assert late.status_code == 409
    assert "is done: only a proposed decision can be approved" in words(late)


def test_what_forbids_it_is_said_before_and_after(sqlite_world: World) -> None:
    """A warning while it waits; once it is blocked, by what it was."""
    world = sqlite_world
    made = propose(world)
    holds.place(world.use, world.admin, "gpt-2", "Wait.")
    other, address = world.visit("admin2"), f"/admin/decisions/{made.id}"
    assert "it would be blocked: There is a hold on gpt-2." in words(other.get(address))
    other.post(f"{address}/approve", {})
    assert "this forbade it: There is a hold on gpt-2." in words(other.get(address))


def test_a_lift_is_a_decision_with_a_page_and_is_approved_there(sqlite_world: World) -> None:
    """With the hold as it was; the button does what `hold approve-lift` does."""
    world = sqlite_world
    holds.place(world.use, world.admin, "gpt-2/774M", "A finding is looked into.")
    made = lifting.propose(world.use, world.admin, "gpt-2/774M", "It was not reproduced.")
    other, address = world.visit("admin2"), f"/admin/decisions/{made.id}"
    assert "A finding is looked into." in words(other.get(address))
    assert other.post(f"{address}/approve", {}).status_code == 303
    with world.use.database.reading() as session:
        assert holds.current(session, world.admin) == []


def test_the_queue_says_what_waits_for_whom(sqlite_world: World) -> None:
    """To another admin as something to approve, to the proposer as something that waits; the list can be narrowed."""
    world = sqlite_world
    propose(world)
    assert "Decisions to approve (1)" in words(world.visit("admin2").get("/admin/queue"))
    assert "Decisions for another admin (1)" in words(world.visit("admin").get("/admin/queue"))
    admin = world.visit("admin")
    assert "gpt-2/774M" in words(admin.get("/admin/decisions?state=proposed&stage=gpt-2/762M"))
    assert "No decisions here" in words(admin.get("/admin/decisions?state=blocked"))
    assert admin.get("/admin/decisions?stage=gpt-2/9B").status_code == 422
