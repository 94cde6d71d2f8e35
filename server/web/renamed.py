"""Renamed stages: whoever reaches one by an alias is told its name of today, at every door in the same header."""

from flask import Response, after_this_request, redirect, request, url_for

from server.web.portal.kit.rendering import as_page


def tell(asked: str, name: str) -> None:
    """Let the answer say so, if another name was asked for. Both are valid names, so that they can stand in a header.

    The header is that of RFC 7234, section 5.5. RFC 9111 took it away because nobody read it; container tools do, whose
    distribution specification has exactly this form, and no other header means this.
    """
    if asked == name:
        return

    @after_this_request
    def warn(response: Response) -> Response:
        response.headers["Warning"] = f'299 - "{asked} is now called {name}"'
        return response


def todays_page(name: str) -> Response | None:
    """Where this page is under the stage's name of today; None where it is already. The method stays what it is."""
    told = request.view_args or {}
    asked = f"{told['model']}/{told['stage']}"
    if asked == name:
        return None
    tell(asked, name)
    model, stage = name.split("/")
    address = url_for(str(request.endpoint), **{**request.args, **told, "model": model, "stage": stage})
    return as_page(redirect(address, 308))  # type: ignore[arg-type]
