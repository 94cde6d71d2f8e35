"""What the lab's pages share: that they are the lab's, and how a form ends."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

from flask import Response, flash, redirect, request

from server.domain.callers import Caller
from server.domain.errors import NotFound, NotPermitted, NotPossible
from server.domain.permissions import Permission
from server.web.portal.door import page
from server.web.portal.forms import Form
from server.web.portal.rendering import as_page

View = TypeVar("View", bound=Callable[..., Any])


class Act(Form):
    """A form of nothing but its button."""


class WholeForm(Form):
    """A form in which an empty field means something: one that was not sent at all is not empty."""

    def validate(self, extra_validators: Any = None) -> bool:
        well = bool(super().validate(extra_validators))
        for field in self:
            if field.type not in {"BooleanField", "CSRFTokenField"} and field.name not in request.form:
                field.errors = [*field.errors, "This was not sent."]
                well = False
        return well


def lab_page(permission: Permission, *, fresh: bool = False) -> Callable[[View], View]:
    """Like `page`, and for staff alone: some of what partners may do as well, they do on pages of their own."""

    def decorate(view: View) -> View:
        @wraps(view)
        def for_staff(*args: Any, caller: Caller, **kwargs: Any) -> Any:
            if not caller.is_staff:
                raise NotPermitted("This page is the lab's.", next_step="Go home: what is yours is there.")
            return view(*args, caller=caller, **kwargs)

        return page(permission, fresh=fresh)(for_staff)  # type: ignore[return-value]

    return decorate


def filters(kind: type[Form]) -> Any:
    """The filters of a list, as they stand in the address."""
    return kind(request.args, meta={"csrf": False})


def status(form: Form) -> int:
    """Of a page that shows a form: fine, not well filled in, or refused by what is there."""
    if isinstance(form.refused, NotPossible):
        return 409
    return 422 if form.refused or form.errors else 200


def found(field: Any, look_up: Callable[[], Any]) -> bool:
    """Whether what a field names is there; else the field says that it is not."""
    try:
        look_up()
    except NotFound as refused:
        field.errors = [*field.errors, refused.detail]
        return False
    return True


def carried_out(form: Form, caller: Caller, act: Callable[[], object]) -> bool:
    """Whether a form was well filled in, and what it asks for was done; else it says why not."""
    return form.is_sent_well() and form.attempt(caller, lambda: [act()]) is not None


def last_day(expires_at: datetime) -> date:
    """The last day on which something still holds that ends at this moment; `forms.end_of` the other way round."""
    return (expires_at.astimezone(UTC) - timedelta(microseconds=1)).date()


def done(address: str, sentence: str) -> Response:
    """After an act: on to what has changed, with a sentence on it."""
    flash(sentence, "done")
    return as_page(redirect(address, 303))  # type: ignore[arg-type]
