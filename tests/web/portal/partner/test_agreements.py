"""Agreements: what was read is what is signed, and it counts once the lab has countersigned."""

import hashlib
from typing import Any

import pytest

from server.domain.access import signatures
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPermitted, NotPossible
from server.domain.identity import people
from server.domain.permissions import Role
from server.domain.release import agreements
from server.domain.release.agreements import AgreementVersion
from server.web.portal.kit.markdown import as_html
from tests.visits import words
from tests.world import World

HERE = "/agreements/model-sharing"


def version(world: World) -> AgreementVersion:
    with world.use.database.reading() as session:
        return agreements.find_version(session, "model-sharing")[1]


def filled(world: World, **changes: Any) -> dict[str, Any]:
    return {
        "version_sha256": version(world).sha256, "signer_name": "Una Owner", "signer_title": "Rector",
        "statement": "I sign for Birch University", "read": "y", **changes,
    }  # fmt: skip


def signed(world: World, name: str = "unsigned") -> str:
    """Sign as an owner; the address of the signature's page."""
    page = world.visit(name).post(HERE, filled(world))
    assert page.status_code == 303
    return str(page.headers["Location"])


def test_signing_opens_a_stage_once_the_lab_has_countersigned(world: World) -> None:
    """Not before; and the copy that is saved is the text and the signature, with the SHA-256 that the log keeps."""
    address = signed(world)
    number = int(address.rpartition("/")[2])
    visit = world.visit("unsigned")
    assert visit.get("/stages/mini-gpt/base/main").status_code == 403
    assert "waiting for the lab" in words(visit.get(address))
    copy = visit.get(f"{address}/copy").data
    (record,) = world.records("signature.sign")
    assert record["document_sha256"] == hashlib.sha256(copy).hexdigest()
    text, block = version(world).text.encode(), copy.removeprefix(version(world).text.encode()).decode()
    assert copy.startswith(text)
    for part in ("Birch University (birch-university)", "Una Owner", "Rector", "I sign for Birch University"):
        assert part in block
    assert f"first {len(text)} bytes of this file, SHA-256 {hashlib.sha256(text).hexdigest()}" in block
    signatures.countersign(world.use, world.admin, number)
    assert visit.get("/stages/mini-gpt/base/main").status_code == 200
    assert "in force" in words(visit.get("/agreements"))
    signatures.end(world.use, world.admin, number)
    assert visit.get("/stages/mini-gpt/base/main").status_code == 403
    assert world.records("signature.countersign")[0]["signature"] == number


def test_what_was_not_read_is_not_signed(sqlite_world: World) -> None:
    """A version that came meanwhile is refused with the reason; what was typed stays, but not that one has read it."""
    fields, visit = filled(sqlite_world), sqlite_world.visit("unsigned")
    agreements.publish(sqlite_world.use, sqlite_world.admin, "model-sharing", "# New terms\n\nBe careful.")
    page = visit.post(HERE, fields)
    assert page.status_code == 409
    assert "Version 2 was published while you were reading" in words(page)
    assert 'value="Una Owner"' in page.text
    assert "checked" not in page.text
    assert version(sqlite_world).sha256 in page.text
    assert sqlite_world.records("signature.sign") == []


def test_a_signature_needs_each_of_its_words(sqlite_world: World) -> None:
    """Missing, too long, another organization's, in other letters, with a line break, or without our token."""
    visit = sqlite_world.visit("unsigned")
    wrong: list[dict[str, Any]] = [
        {"signer_name": ""}, {"signer_name": "x" * 201}, {"signer_title": " "}, {"signer_name": "Una\nStatement: x"},
        {"statement": ""}, {"statement": "i sign for birch university"}, {"statement": "I sign for Aurora Institute"},
        {"read": ""}, {"version_sha256": ""}, {"version_sha256": "zz"},
    ]  # fmt: skip
    for change in wrong:
        page = visit.post(HERE, {name: value for name, value in filled(sqlite_world, **change).items() if value != ""})
        assert page.status_code == 422, change
        assert "Rector" in page.text or "signer_title" in change
        assert "openapi.json" not in page.text
    assert visit.post(HERE, filled(sqlite_world), csrf="").status_code == 400
    assert visit.post(HERE, filled(sqlite_world, organization="aurora-institute")).status_code == 400
    assert visit.post("/agreements/none", filled(sqlite_world)).status_code == 404
    assert sqlite_world.records("signature.sign") == []


