"""An application that answers with how many objects its process leaves out when it collects garbage, and the others."""

import gc
from typing import Any

import server.web.app  # noqa: F401  # as the real one does


def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    answer = f"[{gc.get_freeze_count()}, {len(gc.get_objects())}]".encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
