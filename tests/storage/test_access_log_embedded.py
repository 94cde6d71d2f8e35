"""The embedded proxy's own lines: real ones, fetched through signed URLs, and broken ones."""

import http.client
import json
import time
import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.storage import keys
from server.storage.access_log_embedded import EmbeddedFormat, of
from server.storage.access_log_sources import Source, expand, reads
from server.storage.access_logs import Read, Tally
from server.storage.embedded import READINESS_BUCKET, REGION, EmbeddedStore
from server.storage.objects import S3Objects
from tests.access_log_lines import Wanted, embedded_line
from tests.stores import signed_url

ID = "01991e0a-0000-7000-8000-0123456789ab"
WANTED = Wanted(datetime(2026, 11, 1, 0, 1, 57, 250_000, tzinfo=UTC), "checkpoints/a", ID, request_id="5e" * 16)


def read(line: str | bytes) -> Read | None:
    return EmbeddedFormat().read(line if isinstance(line, bytes) else line.encode())


def published(store: EmbeddedStore, size_bytes: int = 1000) -> str:
    key = f"checkpoints/access-log/{uuid.uuid4().hex}"
    with S3Objects(
        endpoint_url=store.endpoint_url, region=REGION, bucket="weights", addressing="path",
        credentials=keys.read_s3_credentials(store.publisher_key_file),
    ) as objects:  # fmt: skip
        objects.put_bytes(key, bytes(size_bytes))
    return key


def target(store: EmbeddedStore, key: str, download_id: str) -> str:
    url = signed_url(store, key, download_id=download_id)
    return url.removeprefix(store.endpoint_url)


