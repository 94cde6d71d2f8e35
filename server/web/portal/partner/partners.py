"""What the partners' pages share: whose they are."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from server.domain.callers import Caller
from server.domain.errors import NotPermitted
from server.domain.permissions import Permission
from server.web.portal.kit.auth import page

View = TypeVar("View", bound=Callable[..., Any])


def partner_page(permission: Permission) -> Callable[[View], View]:
    """Like `page`, and for partners alone: what staff may do as well, they do on the lab's pages, freshly proved."""

    def decorate(view: View) -> View:
        @wraps(view)
        def for_partners(*args: Any, caller: Caller, **kwargs: Any) -> Any:
            if caller.is_staff:
                raise NotPermitted("This page is for partners only.", next_step="Use the lab's pages under /admin.")
            return view(*args, caller=caller, **kwargs)

        return page(permission)(for_partners)  # type: ignore[return-value]

    return decorate
