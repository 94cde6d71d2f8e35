"""Requests: bodies read strictly, and the client's address believed only as far as our own proxies go."""

import json
from functools import lru_cache
from typing import Any

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from server import addresses
from server.domain.errors import InvalidRequest

BODY_BYTES_AT_MOST = 1_000_000  # a thousand paths of 512 characters fit well
KEPT_CHARACTERS_AT_MOST = 200  # of a header that is kept as a key: whoever sends it chooses its length
KEYS_AT_MOST = 100  # in one object: each unknown one costs a sentence


class StrictRequest(Request):
    """A request whose JSON has no second meaning: no duplicate keys, no NaN, valid UTF-8, the right content type."""

    max_content_length = BODY_BYTES_AT_MOST

    def get_json(self, *_: Any, **__: Any) -> Any:
        if self.mimetype != "application/json":
            raise UnsupportedMediaType("Send JSON with `Content-Type: application/json`.")
        try:
            body = json.loads(
                self.get_data().decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
            )
        except UnicodeDecodeError:
            raise InvalidRequest("The body is not UTF-8.") from None
        except json.JSONDecodeError as error:
            raise InvalidRequest(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
        except RecursionError:
            raise InvalidRequest("The body is nested too deeply.") from None
        except ValueError:  # what Python's parser says of a number with thousands of digits
            raise InvalidRequest("The body contains a number that is too long.") from None
        if not isinstance(body, dict):  # also null, which APIFlask would take for an empty object
            raise InvalidRequest("The body is not a JSON object.")
        return body


def client_address(peer: str | None, forwarded_for: str, trusted: tuple[str, ...]) -> str | None:
    """Return who asks: the nearest address that is not one of our proxies.

    X-Forwarded-For is written by anyone; each proxy appends whom it heard from, so it is read from the right, and only
    while the speaker is trusted. Some proxies add the port.
    """
    found = _client_address if len(forwarded_for) <= KEPT_CHARACTERS_AT_MOST else _client_address.__wrapped__
    return found(peer, forwarded_for, trusted)


@lru_cache(maxsize=4096)
def _client_address(peer: str | None, forwarded_for: str, trusted: tuple[str, ...]) -> str | None:
    networks = [addresses.network(network) for network in trusted]
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    here = addresses.parse(peer)
    while hops and here is not None and any(here in network for network in networks):
        here = addresses.parse_hop(hops.pop())
    return None if here is None else str(here)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > KEYS_AT_MOST:
        raise InvalidRequest(f"An object in the body has more than {KEYS_AT_MOST} keys.")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("An object in the body contains the same key twice.")
    return found


def _no_constant(name: str) -> Any:
    raise InvalidRequest(f"{name} is not JSON.")
