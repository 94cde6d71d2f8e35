"""The check-up: green on a good instance, and each fault found by trying."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from server.domain.audit import erasure
from server.domain.delivery import reconciliation
from server.domain.downloads import issuing
from server.domain.operation import doctor
from server.domain.resources import Resources
from server.settings import Settings
from server.storage import keys
from server.storage.anchor_bucket import AnchorBucket
from server.storage.embedded import EmbeddedStore, free_port
from server.storage.probes import PROBE_PREFIX
from tests import tampering
from tests.identity_providers import settings_of
from tests.issuer import Issuer
from tests.mail_host import mail_host
from tests.oidc_provider import OidcProvider, Passed
from tests.postgres import PostgreSQL
from tests.redis_server import RedisServer
from tests.world import Clock, World, write_settings

Examine = Callable[..., dict[str, doctor.Check]]


@pytest.fixture
def examine(sqlite_world: World) -> Iterator[Examine]:
    """Examine the world's instance with some settings changed, and perhaps another clock."""
    opened: list[Resources] = []

    def run(clock: Clock | None = None, **changed: Any) -> dict[str, doctor.Check]:
        use = Resources(settings_with(sqlite_world, **changed), clock or Clock())
        opened.append(use)
        return {check.name: check for check in doctor.examine(use)}

    yield run
    for use in opened:
        use.close()


def settings_with(world: World, **changed: Any) -> Settings:
    return write_settings(world.template, world.folder, **({"url": world.settings.database_url} | changed))


def wrong(found: dict[str, doctor.Check]) -> dict[str, str]:
    return {name: check.sentence for name, check in found.items() if not check.ok}


def own_key(world: World, name: str, **changed: str) -> Path:
    """A copy of a key file that a test may spoil; it replaces the store's in the settings."""
    path = world.folder / f"{name}.json"
    body = json.loads(getattr(world.settings, f"{name}_key_file").read_bytes())
    keys.write_private(path, json.dumps(body | changed).encode())
    return path


def test_a_good_instance_has_nothing_wrong(world: World) -> None:
    """Every check passes on both databases, and no probe is left in the store."""
    use = Resources(world.settings, world.clock)  # the world's signer is watched, and a probe's URLs have no entry
    assert wrong({check.name: check for check in doctor.examine(use)}) == {}
    use.close()
    assert world.use.store.list_keys(PROBE_PREFIX) == []


def test_a_key_that_others_can_read_is_named_with_the_fix(sqlite_world: World, examine: Examine) -> None:
    """Mode 0644 on a key file is found, and the line is the command that mends it."""
    path = own_key(sqlite_world, "signer")
    path.chmod(0o644)
    assert f"run `chmod 600 {path}`" in wrong(examine(signer_key_file=str(path)))["keys"]


def test_each_fault_of_a_key_file_has_a_line_of_its_own(sqlite_world: World) -> None:
    """Two files that are missing are two lines; that they match nothing is not told a second time."""
    use = Resources(settings_with(sqlite_world, log_key_file="keys/no-log", receipt_key_file="keys/no-receipt"))
    found = [check for check in doctor.examine(use) if check.name in {"keys", "matching keys"}]
    use.close()
    assert [(check.name, check.ok) for check in found] == [("keys", False), ("keys", False), ("matching keys", True)]
    assert ["no-log is missing" in found[0].sentence, "no-receipt is missing" in found[1].sentence] == [True, True]


def test_another_log_s_key_is_found(sqlite_world: World, examine: Examine) -> None:
    """A key that is sound, and not the log's, passes for present and fails as another's."""
    path = sqlite_world.folder / "another.pem"
    keys.write_note_key(path)
    found = wrong(examine(log_key_file=str(path)))
    assert list(found) == ["matching keys"]
    assert f"key file {path} is not the key of localhost/downloads/" in found["matching keys"]


def test_a_signer_that_can_write_is_found_and_leaves_nothing(sqlite_world: World, examine: Examine) -> None:
    """With the publisher's credentials as the signer's, the try to write succeeds: that is the fault."""
    found = wrong(examine(signer_key_file=str(sqlite_world.settings.publisher_key_file)))
    assert list(found) == ["signer"]
    assert "allow it only s3:GetObject on this bucket" in found["signer"]
    assert sqlite_world.use.store.list_keys(PROBE_PREFIX) == []


