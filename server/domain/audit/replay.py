"""What the log means: the acts in it are replayed, and each download must have been allowed by those before it.

This restates the access rule from the entries alone, apart from the tables that decided: an entry that was written past
the rule, or a table that was changed behind the log's back, shows as a download that nothing in the log allowed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.release.holds import EVERYTHING
from server.log.entries import Log, LogEntry
from server.log.verification import Fault

GHOST_READ = "it tells of a file that was read and that no entry allows: the signing key may be in other hands"
BACK_AT_MOST_MS = 60_000  # clocks of several machines may differ by so much
ROWS_AT_ONCE = 2000

Record = dict[str, Any]


@dataclass
class _Clearance:
    """What the log has said of a clearance so far."""

    organization: str
    model: str
    tier: str
    starts_at: int
    expires_at: int
    proposed_by: str | None
    approved: bool = False
    revoked: bool = False


@dataclass
class _Stage:
    tier: str
    agreement: str | None
    state: str = "planned"


@dataclass
class Replay:
    """The state of the world as the log tells it; `take` moves it on by one entry and yields what cannot be."""

    second_person_tier: str
    lab: str | None = None
    ranks: dict[str, int] = field(default_factory=dict)
    clearances: dict[int, _Clearance] = field(default_factory=dict)
    stages: dict[str, _Stage] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)  # agreement → sha256 of its current version
    offered: dict[int, tuple[str, str]] = field(default_factory=dict)  # the same before the lab countersigned
    signed: dict[int, tuple[str, str]] = field(default_factory=dict)  # signature → organization, sha256
    held: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    last_ms: int = 0

    def take(self, record: Record) -> Iterator[str]:
        """Yield a sentence for everything that this entry says and that the ones before it do not allow."""
        if record["time"] < self.last_ms - BACK_AT_MOST_MS:
            yield "its time is more than a minute before that of an entry sealed earlier"
        self.last_ms = max(self.last_ms, record["time"])
        rule = _RULES.get(record["kind"])
        if rule is not None:
            yield from rule(self, record)

    def needs_two(self, tier: str) -> bool:
        threshold = self.ranks.get(self.second_person_tier)
        return threshold is None or self.ranks.get(tier, 0) >= threshold


def verify(
    session: Session,
    log: Log,
    second_person_tier: str,
    replay: Replay | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Fault]:
    """Yield every sealed or young entry whose act was not allowed by the entries before it.

    replay: the state at the end of the log before, when this one continues it. progress: entries replayed.
    """
    replay = replay or Replay(second_person_tier)
    for count, (entry_id, text) in enumerate(records(session, log)):
        if count % ROWS_AT_ONCE == 0:
            progress(count)
        try:
            for sentence in replay.take(orjson.loads(text)):
                yield Fault(f"entry {entry_id}", sentence)
        except (KeyError, TypeError, AttributeError, ValueError):
            yield Fault(f"entry {entry_id}", "its record does not say what an entry of its kind says")


def records(session: Session, log: Log) -> Iterator[tuple[int, bytes]]:
    """Every entry's id and record in the tree's order, then the unsealed ones in theirs; in bounded memory.

    Without those that were emptied: that they may be is `log/verification.py`'s to say.
    """
    place = -1
    columns = select(LogEntry.id, LogEntry.leaf_index, LogEntry.record).where(LogEntry.log_id == log.id)
    while True:
        sealed = columns.where(LogEntry.leaf_index > place).order_by(LogEntry.leaf_index).limit(ROWS_AT_ONCE)
        rows = session.execute(sealed).all()
        for row in rows:
            if row.record:
                yield row.id, row.record
        if len(rows) < ROWS_AT_ONCE:
            break
        place = rows[-1].leaf_index
    for row in session.execute(columns.where(LogEntry.leaf_index.is_(None)).order_by(LogEntry.id)):
        yield row.id, row.record


def _instance_begin(world: Replay, record: Record) -> Iterable[str]:
    world.lab = record["organization"]
    return ()


def _tier_add(world: Replay, record: Record) -> Iterable[str]:
    world.ranks[record["tier"]] = record["rank"]
    return ()


def _clearance_propose(world: Replay, record: Record) -> Iterable[str]:
    world.clearances[record["clearance"]] = _Clearance(
        record["organization"], record["model"], record["tier"], record["starts_at"], record["expires_at"],
        record["actor"].get("person"),
    )  # fmt: skip
    return ()


def _clearance_approve(world: Replay, record: Record) -> Iterator[str]:
    clearance = world.clearances.get(record["clearance"])
    if clearance is None:
        yield "it approves a clearance that was never proposed"
        return
    if world.needs_two(clearance.tier) and record["actor"].get("person") in {None, clearance.proposed_by}:
        yield "the clearance was not approved by another person than the one who proposed it"
    clearance.approved = True


def _clearance_revoke(world: Replay, record: Record) -> Iterator[str]:
    if record["clearance"] in world.clearances:
        world.clearances[record["clearance"]].revoked = True
    else:
        yield "it revokes a clearance that was never proposed"


def _agreement_publish(world: Replay, record: Record) -> Iterable[str]:
    world.current[record["agreement"]] = record["sha256"]
    return ()


def _signature_record(world: Replay, record: Record) -> Iterable[str]:
    world.signed[record["signature"]] = (record["organization"], record["agreement_sha256"])
    return ()


def _signature_sign(world: Replay, record: Record) -> Iterable[str]:
    world.offered[record["signature"]] = (record["organization"], record["agreement_sha256"])
    return ()


def _signature_countersign(world: Replay, record: Record) -> Iterator[str]:
    offered = world.offered.pop(record["signature"], None)
    if offered is None or offered != (record["organization"], record["agreement_sha256"]):
        yield "it countersigns a signature that was never given"
        return
    world.signed[record["signature"]] = offered


def _signature_decline(world: Replay, record: Record) -> Iterator[str]:
    if world.offered.pop(record["signature"], None) is None:
        yield "it declines a signature that was never given"


def _signature_end(world: Replay, record: Record) -> Iterator[str]:
    if world.signed.pop(record["signature"], None) is None:
        yield "it ends a signature that was never recorded"


def _stage_add(world: Replay, record: Record) -> Iterable[str]:
    world.stages[record["stage"]] = _Stage(record["tier"], record.get("agreement"))
    return ()


def _stage_move(world: Replay, record: Record) -> Iterator[str]:
    stage = world.stages.get(record["stage"])
    if stage is None or stage.state != record["before"]:
        yield "it moves a stage from a state that it was not in"
    if stage is not None:
        stage.state = record["to"]


def _hold(world: Replay, record: Record) -> Iterable[str]:
    (world.held.add if record["kind"] in {"hold.lay", "hold.place"} else world.held.discard)(record["on"])
    return ()


def _suspension(world: Replay, record: Record) -> Iterable[str]:
    (world.suspended.add if record["kind"].endswith("suspend") else world.suspended.discard)(record["organization"])
    return ()


def _download(world: Replay, record: Record) -> Iterator[str]:
    name, organization = f"{record['model']}/{record['stage']}", record["actor"].get("organization")
    stage = world.stages.get(name)
    if stage is None:
        yield "it issues a stage that was never added"
        return
    if world.held & {name, record["model"], EVERYTHING}:
        yield "it issues what a hold lies on"
    if organization in world.suspended:
        yield "it issues to a suspended organization"
    if stage.state == "withdrawn":
        yield "it issues a withdrawn stage"
    if stage.state == "planned" and organization != world.lab:
        yield "it issues a stage that was not released"
    if stage.state != "public":
        yield from _clearance_faults(world, record, stage, organization)
        yield from _agreement_faults(world, record, stage, organization)


def _clearance_faults(world: Replay, record: Record, stage: _Stage, organization: str | None) -> Iterator[str]:
    clearance = world.clearances.get(record.get("clearance", -1))
    if clearance is None:
        yield "it names no clearance that the log knows"
        return
    if clearance.organization != organization or clearance.model != record["model"]:
        yield "its clearance is another organization's or another model's"
    if not clearance.approved:
        yield "its clearance was not approved"
    if clearance.revoked:
        yield "its clearance had been revoked"
    if not clearance.starts_at <= record["time"] < clearance.expires_at:
        yield "its clearance was not in force at that time"
    if world.ranks.get(clearance.tier, -1) < world.ranks.get(stage.tier, 0):
        yield "its clearance is of too low a tier"


def _agreement_faults(world: Replay, record: Record, stage: _Stage, organization: str | None) -> Iterator[str]:
    if stage.agreement is None:
        return
    wanted = world.current.get(stage.agreement)
    if record.get("agreement_sha256") != wanted or world.signed.get(record.get("signature", -1)) != (
        organization,
        wanted,
    ):
        yield "no signature of the agreement's current version was in force"


def _alarm(_: Replay, record: Record) -> Iterator[str]:
    if record["alarm"] == "ghost_read":
        yield GHOST_READ


_RULES: dict[str, Callable[[Replay, Record], Iterable[str]]] = {
    "instance.begin": _instance_begin,
    "tier.add": _tier_add,
    "clearance.propose": _clearance_propose,
    "clearance.approve": _clearance_approve,
    "clearance.revoke": _clearance_revoke,
    "agreement.publish": _agreement_publish,
    "signature.record": _signature_record,
    "signature.sign": _signature_sign,
    "signature.countersign": _signature_countersign,
    "signature.decline": _signature_decline,
    "signature.end": _signature_end,
    "stage.add": _stage_add,
    "stage.move": _stage_move,
    "hold.lay": _hold,
    "hold.place": _hold,
    "hold.lift": _hold,
    "organization.suspend": _suspension,
    "organization.resume": _suspension,
    "download": _download,
    "alarm": _alarm,
}

JUDGING = frozenset(_RULES) - {"download", "alarm"}  # kinds by which other entries are judged: what they say must stay
