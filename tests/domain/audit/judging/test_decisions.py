"""The audit of decisions: on what real acts wrote, each rule is broken once by an entry that was planted."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from server.domain.audit import verifying
from server.domain.decisions import deciding
from server.domain.release import holds, stage_editing
from server.domain.release.findings import Severity
from server.domain.release.stages import StageState
from tests import tampering
from tests.domain.decisions.test_proposing import propose
from tests.findings import report
from tests.world import World, cases

HOUR = timedelta(hours=1)
Planted = Callable[[World], int]
SHA = "0" * 64
NEVER = "two different people had not decided it: it was never approved"


def plant(world: World, act: str, about: dict[str, Any], by: str | None = None, **more: Any) -> int:
    """Write an entry about a decision past every rule. by: of the demo's people; None: the worker."""
    fields = ("decision", "decides", "on", "before", "to", "opens_at")
    actor = {} if by is None else {"actor": world.person(by).as_record()}
    kept = {name: about[name] for name in fields if name in about}
    if act == "execute":
        more = {"evidence_sha256": SHA, "public_reason": "x", "findings": []} | more
    return world.plant(f"decision.{act}", {**actor, **kept, **more})


def proposed(world: World, **more: Any) -> dict[str, Any]:
    """A real proposal, as its entry has it."""
    propose(world, **more)
    return world.records("decision.propose")[-1]


def approved(world: World, **more: Any) -> dict[str, Any]:
    """A real approval of a move in an hour."""
    made = propose(world, opens_at=world.clock() + HOUR, **more)
    deciding.approve(world.use, world.admin2, made.id)
    return world.records("decision.approve")[-1]


def held(world: World) -> int:
    """Approved, its moment there, and a hold placed meanwhile."""
    about = approved(world)
    holds.place(world.use, world.admin, "gpt-2", "Wait.")
    world.clock.advance(2 * HOUR)
    return plant(world, "execute", about)


def past_a_finding(world: World) -> int:
    """A partner reports something critical before the moment comes."""
    about = approved(world)
    report(world, severity=Severity.CRITICAL)
    world.clock.advance(2 * HOUR)
    return plant(world, "execute", about)


def unreported(world: World) -> int:
    about = approved(world)
    stage_editing.edit(world.use, world.admin, "gpt-2/774M", reports_at_least=2)
    report(world)
    world.clock.advance(2 * HOUR)
    return plant(world, "execute", about)


def early(world: World) -> int:
    return plant(world, "execute", approved(world))


def again(world: World) -> int:
    world.move("gpt-2/774M", StageState.PUBLIC)
    world.move("gpt-2/774M", StageState.PARTNERS)
    records = [one for one in world.records("decision.execute") if (one["on"], one["to"]) == ("gpt-2/774M", "public")]
    return plant(world, "execute", records[-1])


def overtaking(world: World) -> int:
    """The later of two is carried out first."""
    approved(world, stage="gpt-2/1558M", to=StageState.PARTNERS)
    world.clock.advance(timedelta(minutes=1))
    about = approved(world)
    world.clock.advance(2 * HOUR)
    return plant(world, "execute", about)


def cancelled(world: World) -> int:
    about = proposed(world)
    deciding.cancel(world.use, world.admin, about["decision"])
    return plant(world, "execute", about)


def unforbidden(world: World) -> int:
    about = approved(world)
    world.clock.advance(2 * HOUR)
    return plant(world, "block", about, because=["Nothing."])


def another_state(world: World) -> int:
    about = approved(world)
    world.clock.advance(2 * HOUR)
    return plant(world, "execute", about | {"to": "withdrawn"})


def old_way(world: World) -> int:
    record = {"actor": world.admin.as_record(), "stage": "gpt-2/774M", "before": "partners", "to": "public"}
    return world.plant("stage.move", record)


