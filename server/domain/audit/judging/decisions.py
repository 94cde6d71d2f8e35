"""Rules for decisions: a stage moves by them alone, by two people, at its moment, once, in order, and past no block."""

from collections.abc import Iterator

from server.domain.audit.judging.world import Decision, JudgedByNothing, Record, Rule, World
from server.domain.entry_kinds import EntryKind
from server.domain.release.findings import COUNTED, FindingState, Severity
from server.domain.release.holds import EVERYTHING
from server.domain.release.stages import MOVES, OPENING, StageState

_CLOSES = {EntryKind.DECISION_REJECT: "rejected", EntryKind.DECISION_CANCEL: "cancelled"}


def _propose(world: World, record: Record) -> Iterator[str]:
    if record["decision"] in world.decisions:
        yield "it proposes a decision that already exists"
    if record["decides"] == "move":
        if record["on"] not in world.stages:
            yield "it is about a stage that was never added"
        if record["to"] not in MOVES[StageState(record["before"])]:
            yield f"a stage cannot move from {record['before']} to {record['to']}"
    elif record["on"] not in world.held:
        yield "it proposes to lift a hold that did not exist"
    if record.get("opens_at", record["time"] + 1) <= record["time"]:
        yield "it is scheduled for before it was proposed"
    world.decisions[record["decision"]] = Decision(
        *_terms(record), record["actor"].get("person"), record["public_reason"], record["rationale_sha256"],
        record["would_change_sha256"], record["evidence_sha256"], frozenset(record["findings"]),
    )  # fmt: skip


def _terms(record: Record) -> tuple[str, str, str | None, str | None, int | None]:
    return record["decides"], record["on"], record.get("before"), record.get("to"), record.get("opens_at")


def _named(world: World, record: Record, does: str) -> Iterator[str]:
    """Yield why an entry is not about the decision that it names."""
    decision = world.decisions.get(record["decision"])
    if decision is None:
        yield f"it {does} a decision that was never proposed"
    elif _terms(record) != decision.terms:
        yield f"it {does} a different decision than was proposed"


def _approve(world: World, record: Record) -> Iterator[str]:
    yield from _named(world, record, "approves")
    if (decision := world.decisions.get(record["decision"])) is None:
        return
    by = record["actor"].get("person")
    if decision.state != "proposed":
        yield f"it approves a decision that was {decision.state}"
    if (fault := world.second_person_fault(by, decision.proposed_by)) is not None:
        yield fault
    decision.state, decision.approved_by = "approved", by


def _close(world: World, record: Record) -> Iterator[str]:
    kind = EntryKind(record["kind"])
    yield from _named(world, record, "rejects" if kind is EntryKind.DECISION_REJECT else "cancels")
    if (decision := world.decisions.get(record["decision"])) is None:
        return
    if decision.state not in ({"proposed"} if kind is EntryKind.DECISION_REJECT else {"proposed", "approved"}):
        yield f"it closes a decision that was {decision.state}"
    decision.state, decision.closed_by = _CLOSES[kind], record["actor"].get("person")


def _execute(world: World, record: Record) -> Iterator[str]:
    yield from _named(world, record, "carries out")
    if record["decides"] != "move":
        yield "it carries out a lift, which is an entry of its own kind"
    yield from _at_its_turn(world, record)
    stage = world.stages.get(record["on"])
    if stage is None or stage.state != record["before"]:
        yield "it moves a stage from a state that it was not in"
    yield from (f"it carries out a decision past {block}" for block in _blocks(world, record))
    if stage is not None:
        stage.state, stage.was_public = record["to"], stage.was_public or record["to"] == StageState.PUBLIC
    world.consider(record["findings"])
    if (decision := world.decisions.get(record["decision"])) is not None:
        decision.state, decision.evidence_when_done_sha256 = "done", record["evidence_sha256"]


def _block(world: World, record: Record) -> Iterator[str]:
    yield from _named(world, record, "blocks")
    yield from _at_its_turn(world, record)
    stage = world.stages.get(record["on"])
    if stage is not None and stage.state == record["before"] and not _blocks(world, record):
        yield "it blocks a decision that nothing forbade"
    if (decision := world.decisions.get(record["decision"])) is not None:
        decision.state = "blocked"


def _at_its_turn(world: World, record: Record) -> Iterator[str]:
    """Yield why a decision's moment had not come, or was over."""
    if (decision := world.decisions.get(record["decision"])) is None:
        return
    if decision.state == "proposed":
        yield "two different people had not decided it: it was never approved"
    elif decision.state != "approved":
        yield f"it is about a decision that was {decision.state}"
    if decision.opens_at is None:
        return
    if record["time"] < decision.opens_at:
        yield "it comes before the decision's moment"
    waiting = (
        (one.opens_at, number) for number, one in world.decisions.items()
        if one.state == "approved" and one.opens_at is not None
    )  # fmt: skip
    if min(waiting, default=(decision.opens_at, record["decision"])) < (decision.opens_at, record["decision"]):
        yield "a decision with an earlier moment was still to be carried out"


def _blocks(world: World, record: Record) -> list[str]:
    """What the log knew then that forbids a move."""
    if (record["before"], record["to"]) not in OPENING:
        return []
    model = record["on"].partition("/")[0]
    found = [f"a hold on {on}" for on in (record["on"], model, EVERYTHING) if on in world.held]
    decision, stage = world.decisions.get(record["decision"]), world.stages.get(record["on"])
    considered = frozenset() if decision is None else decision.findings
    found += [
        f"finding {number}, which was critical"
        for number, one in world.findings.items()
        if one.stage.startswith(f"{model}/") and one.severity == Severity.CRITICAL
        and (one.state == FindingState.OPEN or (one.state == FindingState.CONFIRMED and number not in considered))
    ]  # fmt: skip
    if stage is not None and record["to"] == StageState.PUBLIC:
        count = sum(
            one.stage == record["on"] and one.state in COUNTED and one.organization != world.lab
            for one in world.findings.values()
        )
        if count < stage.reports_at_least:
            found.append(f"the minimum of {stage.reports_at_least} reports by partners: there were {count}")
    return found


RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    EntryKind.DECISION_PROPOSE: _propose,
    EntryKind.DECISION_APPROVE: _approve,
    EntryKind.DECISION_REJECT: _close,
    EntryKind.DECISION_CANCEL: _close,
    EntryKind.DECISION_EXECUTE: _execute,
    EntryKind.DECISION_BLOCK: _block,
}
