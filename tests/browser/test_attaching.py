"""Attaching files to findings, from a real browser into the real store; and what one reads if a file is not taken."""

import re
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, Route, expect

from tests.attached import TABLE, png
from tests.browser.people import People

ITS_PAGE = re.compile(r"/findings/\d+$")
NEW = "/findings/new?stage=gpt-2/774M"


def file(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "", "buffer": content}


def fill_in(page: Page, title: str, *files: FilePayload) -> None:
    page.get_by_label("Kind").select_option("bias")
    page.get_by_label("Severity").select_option("low")
    page.get_by_label("Title").fill(title)
    page.get_by_label("What you found").fill("What we saw.")
    page.get_by_label("Files").set_input_files(list(files))


def findings(demo: dict[str, Any]) -> list[dict[str, Any]]:
    """The reporter's, newest first, as the API has them."""
    headers = {"Authorization": f"Bearer {demo['tokens']['cleared']}"}
    listed = requests.get(f"{demo['endpoint']}/api/v1/findings", headers=headers, timeout=20).json()["items"]
    return [
        requests.get(f"{demo['endpoint']}/api/v1/findings/{one['id']}", headers=headers, timeout=20).json()
        for one in listed
    ]


@pytest.fixture
def reported(people: People) -> str:
    """The address of a new finding without attachments."""
    with people.at("cleared", NEW) as page:
        fill_in(page, f"Of {id(page)}")
        page.get_by_role("button", name="Report finding").click()
        page.wait_for_url(ITS_PAGE)
        return page.url.removeprefix(people.endpoint)


def test_a_report_takes_its_files_along(people: People, demo: dict[str, Any]) -> None:
    """Its page lists them, under names that the store takes, and gives back what was sent; no policy was in the way."""
    with people.at("cleared", NEW) as page:
        fill_in(page, "With two files", file("counts.csv", TABLE), file("Screen shot (1).PNG", png()))
        page.get_by_role("button", name="Report finding").click()
        page.wait_for_url(ITS_PAGE)
        expect(page.get_by_text("Finding reported.")).to_be_visible()
        listed = page.locator(".attachments li")
        expect(listed).to_have_count(2)
        expect(listed.nth(1)).to_contain_text("Screen-shot-1-.png")
        with page.expect_download() as saving:
            listed.nth(0).get_by_role("button", name="Save").click()
        assert saving.value.path().read_bytes() == TABLE
        assert saving.value.suggested_filename.endswith("counts.csv")
    assert len(findings(demo)[0]["attachments"]) == 2


def test_a_file_is_attached_to_a_finding_that_is_there(people: People, reported: str) -> None:
    """On its page, also on a phone; what is being sent is said to those who do not see it."""
    with people.at("cleared", reported, viewport={"width": 320, "height": 700}) as page:
        expect(page.get_by_text("weightgate findings attach")).to_be_hidden()
        page.get_by_label("Files").set_input_files(file("counts.csv", TABLE))
        page.get_by_role("button", name="Attach files").click()
        expect(page.locator(".attachments li")).to_contain_text("counts.csv")


