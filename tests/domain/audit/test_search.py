"""Finding: whatever somebody holds in their hand leads to what it names, and to nothing of another partner."""

import pytest

from server.domain.audit import search
from server.domain.audit.search import Thing
from server.domain.downloads import issuing
from tests.world import World


def found(world: World, name: str, text: str) -> list[tuple[Thing, str]]:
    with world.use.database.reading() as session:
        return [(one.thing, one.key) for one in search.find(session, world.use, world.caller(name), text)]


def test_each_thing_is_found(world: World) -> None:
    """By its name, its id, its place, or the beginning of its hash; by the lab and by whose it is."""
    made = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    entry, record = world.entries("download")[-1], world.records("download")[-1]
    token, log = record["actor"]["token"], f"{world.clock().year}/{entry.leaf_index}"
    for text, thing, key in (
        (made.id, Thing.DOWNLOAD, made.id), (made.id.upper(), Thing.DOWNLOAD, made.id), (token, Thing.TOKEN, token),
        (log, Thing.ENTRY, log), (str(entry.leaf_index), Thing.ENTRY, log), ("774m", Thing.STAGE, "gpt-2/774M"),
        ("aurora-inst", Thing.ORGANIZATION, "aurora-institute"), ("AURORA", Thing.ORGANIZATION, "aurora-institute"),
        (record["agreement_sha256"][:8], Thing.AGREEMENT, "model-sharing/1"),
    ):  # fmt: skip
        assert (thing, key) in found(world, "auditor", text), text
        assert (thing, key) in found(world, "cleared", text), text
    assert (Thing.CHECKPOINT, record["checkpoint"]) in found(world, "auditor", record["checkpoint"][:8])
    owner = world.person("cleared")
    assert (Thing.PERSON, str(owner.person_id)) in found(world, "auditor", str(owner.person))


def test_a_refused_request_is_found_by_what_people_quote(world: World) -> None:
    """The id at the foot of the page that refused it; by the lab and by its own organization."""
    world.api("POST", "/downloads", "uncleared", json={"stage": "gpt-2/774M"})
    request_id = world.refusals()[-1].request_id
    assert request_id is not None
    for name, expected in (("auditor", 1), ("uncleared", 1), ("cleared", 0)):
        assert len(found(world, name, request_id)) == expected, name


def test_nothing_of_another_partner_is_found(sqlite_world: World) -> None:
    """Neither by its id nor by a part of its name; and no checkpoint, which only the cleared may know of."""
    world = sqlite_world
    made = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    entry, record = world.entries("download")[-1], world.records("download")[-1]
    for text in (made.id, record["actor"]["token"], f"{world.clock().year}/{entry.leaf_index}", str(entry.leaf_index),
                 "aurora", "owner@aurora", record["checkpoint"][:8]):  # fmt: skip
        assert found(world, "unsigned", text) == [], text


@pytest.mark.parametrize(
    "text", ["", " ", "a", "%", "__", "nothing-has-this-name", "f" * 64, "9" * 18, "\N{SNOWMAN}" * 9]
)
def test_what_names_nothing_finds_nothing(sqlite_world: World, text: str) -> None:
    """Nor does what a database would take for "anything"."""
    assert found(sqlite_world, "auditor", text) == []
