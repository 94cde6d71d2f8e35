"""Records in words: what each kind of entry and alarm says, for people; the exact text stands beside it."""

from datetime import UTC, datetime
from typing import Any

import orjson

from server.domain.delivery.alarms import AlarmKind
from server.log.entries import LogEntry

KINDS = {
    "access_request.approve": "Access request turned into a clearance",
    "access_request.create": "Access asked for",
    "access_request.decline": "Access request declined",
    "access_request.withdraw": "Access request taken back",
    "agreement.publish": "Agreement version published",
    "alarm": "Alarm raised",
    "alarm.resolve": "Alarm resolved",
    "checkpoint.publish": "Checkpoint published",
    "checkpoint.set_main": "Main checkpoint changed",
    "clearance.approve": "Clearance approved",
    "clearance.propose": "Clearance proposed",
    "clearance.revoke": "Clearance revoked",
    "download": "Download issued",
    "entry.erase": "Entry erased",
    "heartbeat": "Heartbeat",
    "hold.lay": "Hold laid",
    "hold.lift": "Hold lifted",
    "instance.begin": "Instance begun",
    "invitation.invite": "Person invited",
    "invitation.withdraw": "Invitation withdrawn",
    "log.close": "Log closed",
    "log.export": "Log exported",
    "log.open": "Log opened",
    "log.resume": "Log resumed",
    "model.add": "Model added",
    "organization.add": "Organization added",
    "organization.networks": "Organization's networks set",
    "organization.quota": "Organization's quota set",
    "organization.resume": "Organization resumed",
    "organization.suspend": "Organization suspended",
    "person.accept_invitation": "Invitation accepted",
    "person.add": "Person added",
    "person.change_role": "Person's role changed",
    "person.disable": "Person disabled",
    "person.enable": "Person enabled",
    "person.factor_add": "Factor added",
    "person.factor_name": "Factor renamed",
    "person.factor_remove": "Factor removed",
    "person.factor_replace": "Factor replaced",
    "person.password_change": "Password changed",
    "person.reset_password": "Password reset",
    "reconciliation": "Access logs reconciled",
    "signature.countersign": "Signature countersigned",
    "signature.decline": "Signature declined",
    "signature.end": "Signature ended",
    "signature.record": "Signature recorded",
    "signature.sign": "Agreement signed",
    "stage.add": "Stage added",
    "stage.alias": "Stage alias added",
    "stage.announce": "Stage announced or hidden",
    "stage.move": "Stage moved",
    "tier.add": "Tier defined",
    "token.create": "Token made",
    "token.revoke": "Token revoked",
    "token.revoke_leaked": "Leaked token revoked",
    "token.rotate": "Token rotated",
    "token.take_over": "Token taken over",
}
ALARMS = {
    AlarmKind.GHOST_READ: "Ghost read",
    AlarmKind.FOREIGN_ADDRESS: "Foreign address",
    AlarmKind.USED_AFTER_REVOCATION: "Used after an end",
    AlarmKind.OVER_READ: "Read too much",
    AlarmKind.DECOY_TOUCHED: "Decoy touched",
}
_MOMENTS = frozenset({"time", "starts_at", "expires_at", "wanted_until", "read_at"})
_BYTES = frozenset({"size_bytes", "bytes_sent", "bytes_per_day"})
_HASHES = frozenset({"checkpoint", "content_sha256", "agreement_sha256", "document_sha256", "sha256", "object_key"})
_ACTOR = {
    "person": "By", "organization": "Their organization", "via": "Through", "token": "Token",
    "address": "From", "user_agent": "Program",
}  # fmt: skip
_VIA = {"session": "the portal", "token": "a token", "cli": "the command line", "anonymous": "no sign-in"}
_LABELS = {"agreement_sha256": "Agreement's SHA-256", "lifetime_seconds": "Seconds that URLs work"}
_ELSEWHERE = frozenset({"actor", "files", "version", "kind"})  # shown in a way of their own

Fact = tuple[str, str, Any]  # what it is, how it is shown, and the value


def in_words(kind: str) -> str:
    """`Clearance approved`; a kind that has no words yet stands for itself."""
    return KINDS.get(kind) or kind.replace(".", ": ").replace("_", " ").capitalize()


def about(entry: LogEntry) -> str:
    """What an entry is about, in a word or two."""
    thing = entry.kind.partition(".")[0].replace("_", " ")
    if entry.stage is not None or entry.subject is None:
        return entry.stage or "–"
    if thing == "person":
        return str(of(entry).get("person", "–"))
    return f"{thing} {entry.subject}" if entry.subject.isdigit() else entry.subject


def of(entry: LogEntry) -> dict[str, Any]:
    """The record; empty where it was erased."""
    loaded: dict[str, Any] = orjson.loads(entry.record) if entry.record else {}
    return loaded


def facts(record: dict[str, Any]) -> list[Fact]:
    """What a record says, line by line: first who acted, then what."""
    actor = record.get("actor", {})
    told: list[Fact] = [
        (label, "text", _VIA.get(actor[name], actor[name]) if name == "via" else actor[name])
        for name, label in _ACTOR.items()
        if name in actor
    ]
    told += [fact for name, value in sorted(record.items()) if name not in _ELSEWHERE for fact in _fact(name, value)]
    return told


def _fact(name: str, value: Any) -> list[Fact]:
    label = _LABELS.get(name) or name.replace("_", " ").capitalize()
    if value is None or value in ({}, []):
        return []
    if name in _MOMENTS and isinstance(value, int):
        return [(label.removesuffix(" at"), "moment", datetime.fromtimestamp(value / 1000, UTC))]
    if name in _BYTES and isinstance(value, int):
        return [(label.removesuffix(" bytes"), "bytes", value)]
    if isinstance(value, dict):
        return [(f"{label}: {part}", "text", str(more)) for part, more in sorted(value.items())]
    if isinstance(value, list):
        return [(label, "text", ", ".join(map(str, value)))]
    if isinstance(value, bool):
        return [(label, "text", "yes" if value else "no")]
    return [(label, "hash" if name in _HASHES else "text", value if name in _HASHES else str(value))]
