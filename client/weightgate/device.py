"""Logging in without a token at hand: a person approves in the browser, this machine fetches the token (RFC 8628)."""

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from weightgate.asking import ANSWER_BYTES_AT_MOST, fields_of, printable
from weightgate.http import Response, Server
from weightgate.verdicts import CannotTell, Refused

_PATH = "/api/v1/device-logins"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_FORM = "application/x-www-form-urlencoded"
_SCOPES = "stages:read downloads:create findings:create log:read"  # what this client has commands for
_PUBLISHING = " checkpoints:publish"  # only who asks for it: a token on a disk should not do more than it is used for
_SLOWER_SECONDS = 5.0  # what "slow_down" adds (section 3.5)
_AGAIN = "Run `weightgate login` again."


@dataclass(frozen=True, slots=True)
class Login:
    """What a person needs to approve, and what this machine needs to fetch the token: `device_code` is a secret."""

    device_code: str
    user_code: str
    page: str
    lifetime_seconds: float
    interval_seconds: float


def begin(server: Server, *, publishing: bool = False) -> Login:
    """Ask for a login, whose token can publish as well if need be. Raises Refused or CannotTell."""
    name = f"weightgate on {platform.node() or 'a machine'}"[:100]
    said = fields_of(_sent(server, "", client_id=name, scope=_SCOPES + _PUBLISHING * publishing), {200})
    try:
        code, page = printable(said["user_code"]), printable(said["verification_uri_complete"])
        return Login(str(said["device_code"]), code, page, float(said["expires_in"]), float(said["interval"]))
    except (LookupError, TypeError, ValueError):
        raise CannotTell("malformed_answer", "The server's answer is no login.", "Check --endpoint.") from None


def fetch(server: Server, login: Login, pause: Callable[[float], None]) -> str:
    """Wait until a person has approved; return the token. Raises Refused where they did not, CannotTell.

    A server that does not answer is asked again, less often: the person needs their time, and networks come back.
    """
    interval_seconds, waited_seconds = max(1.0, login.interval_seconds), 0.0
    while waited_seconds < login.lifetime_seconds:
        pause(interval_seconds)
        waited_seconds += interval_seconds
        try:
            response = _sent(server, "/token", grant_type=_GRANT, device_code=login.device_code)
        except CannotTell:
            interval_seconds += _SLOWER_SECONDS
            continue
        error, why = _error(response)
        if error is None:
            token = fields_of(response, {200}).get("access_token")
            if not isinstance(token, str):
                raise CannotTell("malformed_answer", "The server's answer is no token.", "Check --endpoint.")
            return token
        if error == "slow_down":
            interval_seconds += _SLOWER_SECONDS
        elif error != "authorization_pending":
            raise Refused(error, why, _AGAIN)
    raise Refused("expired_token", "Nobody approved it in time.", _AGAIN)


def _sent(server: Server, path: str, **form: str) -> Response:
    return server.post(_PATH + path, urlencode(form).encode(), ANSWER_BYTES_AT_MOST, content_type=_FORM)


def _error(response: Response) -> tuple[str | None, str]:
    """Why there is no token yet, in a word for programs and a sentence; None where it is no such answer."""
    if response.status != 400:
        return None, ""
    try:
        said = json.loads(response.body)
        return printable(said["error"]), printable(said["error_description"])
    except (ValueError, LookupError, TypeError):
        return None, ""
