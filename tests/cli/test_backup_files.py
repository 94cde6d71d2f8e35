"""What a backup has beside database and objects: every file that the instance needs, and no word of one kept back."""

import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from server.domain.operation import instance_files
from server.settings import FILE_NAME
from server.storage import keys
from server.storage.s3_roots import S3Roots
from tests import own_keys
from tests.cli.operator import Operator
from tests.test_settings import VKEY
from tests.world import WatchedResources, World, write_settings

OWN = (
    "signer_key_file", "publisher_key_file", "manifest_key_file", "manifest_public_key_file", "secret_file",
    "log_key_file", "receipt_key_file", "s3_key_file", "findings_key_file", "uploads_key_file",
)  # fmt: skip
PUBLIC = {"manifest.pub.pem", "ca.pem", "kubernetes.jwks.json"}


@pytest.fixture
def whole(operator: Operator, sqlite_world: World) -> Operator:
    """At an instance with all its keys in its folder, and an identity provider, an issuer and a witness with files."""
    world = sqlite_world
    (world.folder / "keys").mkdir(mode=0o700)
    places = {name: f"keys/{getattr(world.settings, name).name}" for name in OWN}
    for name, place in places.items():
        if (source := getattr(world.settings, name)).exists():
            shutil.copy(source, world.folder / place)
    if not (world.folder / places["s3_key_file"]).exists():
        keys.write_secret(world.folder / places["s3_key_file"])
    keys.write_private(world.folder / "keys" / "oidc-lab", b"a secret")
    keys.write_peer_certificate(world.folder / "ca" / "ca.key", world.folder / "ca" / "ca.pem")
    (world.folder / "kubernetes.jwks.json").write_text(json.dumps({"keys": [{"kty": "EC", "kid": "one"}]}))
    provider = {
        "id": "lab", "name": "SSO", "issuer": "http://127.0.0.1:9", "client_id": "weightgate",
        "client_secret_file": "keys/oidc-lab", "ca_file": "ca/ca.pem", "organizations": ["example-lab"],
    }  # fmt: skip
    issuer = {"url": "https://kubernetes.example", "jwks_file": "kubernetes.jwks.json", "ca_file": "ca/ca.pem"}
    witness = {"url": "http://127.0.0.1:9/w1", "vkey": VKEY, "ca_file": "ca/ca.pem"}
    tables = {"identity_providers": [provider], "workload_issuers": [issuer], "witnesses": [witness]}
    url = f"sqlite:///{Path(world.settings.database_url).name}"
    world.use.close()
    world.settings = write_settings(world.template, world.folder, url, **places, **tables)
    world.use = WatchedResources(world.settings, world.clock)
    return operator


