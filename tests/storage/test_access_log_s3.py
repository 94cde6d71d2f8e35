"""S3 server access log lines: what is told is read, and what a client wrote into them changes none of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.storage.access_log_s3 import S3Format, of
from server.storage.access_logs import Read
from tests.access_log_lines import S3Words, Wanted, s3_line

ID = "01991e0a-0000-7000-8000-0123456789ab"
KEY = "checkpoints/gpt-2/774M/5e5e/model-00001-of-00030.safetensors"
AT = datetime(2026, 11, 1, 0, 1, 57, tzinfo=UTC)
WANTED = Wanted(AT, KEY, ID, bytes_sent=8388608)
# From AWS' page on the format; the key is one of ours.
DOCUMENTED = (
    "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be amzn-s3-demo-bucket1 "
    "[06/Feb/2019:00:01:57 +0000] 192.0.2.3 arn:aws:sts::123456789012:assumed-role/reader/session DD6CC733AEXAMPLE "
    'REST.GET.OBJECT checkpoints/a%20b.bin "GET /checkpoints/a%20b.bin?x-download-id=' + ID + ' HTTP/1.1" 200 - '
    '4406 - 41 - "-" "S3Console/0.4" - 10S62Zv81kBW7BB6SX4XJ48o6kpcl6LPwEoizZQQxJd5qDSCTLX0TgS37kYUBKQW3+bPdrg1234= '
    "SigV4 ECDHE-RSA-AES128-SHA AuthHeader amzn-s3-demo-bucket1.s3.us-west-1.amazonaws.com TLSV1.2 "
    "arn:aws:s3:us-west-1:123456789012:accesspoint/example-AP Yes us-east-1"
)


def read(line: str | bytes) -> Read | None:
    return S3Format().read(line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape"))


def certain(line: str | bytes) -> tuple[object, ...]:
    """What no client may change."""
    found = read(line)
    assert found is not None
    return found[:-1]


def test_a_documented_line_is_read() -> None:
    """Every field that counts, from AWS' own example."""
    assert certain(DOCUMENTED) == (
        b"DD6CC733AEXAMPLE",
        int(datetime(2019, 2, 6, 0, 1, 57, tzinfo=UTC).timestamp()) * 1000,
        "GET",
        200,
        4406,
        "checkpoints/a b.bin",
        "192.0.2.3",
        ID,
        "arn:aws:sts::123456789012:assumed-role/reader/session",
        "amzn-s3-demo-bucket1",
        None,
    )
    found = read(DOCUMENTED)
    assert found is not None
    assert found.user_agent == "S3Console/0.4"


@pytest.mark.parametrize("tail", ["-", "- ABC SigV4 TLS", f"{S3Words().tail} - - new fields at the end"])
def test_fields_at_the_end_may_be_missing_or_more(tail: str) -> None:
    """Lines of before some fields were there, and of after there will be more, say the same."""
    assert certain(s3_line(WANTED, S3Words(tail=tail))) == certain(s3_line(WANTED))
    assert certain(s3_line(WANTED))[4:8] == (8388608, KEY, "192.0.2.3", ID)


FAKE = f'x" 200 - 99999999 1 1 1 "-" "y HTTP/1.1" 206 - 77777 5 5 5 "-" "z" - h SigV4 {ID[::-1]}'
HOSTILE = {
    "quotes": 'a "quoted" agent',
    "brackets": "[01/Nov/2030:00:00:00 +0000] 198.51.100.1",
    "a dividing pair": '" "',
    "a whole line": FAKE,
    "a download id": "?x-download-id=" + "f" * 36 + "&",
    "a null": "a\0b",
    "no UTF-8": "\udcff\udcfe",
    "a megabyte": "A " * 500_000,
    "nothing": "",
}


@pytest.mark.parametrize("field", ["referer", "user_agent"])
@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_hostile_words_change_nothing(field: str, words: str) -> None:
    """Referer and user agent cannot change time, status, bytes, key, address, download id or signer."""
    hostile = WANTED._replace(user_agent=words) if field == "user_agent" else WANTED._replace(referer=words)
    assert certain(s3_line(hostile)) == certain(s3_line(WANTED))


@given(referer=st.binary(max_size=80), agent=st.binary(max_size=80))
def test_no_words_at_all_change_anything(referer: bytes, agent: bytes) -> None:
    """The same for any bytes but the line's end, which nobody can send in a header."""
    before, between, after = s3_line(WANTED._replace(referer="REF", user_agent="AGENT")).encode().replace(
        b"AGENT", b"REF").split(b"REF")  # fmt: skip
    line = before + referer.replace(b"\n", b"") + between + agent.replace(b"\n", b"") + after
    assert certain(line) == certain(s3_line(WANTED))


