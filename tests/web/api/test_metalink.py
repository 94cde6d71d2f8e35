"""The Metalink document: in the grammar of its RFC, and fetched by the real aria2c from the real store."""

import subprocess
from pathlib import Path

import pytest
from lxml import etree

from server.domain.publish.checkpoints import File
from server.log import canonical
from server.storage.signing import StoredObject
from server.web.api import metalink
from tests import aria2
from tests.world import World

STAGE = "mini-gpt/base"
HEADERS = {"Accept": metalink.MIME_TYPE}
GRAMMAR = etree.RelaxNG(etree.parse(Path(__file__).parents[2] / "vectors" / "metalink.rng"))
NAMES = {"m": "urn:ietf:params:xml:ns:metalink"}


def document(world: World, **order: object) -> str:
    answer = world.api("POST", "/downloads", json={"stage": STAGE} | order, headers=HEADERS)
    assert (answer.status_code, answer.mimetype) == (201, metalink.MIME_TYPE)
    (record,) = world.records("download")
    assert answer.headers["X-Download-Id"] == record["download"]
    return str(answer.text)


def fetched(text: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    path = folder.with_suffix(".meta4")
    path.write_text(text)
    return aria2.run("", folder, f"--metalink-file={path}")


def test_the_document_is_in_the_grammar_of_rfc_5854(sqlite_world: World) -> None:
    """With each file's path, size and SHA-256 as the checkpoint has them, and one URL."""
    root = etree.fromstring(document(sqlite_world))
    GRAMMAR.assertValid(root)
    listed = sqlite_world.api("GET", f"/stages/{STAGE}/checkpoints/main").json["files"]
    told = [
        {
            "path": file.get("name"),
            "size_bytes": int(file.findtext("m:size", namespaces=NAMES)),
            "sha256": file.findtext("m:hash[@type='sha-256']", namespaces=NAMES),
        }
        for file in root.iterfind("m:file", NAMES)
    ]
    assert told == listed
    assert [url.text for url in root.iterfind("m:file/m:url", NAMES)] == sqlite_world.signed_urls


def test_aria2_fetches_what_was_published(sqlite_world: World, tmp_path: Path) -> None:
    """Every file arrives under its path, byte for byte, and nothing else."""
    done = fetched(document(sqlite_world), tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert aria2.digests(tmp_path / "got") == aria2.digests(sqlite_world.template.sources / STAGE)


@pytest.mark.parametrize("which", ["X-Amz-Signature=", 'type="sha-256">'])
def test_a_spoiled_document_fails(sqlite_world: World, tmp_path: Path, which: str) -> None:
    """A wrong signature leaves nothing; a file that is not the one of the hash ends in an error."""
    text = document(sqlite_world, paths=["config.json"])
    at = text.index(which) + len(which)
    spoiled = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
    assert fetched(spoiled, tmp_path / "got").returncode != 0


def test_markup_in_a_path_or_a_url_stays_text() -> None:
    """Whatever stands there, it cannot end its element."""
    path, url = 'a"<b>&', "http://x/?a=1&b=<"
    file = File(path, 1, "0" * 64, StoredObject("key", version_id=None), canonical.encoded({}))
    root = etree.fromstring(metalink.render([(file, url)]))
    assert root[0].get("name") == path
    assert root[0][2].text == url
