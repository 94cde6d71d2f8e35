"""The page of releases: the public face, without a sign-in, a cookie or a script, and true to the tables."""

import re

import pytest
from lxml import etree

from server.domain.decisions import lifting
from server.domain.release import holds, stage_editing
from server.domain.release.plans import Window
from tests.visits import visit, words
from tests.world import World

HOSTILE = '<script>alert(1)</script> & "quotes"\nA second line.'


def test_anybody_reads_what_is_planned_released_and_decided(sqlite_world: World) -> None:
    """Every stage with its state and its plan, and each decision with its reason under an address of its own."""
    world = sqlite_world
    made = world.move("gpt-2/774M", "public", "Nothing was found.")
    stage_editing.edit(
        world.use, world.admin, "gpt-2/1558M", planned=Window("2031-11", "2032-01"), note="If all is well."
    )
    answer = world.visit(None).get("/releases")
    page = words(answer)
    for part in (
        "774M public since", "1558M planned Planned for November 2031 to January 2032. If all is well.",
        "774M is released to the public Nothing was found.", f"#{made.id}",
    ):  # fmt: skip
        assert part in page, part
    assert f'id="decision-{made.id}"' in answer.text
    assert f'href="#decision-{made.id}"' in answer.text
    assert "Aurora" not in page


def test_a_stranger_s_page_is_everybody_s(sqlite_world: World) -> None:
    """No cookie, nothing of this visit; caches may keep it, and a browser asks whether it has changed."""
    world = sqlite_world
    stranger = world.visit(None)
    first, second = stranger.get("/releases"), stranger.get("/releases")
    assert first.data == second.data
    assert "Set-Cookie" not in first.headers
    assert (first.headers["Cache-Control"], first.headers["Vary"]) == ("public, max-age=60", "Cookie")
    assert first.headers["Content-Security-Policy"] == stranger.get("/").headers["Content-Security-Policy"]
    known = world.client.get("/releases", headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.data) == (304, b"")
    assert world.visit("cleared").get("/releases").headers["Cache-Control"] == "no-store"


def test_a_session_that_has_ended_does_not_close_the_page(sqlite_world: World) -> None:
    """A link to a decision opens for whoever was signed in once as it does for others."""
    visitor = visit(sqlite_world.client.application, sqlite_world.use, None)
    visitor.client.set_cookie("weightgate-session", "no longer")
    assert visitor.get("/releases").status_code == 200
    assert visitor.get("/releases.atom").status_code == 200


def test_a_hold_is_said_plainly_and_not_why(sqlite_world: World) -> None:
    """Since which day; the reason stays with staff."""
    world = sqlite_world
    holds.place(world.use, world.admin, "gpt-2/774M", "A secret reason.")
    page = words(world.visit(None).get("/releases"))
    assert f"774M is on hold since {world.clock():%-d %B %Y}. Nobody can download it" in page
    assert "partners before" in page
    assert "secret" not in page


@pytest.mark.parametrize(("on", "name"), [("gpt-2/774M", "774M"), ("gpt-2", "gpt-2")])
def test_a_lifted_hold_is_told_with_its_public_reason(sqlite_world: World, on: str, name: str) -> None:
    """Of a stage and of a model, by the reason that was written for everyone; of an organization nothing."""
    world = sqlite_world
    for one, why in ((on, "Nobody could repeat it."), ("organization:birch-university", "It explained itself.")):
        holds.place(world.use, world.admin, one, "A secret finding.")
        lifting.propose(world.use, world.admin, one, why)
        lifting.approve(world.use, world.admin2, one)
    page = words(world.visit(None).get("/releases"))
    assert f"{name} is no longer on hold Nobody could repeat it." in page
    assert "A secret finding." not in page
    assert "It explained itself." not in page


def test_a_withdrawn_stage_is_shown_with_its_reason(sqlite_world: World) -> None:
    """It stays on the ladder: what was out is not made unsaid."""
    sqlite_world.move("gpt-2/774M", "withdrawn", "It repeats personal data.")
    page = words(sqlite_world.visit(None).get("/releases"))
    assert "774M withdrawn since" in page
    assert "774M is withdrawn It repeats personal data." in page


def test_the_picture_says_what_the_table_says(sqlite_world: World) -> None:
    """A staircase with a title and a description, one step a stage, from small to large, and no style of its own."""
    world = sqlite_world
    holds.place(world.use, world.admin, "gpt-2/355M", "A finding.")
    text = world.visit(None).get("/releases").text
    picture = etree.fromstring(re.findall(r'<figure class="stairs">(<svg.*?</svg>)</figure>', text, re.DOTALL)[0])
    title, description = picture.findtext("title"), picture.findtext("desc")
    assert title == "The release ladder of GPT-2"
    assert f"355M public, on hold since {world.clock():%-d %B %Y}; 774M partners since" in str(description)
    steps = picture.findall("g")
    assert [step.get("class") for step in steps] == [
        "stair stair-public", "stair stair-held", "stair stair-partners", "stair stair-planned",
    ]  # fmt: skip
    assert [step.findtext("text") for step in steps] == ["124M", "355M", "774M", "1558M"]
    heights = [int(str(step.find("rect").get("height"))) for step in steps]
    assert heights == sorted(set(heights))
    assert "style=" not in text


def test_what_admins_write_is_text(sqlite_world: World) -> None:
    """A reason with a script in it is shown as it was typed."""
    sqlite_world.move("gpt-2/774M", "public", HOSTILE)
    answer = sqlite_world.visit(None).get("/releases")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quotes&#34;" in answer.text


@pytest.mark.parametrize("path", ["/sign-in", "/"])
def test_it_is_linked_where_strangers_arrive(sqlite_world: World, path: str) -> None:
    """And not where the settings have closed it."""
    assert 'href="/releases"' in sqlite_world.visit(None).get(path).text
