"""Rules for proposals, and for the acts that one person alone may not do: each names the proposal that allowed it."""

from collections.abc import Iterator
from datetime import timedelta

from server.domain.audit.judging.world import Organization, Proposal, Record, Rule, World
from server.domain.entry_kinds import EntryKind
from server.domain.identity.proposals import KINDS, ProposalKind
from server.domain.permissions import POLICY, Permission

_MS = timedelta(milliseconds=1)


def quota_faults(world: World, record: Record, about: Organization) -> Iterator[str]:
    """Judge a new quota: beyond what the entry says that one admin may set, two have let it happen."""
    new, old, alone = record["bytes_per_day"], about.bytes_per_day, record.get("alone_up_to", 0)
    raised = old is not None and (new is None or new > old)
    if not world.two_people or not raised or (new is not None and new <= alone):
        return
    says = {"bytes_per_day": new, "requests_per_minute": record["requests_per_minute"]}
    yield from allowed(world, record, ProposalKind.QUOTA, record["organization"], says)


def allowed(world: World, record: Record, what: ProposalKind, on: str, says: Record) -> Iterator[str]:
    """Judge an act that takes two people: it names the proposal of exactly this that another approved, once."""
    proposal = world.proposals.get(record.get("proposal", -1))
    if proposal is None or proposal.state != "approved":
        yield "it takes two people, and names no proposal that a second one approved"
        return
    if (proposal.what, proposal.on, proposal.says) != (what, on, says):
        yield "it does something else than was proposed"
    proposal.state = "done"


def _create(world: World, record: Record) -> Iterator[str]:
    if record["proposal"] in world.proposals:
        yield f"proposal {record['proposal']} already exists"
    by, permission = record["actor"].get("person"), KINDS[ProposalKind(record["what"])].permission
    if not world.may(by, permission):
        yield "it proposes what its proposer could not do"
    if record["actor"].get("via") == "token" and not POLICY[permission].scopes:
        yield "it proposes with a token what only a person can propose"
    world.proposals[record["proposal"]] = Proposal(record["what"], record["on"], record["says"], by)


def _close(world: World, record: Record) -> Iterator[str]:
    proposal, by = world.proposals.get(record["proposal"]), record["actor"].get("person")
    if proposal is None or proposal.state != "proposed":
        yield "it is about a proposal that was not open"
        return
    if (proposal.what, proposal.on, proposal.says) != (record["what"], record["on"], record["says"]):
        yield "it is about something else than was proposed"
    if record["kind"] == EntryKind.PROPOSAL_REJECT:
        if record["actor"].get("via") == "token":
            yield "it was closed with a token, which takes a person"
        proposal.state = "closed"
        if by != proposal.proposed_by and not world.may(by, Permission.PROPOSAL_APPROVE):
            yield "it rejects what another person proposed, which takes an admin"
        return
    if not world.may(proposal.proposed_by, KINDS[ProposalKind(proposal.what)].permission):
        yield f"{proposal.proposed_by}, who proposed it, was no longer allowed to"
    proposal.fault = world.second_person_fault(by, proposal.proposed_by)
    if proposal.fault is not None:
        yield proposal.fault
    proposal.approved_by, proposal.approved_at, proposal.state = by, record["time"], "approved"


def _log_open(world: World, record: Record) -> Iterator[str]:
    """Judge the next log by who let the one before it be closed: that both name each other is judged elsewhere."""
    if ProposalKind.KEYS not in world.takes_two:
        return
    by = record["actor"].get("person")
    if record.get("alone"):
        if record["actor"].get("via") != "cli":
            yield "keys are rotated by one person alone on the host only"
        yield from (f"{email} could have approved it, but it was done alone" for email in world.able(by))
        world.notes.append(f"the log's keys were rotated on the host by {by} alone: {record['because']}")
        return
    says = {"abandon": record.get("abandoned", False), "because": record["because"]}
    if (permit := world.proposals.get(record.get("proposal", -1))) is not None:
        if (permit.proposed_by, permit.approved_by) != (record["proposed_by"], record["approved_by"]):
            yield "it names others than those who proposed and approved it"
        if record["time"] - permit.approved_at > KINDS[ProposalKind.KEYS].good_for / _MS:
            yield "what allowed it had ended"
        if says["abandon"] and permit.fault is not None:  # the faults of a log that is abandoned are known
            yield permit.fault
    yield from allowed(world, record, ProposalKind.KEYS, record["before"].rpartition("/")[2], says)


RULES: dict[EntryKind, Rule] = {
    EntryKind.LOG_OPEN: _log_open,
    EntryKind.PROPOSAL_CREATE: _create,
    EntryKind.PROPOSAL_APPROVE: _close,
    EntryKind.PROPOSAL_REJECT: _close,
}
