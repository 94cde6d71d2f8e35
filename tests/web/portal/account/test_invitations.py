"""Invitations as invited people see them: one page, and then they are in; or a page that says why not."""

import pyotp
from sqlalchemy import update

from server.domain.accounts import invitations
from server.domain.accounts.invitations import Invitation
from server.domain.permissions import Role
from tests.domain.accounts.test_factors import begin_a_step
from tests.domain.accounts.test_invitations import AURORA, NEW, secret_of
from tests.visits import Visit, words
from tests.world import World

PASSWORD = "a long enough password"


def invite(world: World) -> str:
    invitations.invite(world.use, world.person("cleared"), AURORA, NEW, Role.MEMBER)
    return secret_of(world)


def fill(world: World, secret: str, **other: str) -> dict[str, str]:
    code = pyotp.TOTP(invitations.totp_secret(world.use, secret)).at(world.clock())
    return {"name": "Nora New", "password": PASSWORD, "code": code, **other}


def test_an_invited_person_is_in_after_one_page(sqlite_world: World) -> None:
    """The QR code is drawn in the page; a wrong code keeps what was typed, but the password; then they are in."""
    world, secret = sqlite_world, invite(sqlite_world)
    visit, path = world.visit(None), f"/invitations/{secret}"
    page = visit.get(path)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "<svg" in page.text
    assert " style=" not in page.text
    assert invitations.totp_secret(world.use, secret) in page.text
    assert "Aurora Institute" in words(page)
    begin_a_step(world)
    wrong = visit.post(path, fill(world, secret, code="12"))
    assert wrong.status_code == 422
    assert wrong.headers["Referrer-Policy"] == "no-referrer"
    assert 'value="Nora New"' in wrong.text
    assert PASSWORD not in wrong.text
    fields = fill(world, secret)
    done = visit.post(path, fields)
    assert (done.status_code, done.headers["Location"]) == (303, "/account/recovery-codes")
    assert "Welcome" in words(visit.get("/account/recovery-codes"))
    again = visit.post(path, fields)  # the back button, and the form once more
    assert again.status_code == 410
    assert "has been accepted" in words(again)
    assert [record["person"] for record in world.records("person.accept_invitation")] == [NEW]


def test_an_invitation_that_is_over_says_so(sqlite_world: World) -> None:
    """Expired, withdrawn, or never sent: each in its words, with whom to ask; and nothing is made."""
    world, secret = sqlite_world, invite(sqlite_world)
    visit = world.visit(None)

    def read(status: int) -> str:
        fields = {"name": "N", "password": PASSWORD, "code": "123456"}
        pages = visit.get(f"/invitations/{secret}"), visit.post(f"/invitations/{secret}", fields)
        assert [page.status_code for page in pages] == [status] * 2
        return words(pages[0])

    with world.use.database.transaction() as session:
        session.execute(update(Invitation).values(expires_at=world.clock()))
    assert "This invitation has expired" in read(410)
    with world.use.database.transaction() as session:
        session.execute(update(Invitation).values(withdrawn_at=world.clock()))
    withdrawn = read(410)
    assert "This invitation has been withdrawn" in withdrawn
    assert world.example.people["cleared"]["email"] in withdrawn
    secret = "x" * 43
    assert "Invitation not found" in read(404)
    assert world.records("person.accept_invitation") == []


def test_the_secret_of_a_link_is_in_no_refusal(sqlite_world: World) -> None:
    """Refusals are read by staff; the addresses that they name are without it."""
    visit: Visit = sqlite_world.visit(None)
    secret = invite(sqlite_world)
    fields = fill(sqlite_world, secret, role="admin")
    assert visit.post(f"/invitations/{secret}", fields).status_code == 400
    assert visit.post(f"/invitations/{secret}", fill(sqlite_world, secret, name=" x ", code="1")).status_code == 422
    asked = [refusal.asked for refusal in sqlite_world.refusals()]
    assert len(asked) >= 2
    assert not [text for text in asked if secret in text]
