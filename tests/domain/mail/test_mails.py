"""Mails: sent once, after the act; patiently where the server is not there; and then their links are gone."""

import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from server.domain.errors import NotFound, NotPossible
from server.domain.mail import mails
from server.domain.mail.mails import Mail
from server.domain.paging import Slice
from server.domain.resources import Resources
from server.storage import keys
from server.storage.database import DatabaseUnavailable
from server.storage.embedded import free_port
from server.storage.keys import KeyFileError
from server.storage.mail import MailServerUnavailable
from tests.mail_host import FINE, MailHost, mail_host
from tests.world import World

LINK = "https://weights.example.org/password/0123456789"


@pytest.fixture
def host() -> Iterator[MailHost]:
    with mail_host() as made:
        yield made


def set_up(world: World, port: int | None = None, **more: Any) -> World:
    """An empty outbox, and the mail server of a test (None: none)."""
    with world.use.database.transaction() as session:
        session.execute(delete(Mail))
    url = None if port is None else f"smtp://127.0.0.1:{port}"
    changed = {"smtp_url": url, "mail_from": "weights@lab.example.org", **more}
    world.use.settings = world.settings.model_copy(update=changed)
    return world


def queue(world: World, recipient: str = "dora@dover.example", subject: str = "Reset your password") -> None:
    with world.use.database.transaction() as session:
        mails.queue(session, world.use, "reset", recipient, subject, f"Follow {LINK}", world.clock())


def outbox(world: World) -> list[Mail]:
    with world.use.database.reading() as session:
        return list(session.scalars(select(Mail).order_by(Mail.id)))


def test_a_mail_is_sent_once_and_its_text_is_gone(world: World, host: MailHost) -> None:
    """It says whom to ask; whoever reads the table later finds no link in it."""
    set_up(world, host.port)
    queue(world)
    assert [outcome.error for outcome in mails.send_due(world.use)] == [None]
    assert mails.send_due(world.use) == []
    (got,) = host.delivered
    text = got.message.get_content()
    assert LINK in text
    assert world.settings.contact in text
    (mail,) = outbox(world)
    assert (mail.text, mail.next_attempt_at, mail.attempts) == ("", None, 1)
    assert mail.sent_at is not None


def test_an_act_that_fails_tells_nobody(sqlite_world: World, host: MailHost) -> None:
    """The mail is written in the act's own transaction."""
    set_up(sqlite_world, host.port)

    def fail() -> None:
        with sqlite_world.use.database.transaction() as session:
            mails.queue(session, sqlite_world.use, "reset", "dora@dover.example", "x", "x", sqlite_world.clock())
            session.flush()
            raise NotPossible("Not now.")

    with pytest.raises(NotPossible):
        fail()
    assert mails.send_due(sqlite_world.use) == []


def test_without_a_server_mails_wait(sqlite_world: World, host: MailHost) -> None:
    """Nothing is lost until the settings name one."""
    set_up(sqlite_world)
    queue(sqlite_world)
    assert mails.send_due(sqlite_world.use) == []
    sqlite_world.use.settings = sqlite_world.use.settings.model_copy(
        update={"smtp_url": f"smtp://127.0.0.1:{host.port}"}
    )
    mails.send_due(sqlite_world.use)
    assert len(host.delivered) == 1


def test_a_server_that_is_down_is_asked_ever_more_rarely(sqlite_world: World) -> None:
    """After a minute, two, four, at last every six hours; after three days never, and the link is gone."""
    world = set_up(sqlite_world, free_port())
    queue(world)
    pauses = []
    while (mail := outbox(world)[0]).next_attempt_at is not None:
        world.clock.offset += max(mail.next_attempt_at - world.clock(), timedelta(0))
        with pytest.raises(MailServerUnavailable, match="cannot be reached"):
            mails.send_due(world.use)
        after = outbox(world)[0]
        assert mails.send_due(world.use) == []  # not before its time
        if after.next_attempt_at is not None:
            pauses.append(round((after.next_attempt_at - world.clock()).total_seconds() / 60))
    assert pauses[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360]
    assert set(pauses[10:]) == {360}
    assert timedelta(days=2, hours=18) < world.clock() - mail.queued_at <= timedelta(days=3)
    assert (mail.text, mail.sent_at) == ("", None)
    assert "cannot be reached" in str(mail.last_error)


def test_a_server_that_is_down_holds_up_one_mail_a_time(sqlite_world: World) -> None:
    """A hundred mails do not wait for a hundred times its silence in one go."""
    world = set_up(sqlite_world, free_port())
    for _ in range(5):
        queue(world)
    with pytest.raises(MailServerUnavailable):
        mails.send_due(world.use)
    assert [mail.attempts for mail in outbox(world)] == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("answer", ["451 later", "554 no"])
