"""Invitations: who may invite whom, how a link ends, and that it makes exactly one person."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import select, update

from server.domain.accounts import invitations, password_resets
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, OrganizationSuspended, Refused
from server.domain.identity import authentication, organizations, people
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.mail.mails import Mail
from server.domain.paging import Slice
from server.domain.permissions import Role
from tests.world import STRANGER, World

AURORA, BRENT = "aurora-institute", "dover-lab"
NEW = "new@aurora-institute.example"
PASSWORD = "a long enough password"


def secret_of(world: World, email: str = NEW) -> str:
    """What the newest mail's link holds."""
    with world.use.database.reading() as session:
        newest = select(Mail.text).where(Mail.recipient == email).order_by(Mail.id.desc())
        text = session.scalars(newest).first()
    found = re.search(rf"^{re.escape(world.settings.public_url)}/invitations/([\w-]{{43}})$", text or "", re.MULTILINE)
    assert found
    return found[1]


def code(world: World, secret: str) -> str:
    return pyotp.TOTP(invitations.totp_secret(world.use, secret)).at(world.clock())


def accept(world: World, secret: str, name: str = "Nora New") -> Caller:
    signed_in = invitations.accept(world.use, STRANGER, secret, name, PASSWORD, code(world, secret))
    caller, refused = authentication.identify_session(world.use, signed_in.secret, STRANGER)
    assert refused is None
    return caller


def test_an_invitation_makes_a_person_who_is_signed_in(world: World) -> None:
    """In the inviter's organization, with the role that was named; the log tells of both steps, and of no secret."""
    owner = world.person("cleared")
    invitations.invite(world.use, owner, AURORA, f" {NEW.upper()} ", Role.MEMBER)
    secret = secret_of(world)
    caller = accept(world, secret)
    assert (caller.person, caller.organization, caller.role) == (NEW, AURORA, Role.MEMBER)
    assert people.prove(world.use, NEW, PASSWORD).name == "Nora New"
    (invited,), (accepted,) = world.records("invitation.invite"), world.records("person.accept_invitation")
    assert (invited["person"], invited["role"], invited["actor"]["person"]) == (NEW, "member", owner.person)
    assert (accepted["actor"]["person"], accepted["invitation"]) == (NEW, invited["invitation"])
    assert secret.encode() not in b"".join(entry.record for entry in world.entries())
    with pytest.raises(NotPossible, match="accepted"):
        accept(world, secret)


def test_of_two_who_open_the_link_at_once_one_becomes_a_person(world: World) -> None:
    """And the other reads that it was accepted."""
    invitations.invite(world.use, world.person("cleared"), AURORA, NEW, Role.MEMBER)
    secret = secret_of(world)

    def race(name: str) -> str:
        try:
            return accept(world, secret, name).name or ""
        except NotPossible:
            return ""

    with ThreadPoolExecutor(2) as pool:
        assert sorted(map(bool, pool.map(race, ["First", "Second"]))) == [False, True]


def test_a_link_works_for_a_week_and_until_it_is_withdrawn(sqlite_world: World) -> None:
    """Nor after whoever sent it was disabled: it may have been meant as a way back in."""
    world, owner = sqlite_world, sqlite_world.person("cleared")
    invitations.invite(world.use, owner, AURORA, NEW, Role.MEMBER)
    expired = secret_of(world)
    world.clock.advance(invitations.LIFETIME)
    invitation = invitations.invite(world.use, owner, AURORA, NEW, Role.OWNER)
    withdrawn = secret_of(world)
    invitations.withdraw(world.use, owner, invitation.id)
    with pytest.raises(NotPossible, match="already withdrawn"):
        invitations.withdraw(world.use, owner, invitation.id)
    invitations.invite(world.use, owner, AURORA, NEW, Role.MEMBER)
    orphaned = secret_of(world)
    with world.use.database.transaction() as session:
        session.execute(update(Person).where(Person.id == owner.person_id).values(disabled_at=world.clock()))
    for secret, state in ((expired, "expired"), (withdrawn, "withdrawn"), (orphaned, "withdrawn")):
        with pytest.raises(NotPossible, match=f"is {state}"):
            accept(world, secret)
    with pytest.raises(NotFound):
        accept(world, "x" * 43)
    assert [record["person"] for record in world.records("invitation.withdraw")] == [NEW]


