"""The store's own keys on a real Ceph gateway: what they open, what they do not, how long, and how they are stopped."""

import contextlib
import html
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from server.domain.delivery import deliveries, reconciliation
from server.domain.downloads import cutting, issuing
from server.domain.identity.tokens import Token
from server.domain.operation import doctor, readiness
from server.domain.release import holds
from server.domain.release.cuts import CutState, CutWay
from server.storage import keys, store_sessions
from server.storage.keys import S3Credentials
from server.storage.object_errors import typed_errors
from server.storage.objects import ObjectInfo, ObjectStore, S3Objects
from server.storage.outside import OutsideFault
from server.storage.signing import Recipient, StoredObject
from server.storage.signing_sessions import SessionSigner
from tests import parts, radosgw
from tests.e2e import fetching
from tests.e2e.serving import served
from tests.e2e.working import working
from tests.lending import lending
from tests.radosgw import ASKER, BUCKET, PUBLISHER, Radosgw
from tests.world import WatchedResources, World, write_settings

STAGE = "mini-gpt/base"


class PlainObjects(S3Objects):
    """Writes without a checksum: Ceph 16 returns no SHA-256, which newer ones do. So nothing can be published to it."""

    def put_bytes(self, key: str, content: bytes) -> ObjectInfo:
        with typed_errors(f"write {key}"):
            etag = self._client.put_object(Bucket=self.bucket, Key=key, Body=content)["ETag"]
        return ObjectInfo(key, len(content), etag, None, None, None)


class GatewayResources(WatchedResources):
    """The instance, with a store that can be written."""

    def store_as(self, credentials: S3Credentials) -> ObjectStore:
        made = self.settings
        return PlainObjects(
            endpoint_url=made.s3_endpoint_url, region=made.s3_region, bucket=made.s3_bucket,
            addressing=made.s3_addressing, credentials=credentials,
        )  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radosgw]:
    if not radosgw.is_installed():
        parts.missing("radosgw")
    with radosgw.running(tmp_path_factory.mktemp("radosgw")) as made:
        yield made


@pytest.fixture
def door(sqlite_world: World, gateway: Radosgw) -> Iterator[World]:
    """A world whose store is the gateway, with the small files of its checkpoints in it."""
    with on_gateway(sqlite_world, gateway):
        yield sqlite_world


@contextmanager
def on_gateway(world: World, gateway: Radosgw) -> Iterator[None]:
    shared = world.use.store
    files = {}
    for name in (PUBLISHER, ASKER):
        files[name] = world.folder / f"{name}.json"
        keys.write_s3_credentials(files[name], gateway.users[name])
    known = {
        "s3_endpoint_url": gateway.endpoint, "s3_bucket": BUCKET, "s3_addressing": "path",
        "signer_key_file": files[PUBLISHER], "publisher_key_file": files[PUBLISHER], "embedded_store": False,
        "s3_door": "sts", "sts_role_arn": gateway.role_arn, "sts_endpoint_url": gateway.endpoint,
        "sts_key_file": files[ASKER], "s3_key_lifetime_seconds": 900,
    }  # fmt: skip
    world.template = replace(world.template, settings=world.template.settings.model_copy(update=known))
    world.settings = write_settings(world.template, world.folder, world.settings.database_url)
    before, world.use = world.use, GatewayResources(world.settings, world.clock)
    for key in shared.list_keys("checkpoints/"):
        if key.endswith(".json"):
            world.use.store.put_bytes(key, shared.get_bytes(key))
    before.close()
    yield
    world.use.bucket_policy.deny_signed([])


def keys_of(door: World, stage: str = STAGE) -> Any:
    answer = door.api("GET", f"/credentials/{stage}")
    assert answer.status_code == 200, answer.text
    return answer.json


def client_with(gateway: Radosgw, given: Any) -> Any:
    return gateway.client(S3Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["Token"]))


