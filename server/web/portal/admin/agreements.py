"""Agreements: the texts, what has changed between two of them, and publishing the next."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for
from wtforms import HiddenField, IntegerField
from wtforms.validators import AnyOf, NumberRange, Optional

from server.domain.access import resigning, signatures
from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.domain.release import agreements
from server.domain.release.agreement_texts import CHARACTERS_AT_MOST
from server.domain.release.agreements import RESIGN_DAYS_AT_MOST, AgreementVersion
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Form, long_text, status, text
from server.web.portal.kit.markdown import as_html
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_agreements", __name__, url_prefix="/admin")
ONE = "/agreements/<name>"
SHOWN = Slice(50)
LINES_COMPARED_AT_MOST = 5000  # of more, comparing takes too long for a page


class NewVersion(Form):
    """The next wording. Its first line is its title."""

    name = text("Agreement", 64, "The agreement's ID, for example model-sharing. A new ID creates a new agreement.")
    text = long_text(
        "Text",
        "The first line is the title. The text is stored exactly as entered and cannot be changed later.",
        most=CHARACTERS_AT_MOST,
        rows=24,
    )
    resign_within = IntegerField(
        "Days to sign again",
        [
            Optional(),
            NumberRange(0, RESIGN_DAYS_AT_MOST, f"A whole number from 0 to {RESIGN_DAYS_AT_MOST}."),
        ],
        default=0,
        description="For so many days, signatures of the current version still count. With 0, none do.",
    )
    act = HiddenField(validators=[AnyOf(["compare", "publish"], "Use one of the buttons.")])  # the buttons say it


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a comparison. kind: same, del, ins or gap."""

    kind: str
    text: str


@bp.get("/agreements")
@lab_page(Permission.AGREEMENT_READ)
def index(caller: Caller) -> Response:
    """Every agreement with its current version, and the signatures that wait."""
    with resources().database.reading() as session:
        waiting = signatures.listed(session, caller, signatures.SignatureFilter(waiting=True), SHOWN)
        return render(
            "admin/agreements/index.html", page_of=agreements.current(session, paging.part()), waiting=waiting
        )


@bp.get("/publish-agreement")
@lab_page(Permission.AGREEMENT_MANAGE)
def publish_form(caller: Caller) -> Response:
    """The form, with the present text where there is one."""
    form = NewVersion()
    form.name.data = request.args.get("agreement", "")[:64]
    with resources().database.reading() as session:
        version = _current(session, form.name.data)
        form.text.data = "" if version is None else version.text
    return _publishing(caller, form)


@bp.post("/publish-agreement")
@lab_page(Permission.AGREEMENT_MANAGE, fresh=True)
def publish(caller: Caller) -> Response:
    """Make the text the current version; whoever signed an older one must sign again."""
    form, made = NewVersion(), None
    well, wording = form.is_sent_well(), _as_kept(form.text.data or "")
    if well and form.act.data == "compare":
        return _publishing(caller, form, wording)
    if well:
        made = form.attempt(caller, lambda: _publish(caller, form, wording))
    if made is None:
        return _publishing(caller, form)
    return done(_address(form.name.data), f"{form.name.data} is now at version {made.number}.")


def _publish(caller: Caller, form: NewVersion, wording: str) -> AgreementVersion:
    days = form.resign_within.data or 0
    return agreements.publish(resources(), caller, form.name.data, wording, resign_within_days=days)


@bp.get(ONE)
@lab_page(Permission.AGREEMENT_READ)
def show(caller: Caller, name: str) -> Response:
    """The current version, those before it, and who signed it."""
    return _version(caller, name, None)


@bp.get(f"{ONE}/<int:number>")
@lab_page(Permission.AGREEMENT_READ)
def version(caller: Caller, name: str, number: int) -> Response:
    """One version, and what it changed."""
    return _version(caller, name, number)


def _version(caller: Caller, name: str, number: int | None) -> Response:
    with resources().database.reading() as session:
        agreement, shown = agreements.find_version(session, name, number)
        before = agreements.find_version(session, name, shown.number - 1)[1] if shown.number > 1 else None
        wanted = signatures.SignatureFilter(version_id=shown.id)
        return render(
            "admin/agreements/show.html", agreement=agreement, version=shown, before=before,
            changes=None if before is None else compared(before.text, shown.text),
            is_current=shown.id == agreement.current_version_id, versions=agreements.versions(session, agreement),
            page_of=signatures.listed(session, caller, wanted, paging.part()), text=as_html(shown.text),
        )  # fmt: skip


def _as_kept(typed: str) -> str:
    """Browsers send no last line end, whatever the text was that they were given."""
    return typed + "\n"


def _publishing(caller: Caller, form: NewVersion, wording: str | None = None) -> Response:
    """The form, with who must sign again; wording: what to compare with the present text."""
    use = resources()
    with use.database.reading() as session:
        version = _current(session, form.name.data)
        losing = [] if version is None else resigning.losing(session, caller, form.name.data, use.clock())
        affected = None if version is None else signatures.in_force(session, caller, version.id, SHOWN)
        return render(
            "admin/agreements/publish.html", status(form), form=form, version=version, affected=affected, losing=losing,
            compares=wording is not None,
            changes=None if wording is None or version is None else compared(version.text, wording),
        )  # fmt: skip


def _current(session: object, name: str | None) -> AgreementVersion | None:
    try:
        return agreements.find_version(session, name or "")[1]  # type: ignore[arg-type]
    except NotFound:
        return None


def compared(old: str, new: str) -> list[Line] | None:
    """What was taken out and put in, line by line, with a little around it; None where that would take too long."""
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > LINES_COMPARED_AT_MOST:
        return None
    return list(_lines(before, after))


def _lines(before: list[str], after: list[str]) -> Iterator[Line]:
    kinds = {" ": "same", "-": "del", "+": "ins", "@": "gap"}
    for line in list(difflib.unified_diff(before, after, n=3, lineterm=""))[2:]:
        yield Line(kinds[line[0]], "" if line[0] == "@" else line[1:])


def _address(name: str) -> str:
    return url_for("admin_agreements.show", name=name)
