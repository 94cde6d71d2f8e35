"""The feed of decisions: valid by the grammar of RFC 4287, ids that stay, and text that is only text."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from server.domain.access.releases import Family, Release
from server.domain.release.decisions import PublicDecision, PublicLift
from server.domain.release.plans import Plan
from server.domain.release.stages import StageState
from server.web.portal.partner import release_feed
from server.web.portal.partner.release_feed import ENTRIES_AT_MOST, Publisher
from tests.world import World

GRAMMAR = etree.RelaxNG(etree.parse(Path(__file__).parents[3] / "vectors" / "atom.rng"))
ATOM = "{http://www.w3.org/2005/Atom}"
AT = datetime(2026, 11, 5, 12, tzinfo=UTC)
LAB = Publisher(
    "A & B <Lab>", datetime(2019, 2, 14, tzinfo=UTC), "weights.example.org",
    "https://weights.example.org/releases.atom", "https://weights.example.org/releases",
)  # fmt: skip


def feed(*decisions: PublicDecision) -> bytes:
    stage = Release("774M", StageState.PUBLIC, AT, Plan(), None, None, 0, 0, 0, decisions)
    return release_feed.written([Family("gpt-2", "GPT-2", [stage])], LAB)


def decision(number: int, reason: str = "A reason.", before: str = "partners", to: str = "public") -> PublicDecision:
    return PublicDecision(number, StageState(before), StageState(to), AT + timedelta(minutes=number), reason)


def valid(document: bytes) -> Any:
    """The feed, once the grammar holds, and what its remarks demand beside it (RFC 4287, sections 4.1.1 to 4.2.6)."""
    root = etree.fromstring(document)
    assert GRAMMAR.validate(root), GRAMMAR.error_log
    assert root.find(f"{ATOM}author/{ATOM}name").text
    links = {link.get("rel"): link.get("href") for link in root.findall(f"{ATOM}link")}
    assert links.keys() == {"self", "alternate"}
    ids = [one.text for one in root.iter(f"{ATOM}id")]
    assert len(ids) == len(set(ids))
    assert all(one.startswith("tag:") for one in ids)
    for entry in root.findall(f"{ATOM}entry"):
        assert entry.find(f"{ATOM}link[@rel='alternate']").get("href").startswith("http")
    return root


def texts(root: Any, path: str) -> list[str]:
    return [one.text for one in root.findall("/".join(f"{ATOM}{part}" for part in path.split("/")))]


def test_the_grammar_refuses_what_is_no_feed() -> None:
    """It is not the kind of check that nothing fails."""
    text = feed(decision(1)).decode()
    for before, after in (("<id>", "<key>"), ("2026-11-05T", "5 November "), ('href="', 'to="'), ("<title>", "<name>")):
        broken = text.replace(before, after).replace(before.replace("<", "</"), after.replace("<", "</"))
        assert not GRAMMAR.validate(etree.fromstring(broken.encode())), after


def test_a_lifted_hold_is_told_among_the_moves() -> None:
    """Of a stage by its whole name, of a model by its own; with a category of its own, in the order of time."""
    stage = Release("774M", StageState.PUBLIC, AT, Plan(), None, None, 0, 0, 0, [decision(2)])
    of_model = PublicLift(1, "gpt-2", AT, "It was not repeated.")
    lifts = [of_model, PublicLift(3, "774M", AT + timedelta(hours=1), "Nor this.")]
    root = valid(release_feed.written([Family("gpt-2", "GPT-2", [stage], lifts)], LAB))
    assert texts(root, "entry/title") == [
        "gpt-2/774M is no longer on hold", "gpt-2/774M is released to the public", "gpt-2 is no longer on hold",
    ]  # fmt: skip
    assert texts(root, "entry/content") == ["Nor this.", "A reason.", "It was not repeated."]
    assert [one.get("term") for one in root.iter(f"{ATOM}category")] == ["lifted", "public", "lifted"]


@pytest.mark.parametrize("count", [0, 1, 3, ENTRIES_AT_MOST + 5])
def test_a_feed_is_valid_and_tells_the_newest_first(count: int) -> None:
    """Without any decision as well; it is as new as the newest, and no longer than it has to be."""
    root = valid(feed(*(decision(number) for number in range(1, count + 1))))
    told = [int(one.rpartition("/")[2]) for one in texts(root, "entry/id")]
    assert told == list(range(count, max(0, count - ENTRIES_AT_MOST), -1))
    newest = (AT + timedelta(minutes=count)) if count else LAB.since
    assert texts(root, "updated") == [newest.strftime("%Y-%m-%dT%H:%M:%SZ")]


def test_ids_and_moments_stay_whatever_comes_later() -> None:
    """A reader that has an entry is not shown it again; the ids are RFC 4151's, and say no address."""
    first, second = (valid(feed(*(decision(number) for number in range(1, count)))) for count in (3, 6))
    for name in ("id", "updated", "published", "content"):
        assert texts(first, f"entry/{name}") == texts(second, f"entry/{name}")[-2:]
    assert texts(first, "id") == texts(second, "id") == ["tag:weights.example.org,2019-02-14:releases"]
    assert texts(first, "entry/id")[0] == "tag:weights.example.org,2019-02-14:decision/2"
    assert texts(first, "updated") < texts(second, "updated")


HOSTILE = [
    "<script>alert(1)</script>", "]]><entry/>", "&amp; &lt;", "\x00\x01\x1f", "\ufffe\uffff", "\ud800",
    "🙂\n\ttwo lines", "<!DOCTYPE x [<!ENTITY y 'z'>]>&y;",
]  # fmt: skip


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_reason_is_text_whatever_is_in_it(reason: str) -> None:
    """Nothing in it is read as markup; what XML cannot say is replaced."""
    (content,) = texts(valid(feed(decision(1, reason))), "entry/content")
    unwritable = "\x00\x01\x1f\ufffe\uffff\ud800"
    assert content == reason.translate({ord(one): "\ufffd" for one in unwritable})


MOVES = [
    ("planned", "partners", "gpt-2/774M is released to partners"),
    ("planned", "public", "gpt-2/774M is released to the public"),
    ("partners", "public", "gpt-2/774M is released to the public"),
    ("public", "partners", "gpt-2/774M is for partners only again"),
    ("partners", "withdrawn", "gpt-2/774M is withdrawn"),
]


@pytest.mark.parametrize(("before", "to", "title"), MOVES)
def test_a_title_says_what_happened(before: str, to: str, title: str) -> None:
    """In a sentence that stands for itself in a reader's list."""
    assert texts(valid(feed(decision(1, before=before, to=to))), "entry/title") == [title]


def test_the_server_gives_the_feed(world: World) -> None:
    """To anybody, absolute in its links, and only once as long as nothing has changed."""
    made = world.move("gpt-2/774M", "public", "Nothing was found.")
    answer = world.client.get("/releases.atom")
    assert answer.mimetype == "application/atom+xml"
    assert (answer.headers["Cache-Control"], answer.headers.get("Set-Cookie")) == ("public, max-age=60", None)
    root = valid(answer.data)
    assert texts(root, "entry/content")[0] == "Nothing was found."
    link = root.find(f"{ATOM}entry/{ATOM}link")
    assert link.get("href") == f"http://localhost:8080/releases#decision-{made.id}"
    again = world.client.get("/releases.atom", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
