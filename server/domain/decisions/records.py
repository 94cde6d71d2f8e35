"""What the log keeps of a decision: whole what is short, of long texts their hashes; the rows keep the texts."""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from server import dates
from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.release.decisions import Decision


def sha256(text: str) -> str:
    """In hex, of the text as it is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def append(
    session: Session, caller: Caller | None, kind: EntryKind, about: Decision, at: datetime, **more: Any
) -> None:
    """Append an entry as the transaction's last statement. caller: None for what the worker does at its time."""
    record = {
        "decision": about.id, "decides": str(about.kind), "on": about.subject,
        "before": about.from_state, "to": about.to_state,
        "opens_at": None if about.opens_at is None else dates.milliseconds(about.opens_at),
    }  # fmt: skip
    by = {} if caller is None else {"actor": caller.as_record()}
    told = {name: value for name, value in (record | more).items() if value is not None}
    acts.append(session, kind, at, by | told)
