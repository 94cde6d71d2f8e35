"""Agreements: texts known by their hash, and signatures that count until they end."""

import hashlib
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from server.domain.access import signatures
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, Refused
from server.domain.paging import Slice
from server.domain.release import agreements
from server.domain.release.agreements import AgreementVersion
from tests.world import World

NAME = "model-sharing"
TEXT = "# Other terms\n\nBe careful, çok dikkatli."


def sign(world: World, by: Caller | None = None, **more: Any) -> Signature:
    known: dict[str, Any] = {
        "organization": "birch-university", "agreement": NAME, "signer_name": " Sol Signer ", "signer_title": "Rector",
        "signed_on": date(2026, 1, 2), "before_publication": True, "document_sha256": "ab" * 32,
    }  # fmt: skip
    return signatures.record(world.use, by or world.admin, **(known | more))


def in_force(world: World, organization_id: int) -> list[int]:
    with world.use.database.reading() as session:
        rows = session.scalars(select(Signature).where(Signature.organization_id == organization_id))
        return [row.version_id for row in rows if row.ended_at is None]


def test_a_version_is_known_by_the_sha256_of_its_text(world: World) -> None:
    """The text is kept as it was given, numbered, current at once, and named in the log by its hash."""
    made = agreements.publish(world.use, world.admin, NAME, TEXT)
    assert (made.number, made.title, made.sha256) == (2, "Other terms", hashlib.sha256(TEXT.encode()).hexdigest())
    with world.use.database.reading() as session:
        ((_, agreement, version),) = agreements.current(session, Slice(10)).items
        assert (agreement.name, version.text, version.published_by) == (NAME, TEXT, world.admin.person)
    record = world.records("agreement.publish")[-1]
    assert record | {"agreement": NAME, "number": 2, "sha256": made.sha256} == record


def test_a_text_that_was_published_is_not_published_again(world: World) -> None:
    """Not as the current version, nor as an older one: nobody would know which they signed."""
    with world.use.database.reading() as session:
        first = session.scalars(select(AgreementVersion)).one().text
    agreements.publish(world.use, world.admin, NAME, TEXT)
    for text in (first, TEXT):
        with pytest.raises(NotPossible):
            agreements.publish(world.use, world.admin, NAME, text)
    assert agreements.publish(world.use, world.admin, "another-name", TEXT).number == 1


BAD_TEXTS = [
    ("Upper", TEXT), ("", TEXT), ("a b", TEXT), ("x" * 65, TEXT), (NAME, ""), (NAME, " \n#\n"), (NAME, "x" * 201),
    (NAME, "title\n" + "x" * 500_000),
]  # fmt: skip


def test_a_text_needs_a_name_and_a_title(sqlite_world: World) -> None:
    """Without a first line there is nothing to call it."""
    for name, text in BAD_TEXTS:
        with pytest.raises(InvalidRequest):
            agreements.publish(sqlite_world.use, sqlite_world.admin, name, text)


def test_a_signature_names_signer_paper_and_countersigner(world: World) -> None:
    """What was signed, by whom, on which paper, and which admin countersigned it by recording it."""
    made = sign(world)
    record = world.records("signature.record")[-1]
    known = {
        "signature": made.id, "organization": "birch-university", "number": 1, "signer_name": "Sol Signer",
        "signer_title": "Rector", "signed_on": "2026-01-02", "document_sha256": "ab" * 32,
    }  # fmt: skip
    assert record | known == record
    assert record["agreement_sha256"] == hashlib.sha256(current_text(world).encode()).hexdigest()
    assert made.countersigned_by == record["actor"]["person"] == world.admin.person


def current_text(world: World) -> str:
    with world.use.database.reading() as session:
        return agreements.current(session, Slice(1)).items[0][2].text


BAD_SIGNATURES: list[tuple[dict[str, Any], type[Refused]]] = [
    ({"document_sha256": "AB" * 32}, InvalidRequest), ({"document_sha256": "ab" * 31}, InvalidRequest),
    ({"document_sha256": "zz" * 32}, InvalidRequest), ({"document_sha256": "ab" * 32 + "\n"}, InvalidRequest),
    ({"document_sha256": ""}, InvalidRequest),
    ({"signer_name": " "}, InvalidRequest), ({"signer_title": ""}, InvalidRequest),
    ({"signer_name": "x" * 201}, InvalidRequest), ({"signer_title": "x" * 201}, InvalidRequest),
    ({"organization": "nobody"}, NotFound), ({"agreement": "nothing"}, NotFound), ({"number": 2}, NotFound),
    ({"number": 0}, NotFound),
]  # fmt: skip


def test_a_signature_that_makes_no_sense_is_refused(sqlite_world: World) -> None:
    """The paper's hash is 64 lower-case hex digits, the signer has a name and a title, the text is there."""
    for more, code in BAD_SIGNATURES:
        with pytest.raises(code):
            sign(sqlite_world, **more)


def test_a_document_is_not_signed_tomorrow(world: World) -> None:
    """Today counts, the day after does not."""
    today = world.clock().date()
    with pytest.raises(InvalidRequest):
        sign(world, signed_on=today + timedelta(days=1))
    assert sign(world, signed_on=today).signed_on == today


def test_a_version_is_signed_once_until_its_signature_ends(world: World) -> None:
    """A second signature of what is in force is refused; after an end it is possible again."""
    made = sign(world)
    with pytest.raises(NotPossible):
        sign(world)
    signatures.end(world.use, world.admin, made.id)
    with pytest.raises(NotPossible):
        signatures.end(world.use, world.admin, made.id)
    assert in_force(world, made.organization_id) == []
    sign(world)
    assert in_force(world, made.organization_id) == [made.version_id]
    assert [record["signature"] for record in world.records("signature.end")] == [made.id]


def test_an_older_version_can_be_recorded_by_its_number(world: World) -> None:
    """A paper that was signed before the new wording came is recorded as what it is."""
    new = agreements.publish(world.use, world.admin, NAME, TEXT)
    old = sign(world, number=1)
    assert old.version_id != new.id
    assert sign(world).version_id == new.id


def test_an_unknown_signature_is_not_ended(sqlite_world: World) -> None:
    """No act on nothing."""
    with pytest.raises(NotFound):
        signatures.end(sqlite_world.use, sqlite_world.admin, 10**6)


@pytest.mark.parametrize("by", ["cleared", "auditor", "publisher"])
def test_only_admins_publish_texts_and_record_signatures(sqlite_world: World, by: str) -> None:
    """Here the lab records what was signed on paper; no partner signs for itself."""
    world = sqlite_world
    with pytest.raises(NotPermitted):
        agreements.publish(world.use, world.person(by), NAME, TEXT)
    with pytest.raises(NotPermitted):
        sign(world, by=world.person(by))
    with pytest.raises(NotPermitted):
        signatures.end(world.use, world.person(by), 1)


def test_each_organization_sees_its_own_signatures_and_staff_all(world: World) -> None:
    """Who else signed is the lab's knowledge."""
    sign(world)
    seen = {}
    for name in ("cleared", "unsigned", "uncleared", "auditor"):
        with world.use.database.reading() as session:
            rows = signatures.of_agreements(session, world.person(name), [1])
            seen[name] = [row.organization.slug for row in rows]
    assert seen == {
        "cleared": ["aurora-institute"], "unsigned": ["birch-university"], "uncleared": [],
        "auditor": ["aurora-institute", "birch-university"],
    }  # fmt: skip
