"""The check of signed requests: accepted exactly when botocore signed them; whatever is changed afterwards is not."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from server.storage import signed_requests
from server.storage.signed_requests import EMPTY_SHA256, UNSIGNED, Request, Unsigned

KEY_ID, SECRET = "WGSKEY", "s3cr3t"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8).filter(lambda name: not name.startswith("x-amz"))
# RFC 9110: visible characters, blanks, and what older programs send beyond ASCII; a server hands it on trimmed. Two of
# those are blanks to Python alone: what botocore signs then is not what arrives.
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f\x85\xa0",
                              exclude_categories=["Cc"]), max_size=8).map(str.strip)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A request before it is signed."""

    method: str = "GET"
    path: str = "/models/gpt-2/774M/model.safetensors"
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    in_query: bool = False
    token: str | None = None
    region: str = "us-east-1"
    payload: str = UNSIGNED
    flags: tuple[str, ...] = ()  # parameters without a value


PARAMETERS = st.lists(
    st.tuples(TEXT.filter(lambda name: name != "" and not name.lower().startswith("x-amz-")), TEXT),
    max_size=4, unique_by=lambda pair: pair[0],
)  # fmt: skip
PLANS = st.builds(
    Plan,
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]),
    TEXT.map(lambda text: f"/models/{text}"),
    PARAMETERS.map(tuple),
    st.lists(st.tuples(NAME, VALUE), max_size=3, unique_by=lambda pair: pair[0]).map(tuple),
    st.booleans(),
    st.sampled_from([None, "weightgate", "to/ken+="]),
    st.sampled_from(["us-east-1", "eu-central-1"]),
    st.sampled_from([UNSIGNED, EMPTY_SHA256]),
    st.lists(st.sampled_from(["acl", "location", "uploads", "tagging"]), max_size=2, unique=True).map(tuple),
).filter(lambda plan: not {name for name, _ in plan.query} & set(plan.flags))  # fmt: skip


def signed(plan: Plan) -> Request:
    """The plan as botocore signs it, and as it arrives."""
    pairs = [f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in plan.query]
    query = "&".join([*pairs, *plan.flags])
    url = f"http://s3.localhost:8334{quote(plan.path, safe='/~')}" + (f"?{query}" if query else "")
    request = AWSRequest(plan.method, url, headers={"host": "s3.localhost:8334", **dict(plan.headers)})
    signer: Any = S3SigV4QueryAuth if plan.in_query else S3SigV4Auth
    signer = signer(Credentials(KEY_ID, SECRET, plan.token), "s3", plan.region)
    if not plan.in_query:
        signer.payload = lambda _: plan.payload
    signer.add_auth(request)
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    target = "/" + request.url.partition("://")[2].partition("/")[2]
    return Request(plan.method, target, headers)


def secret_of(access_key_id: str) -> str | None:
    return SECRET if access_key_id == KEY_ID else None


def code(request: Request, now: datetime | None = None) -> str:
    """S3's word for why a request is not believed; "" for one that is."""
    try:
        signed_requests.verify(request, secret_of, now or datetime.now(UTC))
    except Unsigned as error:
        return error.code
    return ""


@settings(max_examples=300)
@given(PLANS)
def test_what_botocore_signed_is_accepted_and_means_what_was_signed(plan: Plan) -> None:
    """Path and query come out as they went in, whatever characters they have."""
    asked = signed_requests.verify(signed(plan), secret_of, datetime.now(UTC))
    meant = dict(plan.query) | dict.fromkeys(plan.flags, "")
    assert (asked.access_key_id, asked.path, dict(asked.query)) == (KEY_ID, plan.path, meant)
    assert asked.session_token == plan.token


@settings(max_examples=100)
@given(PLANS, st.text("abcdef0123456789", min_size=1, max_size=8))
def test_another_secret_signs_nothing(plan: Plan, other: str) -> None:
    """Nor does the right one for another id."""
    request = signed(plan)
    with pytest.raises(Unsigned, match="not that of this request"):
        signed_requests.verify(request, lambda _: other, datetime.now(UTC))
    with pytest.raises(Unsigned, match="no such access key"):
        signed_requests.verify(request, lambda _: None, datetime.now(UTC))


