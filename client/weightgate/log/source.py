"""Source: what a server shows of its log over HTTP, and what it means when it does not. Verifies nothing."""

import re
from dataclasses import dataclass

from weightgate.http import Response, Server
from weightgate.log import head, keys, proof
from weightgate.log.hashing import HASH_BYTES
from weightgate.log.keys import Keys
from weightgate.log.tiles import TILE_WIDTH, tile_path
from weightgate.verdicts import CannotTell, Malformed, Refuted

_HEAD_BYTES_AT_MOST = 128 * 1024
_LOG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class NotSealed:
    """The server has no proof. retry_after_seconds: None when it does not even know the download."""

    retry_after_seconds: int | None


class Source:
    """One log on one server. The prefix is `/log` for the server's current log, `/log/<name>` for an earlier one."""

    def __init__(self, server: Server, origin: str) -> None:
        self._server = server
        self._origin = origin
        self._prefix = "/log"

    def keys(self) -> Keys:
        """The keys of this log; none when the server shows none, or by now those of a later log."""
        try:
            response = self._server.get("/api/v1/keys", keys.SIZE_BYTES_AT_MOST)
        except Malformed as error:
            raise CannotTell("malformed_keys", f"The server's keys are malformed: {error}.") from None
        found = keys.shown(response.body) if response.status == 200 else Keys()
        return found if found.log is not None and found.log.name == self._origin else Keys()

    def proof(self, download_id: str) -> bytes | NotSealed:
        response = self._get(
            f"/api/v1/downloads/{download_id}/proof", proof.SIZE_BYTES_AT_MOST, "proof", with_token=True
        )
        if response.status == 404:
            return NotSealed(response.retry_after_seconds)
        if response.status in (401, 403):
            raise CannotTell(
                "not_entitled",
                f"The server does not give the proof to this caller (HTTP {response.status}).",
                "Use a token of the organization that downloaded, with --token-file or WEIGHTGATE_TOKEN.",
            )
        return _body(response, "proof")

    def head(self) -> bytes:
        """The newest head. A server that has begun a new log keeps the earlier ones under their names."""
        response = self._get(f"{self._prefix}/checkpoint", _HEAD_BYTES_AT_MOST, "head")
        name = self._origin.rpartition("/")[2]
        if response.status == 200 and head.origin_of(response.body) != self._origin and _LOG_NAME.fullmatch(name):
            earlier = self._get(f"/log/{name}/checkpoint", _HEAD_BYTES_AT_MOST, "head")
            if earlier.status == 200:
                response, self._prefix = earlier, f"/log/{name}"
        return _body(response, "head")

    def tile(self, level: int, number: int, width: int) -> bytes:
        """The first `width` hashes of a tile. A partial tile may be gone once the full one is there."""
        response = self._get_tile(level, number, width)
        if response.status == 404 and width < TILE_WIDTH:
            response = self._get_tile(level, number, TILE_WIDTH)
        path = tile_path(level, number, width)
        if response.status == 404:
            raise Refuted("missing_tile", f"The log {self._origin} does not provide a part of its tree: tile {path}.")
        if len(body := _body(response, "tile")) < HASH_BYTES * width:
            raise Refuted("malformed_tile", f"The tile {path} is malformed: it is too short.")
        return body[: HASH_BYTES * width]

    def _get_tile(self, level: int, number: int, width: int) -> Response:
        return self._get(f"{self._prefix}/tile/{tile_path(level, number, width)}", HASH_BYTES * width, "tile")

    def _get(self, path: str, limit_bytes: int, what: str, *, with_token: bool = False) -> Response:
        try:
            return self._server.get(path, limit_bytes, with_token=with_token)
        except Malformed as error:
            raise Refuted(f"malformed_{what}", f"The server's {what} is malformed: {error}.") from None


def _body(response: Response, what: str) -> bytes:
    if response.status != 200:
        raise CannotTell("unreachable", f"The server does not provide the {what} (HTTP {response.status}).")
    return response.body
