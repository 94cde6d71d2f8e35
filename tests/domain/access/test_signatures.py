"""Lists of signatures, for the lab."""

from datetime import date
from typing import Any

import pytest

from server.domain.access import signatures
from server.domain.access.signatures import SignatureFilter
from server.domain.errors import InvalidRequest
from server.domain.paging import Slice
from server.domain.release import agreements
from tests.world import World

ALL = Slice(50)


def test_a_signature_is_in_the_lists_that_it_belongs_to(sqlite_world: World) -> None:
    """Of its organization, of its version, and among those that wait until it is decided."""
    world = sqlite_world
    with world.use.database.reading() as session:
        _, version = agreements.find_version(session, "model-sharing")
    birch = world.person("unsigned")
    made = signatures.sign(
        world.use, birch, "model-sharing", version.sha256, signer_name="Una Signer", signer_title="Dean",
        statement="I sign for Birch University",
    )  # fmt: skip

    def found(wanted: SignatureFilter) -> list[int]:
        with world.use.database.reading() as session:
            return [one.id for one in signatures.listed(session, world.admin, wanted, ALL).items]

    assert found(SignatureFilter()) == [made.id, 1]
    assert found(SignatureFilter(organization_id=birch.organization_id)) == [made.id]
    assert found(SignatureFilter(version_id=version.id)) == [made.id, 1]
    assert found(SignatureFilter(waiting=True)) == [made.id]
    with world.use.database.reading() as session:
        assert [one.id for one in signatures.in_force(session, world.admin, version.id, ALL).items] == [1]
    signatures.countersign(world.use, world.admin, made.id)
    assert found(SignatureFilter(waiting=True)) == []
    with world.use.database.reading() as session:
        assert [one.id for one in signatures.in_force(session, world.admin, version.id, ALL).items] == [1, made.id]
        assert [one.id for one in signatures.listed(session, birch, SignatureFilter(), ALL).items] == [made.id]
        assert signatures.agreement_of(session, made).name == "model-sharing"


def test_a_paper_is_not_older_than_what_it_signs(sqlite_world: World) -> None:
    """Unless it is said: the lab may have published here a text that was signed before."""
    world = sqlite_world
    known: dict[str, Any] = {
        "signer_name": "Carla", "signer_title": "Rector", "signed_on": date(2019, 8, 20), "document_sha256": "0" * 64,
    }  # fmt: skip
    with pytest.raises(InvalidRequest, match="Version 1 was published here on"):
        signatures.record(world.use, world.admin, "cedar-systems", "model-sharing", **known)
    made = signatures.record(world.use, world.admin, "cedar-systems", "model-sharing", before_publication=True, **known)
    assert made.signed_on == date(2019, 8, 20)
