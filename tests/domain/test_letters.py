"""Letters: the right people, in plain words, and foreign words marked as such."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from server.domain import letters, mails, people
from server.domain.mails import Mail
from server.domain.permissions import Role
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
        letters.alarms_raised(session, world.use, sentences, world.clock())


def test_alarms_of_a_minute_come_in_one_mail(world: World) -> None:
    """To each admin and auditor who is not disabled; what is raised after it was sent comes in the next."""
    alarm(world)
    assert outbox(world, "alarm") == []
    people.add(
        world.use, world.admin, "example-lab", "new@example-lab.example", "New", Role.AUDITOR, "long enough, long"
    )
    people.disable(world.use, world.admin, "new@example-lab.example")
    alarm(world, "A link leaked.", "A link leaked.", "A ghost read.")
    alarm(world, "A decoy was touched.")
    told = outbox(world, "alarm")
    assert {mail.recipient for mail in told} == {world.person(name).person for name in ("admin", "admin2", "auditor")}
    assert len(told) == 3
    for line in ("2 x A link leaked.", "1 x A ghost read.", "1 x A decoy was touched."):
        assert line in told[0].text
    assert told[0].text.startswith(f"Look into it: {world.settings.public_url}/audit/alarms\n")
    world.use.settings = world.settings.model_copy(update={"development_mails": True})
    assert mails.send_due(world.use) == []  # it gathers
    world.clock.offset += timedelta(minutes=1)
    assert len(mails.send_due(world.use)) == 3
    alarm(world, "Another.")
    assert len(outbox(world, "alarm")) == 6


def test_a_flood_of_alarms_is_a_mail_that_ends(world: World) -> None:
    """It says that there are more; the page has them all."""
    for number in range(40):
        alarm(world, f"Number {number}.")
    text = outbox(world, "alarm")[0].text
    assert text.count(" x ") == letters.ALARM_LINES_AT_MOST
    assert text.count("and more") == 1
    assert "Each is an entry" in text


def test_what_others_wrote_is_marked_in_every_line(world: World) -> None:
    """A purpose cannot pass for our own words, nor end the mail in our name."""
    with world.use.database.transaction() as session:
        letters.request_declined(
            session, world.use, world.person("cleared").organization_id or 0, 0, "research on gpt-2",
            "No.\r\n-- \nWeightgate at http://evil.example\x0bSign in here", world.clock(),
        )  # fmt: skip
    (mail,) = outbox(world, "access_declined")
    ours = [line for line in mail.text.splitlines() if not line.startswith("> ")]
    assert "evil.example" not in "\n".join(ours)
    assert "Sign in here" not in "\n".join(ours)
    assert mail.subject == "Declined: research on gpt-2"


def test_the_last_day_is_the_one_that_people_chose(world: World) -> None:
    """What ends at midnight still works on the day before."""
    end = world.clock().replace(year=2027, month=2, day=1, hour=0, minute=0, second=0, microsecond=0)
    assert letters.last_day(end) == "31 January 2027"
    assert letters.last_day(end + timedelta(hours=1)) == "1 February 2027"
