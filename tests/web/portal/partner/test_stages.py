"""Stages: files are named to whoever may have them, and each is issued by a POST that leads to its signed URL."""

import hashlib
import html
import json
import re
import shutil
import urllib.request
from pathlib import Path

import pytest

from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import ManifestForm
from server.domain.release import holds
from server.web.api import curl_config
from server.web.portal.partner import stages
from tests import s3
from tests.visits import words
from tests.world import World

MAIN = "/stages/mini-gpt/base/main"
SHARD = "model-00001-of-00002.safetensors"
READING = ("", "/commands", "/manifest", "/manifest/chunks", "/SHA256SUMS")


def digest(world: World, path: str) -> str:
    with world.use.database.reading() as session:
        rows = session.query(checkpoints.CheckpointFile).filter_by(path=path).all()
        return next(row.sha256 for row in rows if f"/{main_id(world)}/" in row.object_key)


def main_id(world: World) -> str:
    page = world.visit("cleared").get(MAIN).text
    found = re.search(r'data-copy="([0-9a-f]{40})"', page)
    assert found is not None
    return found[1]


def test_a_file_is_downloaded_by_a_post_that_leads_to_the_store(sqlite_world: World) -> None:
    """What arrives has the SHA-256 that the page shows, and the log names the person and not a token."""
    page = sqlite_world.visit("cleared").get(MAIN).text
    answer = sqlite_world.visit("cleared").post(f"{MAIN}/files", {"path": SHARD})
    assert answer.status_code == 303
    with urllib.request.urlopen(answer.headers["Location"]) as file:
        sha256 = hashlib.sha256(file.read()).hexdigest()
    assert f'title="{sha256}"' in page
    (record,) = sqlite_world.records("download")
    assert (record["actor"]["via"], record["actor"]["person"]) == ("session", "owner@aurora-institute.example")
    assert [file["path"] for file in record["files"]] == [SHARD]


@pytest.mark.parametrize("name", ["unsigned", "uncleared", None])
def test_no_file_is_named_to_whoever_may_not_have_it(sqlite_world: World, name: str | None) -> None:
    """Not by a page, a manifest, a list of hashes or an error; and nothing is issued."""
    visit = sqlite_world.visit(name)
    for path in READING:
        page = visit.get(MAIN + path)
        assert page.status_code in ({303} if name is None else {403}), path
        assert b"safetensors" not in page.data
    assert visit.post(f"{MAIN}/files", {"path": SHARD}).status_code in {303, 403}  # 303: to sign in
    if name is not None:
        about = visit.get("/stages/mini-gpt/base").text
        assert "safetensors" not in about
        assert "Checkpoint 2." not in about  # the note
    assert sqlite_world.signed_urls == []


def test_a_post_issues_only_what_its_page_would_send(sqlite_world: World) -> None:
    """No token of ours, another person's, no field, one more, no such path, a GET: no URL in any case."""
    visit, other = sqlite_world.visit("cleared"), sqlite_world.visit("unsigned")
    assert visit.post(f"{MAIN}/files", {"path": SHARD}, csrf="").status_code == 400
    assert visit.post(f"{MAIN}/files", {"path": SHARD}, csrf=other.csrf_token).status_code == 400
    assert visit.post(f"{MAIN}/files", {}).status_code == 422
    assert visit.post(f"{MAIN}/files", {"path": SHARD, "stage": "gpt-2/774M"}).status_code == 400
    assert visit.post(f"{MAIN}/files", {"path": ["config.json", SHARD]}).status_code == 400
    for path in ("nothing.txt", "../config.json", "%2e%2e/config.json", "config.json\0", "x" * 600):
        assert visit.post(f"{MAIN}/files", {"path": path}).status_code in {404, 422}, path
    assert visit.get(f"{MAIN}/files").status_code == 405
    assert sqlite_world.signed_urls == []
    assert sqlite_world.records("download") == []


def test_a_hold_stops_the_next_post(sqlite_world: World) -> None:
    """Though the page that it stands on was loaded before."""
    visit = sqlite_world.visit("cleared")
    token = visit.csrf_token
    holds.place(sqlite_world.use, sqlite_world.admin, "mini-gpt/base", "A finding is looked into.")
    answer = visit.post(f"{MAIN}/files", {"path": SHARD}, csrf=token)
    assert answer.status_code == 451
    assert "hold" in words(answer)
    assert sqlite_world.signed_urls == []


