"""`agreement`: publish a version, record a signature, end one, list."""

from pathlib import Path

import pytest

from tests.cli.operator import Operator
from tests.world import World

SIGN = (
    "agreement",
    "record-signature",
    "birch-university",
    "model-sharing",
    "--signer-name",
    "Bo",
    "--signer-title",
    "Dean",
)


def test_a_new_version_makes_the_old_signature_outdated(
    operator: Operator, sqlite_world: World, tmp_path: Path
) -> None:
    """Publishing a version is effective at once: who signed the one before must sign again."""
    text = tmp_path / "agreement.md"
    text.write_text("# Another text\n")
    body = operator("agreement", "publish", "model-sharing", text, "--json", by="admin").body
    assert body["number"] == 2
    answer = sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    assert answer.json["code"] == "agreement_outdated"


def test_a_new_version_can_leave_time_to_sign_again(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """Until the moment that is printed the old signature opens; a time that is none is wrong use."""
    text = tmp_path / "agreement.md"
    text.write_text("# Another text\n")
    publish = ("agreement", "publish", "model-sharing", text, "--resign-within")
    for wrong, code in (("-1", 2), ("soon", 2), ("367", 1)):
        operator(*publish, wrong, by="admin", code=code)
    until = operator(*publish, 14, "--json", by="admin").body["resign_until"]
    assert until.endswith("T00:00:00Z")
    assert sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    text.write_text("# A third text\n")
    assert "Signatures of version 2 count until 20" in operator(*publish, 3, by="admin").out


def test_a_recorded_signature_opens_and_its_end_closes(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """Recording and ending a signature act on the running instance."""
    document = tmp_path / "signed.pdf"
    document.write_bytes(b"%PDF signed")
    order = {"stage": "gpt-2/774M"}
    body = operator(
        *SIGN, "--signed-on", "2026-01-31", "--before-publication", "--document", document, "--json", by="admin"
    ).body
    assert sqlite_world.api("POST", "/downloads", "unsigned", json=order).status_code == 201
    operator("agreement", "end-signature", body["id"], by="admin")
    assert sqlite_world.api("POST", "/downloads", "unsigned", json=order).json["code"] == "agreement_unsigned"


def test_document_and_hash_exclude_each_other(operator: Operator) -> None:
    """Exactly one of the signed document and its hash is given."""
    assert (
        "either --document or --document-sha256"
        in operator(*SIGN, "--signed-on", "2026-01-31", by="admin", code=2).line
    )


def test_a_text_that_is_none_is_refused(operator: Operator, tmp_path: Path) -> None:
    """A PDF is not the text of an agreement."""
    (tmp_path / "text.pdf").write_bytes(b"%PDF \xff\xfe")
    assert "is not UTF-8" in operator("agreement", "publish", "other", tmp_path / "text.pdf", by="admin", code=1).line


@pytest.mark.parametrize(("by", "organizations"), [("auditor", {"aurora-institute"}), ("unsigned", {None})])
def test_the_list_shows_signatures_to_whom_they_concern(
    operator: Operator, by: str, organizations: set[str | None]
) -> None:
    """Staff see who signed; a partner sees the agreement and not who else signed it."""
    listed = operator("agreement", "list", "--json", by=by).body
    assert {row["organization"] for row in listed} == organizations
    assert {row["agreement"] for row in listed} == {"model-sharing"}
