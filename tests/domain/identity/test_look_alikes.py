"""Look-alikes: what a person would take for the same name is found, whatever letters it is made of."""

import pytest

from server.domain.errors import InvalidRequest
from server.domain.identity import look_alikes, organizations, people
from server.domain.permissions import Role
from tests.visits import words
from tests.world import World

ALIKE = [
    "Aurora Institute", "aurora institute", "\u0410urora Institute", "Aur\u043era Institute", "Aurora lnstitute",
    "Aurora-Institute", "Aurora  Institute.", "A\u016brora Institute", "Aur0ra 1nstitute", "\uff21urora Institute",
    "Au\u0440ora Institute".replace("\u0440", "r"),
]  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_a_look_alike_is_found(name: str) -> None:
    """In another script, case or spacing, with accents, and with letters that look like others."""
    others = [("aurora", "Aurora Institute"), ("birch", "Birch University"), ("cedar", "Cedar Systems")]
    assert look_alikes.of(name, others) == [("aurora", "Aurora Institute")]


def test_a_pair_of_letters_may_look_like_one() -> None:
    """And names that are only near each other are two."""
    assert look_alikes.of("Modem Labs", [("a", "Modern Labs"), ("b", "Modes Labs"), ("c", "Aurora Institute")]) == [
        ("a", "Modern Labs")
    ]


def test_whoever_adds_one_is_told_of_the_other(sqlite_world: World) -> None:
    """It is added all the same: two may be called alike. A name of its own brings no warning."""
    admin = sqlite_world.visit("admin")
    with sqlite_world.use.database.reading() as session:
        known = organizations.get(session, "aurora-institute").name
    assert admin.post("/admin/add-organization", {"name": f"{known} ", "slug": "aurora-2"}).status_code == 303
    page = words(admin.get("/admin/organizations/aurora-2"))
    assert f"Its name looks like that of {known} (aurora-institute)." in page
    assert admin.post("/admin/add-organization", {"name": "Elm Foundation", "slug": "elm"}).status_code == 303
    assert "looks like" not in words(admin.get("/admin/organizations/elm"))


@pytest.mark.parametrize(
    ("hidden", "name"), [("\u200b", "ZERO WIDTH SPACE"), ("\u202e", "RIGHT-TO-LEFT OVERRIDE"), ("\x07", "U+0007")]
)
def test_a_character_that_cannot_be_seen_is_named(sqlite_world: World, hidden: str, name: str) -> None:
    """In a name of an organization or a person, at every door: nobody would find it otherwise."""
    world, text = sqlite_world, f"Au{hidden}rora"
    with pytest.raises(InvalidRequest, match=f"cannot be seen: {name.replace('+', '.')}"):
        organizations.add(world.use, world.admin, "new", text)
    with pytest.raises(InvalidRequest, match=f"cannot be seen: {name.replace('+', '.')}"):
        people.add(world.use, world.admin, "aurora-institute", "n@b.example", text, Role.MEMBER)
    page = world.visit("admin").post("/admin/add-organization", {"name": text, "slug": "new"})
    assert (page.status_code, f"cannot be seen: {name}" in words(page)) == (422, True)
