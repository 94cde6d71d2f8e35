"""Openings: URLs that save one attachment of a finding, as the entries `finding.open` tell of them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.delivery.deliveries import in_parts
from server.domain.entry_kinds import EntryKind
from server.domain.identity.organizations import Organization
from server.domain.release import finding_attachments
from server.log.entries import LogEntry


class Opening(NamedTuple):
    """One entry. record: None where it was erased, and then `id` is that of any read that it may have allowed."""

    id: str
    organization_id: int | None  # of whoever asked
    record: Mapping[str, Any] | None


def known(session: Session, wanted: Mapping[str, set[str]]) -> Iterator[Opening]:
    """Yield those of these ids that the log has. wanted: for each id the object keys that were read under it."""
    read_under = {name: {found for key in keys if (found := _finding(key))} for name, keys in wanted.items()}
    findings = sorted(set().union(*read_under.values()))
    organizations: dict[str, int] = {}
    query = select(LogEntry.subject, LogEntry.record).where(LogEntry.kind == EntryKind.FINDING_OPEN)
    for some in in_parts(findings):
        for row in session.execute(query.where(LogEntry.subject.in_(some)).execution_options(yield_per=200)):
            if not row.record:
                yield from (Opening(name, None, None) for name, read in read_under.items() if row.subject in read)
                continue
            record = orjson.loads(row.record)
            if record.get("opening") in wanted:
                organizations = organizations or _organizations(session)
                yield Opening(record["opening"], organizations.get(record["actor"].get("organization")), record)


def path_of(record: Mapping[str, Any]) -> str:
    """What is delivered, in words: the log has no names of files."""
    return f"attachment {record['attachment']} of finding {record['finding']}"


def _finding(object_key: str) -> str | None:
    prefix, _, rest = object_key.partition("/")
    return rest.partition("/")[0] if f"{prefix}/" == finding_attachments.PREFIX else None


def _organizations(session: Session) -> dict[str, int]:
    return {row.slug: row.id for row in session.execute(select(Organization.slug, Organization.id))}
