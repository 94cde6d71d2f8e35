"""The dossier: what an admin needs to know of an organization to decide anything about it, bounded and on one page."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from server.domain.access import clearances, signatures
from server.domain.access.clearances import Clearance
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.delivery import alarms, usage
from server.domain.delivery.alarms import Alarm
from server.domain.delivery.usage import Usage
from server.domain.identity.organizations import Organization
from server.domain.paging import Page, Slice
from server.domain.permissions import Permission

NEWEST = Slice(10)


@dataclass(frozen=True, slots=True)
class Dossier:
    """The newest of each; alarms are None for those who may not see them."""

    organization: Organization
    clearances: Page[Clearance]
    signatures: Page[Signature]
    alarms: Page[Alarm] | None
    usage: Usage


def dossier_of(session: Session, caller: Caller, organization: Organization, at: datetime) -> Dossier:
    sees_alarms = caller.may(Permission.ALARM_READ)
    wanted = clearances.ClearanceFilter(organization_id=organization.id)
    return Dossier(
        organization=organization,
        clearances=clearances.listed(session, caller, wanted, NEWEST, at),
        signatures=signatures.listed(
            session, caller, signatures.SignatureFilter(organization_id=organization.id), NEWEST
        ),
        alarms=alarms.listed(session, caller, NEWEST, organization_id=organization.id) if sees_alarms else None,
        usage=usage.by_organization(session, caller, organization.id, at),
    )
