"""Proposals: list, show, approve, reject what takes two people."""

from typing import Any

import click

from server.cli.terminal import LARGE_COUNT, Instance, acting, show, show_list, show_one, with_json
from server.domain.callers import Caller
from server.domain.identity import proposals
from server.domain.identity.proposals import Proposal
from server.domain.operation import carrying_out
from server.domain.paging import every

COLUMNS = ("id", "kind", "on", "state", "proposed_by", "proposed_at", "approved_by")


@click.group()
def proposal() -> None:
    """Approve or reject proposals that need a second person."""


@proposal.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List all proposals, newest first."""
    with instance.use.database.reading() as session:
        found = every(lambda part: proposals.listed(session, caller, part))
        rows = [_row(one) for one in found]
    show_list(as_json, COLUMNS, rows)


@proposal.command("show")
@click.argument("proposal_id", type=LARGE_COUNT, metavar="ID")
@with_json
@acting
def show_(instance: Instance, caller: Caller, proposal_id: int, as_json: bool) -> None:
    """Show one proposal, with what is carried out once it is approved."""
    with instance.use.database.reading() as session:
        one = proposals.get(session, caller, proposal_id)
        show_one(as_json, dict(zip(COLUMNS, _row(one), strict=True)) | one.says)


@proposal.command()
@click.argument("proposal_id", type=LARGE_COUNT, metavar="ID")
@with_json
@acting
def approve(instance: Instance, caller: Caller, proposal_id: int, as_json: bool) -> None:
    """Approve what another person proposed. It is carried out immediately, or you are told what to run on the host."""
    done = carrying_out.approve(instance.use, caller, proposal_id)
    then = done.about.afterwards
    body = {"id": proposal_id, "state": done.state, "next": then}
    show(as_json, body, f"Proposal {proposal_id} is approved{' and carried out.' if then is None else f'. {then}'}")


@proposal.command()
@click.argument("proposal_id", type=LARGE_COUNT, metavar="ID")
@with_json
@acting
def reject(instance: Instance, caller: Caller, proposal_id: int, as_json: bool) -> None:
    """Reject a proposal; your own is withdrawn."""
    done = carrying_out.reject(instance.use, caller, proposal_id)
    show(as_json, {"id": proposal_id, "state": done.state}, f"Proposal {proposal_id} is {done.state}.")


def _row(one: Proposal) -> tuple[Any, ...]:
    approver = None if one.approver is None else one.approver.email
    return one.id, str(one.kind), one.subject, one.state, one.proposer.email, one.proposed_at, approver


COMMANDS = [proposal]
