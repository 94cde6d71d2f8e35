"""Signed URLs at the real store: one changed character anywhere, or one second too late, and nothing is delivered."""

import random
import string
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from server.storage.signing import StoredObject
from tests.e2e import fetching
from tests.world import World

STAGE, PATH = "mini-gpt/base", "config.json"
CHANGES_A_PART = 12


@pytest.fixture
def url(sqlite_world: World) -> str:
    """A URL that works."""
    made: str = fetching.order(sqlite_world, STAGE, paths=[PATH])["files"][0]["url"]
    assert fetching.get(made)[0] == 200
    return made


def changed(text: str, chance: random.Random) -> str:
    """The text with one character replaced by another of its kind."""
    place = chance.randrange(len(text))
    kinds = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
    alphabet = next((kind for kind in kinds if text[place] in kind), "-._~")
    other = chance.choice([character for character in alphabet if character != text[place]])
    return text[:place] + other + text[place + 1 :]


def changes(url: str) -> Iterator[tuple[str, str]]:
    """Which part was changed, and the URL: the path, and each parameter's name and value, at random characters."""
    chance = random.Random(4)  # noqa: S311  # no secret
    head, _, query = url.partition("?")
    origin = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
    path = head.removeprefix(origin)
    pairs = [pair.split("=", 1) for pair in query.split("&")]
    for _ in range(CHANGES_A_PART):
        yield "path", f"{origin}/{changed(path[1:], chance)}?{query}"
        for number, (name, value) in enumerate(pairs):
            spoiled = {"name": f"{changed(name, chance)}={value}", "value": f"{name}={changed(value, chance)}"}
            for part, pair in spoiled.items():
                others = [f"{one}={two}" for one, two in pairs]
                others[number] = pair
                yield f"{part} of {name}", f"{head}?{'&'.join(others)}"


def test_a_url_with_one_changed_character_is_refused(url: str) -> None:
    """Whatever character it is, in path, names, values or signature: the store delivers nothing."""
    tried = list(changes(url))
    names = {name for name, _ in parse_qsl(urlsplit(url).query)}
    assert {part for part, _ in tried} == {"path"} | {f"{p} of {name}" for name in names for p in ("name", "value")}
    content = fetching.get(url)[1]
    for part, other in tried:
        if other == url:
            continue
        status, body = fetching.get(other)
        # Seen once: the embedded store hung up on a credential that it could not read, and its proxy said so.
        hung_up = part == "value of X-Amz-Credential" and status == 502
        assert status in {400, 403, 404} or hung_up, (part, status)
        assert body != content
    print(f"{len(tried)} changed URLs, none delivered")


DOWNLOAD_ID = "x-download-id="


@pytest.mark.parametrize(
    "tamper",
    [
        lambda url: url.replace(DOWNLOAD_ID, DOWNLOAD_ID + "0"),
        lambda url: url.replace(DOWNLOAD_ID, "x-download-idd="),
        lambda url: url.replace(DOWNLOAD_ID, "X-Download-Id="),
        lambda url: url.replace(DOWNLOAD_ID + url.partition(DOWNLOAD_ID)[2].partition("&")[0] + "&", ""),
        lambda url: url.replace("?" + DOWNLOAD_ID, "?"),
        lambda url: url + "&" + DOWNLOAD_ID + "another",
        lambda url: url.replace("?", "?" + DOWNLOAD_ID + "another&"),
        lambda url: url + "&" + next(part for part in url.replace("?", "&").split("&") if DOWNLOAD_ID in part),
        lambda url: url + "&x-download-note=1",
        lambda url: url + "&response-content-type=text/html",
        lambda url: url.replace("X-Amz-Expires=300", "X-Amz-Expires=900"),
        lambda url: url.replace("/config.json", "/../config.json"),
        lambda url: url.replace("/config.json", "//config.json"),
        lambda url: url.replace("/config.json", "/%63onfig.json") + "&x=",
    ],
    ids=[
        "changed", "renamed", "another case", "removed", "without a name", "a second one behind", "a second one before",
        "the same twice", "another parameter", "another content type", "a longer life", "dots", "slashes", "encoded",
    ],
)  # fmt: skip
def test_the_download_id_belongs_to_its_url(url: str, tamper: Callable[[str], str]) -> None:
    """Nobody changes, removes or adds an id, or anything else: what the store's log tells is what was signed."""
    other = tamper(url)
    assert other != url
    status, body = fetching.get(other)
    assert status in {400, 403, 404}
    assert b"architectures" not in body


@pytest.mark.parametrize("late_seconds", [1, 3600])
def test_an_ended_url_is_refused(sqlite_world: World, late_seconds: int) -> None:
    """The store itself looks at its clock: a URL that has ended delivers nothing, and no range of it."""
    file = fetching.order(sqlite_world, STAGE, paths=[PATH])["files"][0]
    issued = sqlite_world.records("download")[-1]
    lifetime = timedelta(seconds=issued["lifetime_seconds"])
    (key,) = [one["object_key"] for one in issued["files"]]
    signer = sqlite_world.use.signer
    moment = datetime.now(UTC) - lifetime - timedelta(seconds=late_seconds)
    (ended,) = signer.sign([StoredObject(key)], download_id=issued["download"], lifetime_seconds=300, moment=moment)
    assert fetching.get(ended)[0] == 403
    assert fetching.get(ended, 0, 10)[0] == 403
    assert fetching.get(file["url"])[0] == 200