@settings(max_examples=100)
@given(PLANS, TEXT.filter(bool), TEXT, TEXT)
def test_a_parameter_that_is_there_twice_is_refused(plan: Plan, name: str, first: str, second: str) -> None:
    """Though botocore signs it in the header, with the same value, too: nobody could say which of the two is meant."""
    repeated = replace(plan, in_query=False, query=((name, first), *plan.query, (name, second)))
    assert code(signed(repeated)) == "InvalidArgument"


@pytest.mark.parametrize("blank", ["\xa0", "\x85", "\x0b", "\x1c"])
def test_only_blanks_of_http_are_blanks(blank: str) -> None:
    """What Python takes for one says something else than the blank that was signed."""
    request = signed(Plan(headers=(("range", "bytes=0-9, 20-29"),)))
    assert code(with_header(range="bytes=0-9,    20-29 ")(request)) == ""
    assert code(with_header(range=f"bytes=0-9,{blank}20-29")(request)) == "SignatureDoesNotMatch"


def changed(request: Request, chance: random.Random) -> Request:
    """The request with one thing in it changed; what it says may stay the same by chance."""
    letters = "aZ09-/%+ =&;:\0é"

    def edit(text: str) -> str:
        place = chance.randrange(len(text) + 1)
        kind = chance.randrange(4)
        if kind == 0 or not text:
            return text[:place] + chance.choice(letters) + text[place:]
        if kind == 1:
            return text[:place] + text[place + 1 :]
        if kind == 2:
            return text[:place] + chance.choice(letters) + text[place + 1 :]
        return text[:place] + text[place:].swapcase()

    what = chance.randrange(6)
    if what == 0:
        return replace(request, method=chance.choice(["PUT", "DELETE", "POST", "HEAD", "GET", edit(request.method)]))
    if what <= 2:
        return replace(request, target="/" + edit(request.target[1:]))
    headers = dict(request.headers)
    name = chance.choice(sorted(headers))
    if what == 3:
        del headers[name]
    elif what == 4:
        headers[chance.choice(["x-amz-acl", "x-amz-date", "authorization", "host", f"x-amz-{name}"])] = edit(
            headers[name]
        )
    else:
        headers[name] = edit(headers[name])
    return replace(request, headers=headers)


def meaning(request: Request) -> Any:
    """What a request says to S3, with all that one writes differently and means the same taken out."""
    path, _, query = request.target.partition("?")
    unquoted = [tuple(signed_requests._decoded(part) for part in pair.partition("=")[::2]) for pair in query.split("&")]
    headers = {name: " ".join(value.split()) for name, value in request.headers.items()}
    authorization = headers.get("authorization", "").replace(", ", ",").replace(" ,", ",")
    covered = [part for part in authorization.replace("=", ";").split(",") if "SignedHeaders" in part]
    names = covered[0].split(";")[1:] if covered else ["host"]
    relevant = {name: headers.get(name) for name in (*names, "x-amz-content-sha256")}
    return request.method, signed_requests._decoded(path), sorted(unquoted), relevant, authorization


