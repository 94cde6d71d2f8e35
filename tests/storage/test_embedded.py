"""The embedded store, attacked: without credentials, with the signer's, around the proxy, and by kill -9."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509

from server.storage import embedded, keys
from server.storage.embedded import REGION, EmbeddedStore, EmbeddedStoreError, free_port
from server.storage.embedded_config import GRPC_OFFSET
from server.storage.keys import S3Credentials
from server.storage.objects import S3Objects
from tests.stores import process_ids, signed_url

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def now() -> datetime:
    return datetime.now(UTC)


def publisher_at(store: EmbeddedStore, bucket: str = "weights") -> S3Objects:
    return S3Objects(
        endpoint_url=store.endpoint_url,
        region=REGION,
        bucket=bucket,
        addressing="path",
        credentials=keys.read_s3_credentials(store.publisher_key_file),
        attempts=1,
    )


@pytest.fixture
def publisher(embedded_store: EmbeddedStore) -> Iterator[S3Objects]:
    with publisher_at(embedded_store) as objects:
        yield objects


@pytest.fixture
def key(publisher: S3Objects) -> str:
    """An object of this test's own, of 1000 bytes."""
    name = f"embedded/{uuid.uuid4().hex}"
    publisher.put_bytes(name, b"weights!" * 125)
    return name


def client_as(store: EmbeddedStore, credentials: S3Credentials) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint_url,
        region_name=REGION,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def signer_client(embedded_store: EmbeddedStore) -> Iterator[Any]:
    client = client_as(embedded_store, keys.read_s3_credentials(embedded_store.signer_key_file))
    yield client
    client.close()


