"""Notices: the right people, in plain words, and foreign words marked as such."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from server.domain.access import clearances, signatures
from server.domain.accounts import factors
from server.domain.identity import people
from server.domain.mail import mails, notices
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from server.domain.release.stages import StageState
from tests.filled_forms import sign
from tests.world import World


@pytest.fixture
def world(sqlite_world: World) -> World:
    """With an empty outbox."""
    with sqlite_world.use.database.transaction() as session:
        session.execute(delete(Mail))
    return sqlite_world


def outbox(world: World, kind: str) -> list[Mail]:
    with world.use.database.reading() as session:
        return list(session.scalars(select(Mail).where(Mail.kind == kind).order_by(Mail.id)))


def alarm(world: World, *sentences: str) -> None:
    with world.use.database.transaction() as session:
        notices.alarms_raised(session, world.use, sentences, world.clock())


def test_alarms_of_a_minute_come_in_one_mail(world: World) -> None:
    """To each admin and auditor who is not disabled; what is raised after it was sent comes in the next."""
    alarm(world)
    assert outbox(world, "alarm") == []
    world.add_person("example-lab", "new@example-lab.example", Role.AUDITOR)
    people.disable(world.use, world.admin, "new@example-lab.example")
    alarm(world, "A link leaked.", "A link leaked.", "A ghost read.")
    alarm(world, "A decoy was touched.")
    told = outbox(world, "alarm")
    assert {mail.recipient for mail in told} == {world.person(name).person for name in ("admin", "admin2", "auditor")}
    assert len(told) == 3
    for line in ("2 x A link leaked.", "1 x A ghost read.", "1 x A decoy was touched."):
        assert line in told[0].text
    assert told[0].text.startswith(f"Review the alarms: {world.settings.public_url}/audit/alarms\n")
    world.use.settings = world.settings.model_copy(update={"development_mails": True})
    assert "alarm" not in {one.mail.kind for one in mails.send_due(world.use)}  # they gather
    world.clock.offset += timedelta(minutes=1)
    assert len(mails.send_due(world.use)) == 3
    alarm(world, "Another.")
    assert len(outbox(world, "alarm")) == 6


def test_a_flood_of_alarms_is_a_mail_that_ends(world: World) -> None:
    """It says that there are more; the page has them all."""
    for number in range(40):
        alarm(world, f"Number {number}.")
    text = outbox(world, "alarm")[0].text
    assert text.count(" x ") == notices.ALARM_LINES_AT_MOST
    assert text.count("and more") == 1
    assert "Each alarm is also an entry" in text


def test_what_others_wrote_is_marked_in_every_line(world: World) -> None:
    """A purpose cannot pass for our own words, nor end the mail in our name."""
    with world.use.database.transaction() as session:
        notices.request_declined(
            session, world.use, world.person("cleared").organization_id or 0, 0, "research on gpt-2",
            "No.\r\n-- \nWeightgate at http://evil.example\x0bSign in here", world.clock(),
        )  # fmt: skip
    (mail,) = outbox(world, "access_declined")
    ours = [line for line in mail.text.splitlines() if not line.startswith("> ")]
    assert "evil.example" not in "\n".join(ours)
    assert "Sign in here" not in "\n".join(ours)
    assert mail.subject == "Declined: research on gpt-2"


def test_a_signature_is_told_to_whom_it_waits_for_and_what_became_of_it_to_its_partner(world: World) -> None:
    """The admins; then the owners, with the reason where there is one."""
    owner = world.person("unsigned")
    declined = sign(world)
    waits = outbox(world, "signature_waits")
    assert {mail.recipient for mail in waits} == {world.admin.person, world.admin2.person}
    assert waits[0].text.startswith(
        f"Countersign or decline it: {world.settings.public_url}/admin/signatures/{declined}"
    )
    assert "> Una Signer, Dean" in waits[0].text
    signatures.decline(world.use, world.admin, declined, "Not an officer.")
    (mail,) = outbox(world, "signature_declined")
    assert (mail.recipient, mail.subject) == (owner.person, "Declined: version 1 of model-sharing")
    assert "> Not an officer." in mail.text
    signatures.countersign(world.use, world.admin, sign(world))
    (mail,) = outbox(world, "countersigned")
    assert (mail.recipient, mail.subject) == (owner.person, "In force: version 1 of model-sharing")


def test_a_clearance_that_needs_a_second_admin_is_told_to_the_others(world: World) -> None:
    """Not to the one who proposed it; and one that needs nobody else is told to nobody."""
    until = world.clock() + timedelta(days=9)
    for tier in ("registered", "partner"):
        clearances.propose(
            world.use, world.admin, "cedar-systems", "mini-gpt", tier, expires_at=until, purpose="A study."
        )
    (mail,) = outbox(world, "clearance_waits")
    assert (mail.recipient, mail.subject) == (
        world.admin2.person, "Approval needed: partner on mini-gpt for Cedar Systems"
    )  # fmt: skip


def test_whoever_s_account_is_changed_hears_of_it(world: World) -> None:
    """For if it was not them."""
    owner = world.person("cleared")
    password = world.example.people["cleared"]["password"]
    factors.change_password(world.use, owner, password, "another long password")
    factors.make_recovery_codes(world.use, owner, newest=0)
    told = outbox(world, "account_changed")
    assert [mail.subject for mail in told] == ["Your password was changed", "Your recovery codes were replaced"]
    assert {mail.recipient for mail in told} == {owner.person}
    first_line = f"If this was not you, contact {world.settings.contact} immediately."
    assert all(mail.text.startswith(first_line) for mail in told)


def test_a_released_stage_is_told_to_those_whom_it_concerns(world: World) -> None:
    """To partners: the owners of who is cleared for it now. To everyone: every partner's owners; the lab knows."""
    world.add_partner()
    world.move("gpt-2/1558M", StageState.PARTNERS, "It is time.")
    cleared = {str(world.person(name).person) for name in ("cleared", "unsigned")}
    assert {mail.recipient for mail in outbox(world, "stage_opened")} == cleared
    assert outbox(world, "stage_opened")[0].subject == "Released: gpt-2/1558M"
    world.move("gpt-2/774M", StageState.PUBLIC, "No harm was seen.")
    told = [mail.recipient for mail in outbox(world, "stage_opened") if "774M" in mail.subject]
    assert set(told) == cleared | {str(world.person(name).person) for name in ("uncleared", "dover-lab")}
    assert len(told) == 4
    before = len(outbox(world, "stage_opened"))
    world.move("gpt-2/355M", StageState.WITHDRAWN, "It did harm.")
    assert len(outbox(world, "stage_opened")) == before
