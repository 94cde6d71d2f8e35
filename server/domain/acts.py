"""Acts: what is done is appended to the log, under the columns that its own record implies, by who still may do it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import column, select, table
from sqlalchemy.orm import Session

from server import traces
from server.domain import entry_kinds
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.errors import InvalidCredentials, NotPermitted, OrganizationSuspended, PersonDisabled
from server.domain.permissions import POLICY, Permission
from server.log import entries
from server.log.entries import Appended
from server.storage.database import Moment

# By name: the rooms that own these tables append acts themselves.
_PEOPLE = table(
    "people", column("id"), column("email"), column("role"), column("disabled_at"), column("organization_id")
)
_ORGANIZATIONS = table("organizations", column("id"), column("suspended_at"))
_ACTOR = select(_PEOPLE.c.role, _PEOPLE.c.disabled_at, _ORGANIZATIONS.c.suspended_at).join_from(
    _PEOPLE, _ORGANIZATIONS, _ORGANIZATIONS.c.id == _PEOPLE.c.organization_id
)
_TOKENS = table(
    "tokens", column("public_id"), column("person_id"), column("scopes"), column("revoked_at"),
    column("expires_at", Moment),
)  # fmt: skip
_TOKEN = select(_TOKENS.c.scopes, _TOKENS.c.revoked_at, _TOKENS.c.expires_at).join_from(
    _TOKENS, _PEOPLE, _PEOPLE.c.id == _TOKENS.c.person_id
)


@traces.spanned("append")
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

    Raises NotPermitted, PersonDisabled, OrganizationSuspended or InvalidCredentials when that became true of the actor
    since the act began.
    organization_id: whom it concerns, who then sees it; the record names the same organization.
    """
    _require_still_allowed(session, kind, at, record)
    return entries.append(
        session, kind=str(kind), at=at, record=record, organization_id=organization_id, log_id=log_id,
        **entry_kinds.columns(kind, record),
    )  # fmt: skip


def _require_still_allowed(session: Session, kind: EntryKind, at: datetime, record: Mapping[str, Any]) -> None:
    """Judge the actor as the audit will: by what the log says before this entry.

    Their rows are locked until the entry is committed, so whoever takes a role away comes before or after it. A
    download's are held by the access rule. What people do to themselves is judged by what they were before.
    """
    by = record.get("actor", {})
    permission, email = KINDS[kind].permission, by.get("person")
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
    if "token" in by:
        _require_token(session, permission, by["token"], email, at)


def _require_token(session: Session, permission: Permission, public_id: str, email: str, at: datetime) -> None:
    """It still works, for this and in that name; locked as the actor is."""
    query = _TOKEN.where(_TOKENS.c.public_id == public_id, _PEOPLE.c.email == email)
    token = session.execute(query.with_for_update(read=True, of=_TOKENS)).one_or_none()
    if token is None or token.revoked_at is not None or at >= token.expires_at:
        raise InvalidCredentials("The token stopped working during this request.")
    if POLICY[permission].scopes.isdisjoint(token.scopes.split()):
        raise InvalidCredentials("The token's scopes were changed during this request.")
