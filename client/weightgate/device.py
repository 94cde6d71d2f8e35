"""Logging in with a browser elsewhere: a person types a code there, and this machine is given a token (RFC 8628)."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weightgate.asking import ANSWER_BYTES_AT_MOST, fields_of, printable
from weightgate.http import Server
from weightgate.log.encoding import load_json_object
from weightgate.verdicts import CannotTell, Malformed, Refused

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_ADDRESS = "/api/v1/device-logins"
_LATER_SECONDS = 5  # what "slow_down" adds (section 3.5)
_NO = {
    "access_denied": "This was denied, or the person who approved it may not create such a token.",
    "expired_token": "Nobody approved it in time.",
}


@dataclass(frozen=True, slots=True)
class Begun:
    """What is shown to a person, and what is kept for ourselves."""

    user_code: str
    page: str
    page_with_code: str
    device_code: str
    lifetime_seconds: int
    interval_seconds: int


def begin(server: Server) -> Begun:
    """Ask for the two codes. Raises Refused or CannotTell."""
    said = fields_of(_post(server, "", {"client_id": f"weightgate on {platform.node() or 'a machine'}"[:100]}), {200})
    try:
        return Begun(
            printable(said["user_code"]), printable(said["verification_uri"]),
            printable(said["verification_uri_complete"]), str(said["device_code"]), int(said["expires_in"]),
            max(1, int(said["interval"])),
        )  # fmt: skip
    except (LookupError, TypeError, ValueError):
        raise CannotTell("malformed_answer", "The server's answer is malformed.", "Check --endpoint.") from None


def wait(
    server: Server,
    begun: Begun,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Ask until a person has decided; return the token. Raises Refused where they said no, or nothing in time.

    A server that does not answer is asked again: the person may take their time, and networks come back.
    """
    ends_at, interval = clock() + begun.lifetime_seconds, begun.interval_seconds
    while clock() < ends_at:
        sleep(interval)
        try:
            response = _post(server, "/token", {"grant_type": GRANT, "device_code": begun.device_code})
        except CannotTell:
            interval += _LATER_SECONDS
            continue
        if response.status == 200:
            return _token_in(fields_of(response, {200}))
        error = _error_in(response.body)
        if error == "slow_down":
            interval += _LATER_SECONDS
        elif error in _NO:
            raise Refused(error, _NO[error], "Use `weightgate login` again if you want a token.")
        elif error != "authorization_pending" and response.status < 500:
            fields_of(response, {200})  # raises what a problem says
    raise Refused("expired_token", _NO["expired_token"], "Use `weightgate login` again.")


def _post(server: Server, path: str, fields: dict[str, str]) -> Any:
    return server.post_form(_ADDRESS + path, fields, ANSWER_BYTES_AT_MOST)


def _token_in(said: dict[str, Any]) -> str:
    token = said.get("access_token")
    if not isinstance(token, str):
        raise CannotTell("malformed_answer", "The server's answer contains no token.", "Check --endpoint.")
    return token


def _error_in(body: bytes) -> str:
    try:
        return str(load_json_object(body).get("error", ""))
    except Malformed:
        return ""
