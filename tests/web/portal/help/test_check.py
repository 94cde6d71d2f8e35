"""Check it yourself: the page for everybody, and the same as one file; what they find is `tests/browser`'s."""

import base64
import hashlib
import re
from html import unescape

from sqlalchemy import select

from server.log.entries import Log
from server.web.portal.help.check import SCRIPTS
from server.web.portal.kit.static_files import FOLDER, STYLES
from tests.world import World


def test_the_page_has_the_keys_of_every_log(sqlite_world: World) -> None:
    """Without sign-in, for whoever was given a receipt: those of the log, and those of its receipts."""
    with sqlite_world.use.database.reading() as session:
        keys = [key for log in session.scalars(select(Log)) for key in (log.vkey, log.receipt_vkey)]
    for path in ("/help/check", "/help/check/offline"):
        answer = sqlite_world.visit(None).get(path)
        assert answer.status_code == 200
        field = re.search(r"<textarea[^>]*>(.*?)</textarea>", answer.text, re.DOTALL)
        assert field is not None
        assert unescape(field[1]).split("\n") == keys


def test_the_saved_page_is_one_file_that_allows_itself_alone(sqlite_world: World) -> None:
    """Its policy names its own script and style by their hashes; it loads nothing, and is saved, not shown."""
    answer = sqlite_world.visit(None).get("/help/check/offline")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="weightgate-check.html"'
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', answer.text)
    assert policy is not None
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{hashed}'" in unescape(policy[1])
    assert not re.search(r'\b(src|href|action)="', answer.text)


def test_nothing_in_it_ends_its_own_tag() -> None:
    """What is put into the page as it is must not leave the element that it stands in."""
    for name in (*SCRIPTS, *STYLES):
        assert not re.search(r"</(script|style)|<!--", (FOLDER / name).read_text(encoding="utf-8"), re.IGNORECASE), name
