"""Security contact: who finds a weakness learns whom to tell, in the form that RFC 9116 gives it."""

import re
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from server.domain.resources import Resources
from server.settings import Settings
from server.web import app as web
from tests.world import World

PATH = "/.well-known/security.txt"


def answer(world: World, contact: str | None) -> tuple[int, str, str]:
    settings = world.settings.model_copy(update={"security_contact": contact})
    with closing(Resources(settings, world.clock)) as use:
        found = web.create(use).test_client().get(PATH)
    return found.status_code, found.text, found.headers["Content-Type"]


def test_the_file_has_every_field_that_the_standard_demands(sqlite_world: World) -> None:
    """One Contact, one Expires that has not passed and is less than a year away, and where it is genuine."""
    status, text, content_type = answer(sqlite_world, "mailto:security@lab.example.org")
    assert (status, content_type) == (200, "text/plain; charset=utf-8")
    assert re.fullmatch(r"([A-Za-z-]+: \S.*\n){4}", text)
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    assert len(fields) == 4
    assert fields["Contact"] == "mailto:security@lab.example.org"
    assert fields["Canonical"] == f"{sqlite_world.settings.public_url}{PATH}"
    expires = datetime.fromisoformat(fields["Expires"])
    assert timedelta(days=170) < expires - sqlite_world.clock() < timedelta(days=365)


def test_without_a_contact_there_is_no_file(sqlite_world: World) -> None:
    """Rather none than one that leads nowhere."""
    status, text, _ = answer(sqlite_world, None)
    assert status == 404
    assert "Contact:" not in text


@pytest.mark.parametrize(
    "contact",
    ["security@lab.example.org", "http://lab.example.org", "mailto:a@b.example\nExpires: 1999", "mailto:", ""],
)
def test_a_contact_is_an_address_of_the_web_or_of_mail(sqlite_world: World, contact: str) -> None:
    """In the form that RFC 9116, section 2.5.3, gives it; nothing could add a line to the file."""
    given = sqlite_world.settings.model_dump() | {"folder": sqlite_world.settings.folder, "security_contact": contact}
    with pytest.raises(ValueError, match="security_contact"):
        Settings(**given)
