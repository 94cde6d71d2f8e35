"""Every form of the portal, sent as no page of ours would: refused, nothing done, and never a failure of ours."""

import io
import re
from typing import Any

import pytest

from server.domain.permissions import Role
from server.web.portal.kit import kept_forms
from tests.filled_forms import FORMS
from tests.matrix import PAGES, Row
from tests.theirs import acts, at_the_door
from tests.visits import Visit, fields_of, words
from tests.world import World

ROWS = [row for row in PAGES if row.method == "POST"]
# Buttons: nothing of them is read but that they were pressed.
BUTTONS = {
    "/sign-out", "/appearance", "/sign-in/passkey/begin", "/account/confirm/passkey", "/account/passkeys/begin",
    "/account/sessions/end-others", "/account/sessions/<int:session_id>/end",
}  # fmt: skip
# Whatever a form holds that waits for a proof: it is kept, and nothing of it is read.
CARRIED = {"/account/confirm/with/<provider>"}
SECOND_STEPS = {"/sign-in/second-factor", "/sign-in/recovery-code"}  # without a first one they lead back to it
# There is no such link and no such provider, and nobody has come from one, whoever sends what.
OF_A_LINK = {
    "/invitations/<secret>": 404, "/password/<secret>": 410, "/sign-in/with/<provider>": 404, "/sign-in/accept": 403,
    "/account/confirm/with/<provider>": 404,
}  # fmt: skip
SAID = (
    "invitation_over", "password_reset_over", "form_expired", kept_forms.TOO_OLD, "not_found",
    "identity_not_accepted",
)  # fmt: skip
PRETEND = {"secret": "x" * 43, "path": "x"}
POSTS = {row.rule: row for row in ROWS}
# Not typed: the key of the form itself, which of its buttons was pressed, and a check that is to be made each time.
MADE_ANEW = {"made_with", "act", "read", "version_sha256"}
BOXES = {"announced", "before_publication", "may_publish", "read"}  # checked or not: there is no wrong value
FIELDS: dict[str, list[str]] = {}  # of each form, as its page has them: looked up for the first of the values
BAD_VALUES = ["", "x" * 10_001, "\0", "-1", "9" * 40, "2026-02-30", "<script>", "\ud7ff\U0010ffff", "=1+1", "../../etc"]


def sender(row: Row) -> str | None:
    """Who may send a form: somebody with the permission, in the organization that the address is about."""
    if row.permission is None:
        return None
    return "admin" if row.rule.startswith(("/admin/", "/audit/")) else "cleared"


def test_a_form_without_our_token_does_nothing(their_world: World, theirs: dict[str, Any]) -> None:
    """None, an invented one, and the one of somebody else's browser: 400, and the page says that nothing was done."""
    world, before = their_world, acts(their_world)
    known, foreign = theirs | PRETEND, world.visit("auditor").csrf_token
    visits = {name: world.visit(name) for name in (None, "admin", "cleared")}
    for row in ROWS:
        fields = FORMS[row.rule].fields if row.rule in FORMS else {}
        for token in ("", "invented", foreign):
            answer = visits[sender(row)].post(row.address(known), fields, csrf=token)
            assert answer.status_code == OF_A_LINK.get(row.rule, 400), (row, token)
            assert any(each in words(answer) for each in SAID), row
    assert acts(world) == before


def test_without_our_token_whoever_may_not_send_a_form_reads_that(sqlite_world: World) -> None:
    """Who has not the permission is told so first, as with a token: 401 to nobody, else 403."""
    world, known = sqlite_world, PRETEND | dict.fromkeys(re.findall(r"<(?:\w+:)?(\w+)>", str(ROWS)), 1)
    before = acts(world)
    for name, role in (("nobody", None), ("uncleared", Role.OWNER), ("auditor", Role.AUDITOR)):
        here = at_the_door(world, name)
        csrf, refused = here.csrf_token, [row for row in ROWS if row.refuses(role)]
        assert len(refused) > 5, name
        for row in refused:
            for token in (csrf, ""):
                answer = here.post(row.address(known), csrf=token)
                assert answer.status_code == (401 if role is None else 403), (name, row, token)
    assert acts(world) == before


