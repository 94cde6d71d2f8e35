"""Damaged requests at every address of the hub's door: no failure, no URL of what is not theirs, nothing hidden."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from sqlalchemy import select

from server.domain.identity import tokens
from server.domain.publish.checkpoints import Checkpoint
from server.domain.resources import Resources
from tests.matrix import FOR_PROGRAMS, ROWS, Row
from tests.world import World

SEED = 1119
SHORT, WHOLE = 500, 10_000
PUBLIC = {"gpt-2/124M", "gpt-2/355M"}
MAY = {  # by hand: whose token opens which stages
    "cleared": PUBLIC | {"gpt-2/774M", "mini-gpt/base"},
    "uncleared": PUBLIC,
    "unsigned": PUBLIC,
    "expired": set(),
    "auditor": set(),
    "admin": PUBLIC,
    None: PUBLIC,
}
HIDDEN, NEVER = "1558M", "1559Q"  # of the same length, and in nothing else that is asked
STAGES = ["gpt-2/124M", "gpt-2/774M", "gpt-2/762M", f"gpt-2/{HIDDEN}", "mini-gpt/base", "mini-gpt/large"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]
PATHS = ["vocab.bpe", "config.json", "model.safetensors.index.json", "no", "a/b", "..", "%2e%2e/x", "é", " "]
ODD = [
    "%00",
    "%2F",
    "%2f..",
    "//",
    "/",
    "..",
    "%0d%0aX: y",
    "%",
    "%zz",
    "\u2028",
    "'",
    '"',
    "<",
    "\\",
    "\x7f",
    "+",
    ";",
    "?",
]
HUB = [row for row in ROWS if row.rule.startswith(FOR_PROGRAMS) and not row.rule.startswith(("/api/v1/", "/v2/"))]
RESOLVING = [row for row in HUB if "/resolve/" in row.rule]
QUERIES = ["limit", "cursor", "recursive", "expand", "blobs", "author", "search", "x"]
VALUES = [*PATHS, "true", "False", "1", "-1", "9" * 30]
HEADERS = {
    "Range": ["bytes=0-0", "bytes=-1", "bytes=9-1,2-3", "x", "bytes=" + "9" * 400],
    "Accept": ["text/html", "application/vnd.xet-fileinfo+json", "*/*;q=x", ""],
    "If-None-Match": ["*", '"x"'],
    "X-Forwarded-For": ["127.0.0.1", "x, y", "::ffff:1"],
    "X-HTTP-Method-Override": ["DELETE"],
    "Content-Type": ["application/json", "multipart/form-data", "multipart/form-data; boundary=x", "\xff"],
    "Cookie": ["__Host-session=x"],
    "Host": ["evil.example", "localhost:1"],
}


class Requests:
    """An endless row of requests, the same for the same seed: good ones, of which most are then damaged."""

    def __init__(self, use: Resources, *rows: list[Row]) -> None:
        """rows: of which each request takes one list, and of that one address."""
        self.chance, self._rows = random.Random(SEED), rows  # noqa: S311  # to be repeated, not to be secret
        with use.database.reading() as session:
            self.ids = list(session.scalars(select(Checkpoint.checkpoint_id)))

    def __iter__(self) -> Iterator[tuple[str | None, dict[str, Any]]]:
        one = self.chance.choice
        while True:
            row = one(one(self._rows))
            address = row.address(self._known())
            for _ in range(one([0, 0, 0, 1, 1, 2, 5])):
                address = self._damaged(address)
            if self._happens(0.4):
                address += "?" + "&".join(f"{one(QUERIES)}={one(VALUES)}" for _ in range(one([1, 2, 3])))
            yield (
                one([*MAY, "cleared", "cleared"]),
                {
                    "method": one(METHODS) if self._happens(0.1) else row.method,
                    "path": address,
                    "headers": {name: one(values) for name, values in HEADERS.items() if self._happens(0.1)},
                    "data": one([b"", b"paths=vocab.bpe&paths=a", b"{", b"\xff" * 9]),
                },
            )

    def _known(self) -> dict[str, str]:
        """Values for the parts of an address; what has no good one here gets some path or number."""
        one = self.chance.choice
        model, stage = one(STAGES).split("/")
        there = "vocab.bpe" if model == "gpt-2" else "config.json"
        return defaultdict(lambda: one([*PATHS, "1", "2", "7"])) | {
            "model": model,
            "stage": stage,
            "revision": one(["main", "main", "main", "v1", one(self.ids)]),
            "path": one([there, there, one(PATHS)]),
            "folder": one(PATHS),
            "rest": f"{one(['models', 'x'])}/{model}/{stage}",
            "topic": "x",
        }

    def _damaged(self, address: str) -> str:
        place = self.chance.randrange(1, len(address) + 1)
        return self.chance.choice(
            [
                address[:place] + self.chance.choice(ODD) + address[place:],
                address[:place] + address[place + 1 :],
                address[:place] + self.chance.choice(address) + address[place:],
                address[: address.rfind("/")] or "/x",
                address + address[place - 1 :],
                address.swapcase(),
            ]
        )

    def _happens(self, share: float) -> bool:
        return self.chance.random() < share


def send(world: World, token: str | None, asked: dict[str, Any]) -> Any:
    world.keep_sealed()
    headers = dict(asked["headers"])
    if token is not None:
        text = world.example.tokens[token]
        headers["Authorization"] = f"Bearer {tokens.for_hub(text) if len(asked['path']) % 2 else text}"
    path, _, query = asked["path"].partition("?")
    # Past the client's own reading of addresses, which is not a server's.
    raw = {"PATH_INFO": unquote_to_bytes(path).decode("latin-1"), "QUERY_STRING": query.encode().decode("latin-1")}
    return world.client.open("/", method=asked["method"], headers=headers, data=asked["data"], environ_overrides=raw)


def told(answer: Any) -> tuple[Any, ...]:
    """All that an answer says, but for what differs each time."""
    headers = sorted((name, value) for name, value in answer.headers if name != "Content-Length")
    text = f"{headers} {answer.text}".replace(answer.headers["X-Request-Id"], "")
    return answer.status_code, text.replace(HIDDEN, NEVER)


@pytest.mark.parametrize("count", [SHORT, pytest.param(WHOLE, marks=pytest.mark.fault)], ids="{} requests".format)
def test_damaged_requests_are_answered_and_give_nothing_away(sqlite_world: World, count: int) -> None:
    """Each 302 is of a stage that the token opens, and is in the log; a plan is answered like what never was."""
    world = sqlite_world
    hidden_ids = secret_ids(world)
    before, issued, answers = len(world.entries("download")), 0, set[int]()
    for (token, asked), _ in zip(Requests(world.use, HUB, RESOLVING), range(count), strict=False):
        answer = send(world, token, asked)
        where = f"seed {SEED}: {token} {asked}"
        answers.add(answer.status_code)
        assert answer.status_code < 500, where
        whole = f"{answer.headers} {answer.text}"
        if answer.status_code == 302:
            issued += 1
            key = urlsplit(answer.headers["Location"]).path.removeprefix("/weights/checkpoints/")
            assert "/".join(key.split("/")[:2]) in MAY[token], where
        else:
            assert "X-Amz-" not in whole, where
        if token not in {"admin", "auditor"}:
            assert not any(one in whole for one in hidden_ids if one not in asked["path"]), where
            if HIDDEN in asked["path"]:
                twin = send(world, token, asked | {"path": asked["path"].replace(HIDDEN, NEVER)})
                assert told(answer) == told(twin), where
    assert len(world.entries("download")) - before == issued == len(world.signed_urls)
    assert issued > count / 100
    assert {200, 302, 400, 401, 403, 404, 405} <= answers


def secret_ids(world: World) -> set[str]:
    """Of the checkpoints that no token here but staff's may see."""
    with world.use.database.reading() as session:
        found = session.scalars(select(Checkpoint)).all()
        return {one.checkpoint_id for one in found if one.stage.full_name in {f"gpt-2/{HIDDEN}", "mini-gpt/large"}}
