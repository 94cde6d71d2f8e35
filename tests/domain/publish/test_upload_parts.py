"""Parts on a real store: each by a URL for its own bytes, and what has arrived is not asked for again."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from server.domain.errors import InvalidRequest, NotFound
from server.domain.publish import upload_parts
from server.domain.publish.upload_parts import Wanted
from tests.attached import put
from tests.uploads import FILES, announced, parts_of, sent, sha256, slots
from tests.world import World

pytestmark = pytest.mark.usefixtures("no_uploads")


def test_only_what_was_announced_can_be_sent(sqlite_world: World) -> None:
    """Another length or hash, another part, another object: the store refuses each, and what is too short."""
    world, content = sqlite_world, FILES["config.json"]
    upload = announced(world)
    slot = next(slot for slot in slots(world, upload) if slot.path == "config.json")
    headers, url = dict(slot.headers), slot.url or ""
    other = content.replace(b"12", b"13")
    longer = headers | {"Content-Length": str(len(content) + 1)}
    assert put(url, headers, other) >= 400
    assert put(url, longer, content + b"x") >= 400
    assert put(url, headers | {"x-amz-checksum-sha256": "A" * 43 + "="}, other) >= 400
    assert put(url, {"Content-Length": str(len(content))}, content) >= 400
    assert put(url.replace("partNumber=1", "partNumber=2"), headers, content) >= 400
    assert put(url.replace("/uploads/", "/checkpoints/"), headers, content) >= 400
    assert put(url.replace("partNumber=1", "x=1"), headers, content) >= 400  # the whole object
    assert put(url, headers | {"x-amz-copy-source": "/weights/weightgate/instance.json"}, content) >= 400
    assert slots(world, upload)[0].url is not None
    assert put(url, headers, content) == 200
    assert [slot.url is None for slot in slots(world, upload)] == [True, False]


def test_a_part_that_was_announced_does_not_become_another_one(sqlite_world: World) -> None:
    """Or what had arrived before could not be told from the right one."""
    world, caller = sqlite_world, sqlite_world.caller("publisher")
    upload = announced(world)
    sent(world, upload)
    for wanted in (
        [Wanted("config.json", 1, "1" * 64)],
        [Wanted("config.json", 2, "1" * 64)],
        [Wanted("vocab.txt", 1, sha256(FILES["vocab.txt"]))] * 2,
    ):
        with pytest.raises(InvalidRequest):
            upload_parts.urls(world.use, caller, upload.id, wanted)
    with pytest.raises(NotFound):
        upload_parts.urls(world.use, caller, upload.id, [Wanted("other.json", 1, "1" * 64)])


def test_many_parts_are_cut_where_the_store_cuts_them(sqlite_world: World) -> None:
    """A file of a part and a byte has two, and both arrive."""
    world, files = sqlite_world, {"vocab.txt": b"a\n" * (8 * 2**20) + b"b"}
    assert [len(part) for part in parts_of(files).values()] == [16 * 2**20, 1]
    upload = announced(world, files)
    sent(world, upload, files)
    assert all(slot.url is None for slot in slots(world, upload, files))


def test_what_the_store_has_forgotten_is_begun_anew(sqlite_world: World) -> None:
    """A part that lies there no more, as after a restored backup, is asked for again."""
    world = sqlite_world
    upload = announced(world)
    sent(world, upload)
    for key, attempt, _ in world.use.arrivals.attempts():
        world.use.arrivals.abort(key, attempt)
    assert all(slot.url is not None for slot in slots(world, upload))
    sent(world, upload)
    assert all(slot.url is None for slot in slots(world, upload))


def test_two_requests_at_once_begin_each_file_once(world: World) -> None:
    """Whoever comes second uses what the first one began, and leaves nothing behind."""
    upload = announced(world)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: slots(world, upload), range(4)))
    attempts = {(slot.path, parse_qs(urlsplit(slot.url or "").query)["uploadId"][0]) for one in made for slot in one}
    assert len(attempts) == len(FILES) == len(world.use.arrivals.attempts())
