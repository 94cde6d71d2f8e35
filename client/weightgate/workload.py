"""Logging in as a workload: its own identity token for a token of the server (RFC 8693), without a person or a secret.

The identity token comes from a file (Kubernetes writes one), from a variable (GitLab sets it), or from GitHub's runner.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from weightgate import http
from weightgate.asking import ANSWER_BYTES_AT_MOST, fields_of, printable
from weightgate.http import Response, Server
from weightgate.log.encoding import load_json_object
from weightgate.verdicts import CannotTell, Malformed, Refused, WrongUse

IDENTITY_BYTES_AT_MOST = 16_384
_FORM = "application/x-www-form-urlencoded"
_KEY_PARTS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_GITHUB_URL, _GITHUB_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an identity token comes from. audience: what GitHub makes it for; None for the server's address."""

    file: str | None = None
    variable: str | None = None
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity token, and under which trust record it is shown, where several match: ORGANIZATION/NUMBER."""

    token: str = field(repr=False)
    trust: str | None = None


def identity_token(source: Source, environment: Mapping[str, str], endpoint: str) -> str:
    """Return this workload's identity token. Raises WrongUse where there is none, CannotTell."""
    if source.file is not None:
        return _of_form(_read(Path(source.file)), f"The file {source.file}")
    if source.variable is not None:
        return _of_form(environment.get(source.variable, ""), f"The variable {source.variable}")
    if environment.get(_GITHUB_URL) and environment.get(_GITHUB_TOKEN):
        return _of_github(environment, source.audience or endpoint.rstrip("/"))
    raise WrongUse(
        "no_identity",
        "There is no identity token here.",
        "Use --oidc-token-file or --oidc-token-variable; in GitHub Actions, set `permissions: id-token: write`.",
    )


def exchange(server: Server, identity: Identity) -> str:
    """Return a token of the server for an identity token. Raises Refused or CannotTell."""
    form = {"grant_type": _GRANT, "subject_token": identity.token, "subject_token_type": _JWT}
    if identity.trust is not None:
        form["audience"] = identity.trust
    body = urlencode(form).encode()
    response = server.post("/api/v1/device-logins/token", body, ANSWER_BYTES_AT_MOST, content_type=_FORM)
    _require_granted(response)
    token = fields_of(response, {200}).get("access_token")
    if not isinstance(token, str):
        raise CannotTell("malformed_answer", "The server's answer is no token.", "Check --endpoint.")
    return token


def s3_keys(server: Server, stage: str, identity: Identity) -> dict[str, str]:
    """Return keys for S3 tools straight for an identity token, as the AWS libraries get them (`/sts`).

    The same identity token gives more of them as long as it is valid. Raises Refused or CannotTell.
    """
    number = (identity.trust or "").rpartition("/")[2]
    form = {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "weightgate",
        "RoleArn": f"arn:aws:iam::{int(number) if number.isdigit() else 0:012d}:role/{stage}",
        "WebIdentityToken": identity.token,
    }  # fmt: skip
    response = server.post("/sts", urlencode(form).encode(), ANSWER_BYTES_AT_MOST, content_type=_FORM)
    if response.status != 200:
        code, why = _element(response, "Code"), _element(response, "Message")
        if code is None or why is None or response.status >= 500:
            raise CannotTell("no_answer", printable(why or f"The server cannot answer now (HTTP {response.status})."))
        raise Refused(
            printable(code), printable(why), "Compare the identity token with the trust record in the portal."
        )
    found = {name: _element(response, name) for name in _KEY_PARTS}
    if None in found.values():
        raise CannotTell("bad_answer", "The server's answer is not what it should be.")
    return {name: str(value) for name, value in found.items()}


def _element(response: Response, name: str) -> str | None:
    """The text of the first element of this name, in an answer whose elements have no attributes."""
    match = re.search(rf"<{name}>([^<]*)</{name}>", response.body.decode("utf-8", "replace"))
    return None if match is None else html.unescape(match[1])


def _require_granted(response: Response) -> None:
    """Raise what the server says in OAuth's form (RFC 6749, section 5.2); nothing where it says something else."""
    if response.status == 200 or response.content_type != "application/json":
        return
    try:
        said = load_json_object(response.body)
        error, why = printable(said["error"]), printable(said["error_description"])
    except (Malformed, LookupError):
        return
    if response.status >= 500:
        raise CannotTell(error, why)
    raise Refused(error, why, "Compare the identity token with the trust record in the portal.")


def _of_github(environment: Mapping[str, str], audience: str) -> str:
    url = environment[_GITHUB_URL]
    asked = f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    body = http.get_url(asked, environment[_GITHUB_TOKEN], ANSWER_BYTES_AT_MOST)
    try:
        value = json.loads(body)["value"]
    except (ValueError, LookupError, TypeError):
        value = None
    return _of_form(value if isinstance(value, str) else "", "What GitHub's runner answered")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(IDENTITY_BYTES_AT_MOST + 1).decode("ascii")
    except (OSError, UnicodeDecodeError):
        raise WrongUse("bad_identity", f"Cannot read an identity token from {path}.", "Choose another file.") from None


def _of_form(text: str, where: str) -> str:
    token = text.strip()
    if token.count(".") != 2 or len(token) > IDENTITY_BYTES_AT_MOST or not token.isascii() or " " in token:
        raise WrongUse("bad_identity", f"{where} contains no identity token.", "It has three parts with dots between.")
    return token
