"""Navigation: every place that the portal leads to, as one table: who is shown it, what it is called, and its page."""

from dataclasses import dataclass
from enum import StrEnum

from flask import Flask, url_for

from server.domain.callers import Caller
from server.domain.permissions import EVERYONE, PARTNERS, STAFF, Permission, Role


class Bar(StrEnum):
    """Where a place is shown."""

    MAIN = "main"  # at the top of every page
    MENU = "menu"  # under the person's name
    AUDIT = "audit"  # at the top of the auditor's pages
    NONE = "none"  # only in breadcrumbs


@dataclass(frozen=True, slots=True)
class Place:
    """A page that others lead to. name: what a template says that it belongs to (`{% set place = … %}`)."""

    name: str
    label: str
    endpoint: str
    permission: Permission  # the one that its view demands; tests/web/portal/kit/test_navigation.py compares them
    roles: frozenset[Role] = EVERYONE  # the lab and partners have pages of their own for what both may do
    bar: Bar = Bar.MAIN

    @property
    def blueprint(self) -> str:
        return self.endpoint.partition(".")[0]

    def is_for(self, caller: Caller) -> bool:
        return caller.role in self.roles and caller.may(self.permission)


BY_HAND = frozenset({Role.ADMIN, Role.AUDITOR})  # staff whose work is not done with tokens

PLACES = (  # in the order in which they are shown
    Place("home", "Home", "home.show", Permission.STAGE_READ),
    Place("releases", "Releases", "release_pages.show", Permission.STAGE_READ),
    Place("queue", "Queue", "admin_queue.show", Permission.CLEARANCE_APPROVE, STAFF),
    Place("findings", "Findings", "admin_findings.index", Permission.FINDING_READ, STAFF),
    Place("decisions", "Decisions", "admin_decisions.index", Permission.DECISION_READ, STAFF),
    Place("stages", "Stages", "admin_stages.index", Permission.STAGE_READ, STAFF),
    Place("organizations", "Organizations", "admin_organizations.index", Permission.ORGANIZATION_READ, STAFF),
    Place("clearances", "Clearances", "admin_clearances.index", Permission.CLEARANCE_READ, STAFF),
    Place("people", "People", "admin_people.index", Permission.PERSON_MANAGE, STAFF),
    Place("tiers", "Tiers", "admin_tiers.index", Permission.TIER_READ, STAFF),
    Place("agreements", "Agreements", "admin_agreements.index", Permission.AGREEMENT_READ, STAFF),
    Place("downloads", "Downloads", "download_pages.index", Permission.DOWNLOAD_READ),
    Place("tokens", "Tokens", "token_pages.index", Permission.TOKEN_READ, EVERYONE - BY_HAND),
    Place("workloads", "Workloads", "trust_record_pages.index", Permission.TRUST_RECORD_MANAGE, PARTNERS),
    Place("people", "People", "people_pages.index", Permission.PERSON_READ, PARTNERS),
    Place("agreements", "Agreements", "agreement_pages.index", Permission.AGREEMENT_READ, PARTNERS),
    Place("requests", "Access requests", "request_pages.index", Permission.ACCESS_REQUEST_READ, PARTNERS),
    Place("findings", "Findings", "finding_pages.index", Permission.FINDING_READ, PARTNERS),
    Place("log", "Log", "audit_log.index", Permission.LOG_READ),
    Place("alarms", "Alarms", "audit_alarms.index", Permission.ALARM_READ),
    Place("find", "Find anything", "search.index", Permission.LOG_READ, bar=Bar.MENU),
    Place("account", "Account", "account.show", Permission.ACCOUNT_MANAGE, frozenset(Role), Bar.MENU),
    Place("tokens", "Your tokens", "token_pages.index", Permission.TOKEN_READ, BY_HAND, Bar.MENU),
    Place("log", "Entries", "audit_log.index", Permission.LOG_READ, STAFF, Bar.AUDIT),
    Place("log", "Heads and anchors", "audit_heads.index", Permission.LOG_AUDIT, bar=Bar.AUDIT),
    Place("log", "Reconciliation", "audit_reconciliation.index", Permission.LOG_AUDIT, bar=Bar.AUDIT),
    Place("log", "Verify now", "audit_verifications.index", Permission.LOG_AUDIT, bar=Bar.AUDIT),
    Place("log", "Who could have downloaded this?", "audit_exposure.index", Permission.LOG_AUDIT, bar=Bar.AUDIT),
    Place("log", "Charts", "audit_charts.index", Permission.LOG_AUDIT, bar=Bar.AUDIT),
    Place("log", "Export", "audit_exports.index", Permission.LOG_AUDIT, bar=Bar.AUDIT),
    Place("queue", "Access requests", "admin_requests.index", Permission.ACCESS_REQUEST_READ, STAFF, Bar.NONE),
)
_LABELS = {place.endpoint: place.label for place in reversed(PLACES)}  # where a page stands twice, the first says it


def register(app: Flask) -> None:
    """Let templates begin their breadcrumbs."""
    app.jinja_env.globals["crumb"] = crumb


def places(caller: Caller, bar: str) -> list[Place]:
    """What a bar shows to this caller; a single place leads nowhere else, so that it is no bar."""
    shown = [place for place in PLACES if place.bar == bar and place.is_for(caller)]
    return shown if len(shown) > 1 or bar != Bar.AUDIT else []


def crumb(endpoint: str) -> tuple[str, str]:
    """Return a place's name and its address, as `page.crumbs` takes them."""
    return _LABELS[endpoint], url_for(endpoint)
