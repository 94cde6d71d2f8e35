"""What `A key is lost` of deploy/README.md says, tried without a backup."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from server.settings import Settings
from server.storage import keys
from tests.cli.operator import Operator
from tests.cli.test_keys import permit
from tests.guide import README
from tests.own_keys import give_own_keys
from tests.world import World, write_settings


def lost(key: str) -> str:
    """What the guide says of it."""
    text = README.read_text(encoding="utf-8").partition("## A key is lost\n")[2].partition("\n## ")[0]
    (row,) = [row for row in re.findall(r"^\| (.*) \|$", text, re.MULTILINE) if f"`{key}`" in row.split(" | ")[0]]
    return str(row.split(" | ")[2])


def test_every_key_has_its_row() -> None:
    """Whatever the settings can name."""
    for name, field in Settings.model_fields.items():
        if name.endswith("_key_file"):
            usual = name.removesuffix("_key_file") if field.default is None else Path(field.default).name
            assert lost(usual if usual == "cloudfront.json" else usual.removesuffix(".json"))
    assert lost("secret")


@pytest.mark.parametrize(
    ("name", "advice", "how"),
    [("receipt", "rotate the keys of the log", ()), ("log", "abandon the log", ("--abandon",))],
)
def test_a_lost_key_is_replaced_by_a_rotation(
    operator: Operator, sqlite_world: World, name: str, advice: str, how: tuple[str, ...]
) -> None:
    """Under new keys the log verifies. Without its own it cannot be closed: the next begins with the last good head."""
    world = sqlite_world
    give_own_keys(world)
    assert advice in lost(f"{name}.key.pem")
    key_file: Path = getattr(world.use.settings, f"{name}_key_file")
    key_file.unlink()
    permit(operator, "A key was lost.", *how)
    operator("keys", "rotate", by="admin")
    assert key_file.exists()
    operator("log", "verify", "--tables")


def test_the_public_key_of_manifests_is_made_from_the_private_one(sqlite_world: World, tmp_path: Path) -> None:
    """The very file, by the very command."""
    settings = sqlite_world.settings
    (command,) = re.findall("`(openssl .*)`", lost("manifest.pub.pem"))
    (tmp_path / "keys").mkdir(exist_ok=True)
    (tmp_path / "keys" / "manifest.key.pem").write_bytes(settings.manifest_key_file.read_bytes())
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    assert (tmp_path / "keys" / "manifest.pub.pem").read_bytes() == settings.manifest_public_key_file.read_bytes()


def test_a_lost_secret_of_s3_keys_is_made_anew(operator: Operator, sqlite_world: World) -> None:
    """By `migrate`, which makes every key that an instance of before has not."""
    world = sqlite_world
    path = world.folder / "keys" / "s3.key"
    write_settings(world.template, world.folder, world.settings.database_url, s3_key_file=str(path))
    path.unlink(missing_ok=True)
    assert "`migrate`" in lost("s3.key")
    operator("migrate")
    assert len(keys.read_secret(path)) == keys.SECRET_BYTES
