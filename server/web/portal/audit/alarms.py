"""Alarms: what was fetched and should not have been, one by one, and saying what came of it."""

from flask import Blueprint, Response, url_for
from wtforms import SelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs

from server.domain.callers import Caller
from server.domain.delivery import alarms, deliveries
from server.domain.delivery.alarms import SENTENCES, Alarm, AlarmKind
from server.domain.identity.organizations import HELD_AS
from server.domain.permissions import Permission
from server.domain.release.holds import EVERYTHING
from server.web.identity import resources
from server.web.portal.kit.auth import page
from server.web.portal.kit.filters import of_address
from server.web.portal.kit.forms import Form, carried_out, long_text, status
from server.web.portal.kit.paging import next_cursor, part
from server.web.portal.kit.records import ALARMS
from server.web.portal.kit.rendering import done, render

bp = Blueprint("audit_alarms", __name__, url_prefix="/audit/alarms")


class Filters(Form):
    """Which alarms."""

    kind = SelectField(
        "Kind", choices=[SelectChoice("", "Any"), *(SelectChoice(str(kind), name) for kind, name in ALARMS.items())]
    )
    state = SelectField(
        "State", choices=[SelectChoice("", "Any"), SelectChoice("open", "Open"), SelectChoice("resolved", "Resolved")]
    )


class Resolution(Form):
    """What came of an alarm."""

    resolution = long_text("Outcome", "What you found and what you did. It is recorded in the log.")


@bp.get("")
@page(Permission.ALARM_READ)
def index(caller: Caller) -> Response:
    """All alarms, newest first."""
    form: Filters = of_address(Filters)
    form.kind.data, form.state.data = form.kind.data or "", form.state.data or ""
    if not form.validate():
        return render("audit/alarms/index.html", 422, form=form, found=None)
    kind = AlarmKind(form.kind.data) if form.kind.data else None
    resolved = {"open": False, "resolved": True}.get(form.state.data)
    with resources().database.reading() as session:
        found = alarms.listed(session, caller, part(), kind=kind, resolved=resolved)
        return render("audit/alarms/index.html", form=form, found=found, next_cursor=next_cursor(found))


@bp.get("/<int:alarm_id>")
@page(Permission.ALARM_READ)
def show(caller: Caller, alarm_id: int) -> Response:
    """One alarm: what was seen, what it means, what to do."""
    return _shown(caller, alarm_id, Resolution())


@bp.post("/<int:alarm_id>/resolve")
@page(Permission.ALARM_RESOLVE, fresh=True)
def resolve(caller: Caller, alarm_id: int) -> Response:
    """Say what came of it."""
    form = Resolution()
    if not carried_out(form, caller, lambda: alarms.resolve(resources(), caller, alarm_id, form.resolution.data)):
        return _shown(caller, alarm_id, form)
    address = url_for("audit_alarms.show", alarm_id=alarm_id)
    return done(address, f"Alarm {alarm_id} is resolved. The outcome is recorded in the log.")


def _shown(caller: Caller, alarm_id: int, form: Resolution) -> Response:
    use = resources()
    with use.database.reading() as session:
        alarm = alarms.get(session, caller, alarm_id)
        fetched = deliveries.of_download(session, alarm.download_id) if alarm.download_id else None
        kind = AlarmKind(alarm.kind)
        return render(
            "audit/alarms/show.html", status(form), alarm=alarm, form=form, name=ALARMS[kind], sentence=SENTENCES[kind],
            entry=alarms.entry_of(session, alarm), fetched=fetched, now=use.clock(),
            advised=_advised(alarm, caller, alarms.token_of(session, alarm)),
        )  # fmt: skip


def _advised(alarm: Alarm, caller: Caller, token: str | None) -> list[tuple[str, str]]:
    """Each act that an alarm's page advises, as a button's words and the page where it is done, filled in."""
    kind, home = AlarmKind(alarm.kind), alarm.organization
    reason = f"Alarm {alarm.id}: {ALARMS[kind]}."
    found: list[tuple[str, str, Permission]] = []
    if kind in {AlarmKind.GHOST_READ, AlarmKind.DECOY_TOUCHED}:
        hold = url_for("admin_holds.place_form", on=EVERYTHING, reason=reason)
        found.append(("Place a hold on everything", hold, Permission.STAGE_HOLD))
    if kind is AlarmKind.FOREIGN_ADDRESS and home is not None:
        networks = url_for("admin_organizations.networks_form", slug=home.slug, add=alarm.address)
        found.append(("Register this network", networks, Permission.ORGANIZATION_MANAGE))
    if kind in {AlarmKind.FOREIGN_ADDRESS, AlarmKind.OVER_READ} and token is not None:
        revoke = url_for("admin_tokens.revoke_form", public_id=token)
        found.append(("Revoke the token", revoke, Permission.ORGANIZATION_MANAGE))
    if home is not None and not home.is_lab and home.suspended_at is None:
        suspend = url_for(
            "admin_holds.place_form", on=f"{HELD_AS}{home.slug}", reason=f"Alarm {alarm.id}: {ALARMS[kind]}."
        )
        found.append((f"Suspend {home.name}", suspend, Permission.STAGE_HOLD))
    return [(words, href) for words, href, permission in found if caller.may(permission)]
