"""The feed of decisions (Atom, RFC 4287): the newest that were carried out, each for good under one id."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from server.dates import rfc3339
from server.domain.access.releases import Family
from server.domain.release.decisions import PublicDecision

ATOM = "http://www.w3.org/2005/Atom"
ENTRIES_AT_MOST = 50
HAPPENED = {
    "partners": "is released to partners",
    "public": "is released to the public",
    "withdrawn": "is withdrawn",
}
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


def happened(decision: PublicDecision) -> str:
    """`is released to partners`: what a move did, after the stage's name."""
    if (decision.before, decision.to) == ("public", "partners"):
        return "is for partners only again"
    return HAPPENED[decision.to]


def written(families: Sequence[Family], publisher: Publisher) -> bytes:
    """The feed as a document. Its `updated` is that of the newest decision, so it only ever grows."""
    told = [
        (f"{family.name}/{stage.name}", one)
        for family in families
        for stage in family.stages
        for one in stage.decisions
    ]
    told.sort(key=lambda pair: (pair[1].decided_at, pair[1].id), reverse=True)
    feed = Element("feed", {"xmlns": ATOM, "xml:lang": "en"})
    _text(feed, "id", publisher.tag("releases"))
    _text(feed, "title", f"Releases of {publisher.name}")
    _text(feed, "updated", rfc3339(told[0][1].decided_at if told else publisher.since))
    _text(SubElement(feed, "author"), "name", publisher.name)
    _link(feed, "self", publisher.address, "application/atom+xml")
    _link(feed, "alternate", publisher.page, "text/html")
    for stage, decision in told[:ENTRIES_AT_MOST]:
        entry = SubElement(feed, "entry")
        _text(entry, "id", publisher.tag(f"decision/{decision.id}"))
        _text(entry, "title", f"{stage} {happened(decision)}")
        _text(entry, "published", rfc3339(decision.decided_at))
        _text(entry, "updated", rfc3339(decision.decided_at))
        _link(entry, "alternate", f"{publisher.page}#decision-{decision.id}", "text/html")
        SubElement(entry, "category", {"term": str(decision.to)})
        _text(entry, "content", decision.public_reason)
    document: bytes = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return document


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _link(parent: Element, rel: str, href: str, kind: str) -> None:
    SubElement(parent, "link", {"rel": rel, "type": kind, "href": href})