def fetch(store: EmbeddedStore, where: str, headers: dict[str, str], address: str = "127.0.0.1") -> int:
    connection = http.client.HTTPConnection(
        "127.0.0.1", urlsplit(store.endpoint_url).port or 0, timeout=10, source_address=(address, 0)
    )
    try:
        connection.request("GET", where, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def lines_of(store: EmbeddedStore, key: str, at_least: int) -> list[Read]:
    """A line is written when the answer has ended, which may be a moment after it was read."""
    deadline = time.monotonic() + 10
    while True:
        (source,) = expand([str(store.access_log)], no_store)
        found = [each for block in reads(source, Tally()) for each in block if each.object_key == key]
        if len(found) >= at_least or time.monotonic() > deadline:
            return found


def no_store(bucket: str) -> S3Objects:
    raise AssertionError(bucket)


def test_real_lines_are_read(embedded_store: EmbeddedStore) -> None:
    """A whole fetch, two ranges, a refusal and an upload, as the proxy wrote them, by whom and from where."""
    key = published(embedded_store)
    where = target(embedded_store, key, ID)
    agent = 'x" 206 \\" {"download_id":"ffff"} \t Ü'.encode()
    assert fetch(embedded_store, where, {"User-Agent": agent.decode("latin-1")}) == 200
    assert fetch(embedded_store, where, {"Range": "bytes=0-99"}) == 206
    assert fetch(embedded_store, where, {"Range": "bytes=900-2000"}, "127.1.0.1") == 206
    assert fetch(embedded_store, where + "0", {}) == 403
    signer = keys.read_s3_credentials(embedded_store.signer_key_file).access_key_id
    publisher = keys.read_s3_credentials(embedded_store.publisher_key_file).access_key_id
    upload, checked, *fetched = lines_of(embedded_store, key, 6)
    assert (upload.method, upload.download_id, upload.by) == ("PUT", None, publisher)
    assert (checked.method, checked.bytes_sent, checked.by) == ("HEAD", 0, publisher)
    assert [(r.method, r.status, r.bytes_sent, r.download_id, r.by, r.address, r.range) for r in fetched[:3]] == [
        ("GET", 200, 1000, ID, signer, "127.0.0.1", None),
        ("GET", 206, 100, ID, signer, "127.0.0.1", "bytes=0-99"),
        ("GET", 206, 100, ID, signer, "127.1.0.1", "bytes=900-2000"),
    ]
    assert (fetched[3].status, fetched[3].download_id, fetched[3].by) == (403, None, "")
    assert fetched[0].user_agent == agent.decode()
    assert {r.bucket for r in fetched} == {"weights"}
    assert len({r.request_key for r in fetched}) == 4
    assert abs(fetched[0].at_ms / 1000 - datetime.now(UTC).timestamp()) < 60


def test_the_same_line_is_the_same_request(embedded_store: EmbeddedStore) -> None:
    """Read again, every line of the real log has the name and the moment that it had."""
    key = published(embedded_store)
    fetch(embedded_store, target(embedded_store, key, ID), {})
    first = lines_of(embedded_store, key, 3)
    assert len(first) == 3
    assert lines_of(embedded_store, key, 3) == first


def test_lines_about_a_bucket_are_passed_over(embedded_store: EmbeddedStore) -> None:
    """The store's own start asks for buckets and for one object outside of ours."""
    (source,) = expand([str(embedded_store.access_log)], no_store)
    tally = Tally()
    found = [each for block in reads(source, tally) for each in block]
    assert tally.about_nothing > 0
    assert all(each.object_key for each in found)
    assert {each.object_key for each in found if each.bucket == READINESS_BUCKET} == {"ready"}
    assert read(embedded_line(WANTED._replace(key=""))) is None


def test_the_moment_is_that_of_the_beginning() -> None:
    """To the millisecond."""
    found = read(embedded_line(WANTED, duration_seconds=1.5))
    assert found is not None
    assert found.at_ms == int(WANTED.at.timestamp() * 1000) - 1500


def test_bytes_that_are_no_text_do_not_hide_a_line() -> None:
    """nginx writes what a client sent as it came."""
    found = read(embedded_line(WANTED._replace(user_agent="AGENT")).encode().replace(b"AGENT", b"\xff\xfe"))
    assert found is not None
    assert (found.download_id, found.user_agent) == (ID, "\N{REPLACEMENT CHARACTER}" * 2)


def test_lines_of_before_there_was_an_id_have_a_name_too() -> None:
    """The same line has the same one, another line another."""
    lines = [json.dumps({k: v for k, v in json.loads(embedded_line(wanted)).items() if k != "request_id"})
             for wanted in (WANTED, WANTED, WANTED._replace(bytes_sent=7))]  # fmt: skip
    names = [found.request_key for line in lines if (found := read(line)) is not None]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("changed", [{"status": 403}, {"status": 304}, {"method": "HEAD"}, {"method": "COPY"}])
def test_an_id_is_trusted_on_a_successful_get_only(changed: dict[str, object]) -> None:
    """And a client's own word COPY is not the store's copying."""
    found = read(embedded_line(WANTED, **changed))
    assert found is not None
    assert found.download_id is None
    assert found.method != "COPY"


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(list(json.loads(embedded_line(WANTED)))), VALUES))
def test_any_object_is_read_or_refused(changed: dict[str, object]) -> None:
    """Whatever stands in its fields, only what the reader counts is raised, and numbers are possible ones."""
    try:
        found = read(embedded_line(WANTED, **changed))
    except (ValueError, TypeError, OverflowError):
        return
    if found is not None:
        assert 0 <= found.bytes_sent < 2**47
        assert 0 <= found.at_ms < 2**48
        assert found.user_agent is None or isinstance(found.user_agent, str)


@given(st.binary(max_size=200))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    """Also one that is no object at all."""
    try:
        assert read(line) is None
    except (ValueError, TypeError, KeyError):
        return


def test_the_kind_is_told_by_the_line() -> None:
    """By a field that only this log has."""
    assert of(embedded_line(WANTED).encode()) is not None
    for other in (b"", b"{}", b"7", b"[1]", b"\xff", b'{"a":'):
        assert of(other) is None


def test_a_source_says_whether_it_may_grow(embedded_store: EmbeddedStore) -> None:
    """A file is read again and again, an object of a bucket once."""
    (source,) = expand([str(embedded_store.access_log)], no_store)
    assert isinstance(source, Source)
    assert (source.is_object, source.size_bytes > 0) == (False, True)