def test_a_signer_whom_the_store_does_not_know_is_found(sqlite_world: World, examine: Examine) -> None:
    """A key that can do nothing passes as one that cannot write; that its URLs do not work is found."""
    path = own_key(sqlite_world, "signer", secret_access_key="another")
    assert list(wrong(examine(signer_key_file=str(path)))) == ["signed URLs"]


def test_a_bucket_that_is_not_there_is_named(examine: Examine) -> None:
    """A misspelled bucket is found under its name."""
    assert "no-such-bucket" in wrong(examine(s3_bucket="no-such-bucket"))["bucket"]


def test_a_store_that_is_down_leaves_the_rest_examined(examine: Examine) -> None:
    """It is waited for once, every check that needs it says so, and the others still pass."""
    found = wrong(examine(s3_endpoint_url=f"http://127.0.0.1:{free_port()}"))
    assert set(found) == {"bucket", "ownership", "anchors", "clock", "signer", "public access", "signed URLs"}
    assert "check that it is running" in found["bucket"]
    assert found["signer"] == "not checked: the store does not respond"


def test_anchors_whose_host_is_away_are_one_line(sqlite_world: World) -> None:
    """The store answers: only the anchors' own bucket does not, and nothing else is said to be wrong."""

    class HalfAway(Resources):
        """The anchors have a host of their own, as with buckets in host names."""

        @cached_property
        def anchor_bucket(self) -> AnchorBucket:
            return AnchorBucket(
                endpoint_url=f"http://127.0.0.1:{free_port()}", region="us-east-1", bucket="far-anchors",
                addressing="path", credentials=keys.read_s3_credentials(sqlite_world.settings.publisher_key_file),
            )  # fmt: skip

    key = str(sqlite_world.settings.publisher_key_file)
    use = HalfAway(settings_with(sqlite_world, anchor_bucket="far-anchors", anchor_key_file=key))
    found = wrong({check.name: check for check in doctor.examine(use)})
    use.close()
    assert list(found) == ["anchors"]
    assert "the log's head cannot be anchored in far-anchors: the object store did not respond" in found["anchors"]


def test_a_database_that_is_down_leaves_the_rest_examined(examine: Examine) -> None:
    """A closed port is found, and the store is examined all the same; the URL's password is not quoted."""
    found = wrong(examine(url=f"postgresql+psycopg://app:very-secret-word@127.0.0.1:{free_port()}/weightgate"))
    assert set(found) == {
        "database", "log", "matching keys", "issuing", "fetches", "ownership", "witnesses", "nodes", "log replica",
        "log mirror", "log months",
    }  # fmt: skip
    assert found["log"] == found["matching keys"] == found["issuing"] == "not checked: the database cannot be used"
    assert "start it, or correct database_url" in found["database"]
    assert "very-secret-word" not in str(found)


def test_an_empty_database_has_no_log(examine: Examine, postgres: PostgreSQL) -> None:
    """Without a schema there is a sentence and no traceback, on either database."""
    postgres.create("empty_for_doctor")
    for url in ("sqlite:///empty.sqlite3", postgres.url("empty_for_doctor")):
        assert "there is no log yet" in wrong(examine(url=url))["log"]
    postgres.drop("empty_for_doctor")


@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_that_is_off_is_found(examine: Examine, seconds: int) -> None:
    """A minute of difference to the store's clock, either way, is named in seconds with what to run."""
    clock = Clock()
    clock.advance(timedelta(seconds=seconds))
    assert "run an NTP client" in wrong(examine(clock))["clock"]


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket"])
def test_a_public_bucket_is_found(examine: Examine, embedded_store: EmbeddedStore, action: str) -> None:
    """A bucket policy that lets everyone read, or list, is found by reading and listing as nobody."""
    bucket = f"public-{action[3:].lower()}"
    client = publisher_client(embedded_store)
    client.create_bucket(Bucket=bucket)
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": [action], "Resource": resources}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert "close public access" in wrong(examine(s3_bucket=bucket))["public access"]
    client.close()


def test_a_store_that_looks_at_no_signature_is_found(examine: Examine, careless_store: str) -> None:
    """A store that serves whoever asks is found thrice: as the signer, as nobody, and with a changed signature."""
    found = wrong(examine(s3_endpoint_url=careless_store))
    assert "the signer's key can write" in found["signer"]
    assert "anyone can read" in found["public access"]
    assert "does not check signatures" in found["signed URLs"]