def test_a_form_with_a_field_that_no_page_has_does_nothing(their_world: World, theirs: dict[str, Any]) -> None:
    """It was not one of our pages that sent it."""
    taken = set()
    world, before = their_world, acts(their_world)
    known = theirs | PRETEND
    for row in ROWS:
        if row.rule in BUTTONS | SECOND_STEPS | CARRIED:
            continue
        answer = world.visit(sender(row)).post(row.address(known), {"is_admin": "1"})
        if not 400 <= answer.status_code < 500:
            taken.add(row.rule)
    assert taken == set()
    assert acts(world) == before


def test_a_form_of_a_megabyte_is_refused_unread(their_world: World, theirs: dict[str, Any]) -> None:
    """Whatever the field."""
    world, before = their_world, acts(their_world)
    known = theirs | PRETEND
    for row in ROWS:
        answer = world.visit(sender(row)).post(row.address(known), {"name": "x" * 1_000_001})
        assert answer.status_code == 413, (row, answer.status_code)
    assert acts(world) == before


def test_a_form_is_fields_and_nothing_in_their_place(sqlite_world: World) -> None:
    """Neither JSON, whose fields nobody has checked, nor a file under a field's name: refused, and nothing done."""
    world, before = sqlite_world, acts(sqlite_world)
    sent: list[tuple[str | None, str, dict[str, Any]]] = [
        (None, "/sign-in", {"email": 5, "password": ["x"]}),
        ("admin", "/admin/tiers", {"name": "new", "rank": 77, "is_admin": 1}),
        ("cleared", "/tokens/new", {"made_with": "x" * 22, "name": {}, "days": 5, "networks": 1, "scopes": 5}),
    ]
    for name, path, fields in sent:
        here = world.visit(name)
        headers = {"Accept": "text/html", "X-CSRFToken": here.csrf_token}
        assert here.client.post(path, json=fields, headers=headers).status_code == 422, path
        for field in fields:
            data = {**dict.fromkeys(fields, "x"), field: (io.BytesIO(b"x"), "x.txt")}
            answer = here.client.post(path, data=data, headers=headers, content_type="multipart/form-data")
            assert answer.status_code in {400, 422}, (path, field)
    assert acts(world) == before


@pytest.mark.parametrize("value", BAD_VALUES, ids=range(len(BAD_VALUES)))
def test_no_value_breaks_a_form(their_world: World, theirs: dict[str, Any], value: str) -> None:
    """In any field of any form: refused in words, with what was typed; never a failure of ours."""
    world, known = their_world, theirs | PRETEND
    visits: dict[str | None, Visit] = {}
    for row in ROWS:
        if row.rule in BUTTONS or row.rule.endswith(("/approve", "/countersign")):
            continue
        name = sender(row)
        here = visits.setdefault(name, world.visit(name))
        if row.rule not in FIELDS:
            FIELDS[row.rule] = _fields(here, row, known)
        fields = dict.fromkeys(FIELDS[row.rule], value)
        answer = here.post(row.address(known), fields)
        assert answer.status_code < 500, (row, answer.status_code)


@pytest.mark.parametrize("rule", [rule for rule, filled in FORMS.items() if len(filled.fields) > 1])
def test_a_refused_form_keeps_what_was_typed(their_world: World, theirs: dict[str, Any], rule: str) -> None:
    """Whichever of its fields is the wrong one; nothing is done."""
    world, filled = their_world, FORMS[rule]
    known = theirs | filled.before(world)
    fields = {name: value or str(known[name]) for name, value in filled.fields.items()}
    address, here, before = POSTS[rule].address(known), world.visit(filled.by), acts(world)
    for wrong in set(fields) - BOXES:
        sent = fields | {wrong: "\0"}
        answer = here.post(address, sent)
        assert answer.status_code in {404, 422}, (wrong, answer.status_code)
        if answer.status_code == 404:  # what names the thing that the form is about
            assert wrong in {"on", "organization"}, wrong
            continue
        held = fields_of(answer)
        for name, value in fields.items():
            if name != wrong and name not in MADE_ANEW:
                assert value in held.get(name, []), (wrong, name, held.get(name))
    assert acts(world) == before


def _fields(here: Visit, row: Row, known: dict[str, Any]) -> list[str]:
    """The fields that the page of this form has, or, where the form stands on another page, the usual ones."""
    page = here.get(row.address(known))
    if page.status_code != 200:
        return []

    forms = re.findall(r"<form[^>]*method=\"post\"[^>]*>.*?</form>", page.text, re.DOTALL)
    found = re.findall(r'name="([a-z_0-9]+)"', " ".join(forms))
    return [name for name in dict.fromkeys(found) if name not in {"csrf_token", "appearance"}]
