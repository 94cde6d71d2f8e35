"""Device logins: how a program without a browser gets a token that a person approves (RFC 8628).

A workload with an identity token of its own asks at the same address, and for nobody's approval (`token_exchange.py`).

Forms and errors are OAuth's (RFC 6749, section 5.2), since programs come with libraries for them.
"""

from typing import Annotated, Any, Literal

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from server.domain.errors import InvalidRequest
from server.domain.identity import device_logins
from server.domain.identity.device_logins import Answer as Outcome
from server.domain.permissions import Scope
from server.web.api import token_exchange
from server.web.api.answers import Answer, answer
from server.web.api.description import PROBLEM_CONTENT
from server.web.identity import open_to_all, resources, stranger

bp = APIBlueprint("device_logins", __name__, url_prefix="/api/v1/device-logins", tag="device logins")
ASKED_BY_DEFAULT = "stages:read downloads:create findings:create"
WHY = {
    Outcome.PENDING: "Nobody has approved this yet.",
    Outcome.SLOW_DOWN: "Ask less often: wait five seconds longer between two requests than before.",
    Outcome.DENIED: "It was denied, or the person who approved it may no longer create this token.",
    Outcome.EXPIRED: "The codes have expired. Start again.",
    Outcome.UNKNOWN: "There is no such device code, or its token was already fetched.",
}
Code = Annotated[str, Field(max_length=200)]


class BeginForm(BaseModel):
    """What asks, and for what. Fields that are not known are ignored (RFC 6749, section 3.2)."""

    client_id: Annotated[str, Field(max_length=100, description="The program's name, as its person reads it.")]
    scope: Annotated[str, Field(max_length=200, description="Scopes, separated by spaces.")] = ASKED_BY_DEFAULT


class AskForm(BaseModel):
    """Which login it is about; or, to exchange a workload's identity token (RFC 8693), that token."""

    grant_type: Literal[
        "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange"
    ]
    device_code: Code | None = None
    subject_token: Annotated[str | None, Field(description="A workload's identity token: a signed JWT.")] = None
    subject_token_type: Annotated[
        str | None, Field(description="`urn:ietf:params:oauth:token-type:jwt` or `…:id_token`.")
    ] = None
    scope: Annotated[str | None, Field(description="Fewer scopes than the trust record has.")] = None
    audience: Annotated[
        str | None, Field(description="ORGANIZATION or ORGANIZATION/NUMBER, if several trust records match.")
    ] = None
    requested_token_type: str | None = None


class BegunAnswer(Answer):
    device_code: Annotated[str, Field(description="Secret: anyone who has it gets the token.")]
    user_code: Annotated[str, Field(description="Show it to your person.")]
    verification_uri: str
    verification_uri_complete: str
    expires_in: Annotated[int, Field(description="Seconds.")]
    interval: Annotated[int, Field(description="Seconds to wait between two questions.")]


class TokenAnswer(Answer):
    access_token: str
    issued_token_type: Annotated[str | None, Field(description="Only of an exchange (RFC 8693).")] = None
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(description="Seconds.")]
    scope: str


class NoToken(Answer):
    """Why there is no token: `error` is for programs (RFC 8628, section 3.5)."""

    error: str
    error_description: str


_NO_TOKEN = {
    "description": str(NoToken.__doc__),
    "content": {"application/json": {"schema": NoToken.model_json_schema()}, **PROBLEM_CONTENT},
}
REFUSED: dict[int | str, Any] = {400: _NO_TOKEN}
# An exchange says in the same form that too many tokens work, and that an issuer's keys cannot be fetched.
NOT_EXCHANGED: dict[int | str, Any] = REFUSED | {429: _NO_TOKEN, 503: _NO_TOKEN}


@bp.post("")
@open_to_all
@bp.input(BeginForm, location="form", arg_name="form")
@bp.output(BegunAnswer)
@bp.doc(responses=REFUSED)
def begin(form: BeginForm) -> Response:
    """Begin a login. Show the user code and the address to your person, then ask for the token."""
    use = resources()
    try:
        scopes = {Scope(scope) for scope in form.scope.split()}
    except ValueError:
        return _refused("invalid_scope", f"Known scopes: {', '.join(Scope)}.")
    begun = device_logins.begin(use, stranger(), form.client_id, scopes)
    page = f"{use.settings.public_url}/device"
    return answer(
        {
            "device_code": begun.device_code,
            "user_code": begun.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}/{begun.user_code}",
            "expires_in": begun.lifetime_seconds,
            "interval": begun.interval_seconds,
        }
    )


@bp.post("/token")
@open_to_all
@bp.input(AskForm, location="form", arg_name="form")
@bp.output(TokenAnswer)
@bp.doc(responses=NOT_EXCHANGED)
def token(form: AskForm) -> Response:
    """The token, once, as soon as a person has approved it. Or a short one for a workload's identity token."""
    if form.grant_type == token_exchange.GRANT:
        return token_exchange.answered(
            form.subject_token or "",
            form.subject_token_type or "",
            form.scope,
            form.audience,
            form.requested_token_type,
        )
    if form.device_code is None:
        raise InvalidRequest("`device_code` is required.")
    made = device_logins.ask(resources(), form.device_code)
    if isinstance(made, Outcome):
        return _refused(made, WHY[made])
    of = made.token
    return answer(
        {
            "access_token": made.text,
            "token_type": "Bearer",
            "expires_in": int((of.expires_at - of.created_at).total_seconds()),
            "scope": of.scopes,
        }
    )


def _refused(error: str, why: str) -> Response:
    return answer({"error": error, "error_description": why}, 400)