def test_https_without_a_trusted_proxy_is_found(examine: Examine) -> None:
    """Behind a proxy whose word is not believed, every caller would be logged as the proxy."""
    found = wrong(examine(public_url="https://weights.example.org"))
    assert "trusted_proxies" in found["proxy"]
    assert "proxy" not in wrong(examine(public_url="https://weights.example.org", trusted_proxies=["127.0.0.1/32"]))


BEHIND_A_PROXY = {"public_url": "https://weights.example.org", "trusted_proxies": ["127.0.0.1/32"]}


def proxy_of(world: World) -> doctor.Check:
    """What the check of a world behind a proxy says."""
    use = Resources(settings_with(world, **BEHIND_A_PROXY), world.clock)
    (found,) = [check for check in doctor.examine(use) if check.name == "proxy"]
    use.close()
    return found


def test_a_proxy_whose_addresses_cannot_be_read_is_found(world: World) -> None:
    """Downloads without a client's address are counted; neither the command line's nor the erased are among them."""
    cleared = world.caller("cleared")
    erased = issuing.issue(world.use, replace(cleared, address=None), world.order())
    world.seal()
    erasure.erase(world.use, world.admin, erased.id, "A test.")
    for caller in (cleared, replace(world.person("cleared"), via="cli"), replace(cleared, address=None)):
        assert proxy_of(world).ok
        issuing.issue(world.use, caller, world.order())
    assert proxy_of(world) == doctor.Check(
        "proxy", False,
        "1 of the newest 3 downloads carry no client address: make the proxy send exactly one in X-Forwarded-For, "
        "as in deploy/nginx.conf",
    )  # fmt: skip


def test_a_download_s_entry_that_cannot_be_read_is_a_line(sqlite_world: World) -> None:
    """Whoever changed it, the check-up goes on and names what looks into it."""
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    sqlite_world.tampered = True
    tampering.run(sqlite_world.settings.database_url, "UPDATE log_entries SET record = X'5b5d' WHERE kind = 'download'")
    found = proxy_of(sqlite_world)
    assert (found.ok, found.sentence.partition(": ")[2]) == (False, "run `weightgate-server log verify`")


def publisher_client(store: EmbeddedStore) -> Any:
    known = keys.read_s3_credentials(store.publisher_key_file)
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=known.access_key_id,
        aws_secret_access_key=known.secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    )


class Careless(BaseHTTPRequestHandler):
    """Keeps objects, and gives and takes them whoever asks."""

    kept: ClassVar[dict[str, tuple[bytes, dict[str, str]]]] = {}

    def do_PUT(self) -> None:
        names = ("x-amz-checksum-sha256", "x-amz-meta-sha256")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.kept[urlsplit(self.path).path] = body, {name: self.headers[name] for name in names}
        self._answer(200, b"", {"ETag": '"0"'})

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        body, headers = self.kept.get(path, (b"<ListBucketResult/>", {}))
        known = path in self.kept or path.count("/") < 3
        self._answer(200 if known else 404, body, headers | {"ETag": '"0"'})

    def do_DELETE(self) -> None:
        self.kept.pop(urlsplit(self.path).path, None)
        self._answer(204, b"", {})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def careless_store() -> Iterator[str]:
    """An HTTP server that looks at no signature."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_mail_server_is_tried_and_sent_nothing(examine: Examine, sqlite_world: World) -> None:
    """It says what waits; a server that is down or turns us away is wrong, and no password is told."""
    found = examine()
    assert (found["mail"].ok, "set smtp_url" in found["mail"].sentence) == (True, True)
    with mail_host() as host:
        known = {"smtp_url": f"smtp://127.0.0.1:{host.port}", "mail_from": "weights@lab.example.org"}
        found = examine(**known)
        assert (found["mail"].ok, host.delivered) == (True, [])
        assert "accepts our sign-in" in found["mail"].sentence
    assert "cannot be reached" in wrong(examine(**known))["mail"]
    password = sqlite_world.folder / "smtp-password"
    keys.write_private(password, b"hush hush")
    with mail_host(user=True) as host:
        known |= {"smtp_url": f"smtp://gate@127.0.0.1:{host.port}", "smtp_password_file": str(password)}
        told = wrong(examine(**known))["mail"]
        assert set(host.passwords) == {"hush hush"}
    assert "rejected the sign-in of gate" in told
    assert "hush" not in told


def test_attempts_are_counted_together(examine: Examine, redis_server: RedisServer) -> None:
    """In a Redis, which must answer; without one it is said that each process counts for itself."""
    assert "each of 2 web processes" in examine(web_workers=2)["limits"].sentence
    assert "in the only web process" in examine(web_workers=1)["limits"].sentence
    assert examine(redis_url=redis_server.url)["limits"] == doctor.Check(
        "limits", True, "attempts are counted in the Redis server at redis_url"
    )
    told = wrong(examine(redis_url="redis://127.0.0.1:1/0"))["limits"]
    assert "does not respond, so nobody can sign in" in told


def test_a_store_whose_log_nobody_reads_is_told(examine: Examine, sqlite_world: World, tmp_path: Path) -> None:
    """Until an access log was read nobody knows what was fetched; the embedded store's is read by the worker."""
    assert examine()["fetches"].sentence.startswith("never reconciled, so what was fetched is unknown")
    (tmp_path / "log").write_text("")
    reconciliation.reconcile(sqlite_world.use, [str(tmp_path / "log")])
    assert "was last read on" in examine()["fetches"].sentence
    assert "the worker reads" in examine(embedded_store=True)["fetches"].sentence


