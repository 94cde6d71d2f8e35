"""Freshness: acts of the lab, and changes of how one signs in, need a proof of the last minutes (step-up)."""

from dataclasses import replace
from urllib.parse import urlsplit

from flask import Flask, Response, after_this_request, g, request, url_for

from server.domain.accounts import provider_sign_in, sign_in
from server.domain.accounts.ceremonies import Kind
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPossible, Refused
from server.web.identity import resources
from server.web.portal.kit import cookies, limits
from server.web.portal.kit.kept_forms import typed
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.refused import local_path
from server.web.portal.kit.rendering import go_to, render


class ProofNeeded(Exception):
    """The person is signed in, and must prove it once more before this happens."""

    def __init__(self, caller: Caller, refused: Refused | None = None) -> None:
        self.caller, self.refused = caller, refused
        super().__init__("a fresh sign-in is needed")


def register(app: Flask) -> None:
    app.register_error_handler(ProofNeeded, _ask)


def require_fresh(caller: Caller) -> Caller:
    """Return the caller if they are fresh, or prove it with this request.

    Raises ProofNeeded: the answer asks for proof and keeps what was typed.
    """
    if caller.fresh:
        return caller
    g.caller = caller
    code, answer = request.form.get("proof_code", ""), request.form.get("proof_passkey", "")
    if request.method != "POST" or not (code or answer):
        raise ProofNeeded(caller)
    limits.count(Limit.PROOF_OF_PERSON, caller.person_id)
    try:
        if answer:
            proven = sign_in.confirm_by_passkey(resources(), caller, cookies.ceremony(Kind.PASSKEY), answer)
        else:
            proven = sign_in.confirm_by_totp(resources(), caller, code)
    except (InvalidRequest, NotPossible) as refused:
        raise ProofNeeded(caller, refused) from None
    limits.forgive(Limit.PROOF_OF_PERSON, caller.person_id)
    g.caller = replace(caller, fresh=True)

    @after_this_request
    def _renew(response: Response) -> Response:
        cookies.give(response, proven)
        return response

    return g.caller  # type: ignore[no-any-return]


def _ask(needed: ProofNeeded) -> Response:
    if request.method != "POST":  # a page that leads to such an act: prove it first, then see the page
        return go_to(url_for("account.confirm_form", next=request.full_path.rstrip("?")))
    return ask(needed.caller, request.full_path.rstrip("?"), typed(), needed.refused)


def ask(caller: Caller, action: str, fields: list[tuple[str, str]], refused: Refused | None) -> Response:
    """The page "confirm that it is you", whose forms go on to `action` with these fields, by an identity provider too.

    What waits without fields, a button, is to be pressed once more: then its page is where they come back to.
    """
    with resources().database.reading() as session:
        has_app, providers = provider_sign_in.ways_to_confirm(session, resources(), caller)
    came_from = urlsplit(request.referrer or "")
    back = request.form.get("proof_back", came_from.path + (f"?{came_from.query}" if came_from.query else ""))
    return render(
        "account/freshness/confirm.html", 403 if refused is None else 422, action=action, fields=fields,
        refused=refused, has_app=has_app, providers=providers, back=local_path(back),
    )  # fmt: skip
