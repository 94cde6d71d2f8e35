"""Rules for trust records, and for the tokens that workloads get under them: one for each identity token."""

from collections.abc import Iterator

from server.domain.audit.judging.world import JudgedByNothing, Record, Rule, Token, TrustRecord, World
from server.domain.entry_kinds import EntryKind
from server.domain.identity import exchanges, identity_tokens, trust_records
from server.domain.identity.exchanges import Door

_MS = 1000


def _create(world: World, record: Record) -> Iterator[str]:
    number, actor, claims = record["trust_record"], record["actor"], record["claims"]
    if number in world.trust_records:
        yield f"trust record {number} was already created"
    if actor.get("via") == "token":
        yield "tokens cannot create trust records"
    if record["organization"] != actor.get("organization"):
        yield "it lets workloads act for another organization"
    if not claims.keys() & set(trust_records.IDENTIFYING):
        yield "it requires no claim that identifies a workload"
    if not set(record["scopes"]) <= set(trust_records.SCOPES):
        yield "it gives workloads a scope that they cannot have"
    world.trust_records[number] = TrustRecord(
        record["organization"], actor["person"], record["name"], record["issuer"], record["audience"], claims,
        frozenset(record["scopes"]), tuple(record["networks"]), record["expires_at"],
    )  # fmt: skip


def _revoke(world: World, record: Record) -> Iterator[str]:
    number = record["trust_record"]
    known = world.trust_records.get(number)
    if known is None:
        if "trust_record" not in world.forgotten:
            yield f"trust record {number} was never created"
        return
    if known.organization != record["actor"].get("organization"):
        yield f"they cannot revoke trust record {number}"
    if known.revoked:
        yield f"trust record {number} had been revoked"
    known.revoked = True
    for token in world.tokens.values():
        if token.trust_record == number and token.is_revoked_with(record["time"]):
            token.revoked = True


def _exchange(world: World, record: Record) -> Iterator[str]:
    name, actor, number = record["token"], record["actor"], record["trust_record"]
    if name in world.tokens:
        yield f"token {name} was already created"
    if record["identity_sha256"] in world.exchanged:
        yield "its identity token had been exchanged before"
    world.exchanged.add(record["identity_sha256"])
    known = world.trust_records.get(number)
    if known is not None:
        yield from _trust_faults(known, number, record)
    elif "trust_record" not in world.forgotten:
        yield f"trust record {number} was never created"
    longest = exchanges.LIFETIME if record["door"] == Door.EXCHANGE else identity_tokens.LIFE_AT_MOST
    if record["expires_at"] > record["time"] + (longest + identity_tokens.LEEWAY).total_seconds() * _MS:
        yield f"token {name} lives longer than a workload's can"
    world.tokens[name] = Token(
        actor["organization"], actor["person"], frozenset(record["scopes"]), record["expires_at"],
        record["secret_sha256"], tuple(record["networks"]), trust_record=number, subject=record["subject"],
        run=record.get("run"), identity_sha256=record["identity_sha256"], door=record["door"],
    )  # fmt: skip


def _trust_faults(known: TrustRecord, number: int, record: Record) -> Iterator[str]:
    actor = record["actor"]
    if (known.organization, known.person) != (actor["organization"], actor["person"]):
        yield f"trust record {number} acts for someone else"
    if known.revoked:
        yield f"trust record {number} had been revoked"
    if record["time"] >= known.expires_at:
        yield f"trust record {number} had expired"
    if record["expires_at"] > known.expires_at:
        yield f"its token lives longer than trust record {number}"
    if record["issuer"] != known.issuer:
        yield f"trust record {number} trusts another issuer"
    if known.claims.get("sub", record["subject"]) != record["subject"]:
        yield f"trust record {number} trusts another subject"
    if not set(record["scopes"]) <= known.scopes or tuple(record["networks"]) != known.networks:
        yield f"it gives more than trust record {number} does"


RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    EntryKind.TRUST_RECORD_CREATE: _create,
    EntryKind.TRUST_RECORD_REVOKE: _revoke,
    EntryKind.TOKEN_EXCHANGE: _exchange,
}
