"""Rules for proposals, and for the acts that one person alone may not do: each names the proposal that allowed it."""

from collections.abc import Iterator

from server.domain.audit.world import Organization, Proposal, Record, Rule, World
from server.domain.entry_kinds import EntryKind
from server.domain.identity.proposals import KINDS, ProposalKind
from server.domain.permissions import Permission


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
    by = record["actor"].get("person")
    if not world.may(by, KINDS[ProposalKind(record["what"])].permission):
        yield "it proposes what its proposer could not do"
    world.proposals[record["proposal"]] = Proposal(record["what"], record["on"], record["says"], by)


def _close(world: World, record: Record) -> Iterator[str]:
    proposal, by = world.proposals.get(record["proposal"]), record["actor"].get("person")
    if proposal is None or proposal.state != "proposed":
        yield "it is about a proposal that was not open"
        return
    if (proposal.what, proposal.on, proposal.says) != (record["what"], record["on"], record["says"]):
        yield "it is about something else than was proposed"
    if record["kind"] == EntryKind.PROPOSAL_REJECT:
        proposal.state = "closed"
        if by != proposal.proposed_by and not world.may(by, Permission.PROPOSAL_APPROVE):
            yield "it rejects what another person proposed, which takes an admin"
        return
    if not world.may(proposal.proposed_by, KINDS[ProposalKind(proposal.what)].permission):
        yield f"{proposal.proposed_by}, who proposed it, was no longer allowed to"
    if (fault := world.second_person_fault(by, proposal.proposed_by)) is not None:
        yield fault
    proposal.approved_by, proposal.state = by, "approved"


RULES: dict[EntryKind, Rule] = {
    EntryKind.PROPOSAL_CREATE: _create,
    EntryKind.PROPOSAL_APPROVE: _close,
    EntryKind.PROPOSAL_REJECT: _close,
}
