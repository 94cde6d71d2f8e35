"""The live tables against the log: each row that SQL changed, added or took away is named, and nothing else is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.domain.audit import verifying
from server.domain.identity import organizations
from server.domain.operation import carrying_out
from server.domain.release import holds
from tests import tampering
from tests.identity_providers import link_once
from tests.prepared_worlds import PreparedWorlds
from tests.world import World, cases

DIFFERS, UNKNOWN, GONE = (
    "its {} differs from the log", "the row exists, but is not in the log",
    "it is in the log, but there is no such row",
)  # fmt: skip
MODEL = "INSERT INTO models (id, name, title, created_at) VALUES (99, 'gpt-9', 'GPT-9', '2026-01-01 00:00:00')"
IDENTITY = (
    "INSERT INTO linked_identities (id, person_id, issuer, subject, linked_at) "
    "VALUES (99, 1, 'https://old.example', 'eve', '2026-01-01 00:00:00')"
)
CHANGED: dict[str, tuple[str, str, str]] = {  # what, by which statement, and what is said of which row
    "a role": ("UPDATE people SET role = 'admin' WHERE id = 5", "people {email}", DIFFERS.format("role")),
    "a person enabled": (
        "UPDATE people SET disabled_at = '2026-01-01 00:00:00' WHERE id = 5", "people {email}",
        DIFFERS.format("being disabled"),
    ),
    "a person of another organization": (
        "UPDATE people SET organization_id = 1 WHERE id = 5", "people {email}", DIFFERS.format("organization")),
    "a token's hash": (
        "UPDATE tokens SET secret_sha256 = :bytes WHERE id = 4", "tokens {token}", DIFFERS.format("hash")),
    "a token's scopes": (
        "UPDATE tokens SET scopes = 'checkpoints:publish' WHERE id = 4", "tokens {token}", DIFFERS.format("scopes")),
    "a token's end": (
        "UPDATE tokens SET expires_at = '2099-01-01 00:00:00' WHERE id = 4", "tokens {token}", DIFFERS.format("end")),
    "a token's maker": ("UPDATE tokens SET person_id = 1 WHERE id = 4", "tokens {token}", DIFFERS.format("maker")),
    "a token revoked": (
        "UPDATE tokens SET revoked_at = '2026-01-01 00:00:00' WHERE id = 4", "tokens {token}",
        DIFFERS.format("revocation"),
    ),
    "a clearance approved": (
        "UPDATE clearances SET tier_id = 3 WHERE id = 1", "clearances 1", DIFFERS.format("tier")),
    "a clearance longer": (
        "UPDATE clearances SET expires_at = '2099-01-01 00:00:00' WHERE id = 1", "clearances 1", DIFFERS.format("end")),
    "a clearance's approver": (
        "UPDATE clearances SET approved_by = 1 WHERE id = 1", "clearances 1", DIFFERS.format("approver")),
    "a signature ended": (
        "UPDATE signatures SET ended_at = '2026-01-01 00:00:00' WHERE id = 1", "signatures 1", DIFFERS.format("state")),
    "a signature gone": ("DELETE FROM signatures WHERE id = 1", "signatures 1", GONE),
    "a stage moved": (
        "UPDATE stages SET state = 'public' WHERE name = '774M'", "stages gpt-2/774M", DIFFERS.format("state")),
    "a stage for a lower tier": (
        "UPDATE stages SET tier_id = 1 WHERE name = '774M'", "stages gpt-2/774M", DIFFERS.format("tier")),
    "a stage without agreement": (
        "UPDATE stages SET agreement_id = NULL WHERE name = '774M'", "stages gpt-2/774M", DIFFERS.format("agreement")),
    "a stage announced": (
        "UPDATE stages SET announced = true WHERE name = '774M'", "stages gpt-2/774M",
        DIFFERS.format("being announced"),
    ),
    "a place on the ladder": (
        "UPDATE stages SET ordinal = 9 WHERE name = '774M'", "stages gpt-2/774M", DIFFERS.format("position")),
    "a window": (
        "UPDATE stages SET planned_from = '2031-01', planned_until = '2031-01' WHERE name = '1558M'",
        "stages gpt-2/1558M", DIFFERS.format("planned window"),
    ),
    "a note": ("UPDATE stages SET note = 'Now.' WHERE name = '1558M'", "stages gpt-2/1558M", DIFFERS.format("note")),
    "an alias gone": (
        "DELETE FROM stage_aliases WHERE name = '762M'", "stages gpt-2/774M", DIFFERS.format("aliases")),
    "a hold lifted": ("UPDATE stages SET held_at = NULL WHERE name = '355M'", "holds gpt-2/355M", GONE),
    "a hold placed": ("UPDATE models SET held_at = '2026-01-01 00:00:00'  WHERE id = 2", "holds mini-gpt", UNKNOWN),
    "a rank": ("UPDATE tiers SET rank = 1 WHERE name = 'partner'", "tiers partner", DIFFERS.format("rank")),
    "a model": (MODEL, "models gpt-9", UNKNOWN),
    "a suspension ended": (
        "UPDATE organizations SET suspended_at = NULL WHERE slug = 'cedar-systems'", "holds organization:cedar-systems",
        "it is in the log, but there is no such row",
    ),
    "a quota": (
        "UPDATE quotas SET bytes_per_day = NULL WHERE organization_id = 2", "organizations aurora-institute",
        DIFFERS.format("bytes per day"),
    ),
    "an identity's subject": (
        "UPDATE linked_identities SET subject = 'eve' WHERE id = 1", "linked identities 1", DIFFERS.format("subject")),
    "an identity's person": (
        "UPDATE linked_identities SET person_id = 1 WHERE id = 1", "linked identities 1", DIFFERS.format("person")),
    "an identity's issuer": (
        "UPDATE linked_identities SET issuer = 'https://eve' WHERE id = 1", "linked identities 1",
        DIFFERS.format("issuer"),
    ),
    "an identity": (IDENTITY, "linked identities 99", UNKNOWN),
    "an identity gone": ("DELETE FROM linked_identities WHERE id = 1", "linked identities 1", GONE),
    "another lab": (
        "UPDATE organizations SET is_lab = true WHERE slug = 'cedar-systems'", "organizations cedar-systems",
        DIFFERS.format("being the lab"),
    ),
    "a name": (
        "UPDATE organizations SET name = 'Cedar' WHERE slug = 'cedar-systems'", "organizations cedar-systems",
        DIFFERS.format("name"),
    ),
    "a name that was changed": (
        "UPDATE organizations SET name = 'Example' WHERE is_lab", "organizations example-lab", DIFFERS.format("name")),
    "networks": (
        "UPDATE organizations SET networks = '0.0.0.0/1' WHERE slug = 'cedar-systems'", "organizations cedar-systems",
        DIFFERS.format("networks"),
    ),
}  # fmt: skip


def differences(world: World) -> list[tuple[str, str]]:
    told = verifying.verify(world.use, tables=True)
    return [(fault.row, fault.sentence) for result in told for fault in result.faults]


def happened(world: World) -> None:
    """Something that the log explains in each of the tables."""
    holds.place(world.use, world.admin, "gpt-2/355M", "A finding.")
    organizations.rename(world.use, world.admin, "example-lab", " Sample Lab ")
    holds.place(world.use, world.admin, "organization:cedar-systems", "It asked for it.")
    carrying_out.set_quota(world.use, world.admin, "aurora-institute", bytes_per_day=10**12, requests_per_minute=None)
    link_once(world, "cleared", "ada")
    world.seal()
    assert differences(world) == []


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, prepared_worlds: PreparedWorlds) -> Iterator[World]:
    """A copy of one in which it has happened."""
    prepared_worlds.act = happened
    yield from prepared_worlds.copied(request, tmp_path, request.param)


@cases("what", CHANGED)
def test_a_row_that_the_log_does_not_explain_is_named(world: World, what: str) -> None:
    """`log verify` alone finds nothing: no entry was touched. With the tables it names exactly that row."""
    statement, row, sentence = CHANGED[what]
    known: dict[str, Any] = {"bytes": b"another hash"} if ":bytes" in statement else {}
    world.tampered = True
    url = world.settings.database_url
    tampering.run(url, statement, **known)
    ((email, token),) = tampering.run(
        url, "SELECT people.email, tokens.public_id FROM people, tokens WHERE people.id = 5 AND tokens.id = 4"
    )
    assert world.faults() == []
    assert differences(world) == [(row.format(email=email, token=token), sentence)]


def test_a_name_of_before_is_compared_as_it_was_kept(sqlite_world: World) -> None:
    """Entries once had it as it was typed, with the spaces around it; the row never had them."""
    world, typed = sqlite_world, " Dover Lab "
    with world.use.database.transaction() as session:
        number = organizations.create(session, "dover-lab", typed, is_lab=False, at=world.clock()).id
    record = {"actor": world.admin.as_record(), "organization": "dover-lab", "name": typed, "organization_id": number}
    world.plant("organization.add", record, "dover-lab")
    world.seal()
    assert differences(world) == []