def code_of(attempt: Any, **asked: Any) -> str:
    """How the store refuses; "" where it does not."""
    try:
        attempt(Bucket=BUCKET, **asked)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_keys_read_their_checkpoint_and_nothing_else(door: World, gateway: Radosgw) -> None:
    """The store itself refuses another stage's, another checkpoint's, the bucket's list, and writing of every kind."""
    given = keys_of(door)
    client, own = client_with(gateway, given), given["Prefix"]
    assert (given["Endpoint"], given["Bucket"]) == (gateway.endpoint, BUCKET)
    listed = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET, Prefix=own)["Contents"]]
    assert f"{own}config.json" in listed
    got = client.get_object(Bucket=BUCKET, Key=f"{own}config.json")["Body"].read()
    assert got == (Path(door.example.sources[STAGE]) / "config.json").read_bytes()
    others = [key for key in door.use.store.list_keys("checkpoints/") if not key.startswith(own)]
    assert {key.split("/")[1] for key in others} >= {"gpt-2", "mini-gpt"}
    assert {code_of(client.get_object, Key=key) for key in others} == {"AccessDenied"}
    assert code_of(client.list_objects_v2) == code_of(client.list_objects_v2, Prefix="checkpoints/") == "AccessDenied"
    assert code_of(client.put_object, Key=f"{own}new.json", Body=b"x") == "AccessDenied"
    assert code_of(client.put_object, Key=f"{own}config.json", Body=b"x") == "AccessDenied"
    assert code_of(client.delete_object, Key=f"{own}config.json") == "AccessDenied"
    assert code_of(client.copy_object, Key="copy", CopySource=f"{BUCKET}/{own}config.json") == "AccessDenied"
    assert code_of(client.get_bucket_policy) == "AccessDenied"


def test_a_web_identity_gets_the_same(door: World, gateway: Radosgw) -> None:
    """At the other credential door, of an older checkpoint by its name; the log names what was asked for."""
    older = door.api("GET", f"/stages/{STAGE}/checkpoints").json["items"][-1]["id"]
    form = {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "tests",
        "RoleArn": f"arn:aws:iam::000000000000:role/{STAGE}@{older}",
        "WebIdentityToken": door.example.tokens["cleared"],
    }  # fmt: skip
    answer = door.client.post("/sts", data=form)
    assert answer.status_code == 200, answer.text

    def inside(name: str) -> str:
        return str(answer.text.partition(f"<{name}>")[2].partition(f"</{name}>")[0])

    given = {name: inside(name) for name in ("AccessKeyId", "SecretAccessKey")} | {"Token": inside("SessionToken")}
    client = client_with(gateway, given)
    assert inside("Prefix") == f"checkpoints/{STAGE}/{older}/"
    assert client.get_object(Bucket=BUCKET, Key=f"{inside('Prefix')}config.json")["Body"].read()
    assert door.records("download")[-1]["checkpoint"] == older


