"""Signatures: countersigning, declining, ending, and recording what was signed on paper."""

from tests import filled_forms
from tests.visits import words
from tests.world import World

PAPER = {
    "organization": "cedar-systems", "agreement": "model-sharing", "signer_name": "Cy Signer", "signer_title": "Dean",
    "signed_on": "2026-01-31", "document_sha256": "ab" * 32, "before_publication": "y",
}  # fmt: skip


def sign(world: World) -> str:
    """The address of a signature that waits."""
    return f"/admin/signatures/{filled_forms.sign(world)}"


def test_countersigning_puts_a_signature_into_force(sqlite_world: World) -> None:
    """Once: of two who do it at once, the second sees that it is done."""
    world = sqlite_world
    address = sign(world)
    admin = world.visit("admin")
    assert world.api("POST", "/downloads", "unsigned", json={"stage": "gpt-2/774M"}).status_code == 403
    assert "The lab countersigns, and the signature is in force." in words(admin.get(address))
    assert admin.post(f"{address}/countersign").status_code == 303
    assert world.api("POST", "/downloads", "unsigned", json={"stage": "gpt-2/774M"}).status_code == 201
    late = world.visit("admin2").post(f"{address}/countersign")
    assert late.status_code == 409
    assert "only a pending signature can be decided" in words(late)


def test_declining_needs_a_reason_that_the_organization_reads(sqlite_world: World) -> None:
    """It never comes into force."""
    world = sqlite_world
    address = sign(world)
    admin = world.visit("admin")
    assert admin.post(f"{address}/decline", {"because": ""}).status_code == 422
    assert admin.post(f"{address}/decline", {"because": "Not an officer."}).status_code == 303
    assert "Reason for declining Not an officer." in words(admin.get(address))
    late = admin.post(f"{address}/decline", {"because": "Kept words."})
    assert late.status_code == 409
    assert admin.post(f"{address}/countersign").status_code == 409


def test_ending_closes_the_stages_that_require_it(sqlite_world: World) -> None:
    """From the next request on; ending it twice is refused."""
    world = sqlite_world
    admin = world.visit("admin")
    assert "What does not" in words(admin.get("/admin/signatures/1/end"))
    assert admin.post("/admin/signatures/1/end").status_code == 303
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 403
    assert admin.post("/admin/signatures/1/end").status_code == 409


def test_a_paper_signature_is_recorded(sqlite_world: World) -> None:
    """It is in force at once; whatever is wrong with it is said, and what was typed stays."""
    world = sqlite_world
    admin = world.visit("admin")
    for fault, status in (
        ({"organization": "nobody"}, 422), ({"agreement": "nothing"}, 422), ({"number": "7"}, 422),
        ({"document_sha256": "short"}, 422), ({"signed_on": "2999-01-01"}, 422),
        ({"before_publication": ""}, 422), ({"signer_name": " "}, 422),
    ):  # fmt: skip
        answer = admin.post("/admin/signatures/record", PAPER | fault)
        assert answer.status_code == status, fault
        assert "Dean" in answer.text
    answer = admin.post("/admin/signatures/record", PAPER)
    assert answer.status_code == 303
    assert "on paper" in words(admin.get(answer.headers["Location"]))
    assert "in force" in words(admin.get(answer.headers["Location"]))
    assert admin.post("/admin/signatures/record", PAPER).status_code == 409


def test_it_is_the_lab_s_page(sqlite_world: World) -> None:
    """Staff may read; only admins decide; partners have their own."""
    world = sqlite_world
    address = sign(world)
    assert "Countersign" not in words(world.visit("auditor").get(address)).partition("Two steps")[0]
    for name in ("auditor", "unsigned"):
        for act in ("countersign", "decline", "end"):
            assert world.visit(name).post(f"{address}/{act}").status_code == 403
    assert world.visit("unsigned").get(address).status_code == 403
    assert world.visit("admin").get("/admin/signatures/999").status_code == 404
    assert world.visit("admin").post("/admin/signatures/999/countersign").status_code == 404