def ask(
    port: int, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send one request; a port that does not speak HTTP/1.1 counts as status 0."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def public_port(store: EmbeddedStore) -> int:
    port = urlsplit(store.endpoint_url).port
    assert port is not None
    return port


def fetch(store: EmbeddedStore, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    target = url.removeprefix(store.endpoint_url)
    return ask(public_port(store), "GET", target, headers=headers)


# What the identities may do.


def test_the_signer_reads_an_object(signer_client: Any, key: str) -> None:
    """Its one right, without which no URL of it would work."""
    with signer_client.get_object(Bucket="weights", Key=key)["Body"] as body:
        assert body.read() == b"weights!" * 125


FORBIDDEN_TO_THE_SIGNER: dict[str, Callable[[Any, str], object]] = {
    "put": lambda client, key: client.put_object(Bucket="weights", Key=key, Body=b"poison"),
    "put another": lambda client, key: client.put_object(Bucket="weights", Key=key + "2", Body=b"poison"),
    "begin an upload": lambda client, key: client.create_multipart_upload(Bucket="weights", Key=key),
    "copy": lambda client, key: client.copy_object(Bucket="weights", Key=key + "2", CopySource=f"weights/{key}"),
    "tag": lambda client, key: client.put_object_tagging(Bucket="weights", Key=key, Tagging={"TagSet": []}),
    "delete": lambda client, key: client.delete_object(Bucket="weights", Key=key),
    "list": lambda client, _: client.list_objects_v2(Bucket="weights"),
    "read elsewhere": lambda client, _: client.get_object(Bucket="elsewhere", Key="k"),
    "list elsewhere": lambda client, _: client.list_objects_v2(Bucket="elsewhere"),
    "make a bucket": lambda client, _: client.create_bucket(Bucket="mine"),
    "delete the bucket": lambda client, _: client.delete_bucket(Bucket="weights"),
    "set the policy": lambda client, _: client.put_bucket_policy(
        Bucket="weights",
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::weights/*"}
                ],
            }
        ),
    ),
}


@pytest.fixture
def elsewhere(embedded_store: EmbeddedStore) -> None:
    """A second bucket with an object, not for the signer."""
    with publisher_at(embedded_store, "elsewhere") as objects:
        objects.ensure_bucket()
        objects.put_bytes("k", b"not for the signer")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("act", FORBIDDEN_TO_THE_SIGNER.values(), ids=FORBIDDEN_TO_THE_SIGNER.keys())
def test_the_signer_may_do_nothing_else(signer_client: Any, key: str, act: Callable[[Any, str], object]) -> None:
    """Whoever steals the web server's key can neither change nor enumerate what is stored."""
    with pytest.raises(ClientError) as refusal:
        act(signer_client, key)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("target", ["/", "/weights", "/weights?list-type=2", "/weights/{key}", "/weights/new"])
@pytest.mark.parametrize("directly", [False, True], ids=["proxy", "direct"])
def test_nobody_is_anonymous(embedded_store: EmbeddedStore, key: str, method: str, target: str, directly: bool) -> None:
    """Without a signature every request is refused, at the proxy's port as at SeaweedFS' own."""
    port = embedded_store.ports["s3"] if directly else public_port(embedded_store)
    status, content = ask(port, method, target.format(key=key), b"x" if method in {"PUT", "POST"} else None)
    assert status in {403, 405}
    assert b"weights!" not in content


@pytest.mark.parametrize("action", ["ListUsers", "CreateAccessKey&UserName=publisher", "AssumeRole"])
@pytest.mark.parametrize("version", ["2010-05-08", "2011-06-15"], ids=["iam", "sts"])
def test_no_identity_can_be_made_or_borrowed(embedded_store: EmbeddedStore, action: str, version: str) -> None:
    """SeaweedFS would answer IAM and STS on the S3 port: both are turned off."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for port in (public_port(embedded_store), embedded_store.ports["s3"]):
        assert ask(port, "POST", "/", f"Action={action}&Version={version}".encode(), form)[0] == 405


# Signed URLs.


def test_a_signed_url_gives_the_file_and_ranges_of_it(embedded_store: EmbeddedStore, key: str) -> None:
    """What the rest of the section breaks works when it is left alone."""
    url = signed_url(embedded_store, key)
    assert fetch(embedded_store, url) == (200, b"weights!" * 125)
    assert fetch(embedded_store, url, {"Range": "bytes=8-15"}) == (206, b"weights!")


TAMPERED: dict[str, Callable[[str], str]] = {
    "longer life": lambda url: url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
    "another key": lambda url: url.replace("/embedded/", "/objects/"),
    "another signature": lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
    "edited download id": lambda url: url.replace("x-download-id=dl_0", "x-download-id=dl_1"),
    "removed download id": lambda url: re.sub(r"x-download-id=[^&]*&", "", url),
    "second download id": lambda url: url + "&x-download-id=dl_other",
    "download id in capitals": lambda url: url.replace("x-download-id", "X-Download-Id"),
    "something appended": lambda url: url + "&response-content-type=text/html",
    "no signature": lambda url: url.partition("?")[0],
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED.keys())
def test_a_tampered_url_is_refused(embedded_store: EmbeddedStore, key: str, tamper: Callable[[str], str]) -> None:
    """Nothing in a URL can be changed, least of all which download it belongs to."""
    url = signed_url(embedded_store, key)
    assert tamper(url) != url
    assert fetch(embedded_store, tamper(url))[0] == 403


def test_an_expired_url_is_refused(embedded_store: EmbeddedStore, key: str) -> None:
    """A URL of 60 s works a little before its end and not after it."""
    assert fetch(embedded_store, signed_url(embedded_store, key, age_seconds=50))[0] == 200
    assert fetch(embedded_store, signed_url(embedded_store, key, age_seconds=61))[0] == 403


@pytest.mark.parametrize(
    ("plain", "disguised"),
    [("x-download-id=", "%78-download-id="), ("x-download-id=", "x%2Ddownload-id="), ("=dl_0", "=%64l_0")],
)
def test_a_disguised_download_id_never_reaches_the_store(
    embedded_store: EmbeddedStore, key: str, plain: str, disguised: str
) -> None:
    """The store would decode it and find the signature valid, and the log would not know the download."""
    url = signed_url(embedded_store, key).replace(plain, disguised)
    assert fetch(embedded_store, url)[0] == 400


def claiming(store: EmbeddedStore) -> str:
    """An Authorization header, signed by nobody, that names the publisher."""
    publisher = keys.read_s3_credentials(store.publisher_key_file).access_key_id
    scope = f"Credential={publisher}/20260101/us-east-1/s3/aws4_request"
    return f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature={'0' * 64}"


@pytest.mark.parametrize("form", ["AWS4-HMAC-SHA256", "x", "Bearer"])
def test_a_url_that_is_signed_twice_never_reaches_the_store(embedded_store: EmbeddedStore, key: str, form: str) -> None:
    """The store would go by the query and the log by the header: whoever adds one could read as the publisher."""
    header = claiming(embedded_store).replace("AWS4-HMAC-SHA256", form)
    assert fetch(embedded_store, signed_url(embedded_store, key), {"Authorization": header})[0] == 400
    line = lines_about(embedded_store, key)[-1]
    signer = keys.read_s3_credentials(embedded_store.signer_key_file).access_key_id
    assert (line["status"], line["access_key_id"]) == (400, signer)


def test_two_authorization_headers_never_reach_the_store(embedded_store: EmbeddedStore, key: str) -> None:
    """One could sign, and the other name somebody else."""
    lines = [f"GET /weights/{key} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"Authorization: {claiming(embedded_store)}"] * 2
    with socket.create_connection(("127.0.0.1", public_port(embedded_store)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.makefile("rb").readline().split()[1] == b"400"


# The access log.


def lines_about(store: EmbeddedStore, key: str) -> list[dict[str, Any]]:
    # nginx has one worker: when it answers this, the lines of all earlier requests are written.
    ask(public_port(store), "GET", "/")
    entries = [json.loads(line) for line in store.access_log.read_text(errors="replace").splitlines()]
    return [entry for entry in entries if entry["key"] == key]


def test_a_delivery_is_one_line_with_its_download_id(embedded_store: EmbeddedStore, key: str) -> None:
    """A line says which download took which bytes of which object, when, and from where."""
    fetch(embedded_store, signed_url(embedded_store, key), {"Range": "bytes=100-299", "User-Agent": 'a"gent\\'})
    line = lines_about(embedded_store, key)[-1]
    assert abs(line.pop("ended_at") - now().timestamp()) < 5
    assert line.pop("duration_seconds") < 5
    assert re.fullmatch(r"[0-9a-f]{32}", line.pop("request_id"))
    assert line == {
        "remote_address": "127.0.0.1",
        "method": "GET",
        "bucket": "weights",
        "key": key,
        "download_id": "dl_0123456789",
        "access_key_id": keys.read_s3_credentials(embedded_store.signer_key_file).access_key_id,
        "status": 206,
        "bytes_sent": 200,
        "range": "bytes=100-299",
        "object_size_bytes": 1000,
        "user_agent": 'a"gent\\',
    }


def test_a_whole_delivery_and_a_refused_one_are_told_apart(embedded_store: EmbeddedStore, key: str) -> None:
    """A refused request may carry any id: its line has its status, and no size that it could have learnt."""
    url = signed_url(embedded_store, key)
    fetch(embedded_store, url)
    fetch(embedded_store, url.replace("=dl_0", "=dl_1"))
    whole, refused = lines_about(embedded_store, key)[-2:]
    assert (whole["status"], whole["bytes_sent"], whole["object_size_bytes"]) == (200, 1000, 1000)
    assert (refused["status"], refused["download_id"], refused["object_size_bytes"]) == (403, "dl_1123456789", None)


def test_a_claimed_origin_does_not_reach_the_log(embedded_store: EmbeddedStore, key: str) -> None:
    """X-Forwarded-For is the client's word: the line has the address that connected."""
    fetch(embedded_store, signed_url(embedded_store, key), {"X-Forwarded-For": "203.0.113.9"})
    assert lines_about(embedded_store, key)[-1]["remote_address"] == "127.0.0.1"


# What becomes of a `?` on its way through mail, chat and shells.
DAMAGED = ["%3F", "%253F", "%0A%3F", "%20", "/", "&amp;", "&", ";", ""]


@pytest.mark.parametrize("mark", [mark for mark in DAMAGED if mark])
def test_a_damaged_url_is_logged_up_to_its_damage(embedded_store: EmbeddedStore, key: str, mark: str) -> None:
    """Its query is a part of the key then: the line names the object that was meant, and says that more was there."""
    status, _ = fetch(embedded_store, signed_url(embedded_store, key).replace("?", mark))
    assert status in (400, 403, 404)
    end = "/x-download-id[redacted]" if mark == "/" else "[redacted]"
    assert lines_about(embedded_store, key + end)


def test_no_log_holds_what_a_url_needs(embedded_store: EmbeddedStore, key: str) -> None:
    """Not one file of logs has a signature or a secret, whether the request was served, refused or broken."""
    url = signed_url(embedded_store, key)
    signature = url.rpartition("=")[2]
    broken = [url.replace("=dl_0", "=dl_1"), url.replace("x-download-id", "%78-download-id")]
    for mark in DAMAGED:
        broken += [url.replace("?", mark), url.replace("?", mark).replace("&", "%26")]
    broken += [url.replace("/weights/", "/weights?"), url.replace(f"/{key}?", "%3F"), url.replace("&", "%26", 1)]
    for each in (url, *broken):
        fetch(embedded_store, each, {"User-Agent": f"a {each}", "Range": each})
    assert lines_about(embedded_store, key)
    secrets = [keys.read_s3_credentials(file).secret_access_key for file in key_files(embedded_store)]
    for path in [*embedded_store.access_log.parent.iterdir(), *(folder_of(embedded_store) / "run").glob("weed.*")]:
        text = path.read_text(errors="replace")
        for word in (signature, "X-Amz-Signature", *secrets):
            assert word not in text, path.name


# The doors beside the front door.


def folder_of(store: EmbeddedStore) -> Path:
    return store.access_log.parent.parent


def key_files(store: EmbeddedStore) -> list[Path]:
    return [store.publisher_key_file, store.signer_key_file]


def processes_of(store: EmbeddedStore) -> list[int]:
    """Every process of the children's groups."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) in process_ids(store):
                members.append(int(folder.name))
        except ProcessLookupError:
            continue
    return members


def listening(store: EmbeddedStore) -> list[tuple[str, int]]:
    """Return (address as /proc writes it, port) of every TCP socket on which the children listen."""
    inodes = set()
    for process in processes_of(store):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                inodes.add(found[1])
    sockets = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].rpartition(":")
                sockets.append((address, int(port, 16)))
    return sockets


@on_linux
def test_everything_listens_on_loopback_only(embedded_store: EmbeddedStore) -> None:
    """No port of any child can be reached from another machine, and all of them are ports that were chosen."""
    sockets = listening(embedded_store)
    ours = embedded_store.ports.values()
    assert {address for address, _ in sockets} == {"0100007F"}
    assert {port for _, port in sockets} == {public_port(embedded_store), *ours, *(port + GRPC_OFFSET for port in ours)}


def stored_needle(store: EmbeddedStore) -> str:
    """Return the volume server's own name for a stored blob, read from its data file as only its owner can."""
    path = next((folder_of(store) / "data").glob("weights_*.dat"))
    volume = path.stem.partition("_")[2]
    head = path.read_bytes()[8:20]  # after the superblock: cookie (4 bytes), id (8)
    return f"{volume},{int.from_bytes(head[4:]):x}{head[:4].hex()}"


BYPASSES = [
    # The filer: the bucket as a folder.
    ("GET", "/buckets/weights/{key}"),
    ("GET", "/buckets/weights/?limit=100"),
    ("GET", "/buckets/weights/{key}?metadata=true"),
    ("GET", "/etc/iam/identity.json"),
    ("PUT", "/buckets/weights/{key}"),
    ("POST", "/buckets/weights/planted"),
    ("POST", "/buckets/weights/planted?mv.from=/buckets/weights/{key}"),
    ("POST", "/.tus/buckets/weights/planted"),
    ("DELETE", "/buckets/weights/{key}"),
    ("DELETE", "/buckets/weights?recursive=true"),
    # The volume server: the blob itself.
    ("GET", "/{needle}"),
    ("PUT", "/{needle}"),
    ("POST", "/{needle}"),
    ("DELETE", "/{needle}"),
    ("GET", "/debug/pprof/heap"),
    # The master: names, tokens for the volume server, and what it may order.
    ("GET", "/dir/status"),
    ("GET", "/vol/status"),
    ("GET", "/dir/lookup?fileId={needle}"),
    ("GET", "/dir/lookup?fileId={needle}&read=yes"),
    ("GET", "/dir/assign?collection=weights"),
    ("POST", "/submit?collection=weights"),
    ("GET", "/vol/grow?collection=weights&count=1"),
    ("GET", "/vol/vacuum?garbageThreshold=0"),
    ("GET", "/col/delete?collection=weights"),
    ("POST", "/col/delete?collection=weights"),
]


@on_linux
@pytest.mark.parametrize(("method", "target"), BYPASSES)
def test_no_http_port_bypasses_the_signatures(
    embedded_store: EmbeddedStore, publisher: S3Objects, key: str, method: str, target: str
) -> None:
    """No port on which a child really listens lists, reads or changes anything for a caller without credentials."""
    target = target.format(key=key, needle=stored_needle(embedded_store))
    before = publisher.list_keys("")
    for _, port in listening(embedded_store):
        status, content = ask(port, method, target, b"planted" if method in {"PUT", "POST"} else None)
        assert status == 0 or status >= 400, f"{method} {target} got {status} on port {port}"
        assert b"weights!" not in content
        assert key.encode() not in content or port in {embedded_store.ports["s3"], public_port(embedded_store)}
    assert publisher.list_keys("") == before
    assert publisher.get_bytes(key) == b"weights!" * 125


@on_linux
@pytest.mark.parametrize("target", ["/", "/ui/index.html", "/status", "/cluster/status", "/healthz", "/metrics"])
def test_status_pages_tell_nothing_of_what_is_stored(embedded_store: EmbeddedStore, key: str, target: str) -> None:
    """Some pages of SeaweedFS cannot be turned off: none names an object or a secret, on any port."""
    secrets = [keys.read_s3_credentials(file).secret_access_key for file in key_files(embedded_store)]
    for _, port in listening(embedded_store):
        _, content = ask(port, "GET", target)
        assert not any(word.encode() in content for word in (key, "embedded/", *secrets)), port


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and empty settings


def speaks_grpc(port: int, tls: ssl.SSLContext | None) -> bool:
    """Whether the port answers with HTTP/2 settings of its own, as it does to whoever may go on."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with plain if tls is None else tls.wrap_socket(plain) as connection:
                connection.sendall(PREFACE)
                return connection.recv(9)[3:4] == b"\x04"
        except OSError:  # a TLS alert, or nothing
            return False


def stranger_s_tls(certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
    """Of a client that believes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


@on_linux
def test_no_grpc_port_answers_a_stranger(embedded_store: EmbeddedStore, tmp_path: Path) -> None:
    """Neither plainly, nor over TLS without a certificate or with one of their own; it does answer the store's own."""
    keys.write_peer_certificate(tmp_path / "peer.key", tmp_path / "peer.crt")
    conf = folder_of(embedded_store) / "conf"
    strangers = [None, stranger_s_tls(None), stranger_s_tls((tmp_path / "peer.crt", tmp_path / "peer.key"))]
    own = stranger_s_tls((conf / "peer.crt", conf / "peer.key"))
    ports = [port + GRPC_OFFSET for port in embedded_store.ports.values()]
    assert {port: [speaks_grpc(port, each) for each in (*strangers, own)] for port in ports} == {
        port: [False, False, False, True] for port in ports
    }


def weed(folder: Path, *arguments: str, words: bytes = b"", seconds: float = 20) -> bytes:
    """What the store's own program says, with the settings of a folder; it may wait for a server for ever."""
    environment = {"HOME": str(folder), "PATH": os.defpath}
    try:
        return subprocess.run(
            [str(embedded._weed()), *arguments], cwd=folder, env=environment, input=words, timeout=seconds,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return late.stdout or b""


@on_linux
def test_the_store_s_own_client_gets_nothing_without_the_certificate(
    embedded_store: EmbeddedStore, key: str, tmp_path: Path
) -> None:
    """Whoever else is on this machine neither lists an object nor copies a volume; its owner does both."""
    ports = {name: f"127.0.0.1:{port}.{port + GRPC_OFFSET}" for name, port in embedded_store.ports.items()}
    shell = ["shell", f"-master={ports['master']}", f"-filer={ports['filer']}"]
    volume = stored_needle(embedded_store).partition(",")[0]
    backup = ["backup", f"-master={ports['master']}", f"-volumeId={volume}", "-collection=weights"]
    listing = b"fs.ls /buckets/weights/embedded\nexit\n"
    conf, stranger, name = folder_of(embedded_store) / "conf", tmp_path / "stranger", key.rpartition("/")[2].encode()
    stranger.mkdir()
    assert name in weed(conf, *shell, words=listing)
    assert name not in weed(stranger, *shell, words=listing, seconds=5)
    for folder, copied in ((conf, True), (stranger, False)):
        (tmp_path / folder.name / "copy").mkdir(parents=True)
        weed(folder, *backup, f"-dir={tmp_path / folder.name / 'copy'}")
        assert any((tmp_path / folder.name / "copy").iterdir()) is copied


def test_each_start_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    """It has no end, signs no other, and what was copied before opens nothing."""
    store = EmbeddedStore(tmp_path / "store", free_port(), "weights")
    pairs = []
    for _ in range(2):
        store._write_configuration()
        conf = tmp_path / "store" / "conf"
        pairs.append((conf / "peer.crt").read_bytes() + (conf / "peer.key").read_bytes())
    assert pairs[0] != pairs[1]
    certificate = x509.load_pem_x509_certificate(pairs[1])
    assert certificate.not_valid_after_utc.year == 9999
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


@on_linux
def test_keys_and_folders_are_for_their_owner_alone(embedded_store: EmbeddedStore) -> None:
    """Secrets are 0600, and so is everything beside them; the folder is 0700."""
    folder = folder_of(embedded_store)
    assert folder.stat().st_mode & 0o777 == 0o700
    files = [path for name in ("conf", "keys", "logs") for path in (folder / name).iterdir()]
    assert {"security.toml", "peer.key", "peer.crt", "s3.json", "publisher-s3.json", "signer-s3.json"} <= {
        path.name for path in files
    }
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files} == {path.name: "0o600" for path in files}


# Starting, stopping, dying.


def kill_everything(store: EmbeddedStore) -> None:
    for group in process_ids(store):
        os.killpg(group, signal.SIGKILL)


def test_objects_survive_a_kill_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start finds stale sockets, pid files and other people's variables, and serves the same objects."""
    first = EmbeddedStore(tmp_path / "store", free_port(), "weights")
    first.start()
    with publisher_at(first) as objects:
        objects.put_bytes("k", b"kept")
    known = [file.read_bytes() for file in key_files(first)]
    kill_everything(first)
    first.stop()
    (tmp_path / "store" / "run" / "nginx.pid").write_text("1\n")
    (tmp_path / "store" / "data" / "mini.options").write_text("ip.bind=0.0.0.0\ndisableHttp=false\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "INTRUDER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "intruder")
    with EmbeddedStore(tmp_path / "store", free_port(), "weights") as second, publisher_at(second) as objects:
        assert objects.get_bytes("k") == b"kept"
        assert [file.read_bytes() for file in key_files(second)] == known
        assert {address for address, _ in listening(second)} == {"0100007F"}
        assert ask(second.ports["master"], "GET", "/dir/status")[0] == 404
        intruder = client_as(second, S3Credentials("INTRUDER", "intruder"))
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            intruder.list_buckets()
        intruder.close()


def test_objects_survive_a_change_of_the_inner_ports(tmp_path: Path) -> None:
    """Where an inner port of last time is taken, others are chosen, and new objects do not displace old ones."""
    folder, port = tmp_path / "store", free_port()
    with EmbeddedStore(folder, port, "weights") as first, publisher_at(first) as objects:
        for number in range(5):
            objects.put_bytes(f"old{number}", b"old%d" % number)
        ports = first.ports
    taken = socket.create_server(("127.0.0.1", ports["master"]))
    with taken, EmbeddedStore(folder, port, "weights") as second, publisher_at(second) as objects:
        assert second.ports["master"] != ports["master"]
        for number in range(5):
            objects.put_bytes(f"new{number}", b"new%d" % number)
        for number in range(5):
            assert objects.get_bytes(f"old{number}") == b"old%d" % number
            assert objects.get_bytes(f"new{number}") == b"new%d" % number


def test_a_replaced_key_opens_nothing_after_a_restart(tmp_path: Path) -> None:
    """Deleting a key file and starting again makes a new identity, and the old one is unknown."""
    store = EmbeddedStore(tmp_path / "store", free_port(), "weights")
    with store:
        old = keys.read_s3_credentials(store.signer_key_file)
    store.signer_key_file.unlink()
    with store:
        client = client_as(store, old)
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client.get_object(Bucket="weights", Key="k")
        client.close()


@on_linux
def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 of the server frees the ports and the folder at once, without anybody cleaning up."""
    folder, port = tmp_path / "store", free_port()
    program = f"""
        import sys
        from pathlib import Path
        from server.storage.embedded import EmbeddedStore
        store = EmbeddedStore(Path({str(folder)!r}), {port}, "weights")
        store.start()
        print(store._weed.pid, store._nginx.pid, flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    with EmbeddedStore(folder, port, "weights") as store:
        assert len(children) == 2
        assert not set(children) & set(processes_of(store))
        assert store.alive()


@on_linux
def test_ctrl_c_reaches_the_parent_only(embedded_store: EmbeddedStore) -> None:
    """Each child is in a session of its own, so that the terminal's SIGINT leaves it to be stopped in order."""
    assert [os.getsid(process) for process in process_ids(embedded_store)] == process_ids(embedded_store)
    assert os.getsid(0) not in process_ids(embedded_store)


@pytest.mark.parametrize("index", [0, 1], ids=["seaweedfs", "nginx"])
def test_the_death_of_either_program_is_noticed(tmp_path: Path, index: int) -> None:
    """A half-dead store is not alive, and stopping it leaves no process and no port behind."""
    store = EmbeddedStore(tmp_path / "store", free_port(), "weights")
    with store:
        assert store.alive()
        os.kill(process_ids(store)[index], signal.SIGKILL)
        os.waitid(os.P_PID, process_ids(store)[index], os.WEXITED | os.WNOWAIT)
        assert not store.alive()
    assert process_ids(store) == []
    with socket.create_server(("127.0.0.1", public_port(store))):
        pass


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The error says which port, and what to do; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        store = EmbeddedStore(tmp_path / "store", port, "weights")
        with pytest.raises(EmbeddedStoreError, match=rf"port {port} .* is in use: .* choose another"):
            store.start()
    assert process_ids(store) == []


def test_a_folder_serves_one_store(embedded_store: EmbeddedStore) -> None:
    """A second instance would corrupt the first one's data: it is refused, and told which processes there are."""
    second = EmbeddedStore(folder_of(embedded_store), free_port(), "weights")
    with pytest.raises(EmbeddedStoreError, match=str(process_ids(embedded_store)[0])):
        second.start()
    assert embedded_store.alive()


def test_a_program_that_ends_at_once_is_told_with_its_log(tmp_path: Path) -> None:
    """A start that cannot succeed fails soon, and names the file to read."""
    folder = tmp_path / "store"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "filerldb2").write_text("not a database")
    with pytest.raises(EmbeddedStoreError, match=r"weed\.log"):
        EmbeddedStore(folder, free_port(), "weights").start()