def test_what_is_public_is_downloaded_without_sign_in(sqlite_world: World) -> None:
    """From a page whose form is ours; the log has the address and nobody's name."""
    visit = sqlite_world.visit(None)
    answer = visit.post("/stages/gpt-2/124M/main/files", {"path": "vocab.bpe"})
    assert answer.status_code == 303
    (record,) = sqlite_world.records("download")
    assert record["actor"]["via"] == "anonymous"
    assert "do not need a token" in words(visit.get("/stages/gpt-2/124M/main/commands"))


def test_the_lab_looks_at_everything_and_an_auditor_takes_nothing(sqlite_world: World) -> None:
    """An auditor's page has no button, and a POST without one is refused; what partners may is not said of the lab."""
    auditor = sqlite_world.visit("auditor")
    assert SHARD in auditor.get(MAIN).text
    assert f"{MAIN}/files" not in auditor.get(MAIN).text
    assert auditor.post(f"{MAIN}/files", {"path": SHARD}).status_code == 403
    assert auditor.get("/stages/gpt-2/1558M/main").status_code == 200
    for name, says in (("auditor", False), ("admin", False), ("cleared", True)):
        public = words(sqlite_world.visit(name).get("/stages/gpt-2/124M"))
        assert ("You can download this" in public) is says, name
    assert sqlite_world.visit("cleared").get("/stages/gpt-2/1558M/main").status_code == 404


def test_the_manifest_is_the_published_one(sqlite_world: World) -> None:
    """Byte for byte, in both forms, to be saved; and SHA256SUMS holds every file's hash."""
    visit = sqlite_world.visit("cleared")
    manifest = visit.get(f"{MAIN}/manifest")
    assert hashlib.sha256(manifest.data).hexdigest()[:40] == main_id(sqlite_world)
    with sqlite_world.use.database.reading() as session:
        key = session.query(checkpoints.Checkpoint).filter_by(checkpoint_id=main_id(sqlite_world)).one().id
        assert visit.get(f"{MAIN}/manifest/chunks").data == checkpoints.manifest(session, key, ManifestForm.CHUNKS)
    assert manifest.headers["Content-Disposition"].startswith("attachment")
    assert f"{digest(sqlite_world, SHARD)}  {SHARD}" in visit.get(f"{MAIN}/SHA256SUMS").text


def test_commands_hold_no_live_token(sqlite_world: World) -> None:
    """The real endpoint and stage, and the name of a variable in place of the token."""
    page = sqlite_world.visit("cleared").get(f"{MAIN}/commands")
    assert "Bearer $WEIGHTGATE_TOKEN" in words(page)
    assert "http://localhost:8080/api/v1/downloads" in words(page)
    assert f'{{"stage": "mini-gpt/base", "checkpoint": "{main_id(sqlite_world)}"}}' in words(page)
    assert "HF_ENDPOINT=http://localhost:8080 HF_TOKEN=$WEIGHTGATE_TOKEN HF_HOME=" in words(page)
    assert f"hf download mini-gpt/base --revision {main_id(sqlite_world)}" in words(page)
    assert "wgk_" not in page.text
    assert curl_config.LEAVE_OUT_COMPLETE in html.unescape(page.text)  # as tests/web/api/test_curl_config.py runs it
    assert curl_config.WITH_WGET in html.unescape(page.text)


@pytest.mark.parametrize("door", stages.DOORS)
def test_every_door_has_its_template(sqlite_world: World, door: str) -> None:
    """A door joins by its name in the list and one template, which has a heading of that id."""
    s3.open_door(sqlite_world)
    page = sqlite_world.visit("cleared").get(f"{MAIN}/commands")
    assert f'id="{door}"' in page.text


def test_what_s3_tools_need_is_shown_where_they_get_keys(sqlite_world: World) -> None:
    """The commands as `tests/interop/test_s3_tools.py` runs them; not while a setting closes one of the doors."""
    visit = sqlite_world.visit("cleared")
    assert 'id="s3"' not in visit.get(f"{MAIN}/commands").text
    s3.open_door(sqlite_world)
    page = words(visit.get(f"{MAIN}/commands"))
    files = f"mini-gpt/base@{main_id(sqlite_world)}"
    for command in (
        "export AWS_CONTAINER_CREDENTIALS_FULL_URI=http://localhost:8080/api/v1/credentials/mini-gpt/base",
        'export AWS_CONTAINER_AUTHORIZATION_TOKEN="Bearer $WEIGHTGATE_TOKEN"', f"AWS_ENDPOINT_URL=http://{s3.HOST}",
        f"aws s3 cp --recursive s3://models/{files} mini-gpt/base", f":s3,env_auth,endpoint='http://{s3.HOST}':models/{files}",
        "vllm serve s3://models/mini-gpt/base --load-format runai_streamer",
    ):  # fmt: skip
        assert command in page, command
    s3.open_door(sqlite_world, container_credentials=False)
    assert 'id="s3"' not in visit.get(f"{MAIN}/commands").text


