"""Notices: what the client prints beside an answer, once a topic, also where it hides why it was refused."""

from datetime import timedelta

from flask import Response, after_this_request

from server import dates
from server.domain.access.rule import Sight
from server.web.identity import resources

HEADER = "X-HF-Warning"
TOLD_BEFORE_AN_END = timedelta(days=14)
CHARACTERS_AT_MOST = 1000


def plain(text: str) -> str:
    """The text as a header can hold it: printable ASCII, on one line."""
    letters = (letter if " " <= letter <= "~" else "?" for letter in text[:CHARACTERS_AT_MOST])
    return "".join(letters)


def add(response: Response, topic: str, text: str) -> None:
    """Let an answer say something. topic: the client prints one text of each."""
    response.headers.add(HEADER, f"{topic}; {plain(text)}")


def tell(topic: str, text: str) -> None:
    """Let the answer to this request say something."""

    @after_this_request
    def warn(response: Response) -> Response:
        add(response, topic, text)
        return response


def tell_what_changes(asked: str, sight: Sight) -> None:
    """Say that a stage has another name today, and that access to it ends soon."""
    name = sight.stage.full_name
    if asked != name:
        tell(f"renamed {asked}", f"{asked} is now called {name}.")
    if sight.ends_at is not None and sight.ends_at - sight.at < TOLD_BEFORE_AN_END:
        page = f"{resources().settings.public_url}/stages/{name}"
        tell(
            f"ends {name}", f"Your access to {name} ends on {dates.last_day(sight.ends_at)}. Request more time: {page}"
        )
