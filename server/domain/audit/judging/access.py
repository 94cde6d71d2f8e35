"""Rules for what opens a stage to an organization: tiers, clearances, agreements, signatures."""

from collections.abc import Iterator

from server.domain.audit.judging.world import Clearance, JudgedByNothing, Record, Rule, Signature, World
from server.domain.entry_kinds import EntryKind


def _tier_add(world: World, record: Record) -> Iterator[str]:
    if record["tier"] in world.ranks or record["rank"] in world.ranks.values():
        yield "it defines a tier or a rank that already exists"
    world.ranks[record["tier"]] = record["rank"]
    if record.get("report_to_renew"):
        world.report_to_renew.add(record["tier"])


def _tier_edit(world: World, record: Record) -> Iterator[str]:
    if record["tier"] not in world.ranks:
        yield "it changes a tier that was never added"
    if record["report_to_renew"]:
        world.report_to_renew.add(record["tier"])
    else:
        world.report_to_renew.discard(record["tier"])


def _agreement_publish(world: World, record: Record) -> Iterator[str]:
    name, until = record["agreement"], record.get("resign_until")
    world.lasting.pop(name, None)
    if until is not None:
        world.lasting[name] = world.current.get(name), until
        if name not in world.current:
            yield "it gives time to sign again an agreement that nobody can have signed"
    world.current[name] = record["sha256"]


def _clearance_propose(world: World, record: Record) -> Iterator[str]:
    if record["clearance"] in world.clearances:
        yield "it proposes a clearance that already exists"
    world.clearances[record["clearance"]] = Clearance(*_terms(record), record["actor"].get("person"))


def _clearance_approve(world: World, record: Record) -> Iterator[str]:
    clearance, by = world.clearances.get(record["clearance"]), record["actor"].get("person")
    if clearance is None:
        yield "it approves a clearance that was never proposed"
        return
    if clearance.approved or clearance.revoked:
        yield "it approves a clearance that was already approved or revoked"
    if _terms(record) != _terms(vars(clearance)):
        yield "it approves a different clearance than was proposed"
    if world.needs_two(clearance.tier) and (fault := world.second_person_fault(by, clearance.proposed_by)) is not None:
        yield fault
    clearance.approved, clearance.approved_by = True, by


def _terms(of: Record) -> tuple[str, str, str, int, int]:
    return of["organization"], of["model"], of["tier"], of["starts_at"], of["expires_at"]


def _clearance_revoke(world: World, record: Record) -> Iterator[str]:
    if (clearance := world.clearances.get(record["clearance"])) is not None:
        clearance.revoked = True
    else:
        yield "it revokes a clearance that was never proposed"


def _signature_record(world: World, record: Record) -> Iterator[str]:
    if record["signature"] in world.signatures:
        yield "it records a signature that already exists"
    world.signatures[record["signature"]] = Signature(record["organization"], record["agreement_sha256"], "in force")


def _signature_sign(world: World, record: Record) -> Iterator[str]:
    if record["actor"].get("organization") != record["organization"]:
        yield "it signs for a different organization"
    if record["signature"] in world.signatures:
        yield "it gives a signature that already exists"
    world.signatures[record["signature"]] = Signature(record["organization"], record["agreement_sha256"], "waiting")


def _signature_countersign(world: World, record: Record) -> Iterator[str]:
    signature = world.signatures.get(record["signature"])
    given = None if signature is None else (signature.organization, signature.agreement_sha256, signature.state)
    if signature is None or given != (record["organization"], record["agreement_sha256"], "waiting"):
        yield "it countersigns a signature that was never given"
        return
    if record["actor"].get("organization") == signature.organization:
        yield "an organization countersigned its own signature"
    signature.state = "in force"


def _signature_decline(world: World, record: Record) -> Iterator[str]:
    signature = world.signatures.get(record["signature"])
    if signature is None or signature.state != "waiting":
        yield "it declines a signature that was never given"
        return
    signature.state = "declined"


def _signature_end(world: World, record: Record) -> Iterator[str]:
    signature = world.signatures.get(record["signature"])
    if signature is None or signature.state != "in force":
        yield "it ends a signature that was never recorded"
        return
    signature.state = "ended"


def _own_request(_: World, record: Record) -> Iterator[str]:
    if record["actor"].get("organization") != record["organization"]:
        yield "nobody can request access for another organization, or withdraw its request"


_DECIDED = JudgedByNothing("because the resulting clearance is judged itself")
RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    EntryKind.TIER_ADD: _tier_add,
    EntryKind.TIER_EDIT: _tier_edit,
    EntryKind.AGREEMENT_PUBLISH: _agreement_publish,
    EntryKind.CLEARANCE_PROPOSE: _clearance_propose,
    EntryKind.CLEARANCE_APPROVE: _clearance_approve,
    EntryKind.CLEARANCE_REVOKE: _clearance_revoke,
    EntryKind.SIGNATURE_RECORD: _signature_record,
    EntryKind.SIGNATURE_SIGN: _signature_sign,
    EntryKind.SIGNATURE_COUNTERSIGN: _signature_countersign,
    EntryKind.SIGNATURE_DECLINE: _signature_decline,
    EntryKind.SIGNATURE_END: _signature_end,
    EntryKind.ACCESS_REQUEST_CREATE: _own_request,
    EntryKind.ACCESS_REQUEST_WITHDRAW: _own_request,
    EntryKind.ACCESS_REQUEST_APPROVE: _DECIDED,
    EntryKind.ACCESS_REQUEST_DECLINE: JudgedByNothing("because it grants nothing"),
}
