"""How the hub's lists lead on: by the address in `Link`."""

from typing import Any


def next_of(answer: Any) -> str:
    """The address after our own public one in `Link`; "" at the end."""
    link = answer.headers.get("Link", "")
    if not link:
        return ""
    assert link.startswith("<http://localhost:8080/api/models/")
    assert link.endswith('>; rel="next"')
    return str(link.removeprefix("<http://localhost:8080").partition(">")[0])
