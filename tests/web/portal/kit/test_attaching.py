"""Pages on which files are chosen: to whom they are offered, and what these pages' scripts may speak to."""

import pytest

from server.domain.release import finding_triage
from server.domain.release.findings import FindingState
from tests.findings import report
from tests.world import World


def is_offered(world: World, who: str, path: str) -> bool:
    """Whether a page has the field; then, and only then, its policy lets the script speak to the store."""
    answer = world.visit(who).get(path)
    assert answer.status_code == 200
    has_field = 'type="file"' in answer.text
    store = world.settings.s3_endpoint_url
    spoken_to = f"connect-src 'self' {store};" if has_field else "connect-src 'self';"
    assert spoken_to in answer.headers["Content-Security-Policy"]
    assert ("attachments.js" in answer.text) == has_field
    return has_field


def test_whoever_reports_may_attach(world: World) -> None:
    """On the form, and on the page of a finding of one's own organization that is not settled."""
    finding = report(world, may_publish=True)
    assert is_offered(world, "cleared", "/findings/new")
    assert is_offered(world, "cleared", f"/findings/{finding}")
    for who in ("admin", "auditor"):
        assert not is_offered(world, who, f"/admin/findings/{finding}")
    for state in (FindingState.CONFIRMED, FindingState.CLOSED):
        finding_triage.triage(world.use, world.admin, finding, state)
        assert is_offered(world, "cleared", f"/findings/{finding}") == (state is FindingState.CONFIRMED)


@pytest.mark.parametrize("path", ["/findings/new", "/findings/{finding}"])
def test_a_server_that_takes_no_files_asks_for_none(sqlite_world: World, path: str) -> None:
    """Its pages name no command, either, that it would refuse."""
    world = sqlite_world
    path = path.format(finding=report(world))
    world.use.settings = world.settings.model_copy(update={"findings_key_file": None})
    world.use.__dict__.pop("attachments", None)
    assert not is_offered(world, "cleared", path)
    assert "weightgate findings" not in world.visit("cleared").get(path).text


def test_a_page_says_how_to_attach_without_script(sqlite_world: World) -> None:
    """The command names the finding; the field is shown by the script alone."""
    world = sqlite_world
    finding = report(world)
    page = world.visit("cleared").get(f"/findings/{finding}").text
    assert f"weightgate findings attach {finding} FILE" in page
    assert '<div class="field" data-files hidden>' in page
