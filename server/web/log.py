"""The log's public part in the forms of C2SP tlog-tiles: head, tiles, entry bundles. Anyone may read it."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Response

from server.domain.errors import NotFound
from server.log import published, tiles
from server.log.published import NotPublished
from server.web.identity import open_to_all, resources

bp = Blueprint("log", __name__, url_prefix="/log")
FOR_EVER = "public, max-age=31536000, immutable"


@bp.get("/checkpoint")
@bp.get("/<name>/checkpoint", endpoint="past_checkpoint")
@open_to_all
def checkpoint(name: str | None = None) -> Response:
    """The newest signed head, with its cosignatures. `checkpoint` is C2SP's word for it."""
    # Never a replica's: the head that is shown next may not be an older one.
    with _if_published(), resources().database.reading() as session:
        note = published.cosigned(session, published.find(session, name))
    return Response(note, mimetype="text/plain")


@bp.get("/tile/<path:path>")
@bp.get("/<name>/tile/<path:path>", endpoint="past_tile")
@open_to_all
def tile(path: str, name: str | None = None) -> Response:
    """A tile or an entry bundle; it never changes, so it may be kept for ever."""
    try:
        asked = tiles.parse_path(f"tile/{path}")
    except tiles.NotATile:
        raise NotFound("This is not the address of a tile.") from None
    use = resources()
    with _if_published():
        if name is None:  # which log is the newest is not for a replica to say: it may not know of it yet
            with use.database.reading() as session:
                name = published.find(session, None).name
        data = use.log_reading.unchanging(lambda session: published.tile(session, published.find(session, name), asked))
    return Response(data, mimetype="application/octet-stream", headers={"Cache-Control": FOR_EVER})


@contextmanager
def _if_published() -> Iterator[None]:
    try:
        yield
    except NotPublished:
        raise NotFound("The log has not grown that far, or does not exist.") from None
