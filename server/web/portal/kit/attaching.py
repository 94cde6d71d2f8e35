"""Attaching: pages on which files are chosen for a finding, and which alone may send them to the store."""

from dataclasses import dataclass
from typing import Any

from flask import Response

from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release.attachment_contents import SIZE_BYTES_AT_MOST, TYPES
from server.domain.release.finding_attachments import AT_MOST
from server.domain.release.findings import Finding
from server.web.identity import resources
from server.web.portal.kit import rendering


@dataclass(frozen=True)
class Offer:
    """What may be attached, for the page and its script."""

    files_at_most: int = AT_MOST
    size_bytes_at_most: int = SIZE_BYTES_AT_MOST
    types: str = TYPES


def render(template: str, caller: Caller, finding: Finding | None, status: int = 200, **values: Any) -> Response:
    """Return a page with `finding` (None: one that is about to be reported) and `offer`: what may be attached to it.

    The offer is None where the visitor may attach nothing; only with one may the page's script speak to the store.
    """
    use = resources()
    is_open = finding is None or (finding.organization_id == caller.organization_id and not finding.is_settled)
    store = use.attachments if is_open and caller.may(Permission.FINDING_CREATE) else None
    response = rendering.render(template, status, finding=finding, offer=None if store is None else Offer(), **values)
    if store is not None:
        response.headers["Content-Security-Policy"] = rendering.content_security_policy(use, store.origin)
    return response
