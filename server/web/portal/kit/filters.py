"""Filters of lists: GET forms that live in the address, read as strictly as any other."""

from datetime import UTC, date, datetime
from typing import Any

from flask import request
from sqlalchemy.orm import Session
from wtforms import DateField, Field, StringField
from wtforms.validators import Length, Optional, ValidationError

from server.domain.audit import log_entries
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.web.portal.kit.forms import Form, end_of, stripped

FIRST_YEAR, LAST_YEAR = 2000, 2999


def of_address(kind: type[Form]) -> Any:
    """A form as the address fills it in."""
    return kind(request.args, meta={"csrf": False})


def word(label: str, description: str = "", **more: Any) -> Field:
    """Something to look for, exactly as it is written; may be left out."""
    validators = [Length(max=254, message="Use 254 characters or fewer."), _printable]
    return StringField(label, validators, [stripped], description=description, **more)


def day(label: str, description: str = "", *, required: bool = False, **more: Any) -> Field:
    """A day; may be left out unless it is required."""
    return DateField(label, [_given if required else Optional(), _sensible_year], description=description, **more)


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


class EntryFilters(Form):
    """Which entries of the log."""

    organization = word("Organization", render_kw={"placeholder": "aurora-institute"})
    person = word("Person", render_kw={"placeholder": "name@example.org"})
    stage = word("Stage", render_kw={"placeholder": "gpt-2/774M"})
    kind = word("Kind", render_kw={"placeholder": "download", "list": "kinds"})
    code = word("Code", render_kw={"placeholder": "ghost_read"})
    since = day("From")
    until = day("To")

    def validate_until(self, field: Any) -> None:
        if field.data and self.since.data and field.data < self.since.data:
            raise ValidationError("The last day is before the first.")

    def as_filter(self) -> EntryFilter:
        return EntryFilter(
            organization=self.organization.data or None,
            person=self.person.data or None,
            stage=self.stage.data or None,
            kind=self.kind.data or None,
            code=self.code.data or None,
            since=start_of(self.since.data) if self.since.data else None,
            until=end_of(self.until.data) if self.until.data else None,
        )

    def is_of(self, session: Session, caller: Caller) -> bool:
        """Whether the organization exists. To a partner another one does not: raises NotFound, as for none at all."""
        try:
            log_entries.chosen(session, caller, self.as_filter())
        except NotFound as refused:
            if not caller.is_staff:
                raise
            self.organization.errors = [refused.detail]
            return False
        return True
