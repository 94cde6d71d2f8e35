"""Organizations: the list, one with all that belongs to it, and adding, renaming, limiting."""

import re
from decimal import Decimal

from flask import Blueprint, Response, flash, request, url_for
from wtforms import IntegerField, SelectField
from wtforms.validators import NumberRange, Optional

from server.domain.accounts import invitations
from server.domain.audit import log_entries
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.delivery import usage
from server.domain.downloads import live_urls
from server.domain.errors import InvalidRequest
from server.domain.identity import organizations, people, tokens
from server.domain.identity.organizations import HELD_AS, REQUESTS_PER_MINUTE_AT_MOST, Organization
from server.domain.identity.proposals import Proposal
from server.domain.operation import carrying_out
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.domain.release import holds
from server.web.identity import resources
from server.web.portal.admin.dossier import dossier_of
from server.web.portal.admin.lab import WholeForm, lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.filters import of_address, word
from server.web.portal.kit.forms import Form, carried_out, long_text, status, text
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_organizations", __name__, url_prefix="/admin")
ONE = "/organizations/<slug>"
SHOWN = Slice(20)
UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,3})?) ?(B|kB|MB|GB|TB|PB)?", re.ASCII)


class Filters(Form):
    """Which organizations, in which order."""

    named = word("Name or ID")
    sort = SelectField("Order", choices={"": "Newest first", "id": "By ID"})


class NewOrganization(Form):
    """A partner."""

    name = text("Name", 200, "The full name.")
    slug = text("ID", 64, "Letters a-z, digits and '-'. Used in URLs and in the log. It cannot be changed later.")


class NewName(Form):
    """What it is called from now on."""

    name = text(
        "Name", 200, "The full name. Entries of the log and signed copies keep the name that they were made with."
    )


class Limits(WholeForm):
    """What an organization may take; an empty field is no limit."""

    bytes_per_day = text(
        "Bytes issued per 24 hours",
        30,
        "A number with a unit, for example 500 GB. Leave empty for no limit.",
        required=False,
    )
    requests_per_minute = IntegerField(
        "Downloads per minute",
        [Optional(), NumberRange(1, REQUESTS_PER_MINUTE_AT_MOST, "A whole number from 1 to %(max)s.")],
        description="Leave empty for no limit.",
    )


class Networks(WholeForm):
    """Where an organization fetches from."""

    networks = long_text(
        "Networks",
        "One per line, for example 192.0.2.0/24. A fetch from any other network raises an alarm. "
        "If empty, each fetch is compared with the network that requested the download.",
        most=2000,
        required=False,
    )


@bp.get("/organizations")
@lab_page(Permission.ORGANIZATION_READ)
def index(caller: Caller) -> Response:
    """Every organization, newest first or in the order of their ids; those with a text in name or id."""
    form: Filters = of_address(Filters)
    form.sort.data = form.sort.data or ""
    if not form.validate():
        return render("admin/organizations/index.html", 422, form=form, page_of=None)
    named, by_slug = form.named.data or "", form.sort.data == "id"
    with resources().database.reading() as session:
        found = organizations.listed(session, caller, paging.part(), named=named, by_slug=by_slug)
        return render("admin/organizations/index.html", form=form, page_of=found)


@bp.get("/add-organization")
@lab_page(Permission.ORGANIZATION_MANAGE)
def add_form(caller: Caller) -> Response:
    """The form."""
    del caller
    return render("admin/organizations/add.html", form=NewOrganization())


@bp.post("/add-organization")
@lab_page(Permission.ORGANIZATION_MANAGE, fresh=True)
def add(caller: Caller) -> Response:
    """Add a partner; it can do nothing until it is cleared and has signed."""
    form = NewOrganization()
    made = None
    if form.is_sent_well():
        made = form.attempt(caller, lambda: organizations.add(resources(), caller, form.slug.data, form.name.data))
    if made is None:
        return render("admin/organizations/add.html", status(form), form=form)
    _warn_of_look_alikes(caller, made)
    return done(_address(made.slug), f"{made.name} has been added. Next, invite its owner.")


@bp.get(ONE)
@lab_page(Permission.ORGANIZATION_READ)
def show(caller: Caller, slug: str) -> Response:
    """Everything that belongs to it, the newest of each."""
    use = resources()
    at, manages = use.clock(), caller.may(Permission.PERSON_MANAGE)
    with use.database.reading() as session:
        organization = organizations.find(session, caller, slug)
        return render(
            "admin/organizations/show.html", organization=organization, now=at,
            file=dossier_of(session, caller, organization, at),
            people=people.of_organization(session, caller, organization.id, SHOWN),
            invitations=invitations.of_organization(session, caller, organization.id, SHOWN) if manages else None,
            tokens=tokens.of_organization(session, caller, organization.id, SHOWN),
            quota=organizations.quota_of(session, organization),
            hold=holds.hold_of(session, f"{HELD_AS}{slug}", organization),
            live=live_urls.of_organization(session, caller, organization.id, at),
            history=log_entries.visible(session, caller, EntryFilter(organization=slug), SHOWN),
        )  # fmt: skip


