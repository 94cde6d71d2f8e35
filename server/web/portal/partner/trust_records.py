"""Trust records: which workloads may act for one's organization without a token of anybody's."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from wtforms import Field, SelectField
from wtforms.validators import ValidationError

from server.domain.callers import Caller
from server.domain.downloads import tool_keys
from server.domain.identity import people, token_uses, trust_records
from server.domain.identity.people import Person
from server.domain.identity.trust_records import Terms
from server.domain.permissions import Permission, Scope
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Act, carried_out, date, end_of, long_text, status, text
from server.web.portal.kit.rendering import done, render
from server.web.portal.partner.tokens import MadeOnce, labelled, scope_boxes

bp = Blueprint("trust_record_pages", __name__, url_prefix="/trust-records")
LIKE = {  # what the claims of some issuers are called; people fill in the values
    "github": "repository_id = \nrepository_owner_id = \nref = refs/heads/main",
    "gitlab": "project_id = \nref = main\nref_protected = true",
    "kubernetes": "sub = system:serviceaccount:NAMESPACE:NAME\nkubernetes.io/serviceaccount/uid = ",
}


class TrustRecordForm(MadeOnce):
    """What identifies the workloads, and what they may do."""

    name = text("Name", 100, "To tell your trust records apart. For example, the pipeline or cluster it is for.")
    issuer = SelectField("Issuer", description="Who signs the identity tokens. The lab decides which ones it accepts.")
    audience = text("Audience", 255, "The identity token must be made for exactly this audience.")
    claims = long_text(
        "Required claims",
        "One per line: name = value. The values must be equal. Include an ID that is never given to anything else.",
        most=4000,
        rows=5,
    )
    scopes = scope_boxes()
    last_day = date("Last day", "Nothing is exchanged after the end of this day (UTC). At most 366 days from now.")
    networks = long_text(
        "Only from these networks",
        "One per line, for example 192.0.2.0/24. Leave empty to allow any network.",
        most=1000,
        required=False,
    )

    def offer(self) -> None:
        """The issuers of the settings, and the scopes of workloads."""
        self.issuer.choices = [(issuer.url, issuer.url) for issuer in resources().settings.workload_issuers]
        self.scopes.choices = labelled(trust_records.SCOPES)

    def validate_claims(self, field: Field) -> None:
        lines = [line for line in (field.data or "").splitlines() if line.strip()]
        names = [line.partition("=")[0].strip() for line in lines]
        if any("=" not in line or not line.partition("=")[2].strip() for line in lines):
            raise ValidationError("Write each claim as name = value.")
        if len(set(names)) != len(names):
            raise ValidationError("A claim appears twice.")

    @property
    def terms(self) -> Terms:
        lines = [line.partition("=") for line in self.claims.data.splitlines() if line.strip()]
        return Terms(
            name=self.name.data, issuer=self.issuer.data, audience=self.audience.data,
            claims={name.strip(): value.strip() for name, _, value in lines},
            scopes={Scope(scope) for scope in self.scopes.data or ()}, ends_at=end_of(self.last_day.data),
            networks=(self.networks.data or "").replace(",", " ").split(),
        )  # fmt: skip


@bp.get("")
@page(Permission.TRUST_RECORD_MANAGE)
def index(caller: Caller) -> Response:
    """The organization's trust records, newest first."""
    use = resources()
    with use.database.reading() as session:
        found = trust_records.visible(session, caller, paging.part())
        makers = people.named(session, caller, {record.person_id for record in found.items})
    return render(
        "partner/trust_records/index.html", records=found.items, makers=makers, now=use.clock(), args=request.args,
        next_cursor=paging.next_cursor(found), any_issuer=bool(use.settings.workload_issuers),
    )  # fmt: skip


@bp.get("/new")
@page(Permission.TRUST_RECORD_MANAGE)
def new(caller: Caller) -> Response:  # noqa: ARG001  # every page is given it
    """The form, with the claims of a kind of workload to fill in."""
    form = TrustRecordForm()
    form.offer()
    form.audience.data = resources().settings.public_url
    form.claims.data = LIKE.get(request.args.get("like", ""), "")
    form.scopes.data = [str(Scope.STAGES_READ), str(Scope.DOWNLOADS_CREATE)]
    return render("partner/trust_records/new.html", form=form)


@bp.post("/new")
@page(Permission.TRUST_RECORD_MANAGE, fresh=True)
def create(caller: Caller) -> Response:
    """Create a trust record."""
    form, made = TrustRecordForm(), None
    form.offer()
    if form.is_sent_well():
        made = form.attempt(caller, lambda: trust_records.create(resources(), caller, form.terms, form.made_with.data))
    if made is None:
        form.renew()
        return render("partner/trust_records/new.html", status(form), form=form)
    return done(url_for(".show", trust_record_id=made), f"{form.name.data} has been created.")


@bp.get("/<int:trust_record_id>")
@page(Permission.TRUST_RECORD_MANAGE)
def show(caller: Caller, trust_record_id: int) -> Response:
    """One trust record, how a workload uses it, and what was exchanged under it last."""
    return _shown(caller, trust_record_id, "show")


@bp.get("/<int:trust_record_id>/revoke")
@page(Permission.TRUST_RECORD_MANAGE)
def revoke_form(caller: Caller, trust_record_id: int) -> Response:
    """What revoking does."""
    return _shown(caller, trust_record_id, "revoke", Act())


@bp.post("/<int:trust_record_id>/revoke")
@page(Permission.TRUST_RECORD_MANAGE)
def revoke(caller: Caller, trust_record_id: int) -> Response:
    """Trust these workloads no more."""
    form = Act()
    with resources().database.reading() as session:
        name = trust_records.find(session, caller, trust_record_id).name
    if not carried_out(form, caller, lambda: trust_records.revoke(resources(), caller, trust_record_id)):
        return _shown(caller, trust_record_id, "revoke", form)
    return done(url_for(".index"), f"{name} has been revoked. Its workloads no longer have access.")


def _shown(caller: Caller, trust_record_id: int, template: str, form: Act | None = None) -> Response:
    use = resources()
    gives_keys = use.settings.s3_door != "off" and use.settings.web_identity_credentials
    with use.database.reading() as session:
        record = trust_records.find(session, caller, trust_record_id)
        made = trust_records.newest_tokens(session, caller, record)
        values: dict[str, Any] = {
            "record": record, "made": made, "maker": session.get_one(Person, record.person_id),
            "uses": token_uses.of(session, [token.id for token, _ in made]),
            "s3_endpoint": tool_keys.endpoint(use) if gives_keys else None,
        }  # fmt: skip
    at, code = use.clock(), 200 if form is None else status(form)
    return render(
        f"partner/trust_records/{template}.html", code, form=form, works=record.works_at(at), now=at, **values
    )
