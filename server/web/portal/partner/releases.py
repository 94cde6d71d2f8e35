"""Releases: the lab's public face. Every ladder as a picture and in words, past decisions and why, and their feed."""

from typing import NamedTuple

from flask import Blueprint, Response, request, url_for

from server.domain.access import releases
from server.domain.access.releases import Family
from server.domain.callers import Caller
from server.domain.identity import organizations
from server.domain.permissions import Permission
from server.domain.release.decisions import PublicDecision, PublicLift
from server.web.identity import resources
from server.web.portal.kit import shared_answers
from server.web.portal.kit.auth import page
from server.web.portal.kit.rendering import as_page, render
from server.web.portal.partner import ladder_picture, release_feed
from server.web.portal.partner.release_feed import Publisher

bp = Blueprint("release_pages", __name__)


class Told(NamedTuple):
    """A decision: what it is about, and what it did."""

    name: str
    did: str
    decision: PublicDecision | PublicLift


@bp.get("/releases")
@page(Permission.STAGE_READ, strangers=True)
def show(caller: Caller) -> Response:
    """Every model that the public may know of. A stranger's page is everybody's, so caches may keep it."""
    use = resources()
    families = _read(caller)
    shown = render(
        "partner/releases/show.html",
        families=[(family, ladder_picture.of(family), _newest_first(family)) for family in families],
        now=use.clock(),
        is_open=use.settings.public_releases,
    )
    if caller.organization_id is not None:
        return shown
    shown.headers["Vary"] = "Cookie"  # whoever signs in sees their own navigation
    return shared_answers.kept(shown, request)


@bp.get("/releases.atom")
@page(Permission.STAGE_READ, strangers=True)
def feed(caller: Caller) -> Response:
    """The same decisions for feed readers, newest first."""
    use = resources()
    families = _read(caller)
    with use.database.reading() as session:
        lab = organizations.lab(session)
    address, told = (use.settings.public_url + url_for(name) for name in (".feed", ".show"))
    publisher = Publisher(lab.name, lab.created_at, use.settings.log_host, address, told)
    content = release_feed.written(families, publisher)
    return shared_answers.kept(as_page(Response(content, mimetype="application/atom+xml")), request)


def _read(caller: Caller) -> list[Family]:
    use = resources()
    shared_answers.count_stranger(caller)
    releases.require_open(use, caller)
    with use.database.reading() as session:
        return releases.read(session, use.clock())


def _newest_first(family: Family) -> list[Told]:
    told = [Told(stage.name, release_feed.happened(one), one) for stage in family.stages for one in stage.decisions]
    told += [Told(one.name, release_feed.happened(one), one) for one in family.lifts]
    return sorted(told, key=lambda one: (one.decision.decided_at, one.decision.id), reverse=True)