def contents(folder: Path, names: list[str]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def told(operator: Operator, *names: str) -> list[str]:
    """What `doctor` says of these checks."""
    return [check["sentence"] for check in operator("doctor", "--json", code=None).body if check["name"] in names]


def test_every_file_comes_back_as_it_was(
    whole: Operator, sqlite_world: World, newcomer: Operator, tmp_path: Path
) -> None:
    """Those of tables, those that rotations leave beside a key, and those that no setting names; doctor finds each."""
    keys.write_s3_credentials(whole.folder / "keys" / "access-logs.json", keys.new_s3_credentials())
    old = (whole.folder / "keys" / "log.key.pem").read_bytes()
    before = own_keys.rotate(sqlite_world.use).before.rpartition("/")[2]
    whole("keys", "rotate-s3")
    whole("keys", "rotate-s3", "--prepare")
    roots = S3Roots(sqlite_world.settings.s3_key_file).every()
    assert whole("backup", tmp_path / "backup", "--json").body["not_copied"] == []

    newcomer("restore", tmp_path / "backup")
    names = instance_files.index(tmp_path / "backup")
    assert names is not None
    expected = {
        FILE_NAME, "kubernetes.jwks.json", "ca/ca.pem", "keys/oidc-lab", "keys/access-logs.json", "keys/s3.key.next",
        f"keys/log.key.pem.{before}", *(f"keys/{getattr(sqlite_world.settings, name).name}" for name in OWN),
    }  # fmt: skip
    assert expected < set(names)
    assert len([name for name in names if name.startswith("keys/s3.key.until-")]) == 1
    assert contents(newcomer.folder, names) == contents(whole.folder, names) == contents(tmp_path / "backup", names)
    assert (newcomer.folder / "keys" / f"log.key.pem.{before}").read_bytes() == old
    assert S3Roots(newcomer.folder / "keys" / "s3.key").every() == roots
    for folder in (tmp_path / "backup", newcomer.folder):
        modes = {stat.S_IMODE((folder / name).stat().st_mode) for name in names if Path(name).name not in PUBLIC}
        assert modes == {0o600}
    checks = ("keys", "matching keys", "workloads")
    assert told(newcomer, *checks) == [
        "all key files are present, private, and hold keys",
        "the keys of log, receipts, manifests and one-time codes are those that the database was written with",
        "issuers of identity tokens whose keys can be had: 1",
    ]


def test_a_secret_that_a_rotation_ended_is_in_no_later_backup(
    whole: Operator, newcomer: Operator, tmp_path: Path
) -> None:
    """It leaked, perhaps: a restore would bring it to life again."""
    whole("keys", "rotate-s3")
    whole("backup", tmp_path / "backup")
    assert list((tmp_path / "backup" / "keys").glob("s3.key.until-*"))
    whole("keys", "rotate-s3", "--now")
    whole("backup", tmp_path / "backup")
    assert list((tmp_path / "backup" / "keys").glob("s3.key.*")) == []


def test_what_people_keep_beside_a_backup_is_not_restored(whole: Operator, newcomer: Operator, tmp_path: Path) -> None:
    """The guide exports the log there; and a later backup leaves it alone."""
    for _ in range(2):
        whole("backup", tmp_path / "backup")
        (tmp_path / "backup" / "log.jsonl").write_text("{}")
    newcomer("restore", tmp_path / "backup")
    assert (newcomer.folder / FILE_NAME).exists()
    assert not (newcomer.folder / "log.jsonl").exists()
    assert not (newcomer.folder / instance_files.INDEX).exists()


def test_a_backup_of_older_code_is_restored_as_it_is(whole: Operator, newcomer: Operator, tmp_path: Path) -> None:
    """It says nowhere which files are the instance's."""
    whole("backup", tmp_path / "backup")
    (tmp_path / "backup" / instance_files.INDEX).unlink()
    newcomer("restore", tmp_path / "backup")
    assert (newcomer.folder / "keys" / "oidc-lab").read_bytes() == b"a secret"


def test_a_backup_that_lost_a_file_is_refused(whole: Operator, newcomer: Operator, tmp_path: Path) -> None:
    """Half of an instance's keys is no instance."""
    whole("backup", tmp_path / "backup")
    (tmp_path / "backup" / "keys" / "oidc-lab").unlink()
    assert "is not complete: keys/oidc-lab is missing" in newcomer("restore", tmp_path / "backup", code=1).line
    assert list(newcomer.folder.iterdir()) == []


def test_what_is_not_copied_is_named_with_its_reason(whole: Operator, newcomer: Operator, tmp_path: Path) -> None:
    """A file elsewhere is somebody else's to back up, and one that is gone can be in no backup."""
    outside, gone = tmp_path / "ca.pem", whole.folder / "keys" / "oidc-lab"
    (whole.folder / "ca" / "ca.pem").rename(outside)
    gone.unlink()
    path = whole.folder / FILE_NAME
    path.write_text(path.read_text().replace('"ca/ca.pem"', json.dumps(str(outside))))
    out = whole("backup", tmp_path / "backup").out
    assert f"NOT copied: {outside} (witnesses.ca_file) is outside {whole.folder}." in out
    assert f"NOT copied: {gone} (identity_providers.client_secret_file) is not there." in out
    named = whole("backup", tmp_path / "backup", "--json").body["not_copied"]
    tables = ("witnesses", "workload_issuers", "identity_providers")
    assert {(one["file"], one["setting"], one["because"]) for one in named} == {
        *((str(outside), f"{table}.ca_file", f"is outside {whole.folder}") for table in tables),
        (str(gone), "identity_providers.client_secret_file", "is not there"),
    }
    restored = newcomer("restore", tmp_path / "backup").out
    assert f"  identity_providers.ca_file {outside}\n" in restored


def test_settings_of_the_environment_are_named_and_not_kept(
    whole: Operator, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their values may be secret. A restore names those that are not set where it runs, and how to set them."""
    monkeypatch.setenv("WEIGHTGATE_REDIS_URL", "redis://:hush@127.0.0.1:9/0")
    monkeypatch.setenv("WEIGHTGATE_WEB_WORKERS", "7")
    keys.write_private(whole.folder / "elsewhere" / "anchors.json", b"{}")
    monkeypatch.setenv("WEIGHTGATE_ANCHOR_KEY_FILE", "elsewhere/anchors.json")
    out = whole("backup", tmp_path / "backup").out
    assert "NOT copied: redis_url, which WEIGHTGATE_REDIS_URL says and weightgate.toml does not." in out
    assert whole("backup", tmp_path / "backup", "--json").body["from_environment"] == [
        "anchor_key_file", "redis_url", "web_workers",
    ]  # fmt: skip
    assert not [path for path in (tmp_path / "backup").rglob("*") if path.is_file() and b"hush" in path.read_bytes()]
    (sentence,) = told(whole, "settings")
    assert sentence.endswith("; only from the environment, and in no backup: anchor_key_file, redis_url, web_workers")
    monkeypatch.delenv("WEIGHTGATE_REDIS_URL")
    restored = newcomer("restore", tmp_path / "backup").out
    assert (newcomer.folder / "elsewhere" / "anchors.json").read_bytes() == b"{}"
    assert re.search(r"^  redis_url +write it to weightgate.toml, or set WEIGHTGATE_REDIS_URL$", restored, re.MULTILINE)
    assert "web_workers" not in restored
    monkeypatch.delenv("WEIGHTGATE_WEB_WORKERS")
    body = newcomer.elsewhere(tmp_path / "another")("restore", tmp_path / "backup", "--json").body
    assert body["not_set"] == ["redis_url", "web_workers"]


def test_a_backup_that_is_none_without_its_variables_says_which(
    whole: Operator, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left behind, and the same command with them restores it."""
    path = whole.folder / FILE_NAME
    lines = path.read_text().splitlines()
    (bucket,) = (json.loads(line.partition("=")[2]) for line in lines if line.startswith("s3_bucket"))
    path.write_text("\n".join(line for line in lines if not line.startswith("s3_bucket")))
    monkeypatch.setenv("WEIGHTGATE_S3_BUCKET", bucket)
    whole("backup", tmp_path / "backup")
    monkeypatch.delenv("WEIGHTGATE_S3_BUCKET")
    refused = newcomer("restore", tmp_path / "backup", code=1).line
    assert "s3_bucket: missing" in refused
    assert "Set WEIGHTGATE_S3_BUCKET, as that instance had it, and restore again" in refused
    assert list(newcomer.folder.iterdir()) == []
    monkeypatch.setenv("WEIGHTGATE_S3_BUCKET", bucket)
    assert newcomer("restore", tmp_path / "backup", "--json").body["not_set"] == []


@pytest.mark.parametrize("names", [["redis_url\n\x1b[2J"], [7], "redis"])
def test_a_list_of_settings_that_is_none_is_refused(
    whole: Operator, newcomer: Operator, tmp_path: Path, names: object
) -> None:
    """What it says is printed."""
    whole("backup", tmp_path / "backup")
    index = tmp_path / "backup" / instance_files.INDEX
    index.write_text(json.dumps(json.loads(index.read_bytes()) | {"from_environment": names}))
    assert "is damaged" in newcomer("restore", tmp_path / "backup", code=1).line


def rotating(world: World, monkeypatch: pytest.MonkeyPatch, times: int, *, after: bool = False) -> list[str]:
    """Rotate the log's keys between the database's copy and the files', or after both; the logs that ended."""
    ended, copying = list[str](), instance_files.copy

    def rotate() -> None:
        if len(ended) < times:
            ended.append(own_keys.rotate(world.use).before)

    def copy(*arguments: Any) -> None:
        if not after:
            rotate()
        copying(*arguments)
        rotate()

    monkeypatch.setattr(instance_files, "copy", copy)
    return ended


def is_whole(restored: Operator) -> None:
    """The key files are those of the database."""
    assert told(restored, "matching keys") == [
        "the keys of log, receipts, manifests and one-time codes are those that the database was written with"
    ]
    restored("log", "verify")


@pytest.mark.parametrize("after", [False, True])
def test_a_log_that_is_rotated_meanwhile_is_backed_up_again(
    whole: Operator, sqlite_world: World, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *,
    after: bool,
) -> None:  # fmt: skip
    """Database and keys are of one moment, and the restored log goes on."""
    ended = rotating(sqlite_world, monkeypatch, 1, after=after)
    whole("backup", tmp_path / "backup")
    assert len(ended) == 1
    newcomer("restore", tmp_path / "backup")
    is_whole(newcomer)
    assert (newcomer.folder / "keys" / f"log.key.pem.{ended[0].rpartition('/')[2]}").exists()


def test_a_log_that_is_rotated_again_and_again_leaves_the_backup_before(
    whole: Operator, sqlite_world: World, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather none than a pair that no doctor takes; and the one before is as it was."""
    whole("backup", tmp_path / "backup")
    ended = rotating(sqlite_world, monkeypatch, 99)
    line = whole("backup", tmp_path / "backup", code=1).line
    assert "The log's keys were rotated during each of 3 attempts" in line
    assert len(ended) >= 3
    newcomer("restore", tmp_path / "backup")
    is_whole(newcomer)
