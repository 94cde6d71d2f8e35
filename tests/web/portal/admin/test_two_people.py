"""One person who tries to be two, over HTTP: each way that the portal leaves them ends in a refusal."""

import re
from typing import Any

import pyotp
import pytest
from sqlalchemy import select

from server.domain.access import clearances
from server.domain.accounts import granting
from server.domain.audit import verifying
from server.domain.identity import people
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from server.storage import keys
from tests.visits import Visit, words
from tests.world import World

LAB, EVE, EVA = "example-lab", "eve@elsewhere.example", "eva@elsewhere.example"
PASSWORD = "a password of one's own"


def invite_and_accept(world: World, by: Visit, email: str) -> Visit:
    """What the issue tells of: whoever invites reads the mail, too, and accepts in that name."""
    invited = by.post("/admin/people/invite", {"organization": LAB, "email": email, "role": "admin"})
    assert invited.status_code == 303
    with world.use.database.reading() as session:
        mail = session.scalars(select(Mail).where(Mail.recipient == email).order_by(Mail.id.desc())).first()
    assert mail is not None
    link = re.search(r"/invitations/[\w-]+", mail.text)
    assert link is not None
    stranger = world.visit(None)
    page = stranger.get(link[0]).text
    secret = re.search(r"secret=([A-Z2-7]{32})|>([A-Z2-7 ]{32,})<", page)
    assert secret is not None
    totp = pyotp.TOTP((secret[1] or secret[2]).replace(" ", ""))
    form = {"name": "Eve", "password": PASSWORD, "code": totp.now()}
    assert stranger.post(link[0], form).status_code == 303
    world.example.people[email] = {"email": email}
    return stranger


def proposed(world: World) -> str:
    """A clearance that the first admin proposed, by its page."""
    made = clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "partner", purpose="Mine.",
        expires_at=world.clock().replace(year=2090),
    )  # fmt: skip
    return f"/admin/clearances/{made.id}"


def refused(answer: Any, *parts: str) -> None:
    assert answer.status_code in {403, 409}, answer.status_code
    for part in parts:
        assert part in words(answer)


def page_of(world: World, email: str) -> str:
    return f"/admin/people/{world.person_of(email).person_id}"


@pytest.fixture
def admin(sqlite_world: World) -> Visit:
    return sqlite_world.visit("admin")


def test_an_invited_second_self_approves_nothing(sqlite_world: World, admin: Visit) -> None:
    """The script of the issue: invite, accept in that name, approve one's own clearance."""
    world = sqlite_world
    page = proposed(world)
    second = invite_and_accept(world, admin, EVE)
    assert second.get("/").headers["Location"].endswith("/account")
    said = words(second.get("/account"))
    assert "Your role admin waits for a second admin" in said
    assert f"{world.admin2.person} can approve it" in said
    refused(second.post(f"{page}/approve"), "does not include this permission")
    refused(
        admin.post(f"{page_of(world, EVE)}/role/approve"), "another admin must approve it", str(world.admin2.person)
    )
    refused(second.post(f"{page_of(world, EVE)}/role/approve"))
    assert world.records("clearance.approve")[-1]["clearance"] != int(page.rpartition("/")[2])


def test_a_chain_of_second_selves_ends_nowhere(sqlite_world: World, admin: Visit) -> None:
    """Whoever waits invites nobody, and a third self that the first one invites waits just as the second does."""
    world = sqlite_world
    second = invite_and_accept(world, admin, EVE)
    refused(second.post("/admin/people/invite", {"organization": LAB, "email": EVA, "role": "admin"}))
    third = invite_and_accept(world, admin, EVA)
    for who in (second, third):
        for email in (EVE, EVA):
            refused(who.post(f"{page_of(world, email)}/role/approve"))
    for email in (EVE, EVA):
        assert world.person_of(email).role is Role.PENDING


def test_disabling_enabling_and_another_role_give_nothing(sqlite_world: World, admin: Visit) -> None:
    """Off and on again the role still waits; up and down it is a proposal each time, and one at a time."""
    world = sqlite_world
    invite_and_accept(world, admin, EVE)
    page = page_of(world, EVE)
    assert admin.post(f"{page}/disable").status_code == 303
    assert admin.post(f"{page}/enable").status_code == 303
    refused(admin.post(f"{page}/role", {"role": "auditor"}), "already proposed")
    assert admin.post(f"{page}/role/reject").status_code == 303
    assert admin.post(f"{page}/role", {"role": "admin"}).status_code == 303
    refused(admin.post(f"{page}/role/approve"), "another admin must approve it")
    publisher = f"/admin/people/{world.person('publisher').person_id}"
    assert admin.post(f"{publisher}/role", {"role": "admin"}).status_code == 303
    refused(world.visit("publisher").post(f"{publisher}/role/approve"))
    assert world.person("publisher").role == Role.PUBLISHER


def test_a_reset_password_makes_no_second_person(sqlite_world: World, admin: Visit) -> None:
    """The first admin resets the second one's, signs in with an app of their own, and approves in that name."""
    world = sqlite_world
    page = proposed(world)
    people.reset_password(world.use, world.admin, str(world.admin2.person), PASSWORD)
    with world.use.database.transaction() as session:  # the app of whoever has taken the account over
        row = session.get_one(people.Person, world.admin2.person_id)
        row.totp_secret_sealed = keys.seal(world.use.secret, "totp", pyotp.random_base32().encode())
    taken = world.visit("admin2")
    refused(taken.post(f"{page}/approve"), "could act in that name", "No other admin can approve this now")
    invite_and_accept(world, admin, EVE)
    refused(taken.post(f"{page_of(world, EVE)}/role/approve"), "could act in that name")


def test_an_address_that_looks_like_another_s_is_another_person(sqlite_world: World, admin: Visit) -> None:
    """The second admin's address in capitals is taken; one that only looks like it waits like anybody's."""
    world = sqlite_world
    taken = {"organization": LAB, "email": str(world.admin2.person).upper(), "role": "admin"}
    assert admin.post("/admin/people/invite", taken).status_code == 409
    granting.add(world.use, world.admin, LAB, "b3n@example-lab.example", "Ben Tanaka", Role.ADMIN, PASSWORD)
    page = page_of(world, "b3n@example-lab.example")
    assert "b3n@example-lab.example" in words(world.visit("admin2").get(page))
    refused(admin.post(f"{page}/role/approve"))


def test_nothing_of_this_is_a_fault_of_the_log(sqlite_world: World, admin: Visit) -> None:
    """Refused attempts leave no entry; the second admin finds what waits in the queue, and gives it."""
    world = sqlite_world
    second = invite_and_accept(world, admin, EVE)
    assert "Roles to approve (1)" in words(world.visit("admin2").get("/admin/queue"))
    assert "Roles to approve" not in words(admin.get("/admin/queue"))
    assert world.visit("admin2").post(f"{page_of(world, EVE)}/role/approve").status_code == 303
    assert second.get("/admin/queue").status_code == 200
    world.seal()
    assert [result.faults for result in verifying.verify(world.use, tables=True)] == [[]]