def test_who_may_invite_whom(sqlite_world: World) -> None:
    """Owners into their own organization, admins anywhere; and only with a role that is there."""
    world = sqlite_world
    owner, other = world.person("cleared"), world.add_partner(BRENT)
    invitations.invite(world.use, world.admin, BRENT, "x@dover-lab.example", Role.OWNER)
    refused: list[tuple[Caller, str, Role, type[Refused]]] = [
        (owner, BRENT, Role.MEMBER, NotFound), (owner, "no-such", Role.MEMBER, NotFound),
        (owner, AURORA, Role.ADMIN, InvalidRequest), (owner, AURORA, Role.AUDITOR, InvalidRequest),
        (world.admin, "no-such", Role.MEMBER, NotFound), (world.person("auditor"), AURORA, Role.MEMBER, NotPermitted),
        (world.caller("cleared"), AURORA, Role.MEMBER, Refused), (STRANGER, AURORA, Role.MEMBER, Refused),
    ]  # fmt: skip
    for caller, organization, role, refusal in refused:
        with pytest.raises(refusal):
            invitations.invite(world.use, caller, organization, NEW, role)
    with world.use.database.reading() as session:
        home = organizations.get(session, BRENT)
        (theirs,) = invitations.of_organization(session, other, home.id, Slice(50)).items
        with pytest.raises(NotFound):
            invitations.of_organization(session, owner, home.id, Slice(50))
    with pytest.raises(NotFound):
        invitations.withdraw(world.use, owner, theirs.id)
    invitations.withdraw(world.use, other, theirs.id)


@pytest.mark.parametrize("email", ["", "x", "x y@z", "x" * 250 + "@yz.org", "a@b\x00c"])
def test_what_is_no_address_is_not_invited(sqlite_world: World, email: str) -> None:
    """And no mail leaves."""
    with pytest.raises(InvalidRequest):
        invitations.invite(sqlite_world.use, sqlite_world.person("cleared"), AURORA, email, Role.MEMBER)


def test_nobody_is_invited_twice_and_no_owner_learns_of_another_s_people(sqlite_world: World) -> None:
    """Who is elsewhere already gets a mail like anybody, and reads on the page that there is an account."""
    world, owner = sqlite_world, sqlite_world.person("cleared")
    invitations.invite(world.use, owner, AURORA, NEW, Role.MEMBER)
    with pytest.raises(NotPossible, match="already been invited"):
        invitations.invite(world.use, owner, AURORA, NEW.upper(), Role.OWNER)
    with pytest.raises(NotPossible, match="already belongs to"):
        invitations.invite(world.use, owner, AURORA, owner.person or "", Role.MEMBER)
    foreign = world.example.people["unsigned"]["email"]
    with pytest.raises(NotPossible, match="already belongs to"):
        invitations.invite(world.use, world.admin, AURORA, foreign, Role.MEMBER)
    invitations.invite(world.use, owner, AURORA, foreign, Role.MEMBER)
    with pytest.raises(NotPossible, match="already has an account"):
        accept(world, secret_of(world, foreign))


