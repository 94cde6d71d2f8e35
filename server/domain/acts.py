"""Acts: what is done is appended to the log, under the columns that its own record implies, by who still may do it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import column, select, table
from sqlalchemy.orm import Session

from server.domain import entry_kinds
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.errors import NotPermitted, OrganizationSuspended, PersonDisabled
from server.domain.permissions import POLICY
from server.log import entries
from server.log.entries import Appended

# By name: the rooms that own these tables append acts themselves.
_PEOPLE = table("people", column("email"), column("role"), column("disabled_at"), column("organization_id"))
_ORGANIZATIONS = table("organizations", column("id"), column("suspended_at"))
_ACTOR = select(_PEOPLE.c.role, _PEOPLE.c.disabled_at, _ORGANIZATIONS.c.suspended_at).join_from(
    _PEOPLE, _ORGANIZATIONS, _ORGANIZATIONS.c.id == _PEOPLE.c.organization_id
)


def append(
    session: Session,
    kind: EntryKind,
    at: datetime,
    record: Mapping[str, Any],
    *,
    organization_id: int | None = None,
    log_id: int | None = None,
) -> Appended:
    """Append an entry as the transaction's last statement. Raises what `entries.append` raises.

    Raises NotPermitted, PersonDisabled or OrganizationSuspended when that became true of the actor since the act began.
    organization_id: whom it concerns, who then sees it; the record names the same organization.
    """
    _require_still_allowed(session, kind, record)
    return entries.append(
        session, kind=str(kind), at=at, record=record, organization_id=organization_id, log_id=log_id,
        **entry_kinds.columns(kind, record),
    )  # fmt: skip


def _require_still_allowed(session: Session, kind: EntryKind, record: Mapping[str, Any]) -> None:
    """Judge the actor as the audit will: by what the log says before this entry.

    Their rows are locked until the entry is committed, so whoever takes a role away comes before or after it. A
    download's are locked by the access rule. What people do to themselves is judged by what they were before.
    """
    permission, email = KINDS[kind].permission, record.get("actor", {}).get("person")
    if permission is None or email is None or kind == EntryKind.DOWNLOAD or record.get("person") == email:
        return
    session.flush()
    query = _ACTOR.where(_PEOPLE.c.email == email).with_for_update(read=True, of=[_PEOPLE, _ORGANIZATIONS])
    actor = session.execute(query).one_or_none()
    if actor is None or actor.disabled_at is not None:
        raise PersonDisabled
    if actor.suspended_at is not None:
        raise OrganizationSuspended
    if actor.role not in POLICY[permission].roles:
        raise NotPermitted(
            f"Your role ({actor.role}) no longer includes this permission: {POLICY[permission].sentence}"
        )
