"""Filters of lists: GET forms that live in the address, read as strictly as any other."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from flask import request
from sqlalchemy.orm import Session
from wtforms import DateField, Field, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import Length, Optional, ValidationError

from server.domain.audit.filters import FIELDS, LookUp
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.delivery import alarms
from server.domain.entry_kinds import KINDS
from server.domain.errors import NotFound
from server.web.identity import resources
from server.web.portal.kit.forms import Form, end_of, stripped

FIRST_YEAR, LAST_YEAR = 2000, 2999


def of_address(kind: type[Form]) -> Any:
    """A form as the address fills it in."""
    return kind(request.args, meta={"csrf": False})


def word(label: str, **more: Any) -> Field:
    """Something to look for, exactly as it is written; may be left out."""
    validators = [Length(max=254, message="Use 254 characters or fewer."), _printable]
    return StringField(label, validators, [stripped], **more)


def day(label: str, description: str = "", *, required: bool = False, **more: Any) -> Field:
    """A day; may be left out unless it is required."""
    return DateField(label, [_given if required else Optional(), _sensible_year], description=description, **more)


def one_of(label: str, words: Mapping[Any, str]) -> Field:
    """One of a few things, chosen by its words; may be left out. An address may also name it by them."""
    choices = [SelectChoice(str(kind), text) for kind, text in sorted(words.items(), key=lambda each: each[1])]
    return SelectField(label, [_printable], choices=[SelectChoice("", "Any"), *choices], validate_choice=False)


def start_of(chosen: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime(chosen.year, chosen.month, chosen.day, tzinfo=UTC)


def _printable(_: Any, field: Any) -> None:
    if field.data and not field.data.isprintable():
        raise ValidationError("This contains an invisible character.")


def _given(_: Any, field: Any) -> None:
    if field.data is None and not field.errors:
        raise ValidationError("Enter a date.")


_given.field_flags = {"required": True}  # type: ignore[attr-defined]  # WTForms reads it: label and browser say so


def _sensible_year(_: Any, field: Any) -> None:
    if field.data is not None and not FIRST_YEAR <= field.data.year <= LAST_YEAR:
        raise ValidationError(f"Enter a year from {FIRST_YEAR} to {LAST_YEAR}.")


class Narrowing(Form):
    """A filter whose fields name things as people write them; `audit/filters.py` knows what they stand for."""

    def validate_until(self, field: Any) -> None:
        if field.data and self.since.data and field.data < self.since.data:
            raise ValidationError("The last day is before the first.")

    def wanted(self, session: Session, caller: Caller) -> EntryFilter | None:
        """What a valid form asks for; None where a field names nothing, which then says so.

        The fields show what was found. Raises NotFound for an organization that a partner may not know of.
        """
        look_up = LookUp(session, resources(), caller)
        found = EntryFilter(
            since=start_of(self.since.data) if self.since.data else None,
            until=end_of(self.until.data) if self.until.data else None,
        )
        for field in (self[name] for name in FIELDS if name in self):
            try:
                field.data = look_up.value(field.name, field.data)
            except NotFound as refused:
                if field.name == "organization" and not caller.is_staff:
                    raise
                field.errors = [refused.detail]
            found = replace(found, **{field.name: field.data})
        return None if self.errors else found


class EntryFilters(Narrowing):
    """Which entries of the log."""

    organization = word("Organization", render_kw={"placeholder": "ID or name"})
    person = word("Person", render_kw={"placeholder": "Email address or name"})
    stage = word("Stage", render_kw={"placeholder": "gpt-2/774M"})
    kind = one_of("Kind", {kind: about.words for kind, about in KINDS.items()})
    code = one_of("Alarm", alarms.WORDS)
    since = day("From")
    until = day("To")
