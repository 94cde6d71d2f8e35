"""`keys`: what outsiders verify with, and the next log with new ones."""

from pathlib import Path

from server.log.notes import VerifierKey
from server.storage import keys
from tests.cli.operator import Operator
from tests.own_keys import KEY_FILES, give_own_keys
from tests.world import World, write_settings


def test_the_public_keys_are_those_of_the_api(operator: Operator, sqlite_world: World) -> None:
    """Log, receipts and manifests; nothing secret is among them."""
    body = operator("keys", "show", "--json").body
    served = sqlite_world.api("GET", "/keys", None).json
    (log,) = body["logs"]
    assert log == {
        "origin": served["log_origin"], "log_vkey": served["log_vkey"], "receipt_vkey": served["receipt_vkey"],
    }  # fmt: skip
    assert body["manifest_public_key"] == served["manifest_public_key"]
    out = operator("keys", "show").out
    assert f"log_vkey      {log['log_vkey']}\n" in out
    assert "BEGIN PUBLIC KEY" in out
    assert "PRIVATE" not in out + operator("keys", "show", "--json").out


def permit(operator: Operator, because: str, *more: str) -> None:
    """One admin proposes, and the other approves and reads what is left to do."""
    waits = operator("keys", "propose-rotation", "--because", because, *more, "--json", by="admin").body
    assert waits["state"] == "proposed"
    assert f"proposal approve {waits['proposal']}" in waits["next"]
    done = operator("proposal", "approve", waits["proposal"], by="admin2").out
    assert "run `weightgate-server keys rotate`" in done


def test_a_rotation_prints_the_new_keys(operator: Operator, sqlite_world: World) -> None:
    """They are those that the API serves from then on; both logs are shown, the newest first, and verify."""
    give_own_keys(sqlite_world)
    before = operator("keys", "show", "--json").body["logs"][0]
    permit(operator, "A new year.")
    body = operator("keys", "rotate", "--json", by="admin").body
    assert (body["before"], body["finished"], body["anchored"]) == (before["origin"], False, None)
    served = sqlite_world.api("GET", "/keys", None).json
    assert {name: body[name] for name in ("log_vkey", "receipt_vkey")} == {
        name: served[name] for name in ("log_vkey", "receipt_vkey")
    }
    shown = operator("keys", "show", "--json").body["logs"]
    assert [log["origin"] for log in shown] == [body["origin"], before["origin"]]
    assert VerifierKey.parse(body["log_vkey"]).public != VerifierKey.parse(before["log_vkey"]).public
    sqlite_world.seal()
    assert operator("log", "verify", "--json").body["ok"] is True
    permit(operator, "Another.")
    out = operator("keys", "rotate", by="admin2").out
    assert out.startswith(f"Entries go to {body['origin'][:-1]}3 now, after {body['origin']}.\n")


def test_a_rotation_that_was_interrupted_says_so(operator: Operator, sqlite_world: World) -> None:
    """With the new keys still beside the old ones, the same command puts them in their place and rotates no further."""
    give_own_keys(sqlite_world)
    permit(operator, "A new year.")
    first = operator("keys", "rotate", "--json", by="admin").body
    for name in KEY_FILES:
        path = getattr(sqlite_world.settings, name)
        path.rename(path.with_name(f"{path.name}.new"))
    out = operator("keys", "rotate", by="admin").out
    assert out.startswith(f"Finished an interrupted rotation: entries go to {first['origin']} now")
    assert len(sqlite_world.entries("log.open")) == 1


def test_a_sound_log_is_not_abandoned(operator: Operator, sqlite_world: World) -> None:
    """The line says what to leave out."""
    give_own_keys(sqlite_world)
    permit(operator, "Impatience.", "--abandon")
    line = operator("keys", "rotate", by="admin", code=1).line
    assert "without --abandon" in line


def test_keys_are_not_rotated_by_one(operator: Operator, sqlite_world: World) -> None:
    """The refusals say what to do instead; a reason without `--alone` is wrong use."""
    give_own_keys(sqlite_world)
    assert "keys propose-rotation" in operator("keys", "rotate", by="admin", code=1).line
    alone = operator("keys", "rotate", "--alone", "--because", "In a hurry.", by="admin", code=1).line
    assert f"ask {sqlite_world.admin2.person}" in alone
    operator("keys", "rotate", "--because", "In a hurry.", by="admin", code=2)
    operator("keys", "rotate", "--abandon", by="admin", code=2)


def test_the_secret_of_s3_keys_is_replaced(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """In one step, or in two where other machines need it first; each says what becomes of older keys."""
    path = tmp_path / "keys" / "s3.key"
    keys.write_secret(path)
    write_settings(
        sqlite_world.template, sqlite_world.folder, sqlite_world.settings.database_url, s3_key_file=str(path)
    )
    before = path.read_bytes()
    made = operator("keys", "rotate-s3", "--prepare", "--json").body
    following = path.with_name("s3.key.next")
    assert (made["prepared"], made["rotated"], path.read_bytes()) == (str(following), False, before)
    assert "is there already" in operator("keys", "rotate-s3", "--prepare", code=1).line
    next_ = following.read_bytes()
    made = operator("keys", "rotate-s3", "--json").body
    assert (made["rotated"], path.read_bytes(), following.exists()) == (True, next_, False)
    (older,) = path.parent.glob("s3.key.until-*")
    assert (older.read_bytes(), made["old_keys_until"].replace("-", "").replace(":", "")) == (before, older.name[13:])
    out = operator("keys", "rotate-s3", "--now").out
    assert "Older ones do not work any more. Restart the store now" in out
    assert [file.name for file in path.parent.iterdir()] == ["s3.key"]
    assert "--now is for the second step" in operator("keys", "rotate-s3", "--prepare", "--now", code=2).err
