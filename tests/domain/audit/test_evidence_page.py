"""The page of an evidence pack: whatever partners wrote is text on it, and it needs nothing from anywhere."""

from datetime import timedelta

import lxml.html

from server.domain.audit import evidence_packs, evidence_page
from server.domain.audit.evidence_packs import PAGE
from server.domain.downloads import issuing
from tests.world import World

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"


def test_names_are_text_on_the_page(sqlite_world: World) -> None:
    """No script, no image, nothing fetched: in any field that people choose."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    at = world.clock()
    pack = evidence_packs.make(world.use, world.admin, "soc2", at - timedelta(days=1), at)
    whole = pack.document
    for entry in whole["entries"]:
        entry.update(person=EVIL, organization=EVIL, about=EVIL, kind=EVIL, log=EVIL, time=EVIL)
    for control in whole["controls"]:
        control.update(title=EVIL, rule=EVIL, settings={EVIL: EVIL})
    whole.update(instance=EVIL, title=EVIL)
    page = lxml.html.document_fromstring(evidence_page.render(whole))
    assert page.xpath("//script | //img | //link | //iframe | //form | //*[@onerror] | //*[@src]") == []
    assert EVIL in page.text_content()
    assert page.xpath("//a[not(starts-with(@href, '#'))]") == []


def test_long_lists_are_cut_and_say_so(sqlite_world: World) -> None:
    """The page lists as many as one reads; how many there are is said, and where the rest is."""
    world = sqlite_world
    at = world.clock()
    pack = evidence_packs.make(world.use, world.admin, "soc2", at - timedelta(days=1), at)
    assert "the first" not in pack.files[PAGE].decode()
    for control in pack.document["controls"]:
        control["entries"] = control["entries"][:1] * 300
    listed = [len(one["entries"]) for one in pack.document["controls"] if one["entries"]]
    page = evidence_page.render(pack.document)
    assert page.count("Entries: 300, the first 200 are listed; all are in evidence.json") == len(listed)


def test_the_page_begins_with_what_it_cannot_show(sqlite_world: World) -> None:
    """Before the first control, and with every sentence of the framework."""
    world = sqlite_world
    at = world.clock()
    pack = evidence_packs.make(world.use, world.admin, "rand", at - timedelta(days=1), at)
    page = lxml.html.document_fromstring(pack.files[PAGE].decode())
    headings = [heading.text_content() for heading in page.xpath("//h2")]
    assert headings[:3] == ["What this pack cannot show", "How to verify it", "Controls"]
    items = [item.text_content() for item in page.xpath("//ul/li")]
    assert items[: len(pack.document["cannot_show"])] == pack.document["cannot_show"]
