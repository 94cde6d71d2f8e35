"""Holds: place, cut the issued URLs, propose and approve a lift, list, show."""

import sys
from typing import Any

import click

from server import dates
from server.cli.terminal import STAGE, Instance, acting, show, show_list, show_one, with_json
from server.domain.callers import Caller
from server.domain.decisions import lifting
from server.domain.downloads import cutting, outlasting
from server.domain.errors import NotPossible
from server.domain.release import holds
from server.domain.release.cuts import CutState, CutWay
from server.domain.release.holds import Hold
from server.storage.keys import KeyFileError
from server.storage.object_errors import ObjectStoreError

CANNOT_TELL = 3  # an exit code
WAYS = {
    CutWay.POLICY: "the bucket refuses them",
    CutWay.KEY: "the key that signed them was replaced, so every other URL failed, too",
}
RUNNING = "Transfers that had begun go on to their end."


@click.group()
def hold() -> None:
    """Pause and resume downloads. ON is model/stage, a model, `everything` or organization:SLUG."""


@hold.command()
@click.argument("on", type=STAGE)
@click.option("--reason", required=True, help="The reason, recorded in the log.")
@click.option("--cut-issued", is_flag=True, help="Make URLs that were already issued fail at the store, too.")
@with_json
@acting
def place(instance: Instance, caller: Caller, on: str, reason: str, cut_issued: bool, as_json: bool) -> None:
    """Place a hold: nobody can download ON until it is lifted. Exit 3: whether issued URLs work is not known."""
    on = holds.place(instance.use, caller, on, reason, cut_issued=cut_issued)
    if cut_issued:
        _cut(instance, on, f"{on} is on hold.", as_json)
        return
    lifetime = outlasting.seconds(instance.settings)
    sentence = f"{on} is on hold. {outlasting.sentence(instance.settings)}"
    show(as_json, {"on": on, "held": True, "issued_urls_end_in_seconds": lifetime}, sentence)


@hold.command()
@click.argument("on", type=STAGE)
@with_json
@acting
def cut(instance: Instance, caller: Caller, on: str, as_json: bool) -> None:
    """Make the URLs that were issued for ON, which is on hold, fail at the store."""
    on = holds.cut(instance.use, caller, on)
    _cut(instance, on, f"{on} stays on hold.", as_json)


@hold.command("propose-lift")
@click.argument("on", type=STAGE)
@click.option("--reason", required=True, help="The reason. For a stage or a model it is public.")
@with_json
@acting
def propose_lift(instance: Instance, caller: Caller, on: str, reason: str, as_json: bool) -> None:
    """Propose to lift the hold on ON. It stays until another admin approves."""
    show_proposed(instance, caller, on, reason, as_json)


@hold.command("approve-lift")
@click.argument("on", type=STAGE)
@with_json
@acting
def approve_lift(instance: Instance, caller: Caller, on: str, as_json: bool) -> None:
    """Approve the lift that another admin proposed: the hold on ON is lifted at once."""
    made = lifting.approve(instance.use, caller, on)
    told = f"The hold on {made.subject} has been lifted."
    try:
        cutting.carry_out(instance.use)
    except (ObjectStoreError, KeyFileError) as error:  # the worker tries it again
        told += f" The store still refuses its URLs: {error}. The worker tries again."
    show(as_json, {"id": made.id, "state": str(made.state), "on": made.subject}, told)


def show_proposed(instance: Instance, caller: Caller, on: str, reason: str, as_json: bool) -> None:
    """Propose a lift, and say who goes on; `organization resume` does the same."""
    made = lifting.propose(instance.use, caller, on, reason)
    told = f"Decision {made.id} is proposed. Another admin approves it: `hold approve-lift {made.subject}`."
    show(as_json, {"id": made.id, "state": str(made.state), "on": made.subject}, told)


@hold.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List every hold."""
    with instance.use.database.reading() as session:
        found = [_body(one) for one in holds.current(session, caller)]
    columns = ("on", "at", "by", "reason", "cut")
    show_list(as_json, columns, [tuple(one[name] for name in columns) for one in found])


@hold.command("show")
@click.argument("on", type=STAGE)
@with_json
@acting
def show_hold(instance: Instance, caller: Caller, on: str, as_json: bool) -> None:
    """Show the hold on exactly ON: who placed it, why, and what became of the URLs issued before."""
    with instance.use.database.reading() as session:
        on, found = holds.state_of(session, caller, on)
    if found is None:
        raise NotPossible(f"{on} is not on hold.", next_step="`hold list` shows every hold.")
    show_one(as_json, _body(found))


def _body(found: Hold) -> dict[str, Any]:
    body: dict[str, Any] = {"on": found.on, "at": found.at, "by": found.by, "reason": found.reason}
    cut = found.cut
    if cut is None:
        return body | {"cut": None}
    way = None if cut.way is None else str(cut.way)
    return body | {"cut": str(cut.state), "way": way, "milliseconds": cut.milliseconds, "told": cut.told}


def _cut(instance: Instance, on: str, stands: str, as_json: bool) -> None:
    """Carry the cut out and tell how long it took; what cannot be told is no success."""
    found = cutting.carry_out_now(instance.use, on)
    body: dict[str, Any] = {"on": on, "held": True, "way": None, "milliseconds": None, "told": None}
    if found is not None and found.state == CutState.DONE and found.way is not None:
        body |= {"way": str(found.way), "milliseconds": found.milliseconds}
        died = f"Issued URLs failed at the store after {found.milliseconds} ms: {WAYS[found.way]}."
        show(as_json, body, f"{stands} {died} {RUNNING}")
        return
    body["told"] = "it is still being tried" if found is None or found.told is None else found.told
    ends = dates.minute(instance.use.clock() + outlasting.at_most(instance.settings))
    show(as_json, body, f"{stands} Issued URLs may still work until {ends}: {body['told']}.")
    sys.exit(CANNOT_TELL)


COMMANDS = [hold]
