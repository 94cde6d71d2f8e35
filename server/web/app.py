"""The web application, put together."""

from collections.abc import Callable
from typing import Any

from apiflask import APIFlask
from flask.ctx import RequestContext
from werkzeug.routing import IntegerConverter, Map

from server.domain.resources import Resources
from server.web import client_wheel, doors, errors, health, identity, log, observing, safety, security_contact
from server.web.api import (
    agreements,
    checkpoints,
    clearances,
    credentials,
    decisions,
    description,
    device_logins,
    downloads,
    findings,
    log_entries,
    me,
    organizations,
    people,
    public_keys,
    releases,
    stages,
    tiers,
    tokens,
    uploads,
)
from server.web.doors import Door
from server.web.hub import account as hub_account
from server.web.hub import elsewhere, history, repositories, resolve, tree
from server.web.oci import account as oci_account
from server.web.oci import blobs, manifests
from server.web.oci import elsewhere as oci_elsewhere
from server.web.oci import repositories as oci_repositories
from server.web.portal import admin, audit
from server.web.portal import help as help_pages
from server.web.portal.account import (
    account,
    appearance,
    factors,
    invitations,
    kept_forms,
    mails,
    password,
    provider_sign_in,
    sessions,
    sign_in,
)
from server.web.portal.kit import auth, rendering, static_files
from server.web.portal.partner import access_requests as request_pages
from server.web.portal.partner import agreements as agreement_pages
from server.web.portal.partner import device_logins as device_login_pages
from server.web.portal.partner import downloads as download_pages
from server.web.portal.partner import finding_attachments as finding_attachment_pages
from server.web.portal.partner import findings as finding_pages
from server.web.portal.partner import home
from server.web.portal.partner import people as people_pages
from server.web.portal.partner import releases as release_pages
from server.web.portal.partner import renewals as renewal_pages
from server.web.portal.partner import stages as stage_pages
from server.web.portal.partner import tokens as token_pages
from server.web.portal.partner import trust_records as trust_record_pages
from server.web.requests import StrictRequest
from server.web.s3 import door, sts

API = (
    agreements, checkpoints, clearances, credentials, decisions, description, device_logins, downloads, findings,
    log_entries, me, organizations, people, public_keys, releases, stages, tiers, tokens, uploads,
)  # fmt: skip
HUB = (elsewhere, history, hub_account, repositories, resolve, tree)
OCI = (blobs, manifests, oci_account, oci_elsewhere, oci_repositories)
PARTNERS = (
    agreement_pages, device_login_pages, download_pages, finding_attachment_pages, finding_pages, people_pages,
    release_pages, renewal_pages, request_pages, stage_pages, token_pages, trust_record_pages,
)  # fmt: skip
PORTAL = (
    *PARTNERS, *admin.MODULES, account, appearance, *audit.MODULES, factors, *help_pages.MODULES, home, invitations,
    kept_forms, password, provider_sign_in, sessions, sign_in, static_files,
)  # fmt: skip


class RowNumber(IntegerConverter):
    """A row's number in an address. One that no database can hold leads nowhere, like any other that is not there."""

    def __init__(self, map: Map, max: int = 2**63 - 1) -> None:
        super().__init__(map, max=max)


class WeightgateApp(APIFlask):
    request_class = StrictRequest

    def request_context(self, environ: dict[str, Any]) -> RequestContext:
        return doors.Entry(self, environ)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing of ours is a coroutine. Flask would look at each hook and view again, a dozen times a request."""
        return func


def create(use: Resources) -> WeightgateApp:
    """Return the app over these resources. Raises UndeclaredView or UndeclaredDoor when a route forgets either."""
    app = WeightgateApp(
        "server.web",
        title="Weightgate",
        version="1",
        spec_path=None,
        docs_path=None,
        static_folder=None,  # type: ignore[arg-type]  # its annotation forgot it
        template_folder="templates",
    )
    app.config["AUTO_404_RESPONSE"] = False
    app.config["OPENAPI_VERSION"] = "3.1.0"
    app.extensions["weightgate"] = use
    app.url_map.merge_slashes = False  # `//` is a wrong address; correcting it would answer a POST with a redirect
    app.url_map.converters["int"] = RowNumber
    observing.register(app, use)
    safety.register(app, use)
    errors.register(app)
    health.prepare(app, use)
    doors.open_to(Door.HEALTH, app, health.bp)
    doors.open_to(Door.CONTACT, app, security_contact.bp)
    doors.open_to(Door.LOG, app, log.bp)
    doors.open_to(Door.CLIENT, app, client_wheel.bp)
    auth.register(app, use)
    rendering.register(app, use)
    static_files.register(app)
    help_pages.register(app)
    _open_to_programs(app, use)
    doors.open_to(Door.PORTAL, app, *(module.bp for module in PORTAL))
    if use.settings.development_mails:
        doors.open_to(Door.PORTAL, app, mails.bp)
    doors.require_declared(app)
    identity.require_declared(app)
    description.describe(app)
    return app


def _open_to_programs(app: WeightgateApp, use: Resources) -> None:
    """The API, and the doors that speak what other programs speak."""
    doors.open_to(Door.API, app, *(module.bp for module in API))
    elsewhere.register(app)
    doors.open_to(Door.HUB, app, *(module.bp for module in HUB))
    if use.settings.oci_door:
        doors.open_to(Door.OCI, app, *(module.bp for module in OCI))
    door.register(app)
    doors.open_to(Door.S3, app, door.bp)
    doors.open_to(Door.STS, app, sts.bp)
