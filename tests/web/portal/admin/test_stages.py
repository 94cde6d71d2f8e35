"""Stages: the ladders, one stage with who may have it, and moving it, with what that does and what it does not."""

from server.domain.downloads import issuing
from tests.visits import words
from tests.world import World

STAGE = "/admin/stages/gpt-2/774M"


def test_a_model_and_its_first_stage_are_added(sqlite_world: World) -> None:
    """The first leads to the second; a stage begins as planned."""
    admin = sqlite_world.visit("admin")
    answer = admin.post("/admin/stages/add-model", {"name": "gpt-3", "title": "GPT-3"})
    assert answer.headers["Location"] == "/admin/stages/add?model=gpt-3"
    assert '<option selected value="gpt-3">' in admin.get(answer.headers["Location"]).text
    new = {"model": "gpt-3", "name": "1B", "tier": "research", "agreement": "", "parameters": "1000000000", "note": ""}
    more = {"announced": "y", "planned_from": "2031-03", "note": "In spring.", "reports_at_least": "2"}
    answer = admin.post("/admin/stages/add", new | more)
    assert answer.headers["Location"] == "/admin/stages/gpt-3/1B"
    page = words(admin.get("/admin/stages/gpt-3/1B"))
    assert "planned" in page
    assert "Planned for March 2031 Public note In spring." in page
    assert "No checkpoints yet. Publish one" in page
    assert 'value="2"' in admin.get("/admin/stages/gpt-3/1B/edit").text
    assert sqlite_world.records("stage.add")[-1]["reports_at_least"] == 2
    assert sqlite_world.visit("cleared").get("/admin/stages/gpt-3/1B").status_code == 403


def test_a_refused_stage_keeps_what_was_typed(sqlite_world: World) -> None:
    """A name that is taken, a name that is none, a place that is taken, a tier that is none."""
    admin = sqlite_world.visit("admin")
    new = {"model": "gpt-2", "name": "3B", "tier": "research", "agreement": "model-sharing", "note": "Kept words."}
    for fault, status in (
        ({"name": "774M"}, 409), ({"name": "a b"}, 422), ({"ordinal": "1"}, 409), ({"tier": "root"}, 422),
        ({"ordinal": "0"}, 422), ({"parameters": "many"}, 422), ({"model": "nothing"}, 422), ({"note": "x" * 501}, 422),
        ({"planned_from": "2031-13"}, 422), ({"planned_from": "2031-03", "planned_until": "2031-02"}, 422),
    ):  # fmt: skip
        answer = admin.post("/admin/stages/add", new | fault)
        assert answer.status_code == status, fault
        assert "note" in fault or "Kept words." in answer.text
    assert admin.post("/admin/stages/add-model", {"name": "admin", "title": "Kept words."}).status_code == 422
    assert admin.post("/admin/stages/add-model", {"name": "gpt-2", "title": "Again"}).status_code == 409


def test_its_page_says_who_has_it_now(sqlite_world: World) -> None:
    """By which clearance, which checkpoints there are, and what was taken of it."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    page = words(world.visit("admin").get(STAGE))
    for part in (
        "partners since",
        "762M",
        "Aurora Institute gpt-2 research active",
        "7 days 1 3.25 MB",
        "main",
        "Decision carried out",
    ):
        assert part in page, part
    assert "Cedar Systems" not in page
    reading = words(world.visit("publisher").get(STAGE))
    assert "Aurora Institute" in reading
    assert "Move …" not in reading


def test_it_gets_one_more_name(sqlite_world: World) -> None:
    """By which its page is found as well; a name that is taken, or is none, is refused."""
    admin = sqlite_world.visit("admin")
    planned = "/admin/stages/gpt-2/1558M"
    assert admin.post(f"{planned}/alias", {"alias": "1.5B"}).status_code == 303
    assert admin.get("/admin/stages/gpt-2/1.5B").headers["Location"] == planned
    assert "1542M, 1.5B" in words(admin.get(planned))
    assert admin.post(f"{planned}/alias", {"alias": "774M"}).status_code == 409
    assert admin.post(f"{planned}/alias", {"alias": "a b"}).status_code == 422


def test_what_is_not_there_is_not_found(sqlite_world: World) -> None:
    """By whatever name."""
    admin = sqlite_world.visit("admin")
    for name in ("gpt-2/9B", "nothing/774M", "gpt-2/a%00b"):
        for path in (name, f"{name}/alias", f"{name}/edit"):
            assert admin.get(f"/admin/stages/{path}").status_code == 404, path
        assert admin.post(f"/admin/stages/{name}/alias", {"alias": "x"}).status_code == 404
