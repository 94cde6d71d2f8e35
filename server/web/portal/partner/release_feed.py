"""The feed of moves and lifts (Atom, RFC 4287): the newest that were carried out, each for good under one id."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from server.dates import rfc3339
from server.domain.access.releases import Family
from server.domain.release.decisions import PublicDecision, PublicLift

ATOM = "http://www.w3.org/2005/Atom"
ENTRIES_AT_MOST = 50
HAPPENED = {
    "partners": "is released to partners",
    "public": "is released to the public",
    "withdrawn": "is withdrawn",
}
LIFTED = "lifted"  # the category of a hold that ended
# What XML 1.0 has no way to say, escaped or not: section 2.2.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Publisher(NamedTuple):
    """Whose feed it is. since: when the lab's instance began; with the log's host it names the feed (RFC 4151).

    address, page: where the feed is, and the page that tells the same.
    """

    name: str
    since: datetime
    host: str
    address: str
    page: str

    def tag(self, what: str) -> str:
        """An id that stays, whatever becomes of the address: no other instance gives the same."""
        return f"tag:{self.host},{self.since:%Y-%m-%d}:{what}"


def happened(decision: PublicDecision | PublicLift) -> str:
    """`is released to partners`: what a decision did, after the name of what it is about."""
    if isinstance(decision, PublicLift):
        return "is no longer on hold"
    if (decision.before, decision.to) == ("public", "partners"):
        return "is for partners only again"
    return HAPPENED[decision.to]


def written(families: Sequence[Family], publisher: Publisher) -> bytes:
    """The feed as a document. Its `updated` is that of the newest decision, so it only ever grows."""
    told = [told for family in families for told in _of(family)]
    told.sort(key=lambda pair: (pair[1].decided_at, pair[1].id), reverse=True)
    feed = Element("feed", {"xmlns": ATOM, "xml:lang": "en"})
    _text(feed, "id", publisher.tag("releases"))
    _text(feed, "title", f"Releases of {publisher.name}")
    _text(feed, "updated", rfc3339(told[0][1].decided_at if told else publisher.since))
    _text(SubElement(feed, "author"), "name", publisher.name)
    _link(feed, "self", publisher.address, "application/atom+xml")
    _link(feed, "alternate", publisher.page, "text/html")
    for name, decision in told[:ENTRIES_AT_MOST]:
        entry = SubElement(feed, "entry")
        _text(entry, "id", publisher.tag(f"decision/{decision.id}"))
        _text(entry, "title", f"{name} {happened(decision)}")
        _text(entry, "published", rfc3339(decision.decided_at))
        _text(entry, "updated", rfc3339(decision.decided_at))
        _link(entry, "alternate", f"{publisher.page}#decision-{decision.id}", "text/html")
        SubElement(entry, "category", {"term": LIFTED if isinstance(decision, PublicLift) else str(decision.to)})
        _text(entry, "content", decision.public_reason)
    document: bytes = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return document


def _of(family: Family) -> Iterator[tuple[str, PublicDecision | PublicLift]]:
    """Each decision about a model and its stages, with the whole name of what it is about."""
    for stage in family.stages:
        yield from ((f"{family.name}/{stage.name}", one) for one in stage.decisions)
    for lift in family.lifts:
        yield family.name if lift.name == family.name else f"{family.name}/{lift.name}", lift


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _link(parent: Element, rel: str, href: str, kind: str) -> None:
    SubElement(parent, "link", {"rel": rel, "type": kind, "href": href})
