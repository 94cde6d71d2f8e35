"""The development page of mails: for whoever builds on their own machine, and for nobody else."""

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from server.domain.mail import mails
from server.domain.mail.mails import Mail
from server.web import app as web
from tests.visits import words
from tests.world import World


@pytest.fixture
def browser(sqlite_world: World) -> Iterator[FlaskClient]:
    """A stranger's browser, on a server that shows its mails; there are none yet."""
    with sqlite_world.use.database.transaction() as session:
        session.execute(delete(Mail))
    sqlite_world.use.settings = sqlite_world.settings.model_copy(update={"development_mails": True})
    with web.create(sqlite_world.use).test_client() as client:
        yield client


def queue(world: World, subject: str, text: str) -> int:
    with world.use.database.transaction() as session:
        mails.queue(session, world.use, "invitation", "dora@dover.example", subject, text, world.clock())
        session.flush()
        return session.scalars(select(Mail.id).order_by(Mail.id.desc())).first() or 0


def test_without_the_setting_there_is_no_such_page(sqlite_world: World) -> None:
    """Mails hold links that open accounts."""
    for name in (None, "admin"):
        visit = sqlite_world.visit(name)
        assert visit.get("/mails").status_code == 404
        assert visit.get("/mails/1").status_code == 404


def test_mails_are_listed_newest_first(sqlite_world: World, browser: FlaskClient) -> None:
    """Fifty a page; an empty list says what will be there."""
    assert "No emails yet" in words(browser.get("/mails"))
    for number in range(52):
        queue(sqlite_world, f"Mail number {number}", "Hello.")
    page = browser.get("/mails")
    assert re.findall(r"number (\d+)<", page.text) == [str(number) for number in range(51, 1, -1)]
    older = re.search(r'href="(\?cursor=\d+)"', page.text)
    assert older is not None
    assert re.findall(r"number (\d+)<", browser.get(f"/mails{older[1]}").text) == ["1", "0"]
    assert browser.get("/mails?cursor=x").status_code == 400


def test_a_mails_links_to_us_can_be_followed(sqlite_world: World, browser: FlaskClient) -> None:
    """Others stand there as text, and nothing in a mail becomes markup."""
    ours = f"{sqlite_world.settings.public_url}/invitations/abc-123"
    foreign = f"{sqlite_world.settings.public_url}.evil.example/x http://evil.example/ javascript:alert(1)"
    number = queue(sqlite_world, "Join <b>us</b>", f"Accept it: {ours}.\n\n{foreign}\n<script>alert(1)</script>")
    page = browser.get(f"/mails/{number}")
    assert page.status_code == 200
    content = page.text[page.text.index("<main") : page.text.index("</main>")]
    assert [link for link in re.findall(r'<a href="([^"]+)"', content) if link != "/mails"] == [
        "/invitations/abc-123", "/",
    ]  # fmt: skip
    assert f">{ours}</a>." in content
    assert "<script" not in content
    assert "<b>" not in content
    assert "javascript:alert(1)" in words(page)


@pytest.mark.parametrize("number", ["999", "0", "99999999999999999999", "x", "-1"])
def test_a_mail_that_is_not_there(browser: FlaskClient, number: str) -> None:
    """404, whatever the number."""
    assert browser.get(f"/mails/{number}").status_code == 404


@pytest.mark.parametrize(
    ("address", "host"),
    [("192.0.2.1", "localhost:8080"), ("127.0.0.1", "evil.example"), ("127.0.0.1", "localhost.evil.example:8080")],
)
def test_only_this_machine_sees_it(sqlite_world: World, browser: FlaskClient, address: str, host: str) -> None:
    """Not another machine, and no page of a foreign host whose name was made to lead here."""
    number = queue(sqlite_world, "Join us", "Hello.")
    for path in ("/mails", f"/mails/{number}"):
        answer = browser.get(path, environ_base={"REMOTE_ADDR": address}, headers={"Host": host})
        assert answer.status_code in {400, 404}
        assert "Join us" not in answer.text
    for host in ("127.0.0.1:8080", "[::1]:8080", "localhost"):
        assert browser.get("/mails", headers={"Host": host}).status_code == 200
