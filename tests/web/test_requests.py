"""Requests: bodies with one meaning only, and an address that nobody can make up."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.identity.tokens import FORM
from server.web.requests import client_address
from tests.web.problems import require_problem
from tests.world import World, copied_world

STAGE = '{"stage": "gpt-2/774M", '
PROXIES = ("127.0.0.1/32", "10.0.0.0/8", "2001:db8:1::/48")

BAD_BODIES = {
    "no body at all": (b"", 400, "invalid_request"),
    "not JSON": (b"stage=gpt-2/774M", 400, "invalid_request"),
    "not UTF-8": (b'{"stage": "\xff"}', 400, "invalid_request"),
    "UTF-16": ('{"stage": "gpt-2/774M"}'.encode("utf-16"), 400, "invalid_request"),
    "null": (b"null", 400, "invalid_request"),
    "a list": (b"[]", 400, "invalid_request"),
    "a string": (b'"gpt-2/774M"', 400, "invalid_request"),
    "no stage": (b"{}", 400, "invalid_request"),
    "an unknown field": (STAGE.encode() + b'"files": []}', 400, "invalid_request"),
    "an unknown field with NUL": (STAGE.encode() + b'"\\u0000": 1}', 400, "invalid_request"),
    "an unknown field with a lone surrogate": (STAGE.encode() + b'"\\ud800": 1}', 400, "invalid_request"),
    "the same key twice": (b'{"stage": "gpt-2/124M", "stage": "gpt-2/774M"}', 400, "invalid_request"),
    "the same key twice, deeper": (STAGE.encode() + b'"paths": [{"a": 1, "a": 2}]}', 400, "invalid_request"),
    "NaN": (b'{"stage": NaN}', 400, "invalid_request"),
    "Infinity": (STAGE.encode() + b'"paths": [-Infinity]}', 400, "invalid_request"),
    "a number too big for a double": (b'{"stage": 1e999}', 400, "invalid_request"),
    "a number of 5,000 digits": (b'{"stage": ' + b"1" * 5000 + b"}", 400, "invalid_request"),
    "nested without end": (b'{"stage": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "invalid_request"),
    "nested objects without end": (b'{"stage":' * 50_000 + b"1" + b"}" * 50_000, 400, "invalid_request"),
    "a stage that is a number": (b'{"stage": 774}', 400, "invalid_request"),
    "a stage that is null": (b'{"stage": null}', 400, "invalid_request"),
    "a stage that is a list": (b'{"stage": ["gpt-2/774M"]}', 400, "invalid_request"),
    "a checkpoint that is null": (STAGE.encode() + b'"checkpoint": null}', 400, "invalid_request"),
    "a checkpoint that is a boolean": (STAGE.encode() + b'"checkpoint": true}', 400, "invalid_request"),
    "paths that are a string": (STAGE.encode() + b'"paths": "vocab.bpe"}', 400, "invalid_request"),
    "paths that are an object": (STAGE.encode() + b'"paths": {"vocab.bpe": 1}}', 400, "invalid_request"),
    "a path that is a number": (STAGE.encode() + b'"paths": [7]}', 400, "invalid_request"),
    "a path that is null": (STAGE.encode() + b'"paths": [null]}', 400, "invalid_request"),
    "no paths": (STAGE.encode() + b'"paths": []}', 400, "invalid_request"),
    "a path twice": (STAGE.encode() + b'"paths": ["vocab.bpe", "vocab.bpe"]}', 400, "invalid_request"),
    "10,000 paths": (
        STAGE.encode() + b'"paths": ' + json.dumps([f"{n}" for n in range(10_000)]).encode() + b"}",
        400,
        "invalid_request",
    ),
    "half a million numbers": (STAGE.encode() + b'"paths": [' + b"1," * 480_000 + b"1]}", 400, "invalid_request"),
    "70,000 keys": (json.dumps({f"k{n}": 0 for n in range(70_000)}).encode(), 400, "invalid_request"),
    "a path of 600 characters": (STAGE.encode() + b'"paths": ["' + b"a" * 600 + b'"]}', 400, "invalid_request"),
    "a lone surrogate as stage": (b'{"stage": "\\ud800"}', 400, "invalid_request"),
    "a lone surrogate as path": (STAGE.encode() + b'"paths": ["\\udfff"]}', 400, "invalid_request"),
    "2 MB": (b'{"stage": "' + b"a" * 2_000_000 + b'"}', 413, "payload_too_large"),
    "an unknown model": (b'{"stage": "gpt-9/774M"}', 404, "not_found"),
    "an unknown stage": (b'{"stage": "gpt-2/775M"}', 404, "not_found"),
    "a stage that is no name": (b'{"stage": "../../774M"}', 404, "not_found"),
    "a stage with NUL": (b'{"stage": "gpt-2/774M\\u0000"}', 404, "not_found"),
    "a stage with a newline": (b'{"stage": "gpt-2/774M\\n"}', 404, "not_found"),
    "an empty stage": (b'{"stage": ""}', 404, "not_found"),
    "a model alone": (b'{"stage": "gpt-2"}', 404, "not_found"),
    "three parts": (b'{"stage": "gpt-2/774M/main"}', 404, "not_found"),
    "another case": (b'{"stage": "GPT-2/774m"}', 404, "not_found"),
    "an unknown checkpoint": (STAGE.encode() + b'"checkpoint": "' + b"0" * 40 + b'"}', 404, "not_found"),
    "a checkpoint that is no id": (STAGE.encode() + b'"checkpoint": "latest"}', 404, "not_found"),
    "an empty checkpoint": (STAGE.encode() + b'"checkpoint": ""}', 404, "not_found"),
    "an unknown path": (STAGE.encode() + b'"paths": ["vocab.bpe", "secret.bin"]}', 404, "not_found"),
    "a path that climbs": (STAGE.encode() + b'"paths": ["../774M/vocab.bpe"]}', 404, "not_found"),
    "a path that stays": (STAGE.encode() + b'"paths": ["./vocab.bpe"]}', 404, "not_found"),
    "an absolute path": (STAGE.encode() + b'"paths": ["/vocab.bpe"]}', 404, "not_found"),
    "a path with NUL": (STAGE.encode() + b'"paths": ["vocab.bpe\\u0000"]}', 404, "not_found"),
    "an empty path": (STAGE.encode() + b'"paths": [""]}', 404, "not_found"),
}  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_bad_body_gets_its_problem(shared_world: World, body: str) -> None:
    """Whatever is sent, the answer is a 4xx problem; nothing is logged as issued, and no URL exists."""
    content, status, code = BAD_BODIES[body]
    answer = shared_world.api("POST", "/downloads", data=content, content_type="application/json")
    require_problem(answer, status, code)
    assert shared_world.entries("download") == []
    assert shared_world.signed_urls == []


@pytest.mark.parametrize(
    ("body", "told"),
    [("70,000 keys", "An object in the body has more than 100 keys."), ("half a million numbers", "paths.0: Input ")],
)
def test_many_faults_are_told_as_one(shared_world: World, body: str, told: str) -> None:
    """A megabyte of faults is not made into a sentence each: that would cost seconds and hundreds of megabytes."""
    answer = shared_world.api("POST", "/downloads", data=BAD_BODIES[body][0], content_type="application/json")
    assert answer.json["detail"].startswith(told)
    assert len(answer.json["detail"]) < 100


@pytest.mark.parametrize("body", [b'"\\u0000": 1}', b'"\\ud800": 1}', b'"paths": ["\\u0000"]}'])
def test_no_character_in_a_body_breaks_the_database(world: World, body: bytes) -> None:
    """Characters that PostgreSQL or UTF-8 cannot hold are the caller's fault, and their refusal is recorded."""
    answer = world.api("POST", "/downloads", data=STAGE.encode() + body, content_type="application/json")
    problem = require_problem(answer, answer.status_code, answer.json["code"])
    assert answer.status_code in {400, 404}
    assert world.refusals()[-1].request_id == problem["request_id"]


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", "x", "*/*"]
)
def test_only_json_is_read(shared_world: World, content_type: str) -> None:
    """A body is taken for JSON only when it says so: a form in a foreign page cannot."""
    answer = shared_world.api("POST", "/downloads", data=b'{"stage": "gpt-2/774M"}', content_type=content_type)
    require_problem(answer, 415, "unsupported_media_type")
    assert shared_world.signed_urls == []


def test_a_body_of_unknown_length_is_cut_off(shared_world: World) -> None:
    """A body sent in chunks, without a length, meets the same limit."""
    answer = shared_world.api(
        "POST", "/downloads", input_stream=io.BytesIO(b"[" * 1_500_000), content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )  # fmt: skip
    require_problem(answer, 413, "payload_too_large")


def test_a_token_in_a_body_is_not_echoed(sqlite_world: World) -> None:
    """A token sent as a field's name comes back neither in the answer nor in the table of refusals."""
    token = sqlite_world.example.tokens["cleared"]
    answer = sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M", token: 1})
    require_problem(answer, 400, "invalid_request")
    assert FORM.search(sqlite_world.refusals()[-1].detail) is None


@pytest.fixture(scope="module")
def fuzzed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all examples: they only try to break it."""
    yield from copied_world(request, tmp_path_factory.mktemp("fuzzed"), "sqlite")


texts = st.one_of(
    st.sampled_from(["gpt-2/774M", "gpt-2/124M", "mini-gpt/base", "gpt-2/1558M", "main", "vocab.bpe", "../x", ""]),
    st.text(st.characters(codec=None), max_size=30),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
bodies = st.one_of(
    st.binary(max_size=60),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"stage": texts}, optional={"checkpoint": texts | values, "paths": st.lists(texts) | values})
    .map(lambda value: json.dumps(value).encode()),
)  # fmt: skip
bounded = settings(
    max_examples=300, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def require_own_answer(answer: Any, *fine: int) -> None:
    if answer.status_code not in fine:
        assert 400 <= answer.status_code < 500, answer.text
        require_problem(answer, answer.status_code, answer.json["code"])


@bounded
@given(body=bodies)
def test_no_body_breaks_the_server(fuzzed: World, body: bytes) -> None:
    """Any bytes at all get an answer of ours: issued, or a 4xx problem."""
    answer = fuzzed.api("POST", "/downloads", data=body, content_type="application/json")
    require_own_answer(answer, 201)


@bounded
@given(
    path=st.sampled_from(["/downloads", "/stages", "/people", "/stages/gpt-2/774M/checkpoints", "/me", "/tiers"]),
    query=st.one_of(
        st.lists(st.tuples(st.sampled_from(["limit", "cursor"]) | texts, texts | st.integers().map(str)), max_size=3),
        st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")),
    ),
)
def test_no_query_breaks_the_server(fuzzed: World, path: str, query: Any) -> None:
    """Any query string at all gets an answer of ours: a part of the list, or a 4xx problem."""
    if not isinstance(query, str):
        query = [(name.encode("utf-8", "replace"), value.encode("utf-8", "replace")) for name, value in query]
    require_own_answer(fuzzed.api("GET", path, query_string=query), 200)


@bounded
@given(
    segments=st.lists(texts | st.sampled_from(["stages", "checkpoints", "manifest", "%00", "%2f", ".."]), max_size=6)
)
def test_no_path_breaks_the_server(fuzzed: World, segments: list[str]) -> None:
    """Any path at all gets an answer of ours."""
    path = "/" + "/".join(segments).encode("utf-8", "replace").decode("latin-1").replace("?", "")
    require_own_answer(fuzzed.api("GET", path), 200)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # not our proxy: whatever it says is its own invention
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the client wrote the first one
        ("127.0.0.1", "10.1.2.3, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7, 10.1.2.3", "198.51.100.7"),  # two proxies of ours
        ("127.0.0.1", "203.0.113.9, 198.51.100.7, 10.1.2.3, 10.1.2.4", "198.51.100.7"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", " , 198.51.100.7 ,, ", "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7, garbage", None),
        ("127.0.0.1", "198.51.100.7, 10.1.2.3:4711", "198.51.100.7"),  # some proxies name the port as well
        ("127.0.0.1", "203.0.113.9:17085", "203.0.113.9"),
        ("127.0.0.1", "[2001:db8:2::1]:443", "2001:db8:2::1"),
        ("127.0.0.1", "203.0.113.9:port", None),
        ("127.0.0.1", "127.0.0.1, unknown, 10.1.2.3", None),
        ("127.0.0.1", "'; DROP TABLE people", None),
        ("2001:db8:1::5", "2001:db8:2::7", "2001:db8:2::7"),
        ("2001:db8:2::5", "2001:db8:1::7", "2001:db8:2::5"),
        ("::ffff:127.0.0.1", "198.51.100.7", "198.51.100.7"),  # a listener on [::] sees IPv4 like this
        ("127.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "2001:DB8:2:0:0:0:0:7", "2001:db8:2::7"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("127.0.0.1", "fe80::1%" + "a" * 500, "fe80::1"),
        ("", "198.51.100.7", None),
        (None, "198.51.100.7", None),
        ("/run/socket", "198.51.100.7", None),
    ],
)
def test_the_address_is_the_nearest_that_is_not_ours(peer: str | None, forwarded_for: str, address: str | None) -> None:
    """X-Forwarded-For is believed from the right, and only while a trusted proxy speaks."""
    assert client_address(peer, forwarded_for, PROXIES) == address


def test_without_proxies_the_header_says_nothing() -> None:
    """By default nobody is believed, not even loopback."""
    assert client_address("127.0.0.1", "198.51.100.7", ()) == "127.0.0.1"


def test_what_is_logged_is_the_peer(sqlite_world: World) -> None:
    """A client cannot choose the address in the log by a header."""
    headers = {"X-Forwarded-For": "198.51.100.7", "X-Real-Ip": "198.51.100.8", "Forwarded": "for=198.51.100.9"}
    answer = sqlite_world.api(
        "POST", "/downloads", json={"stage": "gpt-2/774M", "paths": ["vocab.bpe"]}, headers=headers,
        environ_overrides={"REMOTE_ADDR": "192.0.2.44"},
    )  # fmt: skip
    assert answer.status_code == 201
    assert sqlite_world.records("download")[0]["actor"]["address"] == "192.0.2.44"