def mutate(count: int, seed: int) -> None:
    """Change requests that botocore signed, each in one way; none that means something else is accepted."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    queries = ((), (("prefix", "a b/c"), ("max-keys", "3")))
    plans = [
        Plan(in_query=in_query, token=token, query=query, headers=(("range", "bytes=0-9"),))
        for in_query in (False, True) for token in (None, "weightgate") for query in queries
    ]  # fmt: skip
    requests = [signed(plan) for plan in plans]
    refused = 0
    for _ in range(count):
        request = chance.choice(requests)
        other = changed(request, chance)
        if code(other) == "":  # anything but Unsigned is an error of the test
            assert meaning(other) == meaning(request), other
        else:
            refused += 1
    assert refused > count * 0.7


def test_no_changed_request_is_accepted() -> None:
    """And none makes the check fail otherwise."""
    mutate(600, 1)


@pytest.mark.fault
def test_no_changed_request_of_very_many_is_accepted() -> None:
    """The same, 10,000 times."""
    mutate(10_000, 2)


def with_header(**headers: str) -> Callable[[Request], Request]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: replace(request, headers={**request.headers, **named})


def with_query(text: str) -> Callable[[Request], Request]:
    return lambda request: replace(request, target=f"{request.target}{'&' if '?' in request.target else '?'}{text}")


def instead(text: str, other: str) -> Callable[[Request], Request]:
    return lambda request: replace(request, target=request.target.replace(text, other))


def twice_authorized(request: Request) -> Request:
    """As a server hands on a header that came twice."""
    return with_header(authorization=",".join([request.headers["authorization"]] * 2))(request)


STAMP = "20260101T000000Z"
BAD: list[tuple[str, bool, Callable[[Request], Request]]] = [
    ("SignatureDoesNotMatch", False, with_header(range="bytes=5-")),
    ("AccessDenied", False, with_header(x_amz_acl="public-read")),
    ("AuthorizationHeaderMalformed", False, with_header(authorization="Bearer wgk_x")),
    ("AuthorizationHeaderMalformed", False, with_header(authorization="AWS4-ECDSA-P256-SHA256 Credential=a")),
    ("AuthorizationHeaderMalformed", False, twice_authorized),
    ("InvalidArgument", False, with_query("X-Amz-Signature=" + "0" * 64)),
    ("InvalidArgument", True, with_header(authorization="AWS4-HMAC-SHA256 x")),
    ("NotImplemented", False, with_header(x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")),
    ("NotImplemented", False, with_header(x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER")),
    ("XAmzContentSHA256Mismatch", False, with_header(x_amz_content_sha256="0" * 64)),
    ("XAmzContentSHA256Mismatch", True, with_header(x_amz_content_sha256="0" * 64)),
    ("AuthorizationHeaderMalformed", False, with_header(x_amz_date="yesterday")),
    ("AuthorizationHeaderMalformed", False, with_header(x_amz_date=STAMP)),
    ("AuthorizationQueryParametersError", True, instead("X-Amz-Expires", "X-Amz-Expired")),
    ("AuthorizationQueryParametersError", True, instead("X-Amz-Expires=3600", "X-Amz-Expires=604801")),
    ("AuthorizationQueryParametersError", True, instead("X-Amz-Expires=3600", "X-Amz-Expires=0")),
    ("SignatureDoesNotMatch", True, instead("X-Amz-Expires=3600", "X-Amz-Expires=7200")),
    ("InvalidArgument", False, with_query("a=1&a=2")),
    ("InvalidURI", False, lambda r: replace(r, target=f"{r.target}%FF")),
    ("InvalidURI", False, with_query("prefix=%C3")),
    ("SignatureDoesNotMatch", False, with_query("prefix=x")),
    ("SignatureDoesNotMatch", False, lambda r: replace(r, method="HEAD")),
    ("AccessDenied", False, lambda r: replace(r, headers={"host": "s3.localhost:8334"})),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "in_query", "change"), BAD)
def test_each_fault_has_s3_s_own_word(expected: str, in_query: bool, change: Callable[[Request], Request]) -> None:
    """Hand-written: what a client, a proxy or an attacker may send."""
    request = signed(Plan(in_query=in_query, headers=(("range", "bytes=0-4"),)))
    assert code(request) == ""
    assert code(change(request)) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"), [(14, ""), (16, "RequestTimeTooSkewed"), (-14, ""), (-16, "RequestTimeTooSkewed")]
)
def test_a_clock_may_be_a_quarter_of_an_hour_off(minutes: int, expected: str) -> None:
    """In the header in both directions."""
    assert code(signed(Plan()), datetime.now(UTC) + timedelta(minutes=minutes)) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"), [(59, ""), (61, "AccessDenied"), (-14, ""), (-16, "RequestTimeTooSkewed")]
)
def test_a_presigned_url_ends_when_it_says(minutes: int, expected: str) -> None:
    """And does not begin before it was signed, but for the clocks."""
    assert code(signed(Plan(in_query=True)), datetime.now(UTC) + timedelta(minutes=minutes)) == expected