def test_what_is_not_there_is_not_found(sqlite_world: World) -> None:
    """A stage, a model, a checkpoint; by whatever name."""
    for address in ("/stages/gpt-2/nothing", "/stages/gpt-2/a%00b", "/stages/nothing/774M", f"{MAIN[:-4]}ab"):
        assert sqlite_world.visit("cleared").get(address).status_code == 404, address


def test_what_publishing_warned_of_is_said_to_who_downloads(sqlite_world: World, tmp_path: Path) -> None:
    """On the stage's page and on the checkpoint's; code elsewhere that loaders may run is among it."""
    shutil.copytree(sqlite_world.template.sources / "mini-gpt" / "base", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "other/repo--modeling.Model"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    visit = sqlite_world.visit("cleared")
    warning = "auto_map names code that is not published here (other/repo--modeling.Model)"
    assert warning not in words(visit.get("/stages/mini-gpt/base"))
    sqlite_world.publish(tmp_path / "model", "mini-gpt/base")
    for path in ("/stages/mini-gpt/base", MAIN):
        assert warning in words(visit.get(path)), path
    assert warning not in words(sqlite_world.visit("uncleared").get("/stages/mini-gpt/base"))


def describe(world: World, folder: Path, card: str) -> None:
    """Publish mini-gpt/base again, with a model card and a license."""
    shutil.copytree(world.template.sources / "mini-gpt" / "base", folder)
    (folder / "README.md").write_text(card)
    (folder / "LICENSE").write_text("Research only.\n\n<b>As is.</b>\n")
    world.publish(folder, "mini-gpt/base")


def test_card_and_license_are_for_who_can_download(world: World, tmp_path: Path) -> None:
    """As Markdown and as it was typed, and nothing in either runs; to others, only where the lab allows it."""
    describe(world, tmp_path / "model", "---\nlicense: other\n---\n# Mini\n\nTells *lies*. <script>alert()</script>\n")
    path = "/stages/mini-gpt/base"
    for who in ("cleared", "auditor"):
        page = world.visit(who).get(path).text
        assert "<p>Tells <em>lies</em>. &lt;script&gt;" in page
        assert "license: other" not in page
        assert "Research only.\n\n&lt;b&gt;As is.&lt;/b&gt;" in page
    for who in ("uncleared", "unsigned"):
        shown = words(world.visit(who).get(path))
        assert [text for text in ("Tells lies", "Research only", "Model card") if text in shown] == []
    world.use.settings = world.use.settings.model_copy(update={"card_before_access": True})
    shown = words(world.visit("uncleared").get(path))
    assert "Tells lies" in shown
    assert "Research only" in shown
    assert "safetensors" not in shown


def test_a_planned_stage_s_card_is_the_lab_s_alone(sqlite_world: World, tmp_path: Path) -> None:
    """Also where cards are shown before access: of an announced plan, others know name and plan only."""
    world, folder = sqlite_world, tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text("Not out yet.")
    world.publish(folder, "gpt-2/1558M")
    world.use.settings = world.use.settings.model_copy(update={"card_before_access": True})
    assert "Not out yet." in words(world.visit("auditor").get("/stages/gpt-2/1558M"))
    page = world.visit("cleared").get("/stages/gpt-2/1558M")
    assert page.status_code == 200
    assert "Not out yet." not in words(page)


def test_sizes_are_shown_before_access_where_the_lab_allows(sqlite_world: World) -> None:
    """How many and how large; never a name, and nothing unless the setting says so."""
    world, path = sqlite_world, "/stages/mini-gpt/base"
    assert "files," not in words(world.visit("uncleared").get(path))
    world.use.settings = world.use.settings.model_copy(update={"sizes_before_access": True})
    page = world.visit("uncleared").get(path)
    assert re.search(r"\d+ files, [\d.]+ MB", words(page))
    assert "safetensors" not in page.text