def test_only_an_owner_signs_and_once(sqlite_world: World) -> None:
    """Not a member, not the lab; sent twice, the second one is told that it waits."""
    email, own = "mo@birch.example", "their own password"
    people.add(sqlite_world.use, sqlite_world.admin, "birch-university", email, "Mo", Role.MEMBER, own)
    sqlite_world.example.people["member"] = {"email": email}
    for name in ("member", "admin", "auditor"):
        assert sqlite_world.visit(name).post(HERE, filled(sqlite_world)).status_code == 403
        assert 'name="statement"' not in sqlite_world.visit(name).get(HERE).text
    signed(sqlite_world)
    again = sqlite_world.visit("unsigned").post(HERE, filled(sqlite_world))
    assert again.status_code == 409
    assert "Birch University has already signed version 1" in words(again)
    assert len(sqlite_world.records("signature.sign")) == 1


def test_another_organization_s_signature_does_not_exist(sqlite_world: World) -> None:
    """Nor does its copy; the text is for everybody who is signed in, old versions too."""
    address, other = signed(sqlite_world), sqlite_world.visit("cleared")
    for path in (address, f"{address}/copy", f"/agreements/signatures/{2**63}", "/agreements/signatures/999"):
        assert other.get(path).status_code == 404, path
    assert "Una Owner" not in other.get("/agreements").text
    agreements.publish(sqlite_world.use, sqlite_world.admin, "model-sharing", "# New terms\n\nBe careful.")
    old = other.get(f"{HERE}/versions/1")
    assert "This version has been replaced by a newer one" in words(old)
    text = other.get(f"{HERE}/versions/1/text").data
    assert hashlib.sha256(text).hexdigest() in old.text
    for path in (f"{HERE}/versions/3", f"{HERE}/versions/{2**40}", "/agreements/a%00b", "/agreements/none"):
        assert other.get(path).status_code == 404, path
    assert sqlite_world.visit(None).get(HERE).status_code == 303


def test_a_declined_signature_says_why_and_can_be_given_again(sqlite_world: World) -> None:
    """Of two admins who decide at once one wins, and the other reads what the first one did."""
    number = int(signed(sqlite_world).rpartition("/")[2])
    with pytest.raises(NotPossible, match="Decline it"):
        signatures.end(sqlite_world.use, sqlite_world.admin, number)
    with pytest.raises(InvalidRequest):
        signatures.decline(sqlite_world.use, sqlite_world.admin, number, " ")
    signatures.decline(sqlite_world.use, sqlite_world.admin, number, "Una may not sign for Birch.")
    with pytest.raises(NotPossible, match="is declined"):
        signatures.countersign(sqlite_world.use, sqlite_world.admin2, number)
    assert "Una may not sign for Birch." in words(sqlite_world.visit("unsigned").get(HERE))
    assert int(signed(sqlite_world).rpartition("/")[2]) != number


def test_only_the_lab_countersigns_and_only_what_is_current(sqlite_world: World) -> None:
    """The version that was signed must still be the one that must be signed."""
    number = int(signed(sqlite_world).rpartition("/")[2])
    partners: list[Caller] = [sqlite_world.person(name) for name in ("unsigned", "cleared", "auditor", "publisher")]
    for caller in partners:
        with pytest.raises(NotPermitted):
            signatures.countersign(sqlite_world.use, caller, number)
        with pytest.raises(NotPermitted):
            signatures.decline(sqlite_world.use, caller, number, "No.")
    agreements.publish(sqlite_world.use, sqlite_world.admin, "model-sharing", "# New terms\n\nBe careful.")
    with pytest.raises(NotPossible, match="has been replaced"):
        signatures.countersign(sqlite_world.use, sqlite_world.admin, number)


def test_an_agreement_s_text_runs_nothing() -> None:
    """What the lab writes is shown as text: no HTML, no scripts, nothing fetched from elsewhere."""
    html = as_html(
        "# Title\n\n<script>alert(1)</script> [x](javascript:alert(1)) ![y](https://elsewhere.example/y.png) **bold**"
    )
    assert "<h2>Title</h2>" in html
    assert "<strong>bold</strong>" in html
    for part in ("<script", 'href="javascript', "<img"):
        assert part not in html
