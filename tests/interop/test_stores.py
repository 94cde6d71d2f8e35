"""The same questions to three real S3 stores: SeaweedFS, as it is embedded, Ceph's gateway, and OpenStack Swift.

What a store can do stands in `CAN`, and in a table of deploy/README.md. Each test asks both ways: what a store cannot
do it is seen not to do, so that neither table grows old in silence.
"""

import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypedDict
from uuid import uuid4

import pytest

from server.storage import (
    access_log_cloudfront,
    access_log_embedded,
    access_log_minio,
    access_log_radosgw,
    access_log_s3,
    keys,
    probes,
)
from server.storage.access_logs import LogReader, Tally
from server.storage.anchor_bucket import AnchorBucket
from server.storage.bucket_policy import BucketPolicy
from server.storage.embedded import EmbeddedStore
from server.storage.keys import S3Credentials
from server.storage.object_errors import ObjectStoreError
from server.storage.objects import ObjectStore, S3Objects
from server.storage.signing import StoredObject
from server.storage.signing_s3 import S3Signer
from tests import parts, radosgw, swift
from tests.e2e import fetching
from tests.e2e.serving import eventually

README = Path(__file__).parents[2] / "deploy" / "README.md"
CONTENT = b"weights of a small model, " * 40
DOWNLOAD = "0198c0de-0000-7000-8000-000000000001"
OBEYS_WITHIN_SECONDS = 20
# What we need of a store, and what each is seen to give. `publish`: it computes the SHA-256 of what it takes, and
# returns it. `reader`: it has an identity that can read, and neither write nor delete. `no list`: nor list. `anchor`:
# it creates an object only where none is. `cut`: its policy refuses signed URLs that were issued. `log`: it writes a
# line for each request, with the download's id, that we can read.
CAN: dict[str, frozenset[str]] = {
    "SeaweedFS": frozenset({"publish", "reader", "no list", "anchor", "cut", "log"}),
    "Ceph": frozenset({"anchor", "log"}),
    "Swift": frozenset({"anchor"}),
}
WORDS = ("publish", "reader", "no list", "anchor", "cut", "log")


class _Place(TypedDict):
    endpoint_url: str
    region: str
    bucket: str
    addressing: Literal["path", "virtual"]


@dataclass(frozen=True)
class Store:
    """One store with an empty prefix of our own. log: the file in which it tells of requests."""

    name: str
    endpoint: str
    publisher: S3Credentials
    signer: S3Credentials
    log: Path | None
    prefix: str

    def can(self, what: str) -> bool:
        return what in CAN[self.name]

    def key(self, name: str) -> str:
        return f"checkpoints/{self.prefix}/{name}"

    def objects(self, credentials: S3Credentials) -> S3Objects:
        return S3Objects(**self._place, credentials=credentials)

    @property
    def _place(self) -> _Place:
        return {
            "endpoint_url": self.endpoint, "region": "us-east-1", "bucket": swift.BUCKET, "addressing": "path",
        }  # fmt: skip

    @property
    def anchors(self) -> AnchorBucket:
        return AnchorBucket(**self._place, credentials=self.publisher)

    @property
    def policy(self) -> BucketPolicy:
        return BucketPolicy(**self._place, credentials=self.publisher)

    def put(self, name: str, content: bytes = CONTENT) -> str:
        """Store an object past our publishing, which needs more of a store; returns its key."""
        made = self.objects(self.publisher)
        made._client.put_object(Bucket=swift.BUCKET, Key=self.key(name), Body=content)
        made.close()
        return self.key(name)

    def url(self, key: str, lifetime_seconds: int = 60, age: timedelta = timedelta(0)) -> str:
        """As the server signs it."""
        signer = S3Signer(**self._place, credentials=self.signer, clock=lambda: datetime.now(UTC))
        moment = datetime.now(UTC) - age
        (url,) = signer.sign(
            [StoredObject(key)], download_id=DOWNLOAD, lifetime_seconds=lifetime_seconds, moment=moment
        )
        return url


@pytest.fixture(scope="module", params=CAN)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Each store in turn, started once."""
    prefix = f"interop/{uuid4().hex[:8]}"
    if request.param == "SeaweedFS":
        store: EmbeddedStore = request.getfixturevalue("embedded_store")
        publisher, signer = map(keys.read_s3_credentials, (store.publisher_key_file, store.signer_key_file))
        yield Store("SeaweedFS", store.endpoint_url, publisher, signer, store.access_log, prefix)
    elif request.param == "Ceph":
        if not radosgw.is_installed():
            parts.missing("radosgw")
        with radosgw.running(tmp_path_factory.mktemp("stores") / "ceph") as gateway:
            publisher = gateway.users[radosgw.PUBLISHER]
            yield Store("Ceph", gateway.endpoint, publisher, publisher, gateway.ops_log, prefix)
    else:
        if not swift.is_installed():
            parts.missing("swift")
        with swift.running(tmp_path_factory.mktemp("stores") / "swift") as made:
            yield Store("Swift", made.endpoint, swift.PUBLISHER, swift.PUBLISHER, made.messages, prefix)


def test_a_signed_url_delivers_the_whole_and_every_range(running: Store) -> None:
    """What every downloader does, of whichever store: to the byte, and never more than was asked for."""
    url = running.url(running.put("whole"))
    assert fetching.get(url) == (200, CONTENT)
    for begin, end in ((0, 1), (7, 100), (len(CONTENT) - 1, len(CONTENT))):
        assert fetching.get(url, begin, end) == (206, CONTENT[begin:end])
    request = urllib.request.Request(url, headers={"Range": "bytes=-5"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert (answer.status, answer.read()) == (206, CONTENT[-5:])


def test_an_ended_url_delivers_nothing(running: Store) -> None:
    """The store looks at its own clock."""
    status, body = fetching.get(running.url(running.put("ended"), 60, timedelta(seconds=62)))
    assert (status in {400, 403}, CONTENT in body) == (True, False)


TAMPERED: dict[str, Callable[[str], str]] = {
    "another id": lambda url: url.replace(DOWNLOAD, DOWNLOAD[:-1] + "2"),
    "no id": lambda url: re.sub(r"x-download-id=[^&]*&", "", url),
    "a longer life": lambda url: url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
    "another key": lambda url: url.replace("/tampered?", "/other?"),
    "another signature": lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
    "one more parameter": lambda url: f"{url}&x-download-note=1",
    "unsigned": lambda url: url.partition("?")[0],
}


def test_a_tampered_url_delivers_nothing(running: Store) -> None:
    """Whatever was changed in it; the download's id belongs to it."""
    running.put("other")
    url = running.url(running.put("tampered"))
    assert fetching.get(url)[0] == 200
    for what, tamper in TAMPERED.items():
        other = tamper(url)
        assert other != url, what
        status, body = fetching.get(other)
        assert (status in {400, 403, 404}, CONTENT in body) == (True, False), (what, status)


