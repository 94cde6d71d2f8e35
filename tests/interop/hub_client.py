"""A huggingface_hub that others talk to: one call a line of JSON on standard input, its outcome a line on the output.

usage: python hub_client.py [NAME…]   (in an environment with some line of huggingface_hub)

A call is {"name": "hf_hub_download", …its arguments}. An outcome is {"value"} or {"errors", "text"}, the names of the
exception's classes and what it says, with "warnings": what was logged meanwhile. Each NAME is found at 127.0.0.1.
Nothing here imports the server.
"""

import json
import logging
import socket
import sys
from typing import Any

import huggingface_hub  # type: ignore[import-not-found]

ASK_THE_SYSTEM = socket.getaddrinfo


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def outcome(call: dict[str, Any]) -> dict[str, Any]:
    """Make one call."""
    try:
        value = getattr(huggingface_hub, call.pop("name"))(**call)
        return {"value": list(value) if hasattr(value, "__next__") else value}
    except Exception as error:  # whatever it is, the other side judges it
        return {"errors": [kind.__name__ for kind in type(error).__mro__], "text": str(error)}


def main(names: list[str]) -> None:
    """Answer until standard input ends."""
    socket.getaddrinfo = lambda host, *more, **also: ASK_THE_SYSTEM(
        "127.0.0.1" if host in names else host, *more, **also
    )
    heard = Heard()
    logging.getLogger("huggingface_hub").addHandler(heard)
    for line in sys.stdin:
        heard.texts.clear()
        answer = outcome(json.loads(line)) | {"warnings": heard.texts}
        print(json.dumps(answer, default=lambda one: getattr(one, "__dict__", str(one))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