def test_an_issuer_whose_keys_cannot_be_had_is_named(examine: Examine, issuer: Issuer) -> None:
    """Each in a line of its own; one that answers is counted, and one without any key is no use."""
    good = {"url": issuer.url, "ca_file": str(issuer.ca_file)}
    assert (
        examine(workload_issuers=[good])["workloads"].sentence == "issuers of identity tokens whose keys can be had: 1"
    )
    away = {"url": "https://127.0.0.1:9"}
    said = examine(workload_issuers=[good, away])["workloads"]
    assert not said.ok
    assert "https://127.0.0.1:9: connection refused; correct workload_issuers" in said.sentence
    issuer.keys.clear()
    assert "publishes no key" in examine(workload_issuers=[good])["workloads"].sentence


WEAK = {"kty": "RSA", "e": "AQAB", "n": "w" * 171, "kid": "weak", "use": "sig"}  # 1024 bits


def test_identity_providers_are_asked(examine: Examine, sqlite_world: World, oidc_provider: OidcProvider) -> None:
    """One that answers is fine, and told with the address to register; what is wrong with another is said."""

    def told(meddle: Callable[[Passed], None] = lambda _: None, **changed: Any) -> str:
        oidc_provider.relay.meddle = meddle
        known = json.loads(json.dumps(settings_of(sqlite_world, oidc_provider, **changed), default=str))
        found = examine(identity_providers=[known])
        return found["providers"].sentence

    def publish(**changed: Any) -> Callable[[Passed], None]:
        def meddle(passed: Passed) -> None:
            if passed.path.startswith("/.well-known/"):
                passed.say({**passed.said(), **changed})

        return meddle

    def weak(passed: Passed) -> None:
        if passed.path == "/jwks":
            passed.say({"keys": [WEAK, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "RSA"}, "x"]})

    assert examine()["providers"].sentence.startswith("none")
    assert "http://localhost:8080/sign-in/with/lab/return" in told()
    assert "there is no organization elm" in told(organizations=["elm", "example-lab"])
    assert f"issuer {oidc_provider.issuer}/" in told(issuer=f"{oidc_provider.issuer}/")
    assert "does not respond" in told(issuer="http://127.0.0.1:1")
    assert "names another issuer" in told(publish(issuer="https://other.example"))
    assert "authorization_endpoint is missing" in told(publish(authorization_endpoint="http://other.example/auth"))
    assert "token_endpoint is missing" in told(publish(token_endpoint=None))
    assert "PKCE" in told(publish(code_challenge_methods_supported=["plain"]))
    assert "authorization code flow" in told(publish(response_types_supported=["id_token"]))
    assert "signs with none of" in told(publish(id_token_signing_alg_values_supported=["HS256", "none"]))
    assert "publishes no key" in told(weak)
    assert "check ca_file" in told(issuer="https://localhost:1", ca_file="nowhere.pem")
    oidc_provider.relay.meddle = lambda _: None
    known = settings_of(sqlite_world, oidc_provider)
    Path(known["client_secret_file"]).chmod(0o644)
    assert (
        "readable by others"
        in examine(identity_providers=[json.loads(json.dumps(known, default=str))])["keys"].sentence
    )