def test_publishing_takes_a_store_that_proves_what_it_holds(running: Store, tmp_path: Path) -> None:
    """It must return the SHA-256 that it computed. One that does not is refused: nobody would know what lies there."""
    path, key = tmp_path / "file", running.key("published")
    path.write_bytes(CONTENT)
    store: ObjectStore = running.objects(running.publisher)

    def publish() -> None:
        store.upload(key, path, sha256(CONTENT).hexdigest(), len(CONTENT), lambda _: None)

    if running.can("publish"):
        publish()
        assert store.get_bytes(key) == CONTENT
    else:
        with pytest.raises(ObjectStoreError):
            publish()
    store.close()


def test_the_signer_s_identity_reads_and_no_more(running: Store) -> None:
    """Where a store has such an identity; on Ceph it takes a role's session (`url_sessions`), see test_radosgw."""
    key = running.put("read")
    as_signer = running.objects(running.signer)
    assert as_signer.get_bytes(key) == CONTENT

    def refused(what: str) -> bool:
        try:
            if what == "write":
                as_signer._client.put_object(Bucket=swift.BUCKET, Key=f"{key}-2", Body=b"")
            elif what == "delete":
                as_signer._client.delete_object(Bucket=swift.BUCKET, Key=key)
            else:
                as_signer._client.list_objects_v2(Bucket=swift.BUCKET)
        except as_signer._client.exceptions.ClientError:
            return True
        return False

    assert refused("list") == running.can("no list")
    assert [refused(what) for what in ("write", "delete")] == [running.can("reader")] * 2
    as_signer.close()


def test_an_anchor_is_created_once(running: Store) -> None:
    """The second writer is told, and what was there stays."""
    bucket = running.anchors
    key = running.key("anchor")
    created = [bucket.create(key, b"first"), bucket.create(key, b"second")]
    assert created == [True, not running.can("anchor")]
    if running.can("anchor"):
        assert bucket.get_bytes(key) == b"first"
    bucket.close()


def test_the_kill_switch_cuts_where_the_store_can(running: Store) -> None:
    """A policy refuses URLs that are out already, of one prefix and no other; lifted, they work again."""
    url, other = running.url(running.put("cut/one")), running.url(running.put("left/one"))
    policy = running.policy
    try:
        policy.deny_signed([running.key("cut/")])
        obeyed = eventually(lambda: probes.status_of(url) == 403, OBEYS_WITHIN_SECONDS if running.can("cut") else 2)
    except ObjectStoreError:  # it knows no policies
        obeyed = False
    assert obeyed == running.can("cut")
    assert probes.status_of(other) == 200
    if obeyed:
        policy.deny_signed([])
        assert eventually(lambda: probes.status_of(url) == 200, OBEYS_WITHIN_SECONDS)
    policy.close()


FORMATS = (
    access_log_cloudfront.of, access_log_embedded.of, access_log_minio.of, access_log_radosgw.of, access_log_s3.of,
)  # fmt: skip


def test_the_access_log_tells_which_download_it_was(running: Store) -> None:
    """A fetch by URL comes back with its id, key and bytes; a store without a log that we read needs nginx in front."""
    key = running.put(f"logged-{uuid4().hex}")
    assert fetching.get(running.url(key))[0] == 200
    log = running.log
    assert log is not None
    assert eventually(lambda: DOWNLOAD in _lines(log, key), OBEYS_WITHIN_SECONDS)
    lines = [line.encode() for line in _lines(log, key).splitlines() if DOWNLOAD in line]
    tally = Tally()
    reads = [read for read in LogReader(FORMATS, tally).reads(lines) if read.object_key == key]
    told = [(read.download_id, read.bytes_sent, read.status) for read in reads if read.method == "GET"]
    assert told == ([(DOWNLOAD, len(CONTENT), 200)] if running.can("log") else [])


def _lines(log: Path, key: str) -> str:
    name = key.rpartition("/")[2]
    return "\n".join(line for line in log.read_text(errors="replace").splitlines() if name in line)


def test_the_guide_tells_the_same_of_each_store() -> None:
    """A row for each, a column for each ability, in the order of `WORDS`."""
    table = README.read_text(encoding="utf-8").partition("### What a store can do\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (SeaweedFS|Ceph|Swift)[^|]*\|(.*)\|$", table, re.MULTILINE)
    told = {name: [cell.strip().partition(" ")[0] for cell in cells.split("|")] for name, cells in rows}
    assert told == {name: ["yes" if word in can else "no" for word in WORDS] for name, can in CAN.items()}
