"""Key files: each is opened, and compared with what the database was written with."""

from pathlib import Path

import pytest
from sqlalchemy import delete

from server.domain.operation import key_files
from server.domain.publish.checkpoints import CheckpointManifest
from server.domain.resources import Resources
from server.settings import Settings
from server.storage import keys
from tests.test_settings import VKEY
from tests.world import World, cases, write_settings

NAMED = [name for name in Settings.model_fields if name.endswith("_file")]
MAIL = {"smtp_url": "smtp://gate@127.0.0.1:25", "mail_from": "weights@lab.example.org"}


def changed(world: World, **files: Path) -> Settings:
    """The world's settings with all keys there may be, some of them elsewhere."""
    own = {
        "anchor_key_file": world.settings.signer_key_file,
        "findings_key_file": world.settings.signer_key_file,
        "log_mirror_key_file": world.settings.signer_key_file,
        "log_months_key_file": world.settings.signer_key_file,
        "smtp_password_file": world.folder / "smtp-password",
    }
    if not own["smtp_password_file"].exists():
        keys.write_private(own["smtp_password_file"], b"a password")
    named = {name: str(path) for name, path in (own | files).items()}
    door: dict[str, object] = {"s3_door": "proxy", "s3_door_url": "http://localhost:8334", "embedded_store": True}
    if files.keys() == {"sts_key_file"}:
        door = {"s3_door": "sts", "sts_role_arn": "arn:aws:iam::123456789012:role/downloads", "embedded_store": False}
    if files.keys() == {"cloudfront_key_file"}:
        door = {"delivery": "cloudfront", "cloudfront_url": "https://d1.cloudfront.net", "embedded_store": False}
    buckets = {"anchor_bucket": "anchors", "log_mirror": "mirror", "log_months": "months"}
    return write_settings(world.template, world.folder, world.settings.database_url, **buckets, **door, **named, **MAIL)


@pytest.mark.parametrize("name", NAMED)
def test_each_key_file_that_the_settings_name_is_opened(sqlite_world: World, name: str) -> None:
    """One that is missing, and one that holds something else, is a sentence that names the file."""
    assert key_files.unusable(changed(sqlite_world)) == []
    path = sqlite_world.folder / "the-file"
    (sentence,) = key_files.unusable(changed(sqlite_world, **{name: path}))
    assert str(path) in sentence
    if name != "smtp_password_file":  # any bytes are a password
        keys.write_private(path, b"no key")
        (sentence,) = key_files.unusable(changed(sqlite_world, **{name: path}))
        assert str(path) in sentence


TABLES: dict[str, dict[str, object]] = {
    "witnesses": {"url": "http://127.0.0.1:9/w1", "vkey": VKEY},
    "workload_issuers": {"url": "https://kubernetes.example"},
    "identity_providers": {
        "id": "lab", "name": "SSO", "issuer": "http://127.0.0.1:9", "client_id": "gate", "organizations": ["lab"],
    },
}  # fmt: skip


@pytest.mark.parametrize("setting", sorted(name for name in key_files.KINDS if "." in name))
def test_each_file_that_a_table_names_is_opened(sqlite_world: World, setting: str) -> None:
    """As those at the top; a secret that others can read is none."""
    path, (table, name) = sqlite_world.folder / "the-file", setting.split(".")
    url, tables = sqlite_world.settings.database_url, {table: [TABLES[table] | {name: str(path)}]}
    made = write_settings(sqlite_world.template, sqlite_world.folder, url, **tables)
    (sentence,) = key_files.unusable(made)
    assert str(path) in sentence
    path.write_bytes(b"no certificate")
    path.chmod(0o644)
    told = key_files.unusable(made)
    assert [str(path) in one for one in told] == [True] * (0 if name == "jwks_file" else 1)
    if name == "ca_file":
        path.unlink()
        keys.write_peer_certificate(sqlite_world.folder / "ca.key", path)
        assert key_files.unusable(made) == []


def test_the_s3_door_s_key_is_wanted_only_where_it_is_open(sqlite_world: World) -> None:
    """An instance from before it has none until `migrate`."""
    settings = changed(sqlite_world, s3_key_file=sqlite_world.folder / "gone")
    assert len(key_files.unusable(settings)) == 1
    assert key_files.unusable(settings.model_copy(update={"s3_door": "off"})) == []


def test_an_anchor_key_is_wanted_only_with_an_anchor_bucket(sqlite_world: World) -> None:
    """Without a bucket nobody misses its key."""
    settings = changed(sqlite_world, anchor_key_file=sqlite_world.folder / "gone")
    assert key_files.unusable(settings.model_copy(update={"anchor_bucket": None})) == []


@pytest.fixture
def others(tmp_path: Path) -> dict[str, Path]:
    """Sound keys of another instance, by the settings that may name them."""
    named = {name: tmp_path / "others" / name for name in NAMED}
    keys.write_secret(named["secret_file"])
    keys.write_note_key(named["log_key_file"])
    keys.write_note_key(named["receipt_key_file"])
    keys.write_manifest_key(named["manifest_key_file"], named["manifest_public_key_file"])
    return named


@cases(
    ("names", "sentence"),
    [
        (("log_key_file",), "is not the key of localhost/downloads/"),
        (("receipt_key_file",), "is not the key of localhost/receipts/"),
        (("secret_file",), "is not the one that this database is encrypted with"),
        (("manifest_key_file",), "does not belong to the public key in"),
        (("manifest_key_file", "manifest_public_key_file"), "is not the key that signed the newest checkpoint"),
    ],
)
def test_a_key_of_another_instance_is_told_by_its_file(
    world: World, others: dict[str, Path], names: tuple[str, ...], sentence: str
) -> None:
    """It opens as well as the right one: only the database knows the difference."""
    use = Resources(changed(world, **{name: others[name] for name in names}), world.clock)
    assert key_files.unusable(use.settings) == []
    (told,) = key_files.foreign(use)
    assert f"{others[names[0]]} {sentence}" in told
    use.close()


def test_what_cannot_be_opened_is_not_told_twice(sqlite_world: World, tmp_path: Path) -> None:
    """A missing file is no other instance's."""
    gone = {name: tmp_path / name for name in ("log_key_file", "secret_file", "manifest_key_file")}
    use = Resources(changed(sqlite_world, **gone), sqlite_world.clock)
    assert (len(key_files.unusable(use.settings)), key_files.foreign(use)) == (3, [])
    use.close()


def test_a_database_without_a_checkpoint_is_compared_as_far_as_it_goes(sqlite_world: World, tmp_path: Path) -> None:
    """Nothing was signed yet: any pair of manifest keys will do."""
    pair = {"manifest_key_file": tmp_path / "key", "manifest_public_key_file": tmp_path / "key.pub"}
    keys.write_manifest_key(*pair.values())
    with sqlite_world.use.database.transaction() as session:
        session.execute(delete(CheckpointManifest))
    use = Resources(changed(sqlite_world, **pair), sqlite_world.clock)
    assert key_files.foreign(use) == []
    use.close()