BROKEN: dict[str, tuple[Planted, str]] = {
    "executed without an approval": (lambda world: plant(world, "execute", proposed(world)), NEVER),
    "approved by its proposer": (
        lambda world: plant(world, "approve", proposed(world), "admin"),
        "it was proposed and approved by the same person",
    ),
    "approved by somebody else than an admin": (
        lambda world: plant(world, "approve", proposed(world), "publisher"),
        "publisher@example-lab.example, who did it, had the role publisher, which does not allow this",
    ),
    "before its moment": (early, "it comes before the decision's moment"),
    "out of order": (overtaking, "a decision with an earlier moment was still to be carried out"),
    "past a hold": (held, "it carries out a decision past a hold on gpt-2"),
    "past a critical finding": (past_a_finding, "it carries out a decision past finding 1, which was critical"),
    "before the reports that it needs": (
        unreported,
        "it carries out a decision past the minimum of 2 reports by partners: there were 1",
    ),
    "twice": (again, "it is about a decision that was done"),
    "after it was cancelled": (cancelled, "it is about a decision that was cancelled"),
    "to another state": (another_state, "it carries out a different decision than was proposed"),
    "blocked by nothing": (unforbidden, "it blocks a decision that nothing forbade"),
    "that was never proposed": (
        lambda world: plant(world, "execute", proposed(world) | {"decision": 4711}),
        "it carries out a decision that was never proposed",
    ),
    "the way of before": (old_way, "it moves a stage without a decision of two people"),
}


@cases("what", BROKEN)
def test_a_move_past_the_rules_is_named(world: World, what: str) -> None:
    """What came before it is whole; the entry that was planted is named, with what is wrong with it."""
    do, sentence = BROKEN[what]
    entry = do(world)
    found = [fault for fault in world.faults() if fault.row == world.name_of(entry)]
    assert sentence in {fault.sentence for fault in found}
    assert {fault.row for fault in world.faults()} == {world.name_of(entry)}


def test_the_whole_of_it_done_well_is_no_fault(world: World) -> None:
    """At once, at its time, blocked, rejected and cancelled: the log verifies, and the tables are as it says."""
    world.move("gpt-2/774M", StageState.PUBLIC)
    approved(world, stage="gpt-2/1558M", to=StageState.PARTNERS)
    deciding.reject(world.use, world.admin2, proposed(world, to=StageState.PARTNERS)["decision"], "No.")
    holds.place(world.use, world.admin, "mini-gpt", "Wait.")
    world.move("mini-gpt/base", StageState.PUBLIC)
    cancel = proposed(world, to=StageState.WITHDRAWN)
    deciding.cancel(world.use, world.admin2, cancel["decision"])
    world.seal()
    assert [fault for result in verifying.verify(world.use, tables=True) for fault in result.faults] == []


CHANGED = {
    "a reason that is public": ("public_reason = 'Another.'", "public reason"),
    "a rationale": ("rationale = 'Another.'", "rationale"),
    "what would change it": ("would_change = 'Another.'", "what would change it"),
    "what it rested on": ("evidence = '{}'", "evidence"),
    "what it rested on at last": ("evidence_when_done = '{}'", "evidence when done"),
    "a state": ("state = 'proposed'", "state"),
    "an approver": ("approved_by = 1", "approver"),
    "a moment": ("opens_at = '2026-01-01 00:00:00'", "moment"),
    "where to": ("to_state = 'public'", "last state"),
}


@cases("what", CHANGED)
def test_a_decision_that_was_changed_in_the_tables_is_named(world: World, what: str) -> None:
    """`log verify --tables` holds each of its columns, texts too, against the log."""
    world.tampered = True
    change, column = CHANGED[what]
    number = world.move("gpt-2/1558M", StageState.PARTNERS).id
    tampering.run(world.settings.database_url, f"UPDATE decisions SET {change} WHERE id = {number}")  # noqa: S608
    found = [fault for result in verifying.verify(world.use, tables=True) for fault in result.faults]
    assert [(one.row, one.sentence) for one in found] == [(f"decisions {number}", f"its {column} differs from the log")]
