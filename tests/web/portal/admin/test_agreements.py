"""Agreements: the next version, what it changes, and who must sign again."""

from server.domain.release import agreements
from server.web.portal.admin.agreements import Line, compared
from tests.visits import words
from tests.world import World

NAME = "model-sharing"


def test_a_new_version_is_compared_and_then_published(sqlite_world: World) -> None:
    """Comparing changes nothing; publishing makes the text the one that must be signed."""
    world = sqlite_world
    admin = world.visit("admin")
    page = admin.get(f"/admin/publish-agreement?agreement={NAME}")
    assert "Who must sign again Aurora Institute" in words(page)
    with world.use.database.reading() as session:
        text = agreements.find_version(session, NAME)[1].text
    new = {"name": NAME, "text": text.replace("\n", "\r\n") + "One more line."}
    answer = admin.post("/admin/publish-agreement", new | {"act": "compare"})
    assert answer.status_code == 200
    assert "<ins>One more line.</ins>" in answer.text
    assert len(world.records("agreement.publish")) == 1
    assert admin.post("/admin/publish-agreement", new).status_code == 422
    assert admin.post("/admin/publish-agreement", new | {"act": "publish"}).status_code == 303
    page = admin.get(f"/admin/agreements/{NAME}")
    assert "What changed since version 1" in words(page)
    assert "version 2 One more line." in words(page)
    assert "Sol Signer" not in words(page)
    assert "Sol Signer" in words(admin.get(f"/admin/agreements/{NAME}/1"))
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 403


def test_the_text_that_a_browser_sends_back_is_the_same(sqlite_world: World) -> None:
    """Line ends of browsers make no new version of an unchanged text."""
    admin = sqlite_world.visit("admin")
    with sqlite_world.use.database.reading() as session:
        text = agreements.find_version(session, NAME)[1].text
    sent = {"name": NAME, "text": text.strip().replace("\n", "\r\n")}
    same = admin.post("/admin/publish-agreement", sent | {"act": "compare"})
    assert "No changes." in words(same)
    refused = admin.post("/admin/publish-agreement", sent | {"act": "publish"})
    assert refused.status_code == 409
    assert "is already version 1 of model-sharing" in words(refused)


def test_a_refused_version_keeps_what_was_typed(sqlite_world: World) -> None:
    """A name that is none, a title that is too long, too much text, none at all."""
    admin = sqlite_world.visit("admin")
    good = {"name": "house-rules", "text": "# House rules\nBe kind.", "act": "publish"}
    for fault in ({"name": "No Name"}, {"text": "x" * 201 + "\nKept words."}, {"text": "a\0b"}, {"text": ""}):
        answer = admin.post("/admin/publish-agreement", good | fault)
        assert answer.status_code == 422, fault
        assert "text" in fault or "Be kind." in answer.text
    assert admin.post("/admin/publish-agreement", good | {"text": "x" * 1_100_000}).status_code == 413
    assert admin.post("/admin/publish-agreement", good).status_code == 303
    for name in ("auditor", "cleared"):
        assert sqlite_world.visit(name).post("/admin/publish-agreement", good).status_code == 403


def test_a_comparison_names_each_line_and_its_side() -> None:
    """With a few lines around, and a gap where others were left out."""
    old = "\n".join(f"line {number}" for number in range(20))
    new = old.replace("line 10", "another")
    changes = compared(old, new)
    assert changes is not None
    assert [line for line in changes if line.kind in {"del", "ins"}] == [Line("del", "line 10"), Line("ins", "another")]
    assert [line.kind for line in changes] == ["gap", "same", "same", "same", "del", "ins", "same", "same", "same"]
    assert compared(old, old) == []
    assert compared("x\n" * 5001, old) is None


def test_what_is_not_there_is_not_found(sqlite_world: World) -> None:
    """An agreement, a version."""
    for path in ("nothing", "UPPER", "a%00b", f"{NAME}/2", f"{NAME}/0", f"{NAME}/99999999999999999999"):
        assert sqlite_world.visit("admin").get(f"/admin/agreements/{path}").status_code == 404


def test_who_loses_the_time_to_sign_is_named_before_another_version(sqlite_world: World) -> None:
    """Whoever still rests on the version before would be two versions back."""
    world = sqlite_world
    there, address = world.visit("admin"), f"/admin/publish-agreement?agreement={NAME}"
    assert "lose access immediately" not in words(there.get(address))
    agreements.publish(world.use, world.admin, NAME, "# New terms\n\nx\n", resign_within_days=9)
    shown = words(there.get(address))
    assert "they lose access immediately, because their signature is two versions back: Aurora Institute" in shown
