"""What every answer that says no must be like."""

import re
from typing import Any

from server.domain.identity.tokens import FORM

KEYS = {"type", "title", "status", "detail", "code", "next_step", "request_id"}


def require_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Return the parts of an RFC 9457 problem that is complete and gives nothing away."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    body: dict[str, Any] = answer.json
    assert set(body) == KEYS
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:weightgate:{code}")
    assert all(isinstance(body[key], str) and body[key].strip() for key in KEYS - {"status"})
    assert "{contact}" not in answer.text
    assert re.fullmatch("[0-9a-f]{16}", body["request_id"])
    assert answer.headers["X-Request-Id"] == body["request_id"]
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert FORM.search(answer.text) is None
    assert "X-Amz-" not in answer.text
    return body


def without_request_id(answer: Any) -> dict[str, Any]:
    """What is left to compare two refusals by."""
    return {key: value for key, value in answer.json.items() if key != "request_id"}
