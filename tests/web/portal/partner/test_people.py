"""People: owners look after their organization's, and nobody else's."""

import pytest
from sqlalchemy import select

from server.domain.identity import people
from server.domain.identity.people import Person
from server.domain.permissions import Role
from tests.visits import words
from tests.world import World

MIA = "mia@aurora-institute.example"


@pytest.fixture
def mia(sqlite_world: World) -> int:
    """A member beside the cleared partner's owner; her id."""
    own = "their own password"
    people.add(sqlite_world.use, sqlite_world.admin, "aurora-institute", MIA, "Mia <b>Member</b>", Role.MEMBER, own)
    sqlite_world.example.people["member"] = {"email": MIA}
    return key_of(sqlite_world, "member")


def key_of(world: World, name: str) -> int:
    with world.use.database.reading() as session:
        return session.scalars(select(Person.id).where(Person.email == world.example.people[name]["email"])).one()


def test_members_see_the_list_and_nothing_else(sqlite_world: World, mia: int) -> None:
    """Names, roles and nobody of another organization; every act is refused."""
    visit = sqlite_world.visit("member")
    page = visit.get("/people")
    assert MIA in page.text
    assert "<b>Member" not in page.text
    assert "birch-university.example" not in page.text
    assert "/people/invite" not in page.text
    for path in ("/people/invite", f"/people/{mia}", f"/people/{mia}/disable"):
        assert visit.get(path).status_code == 403
    for path in ("/people/invite", f"/people/{mia}/disable", f"/people/{mia}/enable", f"/people/{mia}/role"):
        assert visit.post(path).status_code == 403


def test_another_organization_s_people_do_not_exist(sqlite_world: World, mia: int) -> None:
    """Neither to read nor to act on, whatever the number; and staff have pages of their own."""
    owner, foreign = sqlite_world.visit("unsigned"), key_of(sqlite_world, "admin")
    assert owner.get(f"/people/{2**63}").status_code == 404
    for person in (mia, foreign, 999_999):
        assert owner.get(f"/people/{person}").status_code == 404
        for act in ("disable", "enable"):
            assert owner.post(f"/people/{person}/{act}").status_code == 404
        assert owner.post(f"/people/{person}/role", {"role": "owner"}).status_code == 404
    assert sqlite_world.visit("admin").post(f"/people/{mia}/disable").status_code == 403
    with sqlite_world.use.database.reading() as session:
        assert session.get_one(Person, mia).disabled_at is None


def test_disabling_says_first_what_happens_and_then_happens_at_once(sqlite_world: World, mia: int) -> None:
    """Her session and her tokens end; enabling lets her in again, and the tokens stay revoked."""
    owner, member = sqlite_world.visit("cleared"), sqlite_world.visit("member")
    assert "All their sessions end" in words(owner.get(f"/people/{mia}/disable"))
    assert member.get("/people").status_code == 200
    assert owner.post(f"/people/{mia}/disable").headers["Location"] == f"/people/{mia}"
    assert member.get("/people").status_code == 303
    assert owner.post(f"/people/{mia}/disable").status_code == 409
    assert owner.post(f"/people/{mia}/enable").status_code == 303
    assert "is not disabled" in words(owner.post(f"/people/{mia}/enable"))


def test_an_invitation_says_to_which_address_it_went(sqlite_world: World) -> None:
    """As it is kept, with what a domain of another script looks like; and why something is no address."""
    for name, path, more in (
        ("cleared", "/people", {}),
        ("admin", "/admin/people", {"organization": "birch-university", "role": "owner"}),
    ):
        visit = sqlite_world.visit(name)
        assert (
            visit.post(f"{path}/invite", {"email": "kim@münchen.example", "role": "member", **more}).status_code == 303
        )
        assert "Invitation sent to kim@xn--mnchen-3ya.example (kim@münchen.example)." in words(visit.get(path))
        for typed in ("@", "x@", "<a@b.example>", "a@b.example, c@d.example", "=1+1@b.example"):
            page = visit.post(f"{path}/invite", {"email": typed, "role": "member", **more})
            assert (page.status_code, "is not a valid email address" in words(page)) == (422, True)


