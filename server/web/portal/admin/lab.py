"""What the lab's pages share: that they are the lab's, and how their forms are read."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import request

from server.domain.callers import Caller
from server.domain.errors import NotFound, NotPermitted
from server.domain.permissions import Permission
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Form

View = TypeVar("View", bound=Callable[..., Any])


class WholeForm(Form):
    """A form in which an empty field means something: one that was not sent at all is not empty."""

    def validate(self, extra_validators: Any = None) -> bool:
        well = bool(super().validate(extra_validators))
        for field in self:
            if field.type not in {"BooleanField", "CSRFTokenField"} and field.name not in request.form:
                field.errors = [*field.errors, "The form was not sent."]
                well = False
        return well


def lab_page(permission: Permission, *, fresh: bool = False) -> Callable[[View], View]:
    """Like `page`, and for staff alone: some of what partners may do as well, they do on pages of their own."""

    def decorate(view: View) -> View:
        @wraps(view)
        def for_staff(*args: Any, caller: Caller, **kwargs: Any) -> Any:
            if not caller.is_staff:
                raise NotPermitted("This page is for lab staff only.", next_step="Go to your home page.")
            return view(*args, caller=caller, **kwargs)

        return page(permission, fresh=fresh)(for_staff)  # type: ignore[return-value]

    return decorate


def found(field: Any, look_up: Callable[[], Any]) -> bool:
    """Whether what a field names is there; else the field says that it is not."""
    try:
        look_up()
    except NotFound as refused:
        field.errors = [*field.errors, refused.detail]
        return False
    return True
