"""Acts: what is done is appended to the log, under the columns that its own record implies."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from server.domain import entry_kinds
from server.domain.entry_kinds import EntryKind
from server.log import entries
from server.log.entries import Appended


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

    organization_id: whom it concerns, who then sees it; the record names the same organization.
    """
    return entries.append(
        session, kind=str(kind), at=at, record=record, organization_id=organization_id, log_id=log_id,
        **entry_kinds.columns(kind, record),
    )  # fmt: skip
