"""The doors for tools, tried as a stranger would try them: what must be refused is, and in the protocol's own words."""

import base64
import secrets
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

from server.domain.identity import s3_keys
from server.domain.operation import key_files
from server.domain.resources import Resources
from server.storage import probes, store_sessions
from server.storage.object_errors import ObjectStoreRefused
from server.storage.probes import Answer, ProbeFailed

PROBED_KEY = "doctor/doctor/doctor"  # at the S3 door; no model may bear the name
PROBED_STAGE = "doctor/doctor"
_NO_TOKEN = "no-token"  # noqa: S105  # what is sent for one


class Wrong(Exception):
    """A check failed; each of its sentences says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class _Probe:
    """A request, and what must come of it. text: a part of the answer."""

    what: str
    path: str
    status: int
    text: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None

    def ask(self, url: str) -> Answer:
        body = None if self.form is None else urlencode(self.form).encode()
        more = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
        return probes.ask(f"{url}{self.path}", self.method, {**self.headers, **more}, body)


def s3_door(use: Resources) -> str:
    """S3 tools get through to the web server, which checks who signed; and nobody to the store behind the door."""
    made = use.settings
    if made.s3_door == "off":
        return "not open: S3 tools find nothing here (s3_door is off)"
    if made.s3_door == "sts":
        return _store_sessions(use)
    url = str(made.s3_door_url)
    signed = s3_keys.presigned(use, "doctordoctor", PROBED_KEY).removeprefix(url)
    altered = f"{signed[:-1]}{'0' if signed[-1] != '0' else '1'}"
    advice = (
        f"check that it leads to port {made.s3_door_port} of the embedded store, and restart both after a change of "
        "the settings"
    )
    refused = (
        _Probe("a request that is not signed", f"/models/{PROBED_KEY}", 403, "<Code>AccessDenied</Code>"),
        _Probe("an altered signature", altered, 403, "<Code>SignatureDoesNotMatch</Code>"),
        _Probe("keys of a token that there is not", signed, 403, "<Code>AccessDenied</Code>"),
    )
    _require(f"the S3 door at {url}", url, refused, advice)
    if probes.status_of(f"{url}/weightgate-store/{made.s3_bucket}/doctor") < 400:
        raise Wrong("the store can be reached through the S3 door without a decision: use the proxy that came with it")
    return f"the S3 door at {url} checks signatures"


def _store_sessions(use: Resources) -> str:
    """Keys that the store makes read what is below their prefix, and nothing else anywhere."""
    if not key_files.publishes_here(use.settings):
        return "not tried: run `doctor` on the machine that has the publisher's key"
    own = f"{probes.PROBE_PREFIX}{secrets.token_hex(8)}/"
    mine, other = f"{own}probe", f"{own[:-1]}-other/probe"
    try:
        for key in (mine, other):
            use.store.put_bytes(key, b"A probe of `weightgate-server doctor`.\n")
        session = use.sessions.begin(own, "doctor", store_sessions.SECONDS.start)
        with closing(use.store_as(session.credentials)) as store:
            store.get_bytes(mine)
            for what, attempt in (
                ("read below another prefix", lambda: store.get_bytes(other)),
                ("list the bucket", lambda: store.list_keys("")),
                ("write", lambda: store.put_bytes(f"{own}written", b"x")),
                ("delete", lambda: store.delete(mine)),
            ):
                with suppress(ObjectStoreRefused):
                    attempt()
                    raise Wrong(f"keys for one prefix can {what}: the store does not keep to session policies")
    finally:
        for key in (mine, other, f"{own}written"):
            use.store.delete(key)
    return f"the store makes keys of {use.settings.sts_role_arn} that read one prefix, and nothing else"


def key_doors(use: Resources) -> str:
    """Whoever has no token gets no keys for S3 tools, at the doors that are open and at those that are not."""
    made = use.settings
    if made.s3_door == "off":
        return "not open: S3 tools get no keys here (s3_door is off)"
    form = {
        "Action": "AssumeRoleWithWebIdentity", "RoleArn": f"arn:aws:iam::000000000000:role/{PROBED_STAGE}",
        "RoleSessionName": "doctor", "WebIdentityToken": _NO_TOKEN,
    }  # fmt: skip
    status, code = (400, "InvalidIdentityToken") if made.web_identity_credentials else (403, "AccessDenied")
    at_sts = _Probe("a web identity that is none", "/sts", status, f"<Code>{code}</Code>", "POST", form=form)
    container = _Probe(
        "a container without a token", f"/api/v1/credentials/{PROBED_STAGE}", 401, "authentication_required"
    )
    told = _where_the_server_answers(made.public_url, "the doors for S3 keys", (at_sts, container))
    ways = [way for way, is_open in (
        ("container credentials", made.container_credentials), ("web identity", made.web_identity_credentials),
    ) if is_open]  # fmt: skip
    return told or f"keys are given by {' and '.join(ways) or 'nothing'}, and to nobody without a token"


def oci_door(use: Resources) -> str:
    """Container tools are told where a token is had, get none for a wrong one, and cannot write."""
    url = use.settings.public_url
    if not use.settings.oci_door:
        return "not open: container tools find nothing here (oci_door is off)"
    basic = base64.b64encode(f"any:{_NO_TOKEN}".encode()).decode()
    tried = (
        _Probe("a conversation's beginning", "/v2/", 401, f'Bearer realm="{url}/v2/token"'),
        _Probe("who has no token", "/v2/token", 200, '"token":"anonymous"'),
        _Probe(
            "a password that is no token", "/v2/token", 401, "UNAUTHORIZED", headers={"Authorization": f"Basic {basic}"}
        ),
        _Probe("a push", f"/v2/{PROBED_STAGE}/blobs/uploads/", 405, "UNSUPPORTED", "POST"),
    )
    told = _where_the_server_answers(url, "the registry", tried)
    return told or f"the registry at {url} says where tokens are had, and takes neither a wrong one nor a push"


def _where_the_server_answers(url: str, door: str, tried: Iterable[_Probe]) -> str | None:
    """Try a door of the web server, which need not run while this does; return a sentence where it does not."""
    try:
        probes.status_of(f"{url}/healthz")
    except ProbeFailed as error:
        return f"not tried: {error}; run this again while the server is running"
    _require(
        f"{door} at {url}", url, tried, "check that your proxy sends every path and header of this host to the server"
    )
    return None


def _require(door: str, url: str, tried: Iterable[_Probe], advice: str) -> None:
    for probe in tried:
        answer = probe.ask(url)
        said = f"{answer.headers.get('www-authenticate', '')} {answer.text}"
        if answer.status != probe.status or probe.text not in said:
            raise Wrong(f"{door} answers {probe.what} with {answer.status} and not as it should: {advice}")
