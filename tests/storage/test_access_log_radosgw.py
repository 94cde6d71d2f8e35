"""The ops log of Ceph's gateway, of newer and older versions."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.storage.access_log_radosgw import RadosgwFormat
from tests.access_log_lines import Wanted, radosgw_line

ID = "01991e0a-0000-7000-8000-0123456789ab"
# What Ceph 16.2.15's gateway wrote of: an upload, two GETs with one of our URLs, the second of 1,000 bytes, an unsigned
# GET, and a HEAD, a copy and a list by the publisher. Only the library's name in `user_agent` is shortened.
REAL = Path(__file__).parents[1] / "vectors" / "radosgw.jsonl"
WANTED = Wanted(datetime(2026, 11, 1, 0, 1, 57, 250_000, tzinfo=UTC), "checkpoints/a b", ID, by="READER")


@pytest.mark.parametrize("path", ["/weights/checkpoints/a%20b", "/checkpoints/a%20b"])
def test_an_older_line_names_the_object_in_its_request(path: str) -> None:
    """With the bucket in the path or in the host's name; an entry of the socket's list ends with a comma."""
    line = radosgw_line(
        WANTED, object="", uri=f"GET {path}?{WANTED.query} HTTP/1.1", time="2026-11-01 00:01:57.250000Z"
    )
    read = RadosgwFormat().read(line.encode() + b",")
    assert read is not None
    assert (read.object_key, read.download_id, read.at_ms) == ("checkpoints/a b", ID, 1793491317250)


def test_the_lines_of_a_real_gateway_are_read() -> None:
    """A URL that names the file has its id once, though the line has it twice; who asks for headers fetches nothing."""
    lines = REAL.read_bytes().splitlines()
    reads = [read for read in map(RadosgwFormat().read, lines) if read is not None]
    told = [(read.method, read.status, read.bytes_sent, read.download_id, read.by) for read in reads]
    assert told == [
        ("put_obj", 200, 0, None, "PUBLISHERKEY"),
        ("GET", 200, 5000, ID, "READERKEY"),
        ("GET", 206, 1000, ID, "READERKEY"),
        ("GET", 403, 236, None, ""),
        ("get_obj", 200, 0, None, "PUBLISHERKEY"),
        ("copy_obj", 200, 238, None, "PUBLISHERKEY"),
    ]
    assert {read.object_key for read in reads} == {"checkpoints/0123/files/a b.json", "copy"}
    assert {read.bucket for read in reads} == {"weights"}


def test_only_what_was_read_proves_a_download() -> None:
    """A refused request may carry any id and any key, and a line about the bucket is about no object."""
    refused = RadosgwFormat().read(radosgw_line(WANTED._replace(status=403)).encode())
    assert refused is not None
    assert (refused.download_id, refused.by) == (None, "")
    written = RadosgwFormat().read(radosgw_line(WANTED, operation="put_obj").encode())
    assert written is not None
    assert (written.method, written.download_id) == ("put_obj", None)
    assert (
        RadosgwFormat().read(radosgw_line(WANTED, object="", uri="GET /weights?list-type=2 HTTP/1.1").encode()) is None
    )


def test_a_session_is_named_as_s3_s_own_logs_name_it() -> None:
    """The gateway tells role and session apart from the user who began it; both forms mean the same identity."""
    told = {"role_name": "$downloads", "role_session": ID}
    line = radosgw_line(WANTED, authentication_type="STS", sts_info=told, access_key_id=None)
    read = RadosgwFormat().read(line.encode())
    assert read is not None
    assert read.by == f"arn:aws:sts:::assumed-role/downloads/{ID}"
    line = radosgw_line(WANTED, authentication_type="STS", sts_info=told | {"role_name": "lab$downloads"})
    read = RadosgwFormat().read(line.encode())
    assert read is not None
    assert read.by == f"arn:aws:sts::lab:assumed-role/downloads/{ID}"
