"""CloudFront standard logs: fields by their names, in any order, and nothing of a client's words taken for a field."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.storage.access_log_cloudfront import CloudFrontFormat, of
from server.storage.access_logs import Read
from tests.access_log_lines import CLOUDFRONT_FIELDS, CLOUDFRONT_HEAD, Wanted, cloudfront_line

ID = "01991e0a-0000-7000-8000-0123456789ab"
WANTED = Wanted(
    datetime(2026, 11, 1, 0, 1, 57, tzinfo=UTC), "checkpoints/gpt-2/774M/5e/a b.bin", ID, bytes_sent=8388608
)


def row(**changed: str) -> dict[str, str]:
    values = dict(zip(CLOUDFRONT_FIELDS, cloudfront_line(WANTED).split("\t"), strict=True))
    return values | {name.replace("_", "-"): value for name, value in changed.items()}


def read(values: dict[str, str], fields: list[str] | None = None) -> Read | None:
    names = fields or list(values)
    reader = CloudFrontFormat()
    assert reader.read(f"#Fields: {' '.join(names)}".encode()) is None
    return reader.read("\t".join(values[name] for name in names).encode())


def test_a_line_is_read() -> None:
    """All that counts; headers are not content."""
    found = read(row(sc_range_start="0", sc_range_end="8388607"))
    assert found is not None
    assert found[1:8] == (
        int(WANTED.at.timestamp() * 1000), "GET", 206, 8388608, "checkpoints/gpt-2/774M/5e/a b.bin", "192.0.2.3", ID,
    )  # fmt: skip
    assert (found.range, found.user_agent, found.bucket) == ("bytes=0-8388607", "python-requests/2.31.0", None)


@given(st.permutations(CLOUDFRONT_FIELDS))
def test_fields_may_stand_in_any_order(fields: list[str]) -> None:
    """Only their names count."""
    assert read(row(), fields) == read(row())


def test_each_header_is_obeyed() -> None:
    """Files that were joined have several, and a later one may name other fields."""
    reader, values = CloudFrontFormat(), row()
    backwards = CLOUDFRONT_FIELDS[::-1]
    for line in CLOUDFRONT_HEAD.splitlines():
        assert reader.read(line.encode()) is None
    first = reader.read(cloudfront_line(WANTED).encode())
    assert reader.read(f"#Fields: {' '.join(backwards)}".encode()) is None
    assert reader.read("\t".join(values[name] for name in backwards).encode()) == first is not None


@pytest.mark.parametrize("lacking", ["x-edge-request-id", "cs-uri-query", "sc-status"])
def test_nothing_is_guessed_without_a_needed_field(lacking: str) -> None:
    """A header that does not name what is needed makes every line under it unreadable, not wrong."""
    reader = CloudFrontFormat()
    assert reader.read(CLOUDFRONT_HEAD.splitlines()[1].encode()) is None
    with pytest.raises(ValueError, match="is not in"):
        reader.read(f"#Fields: {' '.join(name for name in CLOUDFRONT_FIELDS if name != lacking)}".encode())
    with pytest.raises(ValueError, match="not as many values"):
        reader.read(cloudfront_line(WANTED).encode())


def test_a_line_before_any_header_is_refused() -> None:
    """Its fields could be any."""
    with pytest.raises(ValueError, match="not as many values"):
        CloudFrontFormat().read(cloudfront_line(WANTED).encode())


@pytest.mark.parametrize("query", [
    f"x-download-id={ID}&X-Amz-Expires=300",
    f"X-Amz-Expires=300&x-download-id={ID}",
    f"x-download-id%3D{ID}%26X-Amz-Expires%3D300",
])  # fmt: skip
def test_the_id_is_found_however_the_query_is_encoded(query: str) -> None:
    """CloudFront encodes what was encoded already."""
    found = read(row(cs_uri_query=query))
    assert found is not None
    assert found.download_id == ID


@pytest.mark.parametrize("changed", [{"sc_status": "403"}, {"sc_status": "000"}, {"cs_method": "HEAD"}])
def test_an_id_is_trusted_on_a_successful_get_only(changed: dict[str, str]) -> None:
    """As in every kind of log; 000 is a client that went away at once."""
    found = read(row(**changed))
    assert found is not None
    assert found.download_id is None


def test_bytes_are_those_of_the_content() -> None:
    """A client that goes away early got less than the length; a line without a length counts what was sent."""
    sent = [
        read(row(sc_bytes="1000", sc_content_len="8388608")), read(row(sc_bytes="9000000", sc_content_len="8388608")),
        read(row(sc_bytes="1000", sc_content_len="-")),
    ]  # fmt: skip
    assert [found and found.bytes_sent for found in sent] == [1000, 8388608, 1000]


def test_the_moment_is_that_of_the_beginning() -> None:
    """The log tells the end, and how long it took."""
    found = read(row(time_taken="12.345"))
    assert found is not None
    assert found.at_ms == int((WANTED.at - timedelta(seconds=12.345)).timestamp() * 1000)


@given(st.text())
def test_a_hostile_user_agent_changes_nothing(words: str) -> None:
    """Encoded, it holds no tab; everything else stays what it was."""
    found, plain = read(row(**{"cs(User-Agent)": quote(words, safe="")})), read(row())
    assert found is not None
    assert plain is not None
    assert found[:-1] == plain[:-1]


@given(st.lists(st.text(alphabet="0123456789-.eE+infa%\x00é", max_size=24), min_size=33, max_size=33))
def test_any_values_are_read_or_refused(values: list[str]) -> None:
    """Nothing but what the reader counts is raised, whatever stands in the fields."""
    reader = CloudFrontFormat()
    reader.read(CLOUDFRONT_HEAD.splitlines()[1].encode())
    known = row(date="2026-11-01", time="00:01:57", sc_status="206") | {
        "time-taken": values[0], "sc-bytes": values[1], "sc-content-len": values[2], "c-ip": values[3],
        "cs-uri-stem": values[4],
    }  # fmt: skip
    try:
        found = reader.read("\t".join(known.values()).encode())
    except (ValueError, OverflowError):
        return
    assert found is not None
    assert 0 <= found.bytes_sent < 2**47


def test_the_kind_is_told_by_the_first_line() -> None:
    """By either of the two that a file begins with."""
    assert of(b"#Version: 1.0") is not None
    assert of(b"#Fields: date time") is not None
    assert of(cloudfront_line(WANTED).encode()) is None