REFUSED = {
    "page.png": (b"<html><script>1</script>", "The file was refused: it is no png"),
    "tool.exe": (b"MZ", "Files of this type are not taken"),
    "none.csv": (b"", "It is empty."),
    "huge.csv": (b"1,", "It is larger than 50 MB. Attach a part of it."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_refused_is_said_beside_it(people: People, reported: str, name: str) -> None:
    """With what to do; what was good stays, what was not is not there, and axe finds nothing."""
    content, words = REFUSED[name]
    with people.at("cleared", reported) as page:
        chosen = page.get_by_label("Files")
        if name == "huge.csv":  # the bound that the page names, lowered: a browser under test takes no such file
            chosen.evaluate("one => one.dataset.sizeAtMost = 1")
            page.evaluate("document.querySelector('[data-size-at-most]').dataset.sizeAtMost = 1")
            words = words.replace("50", "0.000001")
        chosen.set_input_files([file(name, content)])
        page.get_by_role("button", name="Attach files").click()
        expect(page.locator(".sending li")).to_contain_text(words)
        expect(page.get_by_role("alert")).to_be_visible()
        assert Axe().run(page).response["violations"] == []
        page.reload()
        expect(page.locator(".attachments")).to_have_count(0)
    people.complaints[:] = [said for said in people.complaints if "422" not in said]


def test_a_lost_connection_to_the_store_is_said_and_tried_again(people: People, demo: dict[str, Any]) -> None:
    """The report is there meanwhile, and is not sent a second time."""
    is_lost = [True]

    def between(route: Route) -> None:
        route.abort() if is_lost[0] and route.request.method == "PUT" else route.continue_()

    with people.at("cleared", NEW) as page:
        page.route(f"{demo['s3_endpoint']}/**", between)
        fill_in(page, "Sent with a bad line", file("counts.csv", TABLE))
        page.get_by_role("button", name="Report finding").click()
        expect(page.locator(".sending li")).to_contain_text("The connection to the store was lost.")
        expect(page.get_by_role("alert").get_by_role("link", name="See finding ")).to_be_visible()
        expect(page.get_by_label("Title")).to_be_hidden()
        is_lost[0] = False
        page.get_by_role("button", name="Attach files").click()
        page.wait_for_url(ITS_PAGE)
        expect(page.locator(".attachments li")).to_contain_text("counts.csv")
    assert [one["title"] for one in findings(demo)].count("Sent with a bad line") == 1
    people.complaints[:] = [said for said in people.complaints if "ERR_FAILED" not in said]


def test_a_refused_report_keeps_text_and_files(people: People, demo: dict[str, Any]) -> None:
    """What is wrong stands above the form; once it is right, the files go along."""
    with people.at("cleared", NEW) as page:
        fill_in(page, "At first without a kind", file("counts.csv", TABLE))
        page.get_by_label("Kind").select_option("nothing_found")
        page.get_by_role("button", name="Report finding").click()
        expect(page.get_by_role("alert")).to_contain_text("If nothing was found, the severity is none.")
        expect(page.get_by_role("alert")).to_be_focused()
        page.get_by_label("Severity").select_option("none")
        page.get_by_role("button", name="Report finding").click()
        page.wait_for_url(ITS_PAGE)
        expect(page.locator(".attachments li")).to_contain_text("counts.csv")
    people.complaints[:] = [said for said in people.complaints if "422" not in said]


def test_without_script_the_pages_say_how_to_attach(people: People, reported: str) -> None:
    """With the command line; there is no field for files that would not be sent."""
    for path, command in ((NEW, "findings report --attach"), (reported, "findings attach")):
        with people.at("cleared", path, java_script_enabled=False) as page:
            expect(page.get_by_text(command)).to_be_visible()
            expect(page.get_by_label("Files")).to_be_hidden()


def test_only_these_pages_may_speak_to_the_store(people: People, demo: dict[str, Any], reported: str) -> None:
    """And to no other place besides us; no other site's page may send to the store."""
    store = demo["s3_endpoint"]
    with people.at("cleared", None) as page:
        for path, expected in ((NEW, store), (reported, store), ("/findings", "")):
            answer = page.goto(people.endpoint + path)
            assert answer is not None
            policy = answer.headers["content-security-policy"]
            (spoken_to,) = (part for part in policy.split("; ") if part.startswith("connect-src"))
            assert spoken_to == f"connect-src 'self' {expected}".rstrip(), path
    for origin, allowed in ((demo["endpoint"], demo["endpoint"]), ("https://evil.example", None)):
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT",
                 "Access-Control-Request-Headers": "content-type,x-amz-checksum-sha256"}  # fmt: skip
        answer_of_store = requests.options(f"{store}/{demo['bucket']}/findings/1/x", headers=asked, timeout=20)
        assert answer_of_store.headers.get("Access-Control-Allow-Origin") == allowed