def test_the_portals_commands_do_what_they_say(door: World, gateway: Radosgw, tmp_path: Path) -> None:
    """Pasted into a shell that has the token: aws copies from the gateway itself, with keys that it got by itself."""
    if not parts.S3_TOOL["aws"].exists():
        parts.missing("an environment with aws")
    with served(door) as web, working(door):
        door.use.settings = door.settings.model_copy(update={"public_url": f"http://localhost:{web.port}"})
        page = door.visit("cleared").get(f"/stages/{STAGE}/main/commands").text
        printed = [html.unescape(text) for text in re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)]
        wanted = [text for text in printed if "AWS_CONTAINER" in text or text.startswith("aws s3 cp")]
        assert len(wanted) == 2
        assert "s3://models" not in page
        environment = {
            "PATH": f"{parts.S3_TOOL['aws'].parent}:{os.environ['PATH']}", "HOME": str(tmp_path),
            "WEIGHTGATE_TOKEN": door.example.tokens["cleared"],
        }  # fmt: skip
        command = ["sh", "-ec", f"cd {tmp_path}; " + "\n".join(wanted)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    sources = Path(door.example.sources[STAGE])
    assert {path.name: path.read_bytes() for path in (tmp_path / STAGE).iterdir()} == {
        path.name: path.read_bytes() for path in sources.glob("*.json")
    }
    assert {record["door"] for record in door.records("download")} == {"sts"}


def test_what_is_read_is_known_as_that_download(door: World, gateway: Radosgw) -> None:
    """By the gateway's own log: no ghost read, and the file counts as delivered."""
    given = keys_of(door)
    (record,) = door.records("download")
    client_with(gateway, given).get_object(Bucket=BUCKET, Key=f"{given['Prefix']}config.json")["Body"].read()
    deadline = time.monotonic() + 20
    while record["download"] not in (text := gateway.ops_log.read_text()):
        assert time.monotonic() < deadline, gateway.ops_log.read_text()[-1500:]
        time.sleep(0.1)
    mine = door.folder / "ops.json"
    mine.write_text("".join(line for line in text.splitlines(keepends=True) if record["download"] in line))
    found = reconciliation.reconcile(door.use, [str(mine)])
    assert (found.matched, found.unmatched, sum(found.alarms.values())) == (1, 0, 0), mine.read_text()
    with door.use.database.reading() as session:
        told = deliveries.of_download(session, record["download"])
    assert told is not None
    fetched = {file.path: file.bytes_sent for file in told.files}
    assert fetched["config.json"] == len((Path(door.example.sources[STAGE]) / "config.json").read_bytes())


def test_a_hold_that_cuts_ends_them_at_the_store(
    door: World, gateway: Radosgw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the cut they go on; with it they are refused, other stages' go on, and lifting gives back.

    This Ceph does not tell signed URLs from other requests, so it goes on taking those, and that is said.
    """
    monkeypatch.setattr(cutting, "OBEYS_WITHIN_SECONDS", 3)
    given, other = keys_of(door), keys_of(door, "gpt-2/774M")
    client, elsewhere = client_with(gateway, given), client_with(gateway, other)
    asked = {"Key": f"{given['Prefix']}config.json"}
    theirs = {"Key": next(key for key in door.use.store.list_keys(other["Prefix"]) if key.endswith(".json"))}
    holds.place(door.use, door.admin, STAGE, "A leak.")
    assert code_of(client.get_object, **asked) == ""
    holds.cut(door.use, door.admin, STAGE)
    cut = cutting.carry_out_now(door.use, STAGE)
    assert cut is not None
    assert (cut.state, cut.way, cut.told) == (CutState.FAILED, CutWay.POLICY, cutting.ONLY_KEYS_REFUSED)
    assert code_of(client.get_object, **asked) == "AccessDenied"
    assert code_of(elsewhere.get_object, **theirs) == ""
    door.lift(STAGE)
    cutting.carry_out(door.use)
    assert code_of(client.get_object, **asked) == ""


def test_the_doctor_tries_the_store_s_keys(door: World, gateway: Radosgw) -> None:
    """And says when the role is one that nobody may assume."""
    checked = {check.name: check for check in doctor.examine(door.use)}["S3 door"]
    assert (checked.ok, "read one prefix, and nothing else" in checked.sentence) == (True, True), checked.sentence
    known = door.use.settings
    door.use.settings = known.model_copy(update={"sts_role_arn": f"{known.sts_role_arn}-2"})
    door.use.__dict__.pop("sessions").close()
    checked = {check.name: check for check in doctor.examine(door.use)}["S3 door"]
    assert (checked.ok, "begin a session" in checked.sentence) == (False, True), checked.sentence


def test_what_a_session_may_not_be_the_store_refuses_too(door: World, gateway: Radosgw) -> None:
    """Another key cannot assume the role, and nobody for longer than twelve hours."""
    publisher = gateway.client(gateway.users[PUBLISHER], "sts")
    role = {"RoleArn": gateway.role_arn, "RoleSessionName": "x" * 8}
    with pytest.raises(ClientError) as refused:
        publisher.assume_role(**role)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError):
        gateway.client(gateway.users[ASKER], "sts").assume_role(**role, DurationSeconds=43_201)


def test_keys_end(door: World, gateway: Radosgw) -> None:
    """The store refuses them from then on. This gateway makes shorter ones than we ask for, so that it can be seen."""
    prefix = keys_of(door)["Prefix"]
    policy = store_sessions.session_policy(BUCKET, prefix)
    asker = gateway.client(gateway.users[ASKER], "sts", validates=False)
    role = {"RoleArn": gateway.role_arn, "RoleSessionName": "short", "Policy": policy}
    made = asker.assume_role(**role, DurationSeconds=4)["Credentials"]
    client = gateway.client(S3Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]))
    asked = {"Key": f"{prefix}config.json"}
    assert code_of(client.get_object, **asked) == ""
    time.sleep(max((made["Expiration"] - datetime.now(UTC)).total_seconds(), 0) + 1)
    assert code_of(client.get_object, **asked) in {"ExpiredToken", "AccessDenied", "InvalidAccessKeyId"}


def test_urls_of_a_role_work_at_the_store(door: World, gateway: Radosgw, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the session's token in them: a stand-in lends the machine real keys of AssumeRole."""
    made = gateway.client(gateway.users[ASKER], "sts").assume_role(
        RoleArn=gateway.role_arn, RoleSessionName="signer", DurationSeconds=3600
    )["Credentials"]
    lent = S3Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    with lending(lent) as lender:
        lender.lives = made["Expiration"] - datetime.now(UTC)
        for name, value in lender.instance.items():
            monkeypatch.setenv(name, value)
        by_role = door.settings.model_copy(update={"signer_credentials": "role"})
        with contextlib.closing(GatewayResources(by_role, door.clock)) as use:
            issued = issuing.issue(use, door.caller("cleared"), door.order(STAGE, paths=["config.json"]))
            door.use.watched.urls += issued.urls
            assert "X-Amz-Security-Token=" in issued.urls[0]
            assert fetching.get(issued.urls[0])[0] == 200
            door.clock.advance(timedelta(minutes=59))
            with pytest.raises(OutsideFault, match="could not be renewed"):
                issuing.issue(use, door.caller("cleared"), door.order(STAGE, paths=["config.json"]))
            door.clock.offset = timedelta(0)
            assert len(door.records("download")) == 1
            lender.is_away = True
            readiness.require_ready(use)


def test_an_organizations_urls_bear_its_session(door: World, gateway: Radosgw) -> None:
    """The gateway lets them open one checkpoint, from the token's networks alone, and logs the session's name."""
    by_session = door.settings.model_copy(update={"url_sessions": True, "s3_door": "off"})
    with contextlib.closing(GatewayResources(by_session, door.clock)) as use:
        caller = door.caller("cleared")
        (url,) = issuing.issue(use, caller, door.order(STAGE, paths=["config.json"])).urls
        assert fetching.get(url)[0] == 200
        signer = use.session_signer
        assert isinstance(signer, SessionSigner)
        ((known, (session, _)),) = signer._kept.items()
        assert known == (
            caller.organization,
            f"{urlsplit(url).path.removeprefix(f'/{BUCKET}/').rpartition('/')[0]}/",
            (),
        )
        others = [key for key in door.use.store.list_keys("checkpoints/") if not key.startswith(known[1])]
        client = gateway.client(session.credentials)
        assert code_of(client.get_object, Key=others[0]) == "AccessDenied"
        assert code_of(client.list_objects_v2, Prefix=known[1]) == "AccessDenied"
        with door.use.database.transaction() as writing:
            writing.get_one(Token, caller.token_id).networks = "127.0.0.1/32"
        (here,) = issuing.issue(use, caller, door.order(STAGE, paths=["config.json"])).urls
        assert [networks for _, _, networks in signer._kept] == [(), ("127.0.0.1/32",)]
        elsewhere = Recipient(None, caller.organization, ("198.51.100.0/24",))
        file = [StoredObject(f"{known[1]}config.json")]
        (there,) = signer.sign(file, download_id="d", lifetime_seconds=60, recipient=elsewhere)
        assert [fetching.get(one)[0] for one in (here, there)] == [200, 403]
        door.tampered = True  # the token's networks have no entry
    deadline = time.monotonic() + 20
    while str(caller.organization) not in gateway.ops_log.read_text():
        assert time.monotonic() < deadline, gateway.ops_log.read_text()[-1500:]
        time.sleep(0.1)