def test_what_is_typed_wrong_leaves_the_invitation_open(sqlite_world: World) -> None:
    """A wrong code, a short password, no name; then all right. A suspended organization takes nobody in."""
    world = sqlite_world
    invitations.invite(world.use, world.person("cleared"), AURORA, NEW, Role.MEMBER)
    secret = secret_of(world)
    right = code(world, secret)
    wrong = "000000" if right != "000000" else "111111"
    for name, password, typed in (("N", PASSWORD, wrong), ("N", "short", right), (" ", PASSWORD, right)):
        with pytest.raises(InvalidRequest):
            invitations.accept(world.use, STRANGER, secret, name, password, typed)
    suspend = update(Organization).where(Organization.slug == AURORA)
    with world.use.database.transaction() as session:
        session.execute(suspend.values(suspended_at=world.clock()))
    with pytest.raises(OrganizationSuspended):
        accept(world, secret)
    with world.use.database.transaction() as session:
        session.execute(suspend.values(suspended_at=None))
    world.clock.advance(timedelta(minutes=1))
    assert accept(world, secret).person == NEW


def test_an_invitation_ends_with_its_inviter_s_right_to_invite(sqlite_world: World) -> None:
    """Who was made something less must not come back as somebody else; others can withdraw it, and invite anew."""
    world, owner = sqlite_world, sqlite_world.person("cleared")
    for inviter, role in ((world.admin, Role.AUDITOR), (owner, Role.MEMBER)):
        invitation = invitations.invite(world.use, inviter, AURORA, NEW, Role.OWNER)
        secret = secret_of(world)
        with world.use.database.transaction() as session:
            session.execute(update(Person).where(Person.id == inviter.person_id).values(role=role))
        with pytest.raises(NotPossible, match="is withdrawn"):
            accept(world, secret)
        invitations.withdraw(world.use, world.person("admin2"), invitation.id)
        with pytest.raises(NotPossible, match="already withdrawn"):
            invitations.withdraw(world.use, world.person("admin2"), invitation.id)


def test_our_mail_server_writes_to_nobody_all_day(sqlite_world: World) -> None:
    """Nor to everybody: withdrawing makes no room for more mails within the day."""
    world, owner = sqlite_world, sqlite_world.person("cleared")

    def invite(email: str) -> None:
        invitations.withdraw(world.use, owner, invitations.invite(world.use, owner, AURORA, email, Role.MEMBER).id)

    for number in range(100):
        invite(f"x{number // 5}@example.org")
        if number == 4:
            with pytest.raises(NotPossible, match="24 hours"):
                invite("X0@example.org")
    with pytest.raises(NotPossible, match="24 hours"):
        invite(NEW)
    world.clock.advance(timedelta(days=1))
    invite("x0@example.org")


def test_nothing_is_hashed_for_a_link_of_nobody(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing is slow on purpose: whoever makes links up must not have us do it."""
    monkeypatch.setattr(people, "hash_password", lambda _: pytest.fail("hashed"))
    with pytest.raises(NotFound):
        invitations.accept(sqlite_world.use, STRANGER, "x" * 43, "N", PASSWORD, "123456")
    with pytest.raises(NotPossible):
        password_resets.reset(sqlite_world.use, STRANGER, "x" * 43, PASSWORD, "123456")


def test_an_invitation_is_sent_again(world: World) -> None:
    """As a new one with the full time, and the earlier link is worthless; an expired one too, an accepted one not."""
    owner = world.person("cleared")
    first = invitations.invite(world.use, owner, AURORA, NEW, Role.MEMBER)
    lost = secret_of(world)
    second = invitations.resend(world.use, owner, first.id)
    assert (second.email, second.role, second.expires_at > first.expires_at) == (NEW, Role.MEMBER, True)
    with pytest.raises(NotPossible, match="This invitation is withdrawn"):
        accept(world, lost)
    with pytest.raises(NotPossible, match="already withdrawn"):
        invitations.resend(world.use, owner, first.id)
    world.clock.advance(invitations.LIFETIME + timedelta(minutes=1))
    third = invitations.resend(world.use, owner, second.id)
    accept(world, secret_of(world))
    with pytest.raises(NotPossible, match="already accepted"):
        invitations.resend(world.use, owner, third.id)
    with pytest.raises(NotFound):
        invitations.resend(world.use, world.person("unsigned"), third.id)
    assert len(world.records("invitation.invite")) == 3
    assert [record["invitation"] for record in world.records("invitation.withdraw")] == [first.id]
