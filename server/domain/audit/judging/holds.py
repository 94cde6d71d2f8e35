"""Rules for holds: on a stage, a model, everything or an organization, and what was cut at the store for one."""

from collections.abc import Iterator

from server.domain.audit.judging.world import JudgedByNothing, Record, Rule, World
from server.domain.entry_kinds import EntryKind
from server.domain.identity.organizations import HELD_AS


def _place(world: World, record: Record) -> Iterator[str]:
    on = _on(record)
    yield from _about_an_organization(world, on, suspended=True)
    world.held[on] = record["actor"].get("person")


def _lift(world: World, record: Record) -> Iterator[str]:
    on = _on(record)
    yield from _about_an_organization(world, on, suspended=False)
    if world.held.pop(on, record) is record:
        yield "it lifts a hold that did not exist"
    if "decision" in record or world.two_people:
        yield from _decided(world, record, on)


def _decided(world: World, record: Record, on: str) -> Iterator[str]:
    """Two people lift a hold: the entry names the decision that another admin approved just before."""
    decision = world.decisions.get(record.get("decision", -1))
    if decision is None or (decision.decides, decision.on) != ("lift", on):
        yield "it lifts a hold that two different people had not decided to lift"
        return
    if decision.state != "approved":
        yield f"it lifts a hold by a decision that was {decision.state}"
    decision.state = "done"


def _cut(world: World, record: Record) -> Iterator[str]:
    if record["on"] not in world.held:
        yield "it cuts the URLs of something that was not on hold"


def _about_an_organization(world: World, on: str, *, suspended: bool) -> Iterator[str]:
    if not on.startswith(HELD_AS):
        return
    about = world.organizations.get(on.removeprefix(HELD_AS))
    if about is None:
        yield "it is about an organization that was never added"
        return
    if about.is_lab:
        yield "the lab cannot be suspended"
    about.suspended = suspended


def _on(record: Record) -> str:
    """What the hold is on; older logs suspended organizations by kinds of their own."""
    on: str = record["on"] if "on" in record else HELD_AS + record["organization"]
    return on


RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    EntryKind.HOLD_LAY: _place,
    EntryKind.HOLD_PLACE: _place,
    EntryKind.HOLD_LIFT: _lift,
    EntryKind.HOLD_CUT: _cut,
    EntryKind.ORGANIZATION_SUSPEND: _place,
    EntryKind.ORGANIZATION_RESUME: _lift,
}