@bp.get(f"{ONE}/rename")
@lab_page(Permission.ORGANIZATION_MANAGE)
def rename_form(caller: Caller, slug: str) -> Response:
    """The name as it is."""
    form = NewName()
    with resources().database.reading() as session:
        form.name.data = organizations.find(session, caller, slug).name
    return _act(caller, slug, form, "rename")


@bp.post(f"{ONE}/rename")
@lab_page(Permission.ORGANIZATION_MANAGE, fresh=True)
def rename(caller: Caller, slug: str) -> Response:
    """Change the name; the ID stays."""
    form = NewName()
    renamed = None
    if form.is_sent_well():
        renamed = form.attempt(caller, lambda: organizations.rename(resources(), caller, slug, form.name.data))
    if renamed is None:
        return _act(caller, slug, form, "rename")
    _warn_of_look_alikes(caller, renamed)
    return done(_address(slug), f"{slug} is now named {renamed.name}.")


@bp.get(f"{ONE}/quota")
@lab_page(Permission.ORGANIZATION_MANAGE)
def quota_form(caller: Caller, slug: str) -> Response:
    """The limits as they are."""
    form = Limits()
    with resources().database.reading() as session:
        quota = organizations.quota_of(session, organizations.find(session, caller, slug))
    form.bytes_per_day.data = "" if quota.bytes_per_day is None else _in_unit(quota.bytes_per_day)
    form.requests_per_minute.data = quota.requests_per_minute
    return _act(caller, slug, form, "quota")


@bp.post(f"{ONE}/quota")
@lab_page(Permission.ORGANIZATION_MANAGE, fresh=True)
def quota(caller: Caller, slug: str) -> Response:
    """Replace the limits."""
    form = Limits()

    def change() -> list[Proposal | None]:
        size, rate = _size(form.bytes_per_day.data), form.requests_per_minute.data
        return [carrying_out.set_quota(resources(), caller, slug, bytes_per_day=size, requests_per_minute=rate)]

    changed = form.attempt(caller, change) if form.is_sent_well() else None
    if changed is None:
        return _act(caller, slug, form, "quota")
    if (waits := changed[0]) is not None:
        said = f"Proposal {waits.id} waits for another admin. The limits of {slug} have not changed yet."
        return done(url_for("admin_proposals.show", proposal_id=waits.id), said)
    return done(_address(slug), f"The limits of {slug} have been updated.")


@bp.get(f"{ONE}/networks")
@lab_page(Permission.ORGANIZATION_MANAGE)
def networks_form(caller: Caller, slug: str) -> Response:
    """The networks as they are, with the one that an alarm's page gives along."""
    form = Networks()
    with resources().database.reading() as session:
        known = organizations.find(session, caller, slug).networks.split()
        form.networks.data = "\n".join([*known, *request.args.get("add", "")[:64].split()])
    return _act(caller, slug, form, "networks")


@bp.post(f"{ONE}/networks")
@lab_page(Permission.ORGANIZATION_MANAGE, fresh=True)
def networks(caller: Caller, slug: str) -> Response:
    """Replace the networks."""
    form = Networks()
    if not carried_out(
        form, caller, lambda: organizations.set_networks(resources(), caller, slug, form.networks.data.split())
    ):
        return _act(caller, slug, form, "networks")
    return done(_address(slug), f"The networks of {slug} have been updated.")


def _warn_of_look_alikes(caller: Caller, named: Organization) -> None:
    for slug, name in organizations.looking_like(resources(), caller, named):
        flash(f"Its name looks like that of {name} ({slug}). Check which one you mean whenever you clear one.", "warn")


def _act(caller: Caller, slug: str, form: Form, name: str) -> Response:
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        organization = organizations.find(session, caller, slug)
        return render(
            f"admin/organizations/{name}.html", status(form), form=form, organization=organization,
            live=live_urls.of_organization(session, caller, organization.id, at),
            usage=usage.by_organization(session, caller, organization.id, at),
        )  # fmt: skip


def _size(typed: str | None) -> int | None:
    """`500 GB` as a number of bytes; None for nothing. Raises InvalidRequest."""
    if not typed:
        return None
    match = _SIZE.fullmatch(typed)
    if match is None:
        raise InvalidRequest("Enter a number with a unit, for example 500 GB or 1.5 TB.")
    return int(Decimal(match[1]) * UNITS[match[2] or "B"])


def _in_unit(size_bytes: int) -> str:
    """The shortest way to write a number of bytes exactly."""
    unit = max((name for name in UNITS if size_bytes % UNITS[name] == 0), key=lambda name: UNITS[name])
    return f"{size_bytes // UNITS[unit]} {unit}"


def _address(slug: str) -> str:
    return url_for("admin_organizations.show", slug=slug)
