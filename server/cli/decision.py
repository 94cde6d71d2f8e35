"""Decisions: rehearse, propose, approve, reject, cancel, list, show."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from server import dates
from server.cli.terminal import (
    LARGE_COUNT,
    MOMENT,
    READABLE,
    STAGE,
    Instance,
    acting,
    plain,
    show,
    show_list,
    show_one,
    with_json,
)
from server.domain.callers import Caller
from server.domain.decisions import deciding, proposing, rehearsals
from server.domain.decisions.proposing import Proposal
from server.domain.errors import InvalidRequest
from server.domain.paging import every
from server.domain.release import decisions
from server.domain.release.decisions import Decision, DecisionFilter, DecisionState
from server.domain.release.stage_states import StageState

STATES = click.Choice([str(state) for state in StageState if state is not StageState.PLANNED])
_reason = click.option("--reason", help="Why. Recorded in the log.")


@click.group()
def decision() -> None:
    """Decide that a stage moves: one admin proposes it, another approves it."""


@decision.command()
@click.argument("stage", type=STAGE, metavar="MODEL/STAGE")
@click.option("--to", type=STATES, required=True, help="The state to move it to.")
@click.option("--rationale-file", type=READABLE, required=True, help="Why now: Markdown, for staff.")
@click.option("--would-change-file", type=READABLE, required=True, help="What would change this: Markdown, for staff.")
@click.option("--public-reason", required=True, help="Why, for everyone to read.")
@click.option("--finding", "findings", type=LARGE_COUNT, multiple=True, help="A finding it considers; repeatable.")
@click.option("--opens-at", type=MOMENT, help="When, such as 2027-05-03T09:00:00+02:00 [once approved].")
@with_json
@acting
def propose(
    instance: Instance,
    caller: Caller,
    stage: str,
    to: str,
    rationale_file: Path,
    would_change_file: Path,
    public_reason: str,
    findings: tuple[int, ...],
    opens_at: datetime | None,
    as_json: bool,
) -> None:
    """Propose to move a stage. Nothing happens until another admin approves it."""
    proposal = Proposal(
        StageState(to), _text(rationale_file), _text(would_change_file), public_reason, findings, opens_at
    )
    made = proposing.propose(instance.use, caller, stage, proposal)
    when = "once it is approved" if opens_at is None else f"on {dates.second(opens_at)}, once it is approved"
    show(
        as_json,
        {"id": made.id, "state": made.state, "opens_at": plain(made.opens_at)},
        f"Decision {made.id} is proposed: {made.title}, {when}. Another admin approves it: "
        f"`decision approve {made.id}`.",
    )


@decision.command()
@click.argument("stage", type=STAGE, metavar="MODEL/STAGE")
@click.option("--to", type=STATES, required=True, help="The state to move it to.")
@with_json
@acting
def rehearse(instance: Instance, caller: Caller, stage: str, to: str, as_json: bool) -> None:
    """Show what a move would do now: who gains access, who lacks a signature, what forbids it."""
    with instance.use.database.reading() as session:
        found = rehearsals.rehearse(session, caller, stage, StageState(to), instance.use.clock())
    show_one(
        as_json,
        {
            "stage": found.stage, "from": str(found.before), "to": str(found.to), "everyone": found.everyone,
            "people": found.gains.people, "organizations": [one.slug for one in found.gains.named],
            "unsigned": [one.slug for one in found.unsigned.named], "keeps": [one.slug for one in found.keeps.named],
            "out_of_order": list(found.out_of_order), "blocked_by": list(found.blocks),
        },
    )  # fmt: skip


@decision.command()
@click.argument("decision_id", metavar="ID", type=LARGE_COUNT)
@_reason
@with_json
@acting
def approve(instance: Instance, caller: Caller, decision_id: int, reason: str | None, as_json: bool) -> None:
    """Approve a decision that someone else proposed. Exit 1 if something forbids it: it is then blocked."""
    _show(as_json, deciding.approve(instance.use, caller, decision_id, reason))


@decision.command()
@click.argument("decision_id", metavar="ID", type=LARGE_COUNT)
@_reason
@with_json
@acting
def reject(instance: Instance, caller: Caller, decision_id: int, reason: str | None, as_json: bool) -> None:
    """Reject a decision that someone else proposed."""
    _show(as_json, deciding.reject(instance.use, caller, decision_id, reason))


@decision.command()
@click.argument("decision_id", metavar="ID", type=LARGE_COUNT)
@_reason
@with_json
@acting
def cancel(instance: Instance, caller: Caller, decision_id: int, reason: str | None, as_json: bool) -> None:
    """Stop a decision that has not been carried out."""
    _show(as_json, deciding.cancel(instance.use, caller, decision_id, reason))


@decision.command("list")
@click.argument("stage", metavar="[MODEL/STAGE]", required=False)
@with_json
@acting
def list_(instance: Instance, caller: Caller, stage: str | None, as_json: bool) -> None:
    """List decisions, newest first; of one stage, or all."""
    with instance.use.database.reading() as session:
        found = every(lambda part: decisions.listed(session, caller, DecisionFilter(stage=stage), part))
    columns = ("id", "kind", "subject", "from", "to", "state", "opens_at", "proposed_by", "approved_by", "done_at")
    show_list(as_json, columns, [[_body(one)[column] for column in columns] for one in found])


@decision.command("show")
@click.argument("decision_id", metavar="ID", type=LARGE_COUNT)
@with_json
@acting
def show_decision(instance: Instance, caller: Caller, decision_id: int, as_json: bool) -> None:
    """Show a decision, and all that it rested on."""
    with instance.use.database.reading() as session:
        found = decisions.get(session, caller, decision_id)
        body = _body(found) | {"findings": list(decisions.considered(session, decision_id))}
    if as_json:
        body |= {"evidence": found.rested_on, "evidence_when_done": found.rested_on_when_done}
    show_one(as_json, body)


def _body(found: Decision) -> dict[str, Any]:
    return {
        "id": found.id, "kind": str(found.kind), "subject": found.subject, "state": str(found.state),
        "from": found.from_state, "to": found.to_state, "opens_at": found.opens_at,
        "proposed_by": found.proposer.email, "proposed_at": found.proposed_at,
        "approved_by": found.approver and found.approver.email, "approved_at": found.approved_at,
        "approved_because": found.approved_because, "closed_by": found.closer and found.closer.email,
        "closed_at": found.closed_at, "closed_because": found.closed_because,
        "blocked_because": found.blocked_because, "done_at": found.done_at, "public_reason": found.public_reason,
        "rationale": found.rationale, "would_change": found.would_change,
    }  # fmt: skip


def _show(as_json: bool, decided: Decision) -> None:
    """What became of it; what is blocked is a failure to scripts as well."""
    because = " ".join((decided.blocked_because or "").splitlines())
    moment = "" if decided.opens_at is None else dates.second(decided.opens_at)
    told = {
        DecisionState.APPROVED: f"approved. It will be carried out on {moment}",
        DecisionState.DONE: f"done: {decided.subject} is now {decided.to_state}",
        DecisionState.BLOCKED: f"blocked. Nothing has changed. {because} Once this is settled, propose it again",
    }
    state = DecisionState(decided.state)
    sentence = f"Decision {decided.id} is {told.get(state, state)}."
    body = {"id": decided.id, "state": state, "opens_at": plain(decided.opens_at)}
    show(as_json, body | {"blocked_because": decided.blocked_because}, sentence)
    if state is DecisionState.BLOCKED:
        sys.exit(1)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{file} is not UTF-8 text.") from None


COMMANDS = [decision]
