"""Reading access logs: the kind is told by the content, broken lines are counted, and nothing secret is quoted."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.storage import access_log_minio, access_log_radosgw
from server.storage.access_log_sources import FORMATS
from server.storage.access_logs import EXAMPLES_AT_MOST, Format, LogReader, Tally, decoded, redacted, signed_id
from tests.access_log_lines import (
    CLOUDFRONT_HEAD,
    SIGNED,
    Wanted,
    cloudfront_line,
    embedded_line,
    minio_line,
    radosgw_line,
    s3_line,
)

ID = "01991e0a-0000-7000-8000-0123456789ab"
WANTED = Wanted(datetime(2026, 11, 1, tzinfo=UTC), "checkpoints/a", ID)
LOGS = {
    "S3": [s3_line(WANTED)],
    "CloudFront": [*CLOUDFRONT_HEAD.splitlines(), cloudfront_line(WANTED)],
    "embedded": [embedded_line(WANTED)],
    "Ceph": [radosgw_line(WANTED)],
    "MinIO": [minio_line(WANTED)],
}


@pytest.mark.parametrize("kind", LOGS)
def test_the_content_tells_the_kind(kind: str) -> None:
    """Also behind lines that are none; those are counted, an empty one is not."""
    tally = Tally()
    reader = LogReader(FORMATS, tally)
    lines = [line.encode() for line in ["", "nonsense", *LOGS[kind], "", "{broken"]]
    (found,) = reader.reads(lines)
    assert (found.object_key, found.download_id, found.bytes_sent) == ("checkpoints/a", ID, 1000)
    assert (tally.lines, tally.unreadable) == (len(lines) - 2, 2)
    assert tally.about_nothing == len(LOGS[kind]) - 1


JSON: dict[str, tuple[Callable[[Wanted], str], Callable[[bytes], object], Format]] = {
    "Ceph": (radosgw_line, access_log_radosgw.of, access_log_radosgw.RadosgwFormat()),
    "MinIO": (minio_line, access_log_minio.of, access_log_minio.MinioFormat()),
}


@pytest.mark.parametrize("kind", JSON)
def test_a_line_in_json_tells_the_request(kind: str) -> None:
    """When, from where, what, how much, signed by which key, for which download; and MinIO's, which range."""
    line, _, written = JSON[kind]
    at = datetime(2026, 11, 1, 0, 1, 57, 250_000, tzinfo=UTC)
    wanted = Wanted(at, "checkpoints/a b", ID, by="READER")
    read = written.read(line(wanted).encode())
    assert read is not None
    assert (read.at_ms, read.method, read.status, read.bytes_sent) == (1793491317250, "GET", 206, 1000)
    assert (read.object_key, read.address, read.download_id) == ("checkpoints/a b", "192.0.2.3", ID)
    assert (read.by, read.bucket) == ("READER", "weights")
    if kind == "MinIO":
        assert read.range == "bytes=0-999"
    else:
        assert read.request_key == wanted.request_id.encode()


@pytest.mark.parametrize("kind", JSON)
def test_another_log_in_json_is_not_taken_for_it(kind: str) -> None:
    """What the content tells is tried on each line until one of them fits."""
    _, of, _ = JSON[kind]
    lines = {name: line(WANTED).encode() for name, (line, _, _) in JSON.items()}
    assert of(lines.pop(kind)) is not None
    assert [of(line) for line in (*lines.values(), b"nonsense", b"[]", b"7")] == [None] * 4


@given(
    st.lists(st.binary(max_size=120) | st.sampled_from([line.encode() for lines in LOGS.values() for line in lines]))
)
def test_any_lines_are_taken(lines: list[bytes]) -> None:
    """Nothing is raised, whatever follows on what, and every line that is not empty is counted once."""
    tally = Tally()
    found = LogReader(FORMATS, tally).reads(lines)
    assert tally.lines == len(found) + tally.about_nothing + tally.unreadable
    assert sum(map(bool, lines)) <= tally.lines <= len(lines)


def test_few_examples_are_kept_of_many_broken_lines() -> None:
    """So that a broken file of a million lines costs no memory."""
    tally = Tally()
    reader = LogReader(FORMATS, tally)
    for _ in range(100):
        assert reader.reads([b"nonsense"] * 100) == []
    assert (tally.unreadable, len(tally.examples)) == (10_000, EXAMPLES_AT_MOST)


@pytest.mark.parametrize(("target", "found"), [
    (f"/b/k?x-download-id={ID}&{SIGNED}", ID),
    (f"/b/k?{SIGNED}&x-download-id={ID}", ID),
    (f"/b/k?%78-download%2Did={ID.replace('-', '%2D')}", ID),
    (f"/b/k?{SIGNED}", None),
    ("/b/k", None),
    (f"/b/&x-download-id={ID}", None),
    (f"/b/&x-download-id={ID}&?{SIGNED}", None),
    (f"/b/k?not-x-download-id={ID}", None),
    (f"/b/k?a=x-download-id={ID}", None),
    (f"/b/k?x-download-id={ID}&x-download-id=other", f"{ID},other"),
    (f"/b/k?x-download-id={ID}0", f"{ID}0"),
    ("/b/k?x-download-id=", ""),
])  # fmt: skip
def test_the_signed_id_is_found(target: str, found: str | None) -> None:
    """Disguised or not, in the query alone; two of them are the id of nothing."""
    assert signed_id(target.encode()) == found


@given(st.binary())
def test_any_target_has_an_id_or_none(target: bytes) -> None:
    """Whatever bytes it is of."""
    found = signed_id(target)
    assert found is None or b"?" in target


@pytest.mark.parametrize(("text", "plain"), [
    (b"a/b", "a/b"), (b"a%20b", "a b"), (b"a%2520b", "a b"), (b"%25252F", "%2F"),
    (b"\xff", "\N{REPLACEMENT CHARACTER}"), (b"%ff", "\N{REPLACEMENT CHARACTER}"),
])  # fmt: skip
def test_fields_are_decoded_at_most_twice(text: bytes, plain: str) -> None:
    """Some logs encode a key once, some twice."""
    assert decoded(text) == plain


@given(st.binary(max_size=40))
def test_an_example_opens_nothing(noise: bytes) -> None:
    """Of a line that could not be read, no query, signature or long secret is shown, and nothing a terminal obeys."""
    shown = redacted(noise + b" GET /k?x-download-id=1&" + SIGNED.encode() + b" wgk_" + b"Z" * 60)
    assert "X-Amz" not in shown
    assert "Z" * 16 not in shown
    assert "5e5e5e5e5e5e5e5e" not in shown
    assert shown.isprintable()
    assert len(shown) <= 120
