"""Three lines of huggingface_hub, unchanged, against the served door and a real store: what is typed, and the log."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.cli.worked_example import PARTNERS
from server.domain.operation import carrying_out
from server.domain.release import holds, stages
from server.domain.release.stages import StageState
from server.storage.embedded import EmbeddedStore
from tests import parts
from tests.e2e.serving import served
from tests.faults.proxy import HALFWAY_BYTES
from tests.interop import hub_lines
from tests.interop.hub_lines import Line, Store
from tests.world import World, copied_world

STAGE = "mini-gpt/base"
LONG = "long.txt"
LOAD = Path(__file__).with_name("transformers_load.py")


@pytest.fixture(scope="module")
def hub(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore
) -> Iterator[tuple[World, str, Store]]:
    """A served world, where it is, and what its store is asked.

    gpt-2/355M is held, one partner has used up its quota, and gpt-2/long is one long file.
    """
    folder = tmp_path_factory.mktemp("hub")
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(contextlib.contextmanager(copied_world)(request, folder, "sqlite"))
        holds.place(world.use, world.admin, "gpt-2/355M", "A pause.")
        carrying_out.set_quota(world.use, world.admin, PARTNERS["unsigned"], bytes_per_day=1, requests_per_minute=None)
        publish_a_long_file(world, folder / "long")
        world.seal()  # however long the server takes to start, it finds a log that is open to entries
        port = urlsplit(embedded_store.endpoint_url).port or 0
        store, through = stack.enter_context(hub_lines.watched(port))
        server = stack.enter_context(served(world, s3_endpoint_url=f"http://127.0.0.1:{through}"))
        yield world, f"http://localhost:{server.port}", store


def publish_a_long_file(world: World, folder: Path) -> None:
    """Longer than the client's own steps: what it had of a step is lost with the connection."""
    folder.mkdir()
    (folder / LONG).write_bytes(b"A line of sixteen\n" * (2 * HALFWAY_BYTES // 18))
    stages.add(world.use, world.admin, "gpt-2/long", tier="research")
    world.publish(folder, "gpt-2/long")
    world.move("gpt-2/long", StageState.PARTNERS)


@pytest.fixture(scope="module", params=parts.HUB_LINES)
def line(
    request: pytest.FixtureRequest, hub: tuple[World, str, Store], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    world, endpoint, _ = hub
    folder = tmp_path_factory.mktemp(f"line-{request.param}")
    with hub_lines.running(request.param, world, folder, endpoint) as running:
        yield running


@pytest.fixture
def store(hub: tuple[World, str, Store]) -> Iterator[Store]:
    """The store, which afterwards was never sent a token."""
    world, _, store = hub
    store.asked.clear()
    yield store
    whole = b"".join(store.asked)
    assert b"authorization:" not in whole.lower()
    assert not any(token.encode() in whole for token in world.example.tokens.values())


def issued(world: World) -> list[str]:
    """Which files were issued, an entry each."""
    return ["+".join(file["path"] for file in record["files"]) for record in world.records("download")]


def source(world: World, stage: str = STAGE) -> dict[str, bytes]:
    folder = world.template.sources / stage
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_stage_is_read_and_nothing_is_issued(line: Line, store: Store) -> None:
    """What there is, with sizes and hashes, its history and whose token it is."""
    files, before = source(line.world), len(issued(line.world))
    info = line.value("model_info", repo_id=STAGE, files_metadata=True)
    assert {one["rfilename"]: one["size"] for one in info["siblings"]} == {name: len(files[name]) for name in files}
    tree = line.value("list_repo_tree", repo_id=STAGE, recursive=True, expand=True)
    assert {one["path"]: one["size"] for one in tree} == {name: len(files[name]) for name in files}
    assert sorted(line.value("list_repo_files", repo_id=STAGE, revision=info["sha"])) == sorted(files)
    (config,) = line.value("get_paths_info", repo_id=STAGE, paths=["config.json", "none"])
    assert config["size"] == len(files["config.json"])
    assert line.value("list_repo_refs", repo_id=STAGE)["branches"][0]["target_commit"] == info["sha"]
    commits = line.value("list_repo_commits", repo_id=STAGE)
    assert [commit["title"] for commit in commits] == ["Checkpoint 2.", "Checkpoint 1."]
    assert line.value("auth_check", repo_id=STAGE) is None
    assert line.value("whoami")["name"] == "owner@aurora-institute.example"
    assert [one["id"] for one in line.value("list_models", author="mini-gpt")] == ["mini-gpt/base", "mini-gpt/large"]
    assert line.value("repo_exists", repo_id=STAGE) is True
    assert line.value("repo_exists", repo_id="gpt-2/1558M") is False
    assert line.value("file_exists", repo_id=STAGE, filename="none") is False
    assert (len(issued(line.world)), store.asked) == (before, [])


def test_one_file_is_issued_once_and_then_cached(line: Line, store: Store) -> None:
    """With one entry; of an older checkpoint, with another; under an alias the client prints the name of today."""
    before = len(issued(line.world))
    for _ in range(2):
        path = line.value("hf_hub_download", repo_id=STAGE, filename="config.json")
        assert Path(path).read_bytes() == source(line.world)["config.json"]
    assert issued(line.world)[before:] == ["config.json"]
    older = line.value("list_repo_commits", repo_id=STAGE)[1]["commit_id"]
    path = line.value("hf_hub_download", repo_id=STAGE, filename="generation_config.json", revision=older)
    assert older in path
    assert line.world.records("download")[-1]["checkpoint"] == older
    outcome = line.call("hf_hub_download", repo_id="gpt-2/762M", filename="vocab.bpe")
    assert Path(outcome["value"]).read_bytes() == source(line.world, "gpt-2/774M")["vocab.bpe"]
    if line.name != "0.36":  # which reads no such header
        assert outcome["warnings"] == ["gpt-2/762M is now called gpt-2/774M."]
    assert issued(line.world)[before:] == ["config.json", "generation_config.json", "vocab.bpe"]


def test_a_snapshot_is_every_file_with_an_entry_each(line: Line, store: Store, tmp_path: Path) -> None:
    """Several at once, each equal to what was published; the second time, nothing is issued."""
    before, files = len(issued(line.world)), source(line.world)
    for _ in range(2):
        folder = Path(line.value("snapshot_download", repo_id=STAGE, cache_dir=str(tmp_path)))
        assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")} == files
    assert sorted(issued(line.world)[before:]) == sorted(files)
    assert len([one for one in store.asked if one.startswith(b"GET ")]) == len(files)


def test_a_download_goes_on_where_it_was_cut(line: Line, store: Store, tmp_path: Path) -> None:
    """Decided anew, with an entry of its own; newer lines go on by themselves, the oldest when it is called again."""
    before, asked = len(issued(line.world)), {"repo_id": "gpt-2/long", "filename": LONG, "cache_dir": str(tmp_path)}
    store.cut_next = True
    if line.name == "0.36":
        assert "errors" in line.call("hf_hub_download", **asked)
    path = Path(line.value("hf_hub_download", **asked))
    assert path.read_bytes() == (line.world.folder.parent / "long" / LONG).read_bytes()
    assert issued(line.world)[before:] == [LONG, LONG]
    (again,) = store.ranges()
    assert 0 < int(again.removeprefix("bytes=").partition("-")[0]) < path.stat().st_size


REFUSED: list[tuple[str | None, str, dict[str, str], str, str]] = [
    (None, STAGE, {}, "GatedRepoError", "No API token was sent."),
    ("expired", STAGE, {}, "HfHubHTTPError", "Invalid credentials in Authorization header"),
    ("uncleared", STAGE, {}, "GatedRepoError", "Your organization is not cleared for this stage."),
    ("unsigned", STAGE, {}, "GatedRepoError", "Your organization has not signed the agreement"),
    ("unsigned", "gpt-2/124M", {"filename": "vocab.bpe"}, "GatedRepoError", "Your organization may be issued 1 bytes"),
    ("cleared", "gpt-2/355M", {"filename": "vocab.bpe"}, "GatedRepoError", "This stage is on hold"),
    ("cleared", "gpt-2/1558M", {}, "RepositoryNotFoundError", "This stage does not exist"),
    ("cleared", "gpt-2/none", {}, "RepositoryNotFoundError", "This stage does not exist"),
    ("cleared", STAGE, {"revision": "0" * 40}, "RevisionNotFoundError", "This stage has no such checkpoint."),
    ("cleared", STAGE, {"filename": "none"}, "EntryNotFoundError", "none is not in this checkpoint."),
    ("cleared", STAGE, {"repo_type": "dataset"}, "RepositoryNotFoundError", "There are no datasets or spaces here"),
]


def test_each_refusal_is_the_client_s_own_with_our_words(line: Line, store: Store, tmp_path: Path) -> None:
    """And nothing is issued; newer lines print our reason as a warning, too, once a process."""
    before, printed = len(issued(line.world)), list[str]()
    for token, stage, more, kind, text in REFUSED:
        asked = {"repo_id": stage, "filename": "config.json", "token": token, "cache_dir": str(tmp_path), **more}
        outcome = line.call("hf_hub_download", **asked)
        assert kind in outcome["errors"], outcome
        assert text in outcome["text"], outcome
        printed += outcome["warnings"]
    assert issued(line.world)[before:] == []
    for text in ("The token has expired.", "is not cleared for this stage", "on hold") if line.name != "0.36" else ():
        assert len([one for one in printed if text in one]) == 1, printed


def test_the_command_line_downloads_and_verifies(line: Line, store: Store, tmp_path: Path) -> None:
    """`hf download` as the portal's page says; `hf cache verify` finds a flipped byte, where a line has it."""
    done = line.run("download", "gpt-2/774M", "--local-dir", str(tmp_path / "774M"))
    assert done.returncode == 0, done.stderr
    files = source(line.world, "gpt-2/774M")
    assert {name: (tmp_path / "774M" / name).read_bytes() for name in files} == files
    assert "owner@aurora-institute.example" in line.run("auth", "whoami").stdout
    refused = line.run("download", "gpt-2/774M", "--local-dir", str(tmp_path / "no"), token="uncleared")
    assert refused.returncode != 0
    assert "Your organization is not cleared" in refused.stderr + refused.stdout
    if line.name == "0.36":
        return
    verify = ("cache", "verify", "gpt-2/774M", "--local-dir", str(tmp_path / "774M"))
    assert line.run(*verify).returncode == 0
    whole = files["vocab.bpe"]
    (tmp_path / "774M" / "vocab.bpe").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert line.run(*verify).returncode != 0


def test_whoever_has_a_copy_keeps_it_when_access_ends(line: Line, store: Store, tmp_path: Path) -> None:
    """The client falls back on its cache: a refusal stops new bytes and takes nothing back (SECURITY.md says so)."""
    asked = {"repo_id": "gpt-2/124M", "cache_dir": str(tmp_path)}
    line.value("snapshot_download", **asked)
    before = len(issued(line.world))
    holds.place(line.world.use, line.world.admin, "gpt-2/124M", "A pause.")
    try:
        assert Path(line.value("snapshot_download", **asked)).is_dir()
        refused = line.call("snapshot_download", repo_id="gpt-2/124M", cache_dir=str(tmp_path / "new"))
        assert "errors" in refused
    finally:
        line.world.lift("gpt-2/124M")
    assert issued(line.world)[before:] == []


def test_transformers_loads_by_name(hub: tuple[World, str, Store], store: Store, tmp_path: Path) -> None:
    """`from_pretrained("mini-gpt/base")`: every file that it takes has one entry, and it writes text with the model."""
    world, endpoint, _ = hub
    if not (parts.TRANSFORMERS / ".installed").exists():
        parts.missing("an environment with transformers and PyTorch")
    world.seal()
    before = len(issued(world))
    environment = {"HOME": str(tmp_path), "HF_ENDPOINT": endpoint, "HF_TOKEN": world.example.tokens["cleared"]}
    command = [str(parts.TRANSFORMERS / "bin" / "python"), str(LOAD), STAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["parameters"] > 1_000_000
    taken = issued(world)[before:]
    assert len(taken) == len(set(taken))
    assert {"model-00001-of-00002.safetensors", "config.json", "tokenizer.json"} <= set(taken) <= set(source(world))
