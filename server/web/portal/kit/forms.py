"""Forms: what the pages send us, read strictly; a refused form keeps what was typed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import date as Day
from typing import Any, TypeVar

from flask import request
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import DateField, Field, PasswordField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError

from server.dates import LAST_YEAR
from server.dates import end_of as end_of  # every form with a last day needs it
from server.domain import long_texts
from server.domain.access import refusals
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPossible, taken_meanwhile
from server.domain.identity import people
from server.logger import redact
from server.storage.database import RowTaken
from server.text import is_writable, lines, printable, unseen
from server.web.identity import resources
from server.web.portal.kit import kept_forms
from server.web.portal.kit.kept_forms import ALWAYS_KNOWN

Result = TypeVar("Result")


class Form(FlaskForm):  # type: ignore[misc]
    """A form of a page. `refused` is set when the domain said no to what it asks; it stands above the fields."""

    refused: InvalidRequest | NotPossible | None = None

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        def wrap_formdata(self, _form: Any, formdata: Any) -> Any:
            """Take what browsers send of a form, and nothing in its place: neither JSON nor a file under its name."""
            return formdata if formdata is None or isinstance(formdata, MultiDict) else request.form or None

    def is_sent_well(self) -> bool:
        """Whether every field is as it should be. Raises InvalidRequest as `require_known_fields`."""
        self.require_known_fields()
        if kept_forms.is_too_old():
            self.refused = InvalidRequest(kept_forms.TOO_OLD, next_step=kept_forms.SEND_AGAIN)
            return False
        return bool(self.validate())

    def require_known_fields(self) -> None:
        """Raise InvalidRequest for a field that the page does not have: all that can be wrong with a form of none."""
        unknown = {*request.form, *request.files} - {field.name for field in self} - ALWAYS_KNOWN
        if unknown or any(len(values) > 1 for name, values in request.form.lists() if not self._takes_many(name)):
            raise InvalidRequest(
                "The form contains an unknown or repeated field.",
                next_step="Go back, reload the page, and fill in the form again.",
            )

    def attempt(self, caller: Caller, act: Callable[[], Result]) -> Result | None:
        """Do what the form asks. Returns None when the domain refuses something that a person can correct here."""
        try:
            return act()
        except (InvalidRequest, NotPossible, RowTaken) as error:
            refused = taken_meanwhile() if isinstance(error, RowTaken) else error
            refusals.record(resources(), caller, refused, redact(printable(f"{request.method} {request.path}", "")))
            if refused.next_step == InvalidRequest.next_step:  # that one speaks to programs
                refused.next_step = "Correct the problem below, then submit the form again."
            self.refused = refused
            return None

    def _takes_many(self, name: str) -> bool:
        field = self._fields.get(name)
        return bool(field is not None and getattr(field.widget, "multiple", False)) or hasattr(field, "option_widget")


class Act(Form):
    """A form of nothing but its button."""


def carried_out(form: Form, caller: Caller, act: Callable[[], object]) -> bool:
    """Whether a form was well filled in, and what it asks for was done; else it says why not."""
    return form.is_sent_well() and form.attempt(caller, lambda: [act()]) is not None


def status(form: Form) -> int:
    """Of a page that shows a form: fine, not well filled in, or refused by what is there."""
    if isinstance(form.refused, NotPossible):
        return 409
    return 422 if form.refused or form.errors else 200


def text(label: str, most: int, description: str = "", *, required: bool = True, **more: Any) -> Field:
    """One line of at most `most` characters."""
    validators = [*_validators(most, required), _in_one_line]
    more["render_kw"] = {"maxlength": most} | more.get("render_kw", {})
    return StringField(label, validators, [stripped], description=description, **more)


def long_text(
    label: str,
    description: str = "",
    *,
    most: int = long_texts.CHARACTERS_AT_MOST,
    required: bool = True,
    rows: int = 4,
) -> Field:
    """Several lines. A browser cuts nothing: it counts, and what is too long comes back whole, with how long it is."""
    counted = {"rows": rows, "data-most": most}
    return TextAreaField(
        label, _validators(most, required), [stripped, in_lines], description=description, render_kw=counted
    )


def date(label: str, description: str = "", **more: Any) -> Field:
    """A day, as browsers send it: 2019-08-20."""
    return DateField(label, [InputRequired("Enter a date."), _countable], description=description, **more)


def one_time_code(label: str, description: str) -> Field:
    """A field for the digits that an authenticator app shows; browsers and phones offer to fill it in."""
    known_by = {"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false", "autocapitalize": "off"}
    return text(label, 20, description, render_kw=known_by)


def current_password(label: str) -> PasswordField:
    """A field for the password that somebody has."""
    length = Length(max=people.PASSWORD_CHARACTERS_AT_MOST, message="This is too long.")
    return PasswordField(
        label, [InputRequired("This field is required."), length], render_kw={"autocomplete": "current-password"}
    )


def new_password(label: str = "New password") -> PasswordField:
    """A field for a password that somebody chooses."""
    least, most = people.PASSWORD_CHARACTERS_AT_LEAST, people.PASSWORD_CHARACTERS_AT_MOST
    return PasswordField(
        label,
        [
            InputRequired("This field is required."),
            Length(least, most, f"A password must have {least} to {most} characters."),
        ],
        description=f"At least {least} characters, of any kind. Four or five words that nobody else would put together "
        "are good; a password manager's own are better.",
        render_kw={"autocomplete": "new-password"},
    )


def last_day(ends_at: datetime) -> Day:
    """`end_of` the other way round: the last day on which something still holds that ends at this moment."""
    return (ends_at.astimezone(UTC) - timedelta(microseconds=1)).date()


def _validators(most: int, required: bool) -> list[Any]:
    length = _NotTooLong(most)
    return [InputRequired("This field is required."), length, _writable] if required else [length, _writable]


class _NotTooLong:
    """At most so many characters. For one line browsers are told: what they keep out, one sees as one types."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, _: Any, field: Field) -> None:
        if len(field.data or "") > self.most:
            raise ValidationError(f"Use {self.most} characters or fewer. This has {len(field.data)}.")


def _writable(_: Any, field: Field) -> None:
    """No control characters: PostgreSQL stores no NUL, and the log's readers print what they find."""
    if field.data and not is_writable(field.data):
        raise ValidationError("This contains an unsupported character.")


def _in_one_line(_: Any, field: Field) -> None:
    """Names stand in mails of ours: what follows a line break in one would read as ours too."""
    if field.data and len(field.data.splitlines()) > 1:
        raise ValidationError("Enter this on one line.")
    if field.data and (hidden := unseen(field.data)):
        raise ValidationError(f"This contains a character that cannot be seen: {hidden}.")


def _countable(_: Any, field: Field) -> None:
    """A day that has one after it, for as long as calendars can say."""
    if field.data and field.data.year > LAST_YEAR:
        raise ValidationError(f"Enter a date no later than the year {LAST_YEAR}.")


def in_lines(value: Any) -> Any:
    """The same: each line break is one character, as it was counted in the browser."""
    return lines(value) if isinstance(value, str) else value


def stripped(value: Any) -> Any:
    """A filter of fields: what people type or paste begins and ends with spaces."""
    return value.strip() if isinstance(value, str) else value