@given(st.binary(max_size=300) | st.builds(
    lambda line, at, what: line[:at] + what + line[at + len(what):],
    st.just(s3_line(WANTED).encode()), st.integers(0, 700), st.binary(min_size=1, max_size=12),
))  # fmt: skip
def test_any_line_is_read_or_refused(line: bytes) -> None:
    """Broken lines raise what the reader counts, and nothing else; what is read has possible numbers."""
    try:
        found = read(line)
    except (ValueError, IndexError, KeyError):
        return
    assert found is None or (0 <= found.bytes_sent < 2**47 and 0 <= found.at_ms < 2**48)


def test_a_cut_line_is_refused() -> None:
    """A line that was cut before its two quoted fields has no number of bytes that could be believed."""
    line = s3_line(WANTED)
    for length in range(line.index('"-"')):
        with pytest.raises((ValueError, IndexError, KeyError)):
            read(line[:length])


@pytest.mark.parametrize("status", [304, 400, 403, 404, 416, 500, 503])
def test_an_id_is_trusted_on_success_only(status: int) -> None:
    """Anyone can be refused with anyone's id."""
    found = read(s3_line(WANTED._replace(status=status)))
    assert found is not None
    assert (found.status, found.download_id) == (status, None)


@pytest.mark.parametrize("operation", ["REST.HEAD.OBJECT", "REST.PUT.OBJECT", "REST.COPY.OBJECT_GET", "REST.GET.ACL"])
def test_an_id_is_trusted_on_get_only(operation: str) -> None:
    """What is no GET of an object's content has no download, and is not told as one."""
    found = read(s3_line(WANTED, S3Words(operation=operation)))
    assert found is not None
    assert found.download_id is None
    assert found.method == ("COPY" if "COPY" in operation else operation)


@pytest.mark.parametrize(("old", "new"), [
    (f' {KEY} "', ' - "'),
    (f'"GET /{KEY}?{WANTED.query} HTTP/1.1"', '"-"'),
])  # fmt: skip
def test_lines_about_no_object_are_passed_over(old: str, new: str) -> None:
    """A bucket's own requests, and life cycle rules, are nobody's reads."""
    assert read(s3_line(WANTED).replace(old, new)) is None


def test_a_target_with_spaces_is_refused() -> None:
    """The store answers 400 to it; whatever else stands in such a line is not believed."""
    line = s3_line(WANTED).replace(f"/{KEY}?", f"/{KEY} {KEY}?")
    with pytest.raises(ValueError, match=r"."):
        read(line)


def test_a_target_with_quotes_keeps_its_place() -> None:
    """S3 does not escape quotes in it."""
    assert certain(s3_line(WANTED).replace("x-download-id", 'q="HTTP/1.1"&x-download-id')) == certain(s3_line(WANTED))


@pytest.mark.parametrize("sent", [b"-5", b"1e3", b"9" * 30, b"99999999999999999"])
def test_an_impossible_number_of_bytes_is_refused(sent: bytes) -> None:
    """So that no file can bring a sum beyond what the database holds."""
    with pytest.raises(ValueError, match=r"."):
        read(s3_line(WANTED).encode().replace(b" 8388608 ", b" " + sent + b" "))


def test_minutes_are_not_remembered_without_end() -> None:
    """Lines of ten thousand different minutes are all told right."""
    reader = S3Format()
    for minutes in range(0, 10_000, 7):
        at = datetime.fromtimestamp(1_700_000_000 + 60 * minutes, UTC)
        found = reader.read(s3_line(WANTED._replace(at=at)).encode())
        assert found is not None
        assert found.at_ms == 1000 * (1_700_000_000 + 60 * minutes)


def test_the_kind_is_told_by_the_line() -> None:
    """Only its own lines begin like that."""
    assert of(s3_line(WANTED).encode()) is not None
    for other in (b"", b"{}", b"#Version: 1.0", b"GET / HTTP/1.1"):
        assert of(other) is None


@pytest.mark.parametrize(("referer", "agent", "told"), [
    ("-", "curl/8.4.0", "curl/8.4.0"),
    ("https://a.example/", 'a "b" c', 'a "b" c'),
    ("-", "", ""),
])  # fmt: skip
def test_the_user_agent_is_found(referer: str, agent: str, told: str) -> None:
    """Whole, with whatever quotes it has, when it is asked for."""
    found = read(s3_line(WANTED._replace(referer=referer, user_agent=agent)))
    assert found is not None
    assert found.user_agent == told
