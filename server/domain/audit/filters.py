"""Filters: what people write to narrow a list of entries, looked up; a value that names nothing is an error.

A name may be written as it is shown or as programs write it: `Download issued` or `download`, `774M` or `gpt-2/774M`.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.access import rule
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.delivery import alarms
from server.domain.entry_kinds import KINDS
from server.domain.errors import NotFound
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.paging import Slice
from server.domain.release.stages import StageAlias
from server.domain.resources import Resources
from server.log.entries import LogEntry

KNOWN_AT_MOST = 10_000  # names that a value is held against
FIELDS = ("organization", "person", "stage", "kind", "code")
_AS_LISTED = "Write it as the list shows it, or omit it."

Spelling = tuple[str, str]  # a value, and one way to write it


@dataclass(frozen=True, slots=True)
class LookUp:
    """What a caller may find, among what they may know of: another partner's names are to them no names at all."""

    session: Session
    use: Resources
    caller: Caller

    def all_of(self, asked: EntryFilter) -> EntryFilter:
        """Look up each part of a filter. Raises NotFound for what names nothing, or more than one thing."""
        found: dict[str, Any] = {field: self.value(field, getattr(asked, field)) for field in FIELDS}
        return replace(asked, **found)

    def value(self, field: str, text: str | None) -> str | None:
        """The value that a text stands for. Raises NotFound, with what may have been meant."""
        if not text:
            return None
        match field:
            case "organization":
                return self._organization(text)
            case "person":
                return self._person(text)
            case "stage":
                return _named("stage", text, self._stages())
            case "kind":
                return _named("kind of entry", text, _both_ways((kind, it.words) for kind, it in KINDS.items()))
            case _:
                return _named("alarm", text, _both_ways(alarms.WORDS.items()))

    def _organization(self, text: str) -> str:
        known = select(Organization.slug, Organization.name).where(*self.caller.within(Organization.id))
        return _named("organization", text, _both_ways(self.session.execute(known.limit(KNOWN_AT_MOST)).all()))

    def _person(self, text: str) -> str:
        email = text.lower()
        theirs = self.caller.within(Person.organization_id)
        if self.session.scalar(select(Person.id).where(Person.email == email, *theirs)) is not None:
            return email
        # The lab's people act on partners too, who find them by what they did there.
        did = select(LogEntry.id).where(LogEntry.person == email, *self.caller.within(LogEntry.organization_id + 0))
        if self.session.scalar(did.limit(1)) is not None:
            return email
        known = select(Person.email, Person.name).where(*theirs).limit(KNOWN_AT_MOST)
        return _named("person", text, _both_ways(self.session.execute(known).all()))

    def _stages(self) -> Iterable[Spelling]:
        known = rule.visible_stages(self.session, self.use, self.caller, Slice(KNOWN_AT_MOST)).items
        models = {stage.id: (stage.model, f"{stage.model}/{stage.name}") for stage in known}
        names = [(stage.id, stage.name) for stage in known]
        names += self.session.execute(select(StageAlias.stage_id, StageAlias.name))
        for stage_id, name in names:
            if stage_id in models:  # an alias of one that they may not know of is none
                model, full_name = models[stage_id]
                yield from ((full_name, f"{model}/{name}"), (full_name, name))


def _both_ways(pairs: Iterable[Any]) -> Iterable[Spelling]:
    """Each value as programs write it, and as people do."""
    return ((value, way) for value, words in pairs for way in (value, words))


def _named(what: str, text: str, spellings: Iterable[Spelling]) -> str:
    """The one value that is written so, in capitals or not; nothing is guessed, only suggested."""
    ways: dict[str, set[str]] = {}
    shown: dict[str, str] = {}
    for value, way in spellings:
        ways.setdefault(way.casefold(), set()).add(str(value))
        shown[way.casefold()] = way
    written = text.casefold()
    found = ways.get(written, set())
    if len(found) == 1:
        return found.pop()
    if found:
        raise NotFound(f"{text} could be {' or '.join(sorted(found))}.", next_step="Write one of them.")
    near = [way for way in shown if written in way] or difflib.get_close_matches(written[:100], shown, n=1)
    meant = f" Did you mean {shown[near[0]]}?" if near else ""
    raise NotFound(f"There is no {what} {text}.{meant}", next_step=_AS_LISTED)