def test_whom_the_lab_has_disabled_an_owner_cannot_enable(sqlite_world: World, mia: int) -> None:
    """There is no button; whoever sends the form all the same reads why. The lab may do it after an owner, too."""
    owner, admin = sqlite_world.visit("cleared"), sqlite_world.visit("admin")
    owner.post(f"/people/{mia}/disable")
    assert "can enable them" in words(admin.get(f"/admin/people/{mia}"))
    assert admin.post(f"/admin/people/{mia}/disable").status_code == 303
    page = owner.get(f"/people/{mia}")
    assert "only the lab can enable it" in words(page)
    assert f"/people/{mia}/enable" not in page.text
    refused = owner.post(f"/people/{mia}/enable")
    assert (refused.status_code, "only the lab can enable it" in words(refused)) == (409, True)
    assert admin.post(f"/admin/people/{mia}/enable").status_code == 303


def test_a_role_is_changed_and_the_last_owner_stays(sqlite_world: World, mia: int) -> None:
    """Nobody changes or disables themselves; once there are two owners, either can stop the other."""
    owner, self = sqlite_world.visit("cleared"), key_of(sqlite_world, "cleared")
    for act, why in (
        ("role", "You cannot change your own role. Ask"),
        ("disable", "You cannot disable your own account. Ask"),
    ):
        refused = owner.post(f"/people/{self}/{act}", {"role": "member"} if act == "role" else {})
        assert refused.status_code == 409
        assert why in words(refused)
    assert owner.post(f"/people/{mia}/role", {"role": "admin"}).status_code == 422
    assert owner.post(f"/people/{mia}/role", {}).status_code == 422
    assert owner.post(f"/people/{mia}/role", {"role": "owner"}).status_code == 303
    assert owner.post(f"/people/{mia}/role", {"role": "owner"}).status_code == 409
    (record,) = sqlite_world.records("person.change_role")
    assert (record["person"], record["before"], record["role"]) == (MIA, "member", "owner")
    second = sqlite_world.visit("member")
    assert second.post(f"/people/{self}/role", {"role": "member"}).status_code == 303
    assert owner.get("/people/invite").status_code == 403
    people.change_role(sqlite_world.use, sqlite_world.admin, str(sqlite_world.person("cleared").person), Role.OWNER)
    people.disable(sqlite_world.use, sqlite_world.person("member"), str(sqlite_world.person("cleared").person))
    with pytest.raises(Exception, match="one of the last"):
        people.change_role(sqlite_world.use, sqlite_world.admin, MIA, Role.MEMBER)


def test_somebody_is_invited_and_the_invitation_withdrawn(sqlite_world: World) -> None:
    """Another organization's owner cannot withdraw it; a form that is not right keeps the address."""
    owner = sqlite_world.visit("cleared")
    for fields in ({"email": "", "role": "member"}, {"email": "x" * 300, "role": "member"}, {"email": "new@x.example"}):
        assert owner.post("/people/invite", fields).status_code == 422
    wrong = owner.post("/people/invite", {"email": "no address", "role": "member"})
    assert wrong.status_code == 422
    assert 'value="no address"' in wrong.text
    assert owner.post("/people/invite", {"email": "new@x.example", "role": "admin"}).status_code == 422
    assert owner.post("/people/invite", {"email": "new@x.example", "role": "member"}).status_code == 303
    assert "new@x.example" in words(owner.get("/people"))
    assert "new@x.example" not in sqlite_world.visit("unsigned").get("/people").text
    assert sqlite_world.visit("unsigned").post("/people/invitations/1/withdraw").status_code == 404
    assert owner.post("/people/invitations/1/withdraw").status_code == 303
    assert owner.post("/people/invitations/1/withdraw").status_code == 404
    assert "/people/invitations/1/withdraw" not in owner.get("/people").text