def test_a_mail_that_is_refused_is_tried_again(sqlite_world: World, host: MailHost, answer: str) -> None:
    """The others go out meanwhile; what the server said is kept for whoever looks into it."""
    world = set_up(sqlite_world, host.port)
    host.to_recipient = lambda address: answer if "dora" in address else FINE
    queue(world)
    queue(world, "eve@dover.example")
    assert [outcome.error is None for outcome in mails.send_due(world.use)] == [False, True]
    assert answer in str(outbox(world)[0].last_error)
    assert LINK not in str(outbox(world)[0].last_error)
    host.to_recipient = lambda _: FINE
    world.clock.offset += timedelta(minutes=1)
    mails.send_due(world.use)
    assert [got.recipients for got in host.delivered] == [["eve@dover.example"], ["dora@dover.example"]]
    assert outbox(world)[0].last_error is None


def test_a_recipient_that_is_no_address_is_given_up_at_once(sqlite_world: World, host: MailHost) -> None:
    """It holds up nobody, and says why."""
    world = set_up(sqlite_world, host.port)
    queue(world, "dora@dover.example\r\nRCPT TO:<eve@evil.example>", "x\r\nBcc: eve@evil.example")
    (outcome,) = mails.send_due(world.use)
    assert "cannot be sent to the recipient" in str(outcome.error)
    (mail,) = outbox(world)
    assert (mail.next_attempt_at, mail.text, mail.subject) == (None, "", "x  Bcc: eve@evil.example")
    with world.use.database.reading() as session:
        assert mails.waiting(session) == (0, 1)
    assert host.delivered == []


def test_two_workers_send_each_mail_once(world: World, host: MailHost) -> None:
    """Each is claimed by one of them, whatever the database."""
    set_up(world, host.port)
    for number in range(8):
        queue(world, f"p{number}@dover.example")
    together = threading.Barrier(3)

    def work() -> None:
        use = Resources(world.use.settings, world.clock)
        together.wait()
        mails.send_due(use)
        use.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = sorted(got.recipients[0] for got in host.delivered)
    assert told == sorted(f"p{number}@dover.example" for number in range(8))
    assert {mail.attempts for mail in outbox(world)} == {1}


def test_what_could_not_be_written_down_is_sent_twice_at_worst(sqlite_world: World, host: MailHost) -> None:
    """The server took it, then the database failed: not again at once, then once more, as the same message."""
    world = set_up(sqlite_world, host.port)
    queue(world)
    blocker = sqlite3.connect(
        world.settings.database_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
    )

    def block(_: object) -> str:
        blocker.execute("BEGIN IMMEDIATE")
        return FINE

    host.to_message = block
    with pytest.raises(DatabaseUnavailable):
        mails.send_due(world.use)
    blocker.close()
    host.to_message = lambda _: FINE
    world.clock.offset += timedelta(minutes=4)
    assert mails.send_due(world.use) == []
    world.clock.offset += timedelta(minutes=2)
    assert len(mails.send_due(world.use)) == 1
    first, second = host.delivered
    assert first.message["Message-ID"] == second.message["Message-ID"]
    world.clock.offset += timedelta(days=1)
    assert mails.send_due(world.use) == []


def test_development_mails_are_kept_and_sent_nowhere(sqlite_world: World) -> None:
    """Whoever runs them shows them; the page still has their text."""
    world = set_up(sqlite_world, development_mails=True)
    queue(world)
    assert [outcome.mail.subject for outcome in mails.send_due(world.use)] == ["Reset your password"]
    assert mails.send_due(world.use) == []
    (mail,) = outbox(world)
    assert LINK in mail.text
    with world.use.database.reading() as session:
        assert [one.id for one in mails.listed(session, Slice(10)).items] == [mail.id]
        assert mails.get(session, mail.id).subject == mail.subject
        with pytest.raises(NotFound):
            mails.get(session, mail.id + 1)


def test_the_password_is_read_from_a_file_of_ours(sqlite_world: World, host: MailHost) -> None:
    """One that others can read is no secret any more: nothing is sent with it."""
    path = sqlite_world.folder / "smtp-password"
    keys.write_private(path, b"hush hush\n")
    world = set_up(sqlite_world, host.port, smtp_password_file=path)
    queue(world)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600") as told:
        mails.send_due(world.use)
    assert "hush" not in str(told.value)
    path.chmod(0o600)
    assert len(mails.send_due(world.use)) == 1
