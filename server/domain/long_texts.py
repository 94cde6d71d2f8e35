"""Long texts: purposes, reasons, outcomes: what people write to be read by others, in their own lines, never cut."""

from server.domain.errors import InvalidRequest
from server.text import is_writable, lines

CHARACTERS_AT_MOST = 10_000


def require(text: str, wanted: str, at_most: int = CHARACTERS_AT_MOST) -> str:
    """Return the text without the space around it. Raises InvalidRequest, which asks for what is `wanted`."""
    text = lines(text).strip()
    if not text or len(text) > at_most or not is_writable(text):
        raise InvalidRequest(f"Enter {wanted}, in {at_most} characters or fewer.")
    return text
