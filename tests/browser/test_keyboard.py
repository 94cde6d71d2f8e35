"""Without a mouse, from the sign-in to a file on the disk."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.people import People


def test_a_file_is_fetched_without_a_mouse(people: People, tmp_path: Path) -> None:
    """From the sign-in to the file: typing, Tab and Enter only."""
    person = people.demo["people"]["publisher"]
    with people.at(None, "/sign-in") as page:
        page.get_by_label("Email").focus()
        for text in (person["email"], person["password"]):
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Code")).to_be_focused()
        page.keyboard.type(people.code("publisher"))
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Release ladder").wait_for()
        page.goto(f"{people.endpoint}/stages/gpt-2/124M/main")
        button = page.get_by_role("button", name="Download hparams.json")
        for _ in range(60):
            page.keyboard.press("Tab")
            if button.evaluate("one => one === document.activeElement"):
                break
        with page.expect_download() as waiting:
            page.keyboard.press("Enter")
        waiting.value.save_as(tmp_path / "hparams.json")
    source = Path(people.demo["sources"]["gpt-2/124M"]) / "hparams.json"
    assert (tmp_path / "hparams.json").read_bytes() == source.read_bytes()
