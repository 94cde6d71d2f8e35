"""MinIO's audit log."""

from datetime import UTC, datetime
from pathlib import Path

from server.storage.access_log_minio import MinioFormat
from server.storage.access_logs import Read
from tests.access_log_lines import Wanted, minio_line

ID = "01991e0a-0000-7000-8000-0123456789ab"
# What MinIO RELEASE.2024-01-01T16-36-33Z posted: its trial of the webhook, an upload, two GETs with our URL, the
# second of 1,000 bytes, an unsigned GET, one signed twice, a HEAD by the publisher, a GET with a header that also names
# the publisher, a copy and a list. Only the library's name in `userAgent` is shortened.
REAL = Path(__file__).parents[1] / "vectors" / "minio.jsonl"
WANTED = Wanted(datetime(2026, 11, 1, 0, 1, 57, 250_000, tzinfo=UTC), "checkpoints/a b", ID, by="READER")
API = {"name": "GetObject", "bucket": "weights", "object": "checkpoints/a", "statusCode": 200, "tx": 5}


def test_a_request_is_dated_when_it_began() -> None:
    """The line's own time is the answer's end."""
    line = minio_line(WANTED, api=API | {"timeToResponse": "250000000ns"})
    read = MinioFormat().read(line.encode())
    assert read is not None
    assert read.at_ms == 1793491317000


def test_the_lines_of_a_real_server_are_read() -> None:
    """None is unreadable, also where no request was recognized; and who signed is the query's word, not a header's."""
    lines = REAL.read_bytes().splitlines()
    told = [None if (read := MinioFormat().read(line)) is None else _told(read) for line in lines]
    assert told == [
        None,
        ("PutObject", 200, 0, None, "PUBLISHERKEY"),
        ("GET", 200, 5000, ID, "READERKEY"),
        ("GET", 206, 1000, ID, "READERKEY"),
        ("GET", 403, 367, None, ""),
        None,
        ("HeadObject", 200, 0, None, "PUBLISHERKEY"),
        ("GET", 200, 5000, ID, "READERKEY"),
        ("CopyObject", 200, 232, None, "PUBLISHERKEY"),
        None,
    ]


def _told(read: Read) -> tuple[str, int, int, str | None, str]:
    assert (read.object_key, read.bucket) == ("checkpoints/0123/files/a b.json", "weights")
    return read.method, read.status, read.bytes_sent, read.download_id, read.by


def test_only_what_was_read_proves_a_download() -> None:
    """A refused request may carry any id and any key; an id that was sent twice is the id of nothing."""
    refused = MinioFormat().read(minio_line(WANTED._replace(status=403)).encode())
    assert refused is not None
    assert (refused.download_id, refused.by) == (None, "")
    twice = MinioFormat().read(minio_line(WANTED, requestQuery={"x-download-id": f"{ID},other"}).encode())
    assert twice is not None
    assert twice.download_id == f"{ID},other"
    about_bucket = API | {"object": "", "name": "ListObjectsV2"}
    assert MinioFormat().read(minio_line(WANTED, api=about_bucket).encode()) is None
