"""Downloads that lead to CloudFront, by a stand-in for it in front of the real store (tests/cloudfront.py)."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.domain.downloads import cutting
from server.domain.operation import doctor
from server.domain.release import holds
from server.domain.release.cuts import CutState, CutWay
from server.storage import probes
from tests import cloudfront
from tests.aria2 import digests as digests_of
from tests.cli.operator import Operator
from tests.cloudfront import KEY_PAIR_ID, Distribution
from tests.e2e import fetching
from tests.e2e.partner import partner_of
from tests.visits import words
from tests.world import World

STAGE = "mini-gpt/base"


@pytest.fixture
def distribution(sqlite_world: World) -> Iterator[Distribution]:
    with cloudfront.delivering(sqlite_world) as made:
        yield made


@pytest.fixture
def operator(sqlite_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(sqlite_world.folder, monkeypatch, capsys).knows(sqlite_world)


def url_of(world: World, path: str = "config.json") -> str:
    return str(fetching.order(world, STAGE, paths=[path])["files"][0]["url"])


def test_a_partner_downloads_with_curl(sqlite_world: World, distribution: Distribution, tmp_path: Path) -> None:
    """One request's answer is curl's config; every file is byte for byte what was published, and names its download."""
    answer = sqlite_world.api("POST", "/downloads", json={"stage": STAGE}, headers={"Accept": "text/x-curl-config"})
    assert answer.status_code == 201
    command = ["curl", "--noproxy", "*", "-sSf", "-K", "-", "--output-dir", str(tmp_path / "got"), "--create-dirs"]
    done = subprocess.run(command, input=answer.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert digests_of(tmp_path / "got") == digests_of(sqlite_world.template.sources / STAGE)
    (record,) = sqlite_world.records("download")
    assert len(distribution.lines) == len(record["files"])
    assert all(f"x-download-id={record['download']}&" in line for line in distribution.lines)


def test_a_partner_downloads_with_the_client(sqlite_world: World, distribution: Distribution, tmp_path: Path) -> None:
    """In ranges, each under the signed manifest; and `hf download`'s door leads there, too."""
    with partner_of(sqlite_world, tmp_path) as partner:
        partner.download()
        partner.require_all()
        assert partner.front.asked == []  # the store itself was asked for nothing
    led = sqlite_world.ask("GET", f"/{STAGE}/resolve/main/config.json")
    assert (led.status_code, led.headers["Location"].partition("/checkpoints/")[0]) == (302, distribution.url)


@pytest.mark.parametrize("accept", ["application/metalink4+xml", "text/x-aria2"])
def test_other_tools_are_led_there_too(sqlite_world: World, distribution: Distribution, accept: str) -> None:
    answer = sqlite_world.api("POST", "/downloads", json={"stage": STAGE}, headers={"Accept": accept})
    assert (answer.status_code, f"{distribution.url}/checkpoints/" in answer.text) == (201, True)
    assert "X-Amz-" not in answer.text


def test_what_was_not_signed_so_is_refused(sqlite_world: World, distribution: Distribution) -> None:
    """Expired, altered, another path, a parameter more or fewer, another key: 403 for each."""
    url = url_of(sqlite_world)
    assert probes.status_of(url) == 200
    begins = url.index("Signature=") + 20
    changed = {
        "altered": f"{url[:begins]}{'A' if url[begins] != 'A' else 'B'}{url[begins + 1 :]}",
        "path": url.replace("config.json", "model.safetensors.index.json"), "appended": f"{url}&x-more=1",
        "removed": url.replace("Hash-Algorithm=SHA256", "").rstrip("&"),
        "another download": url.replace("x-download-id=0", "x-download-id=1"),
        "unsigned": url.partition("?")[0],
    }  # fmt: skip
    assert {what: probes.status_of(one) for what, one in changed.items()} == dict.fromkeys(changed, 403)
    now = distribution.now
    distribution.now = lambda: now() + 300
    assert probes.status_of(url) == 403
    distribution.now = now
    del distribution.key_group[KEY_PAIR_ID]
    assert probes.status_of(url) == 403


def test_a_browser_is_let_through_to_it(sqlite_world: World, distribution: Distribution) -> None:
    """The page's form may be sent on to CloudFront, and for attachments to the store; the file is saved by its name."""
    browser = sqlite_world.visit("cleared")
    page = browser.get(f"/stages/{STAGE}")
    policy = page.headers["Content-Security-Policy"]
    store = "{0.scheme}://{0.netloc}".format(urlsplit(str(sqlite_world.settings.s3_endpoint_url)))
    assert f"form-action 'self' {store} {distribution.url};" in policy
    led = browser.post(f"/stages/{STAGE}/main/files", {"path": "config.json"})
    assert (led.status_code, led.headers["Location"].startswith(f"{distribution.url}/")) == (303, True)
    answer = probes.ask(led.headers["Location"])
    assert answer.headers["content-disposition"] == 'attachment; filename="config.json"'


def test_a_bound_url_works_only_from_the_address_that_asked(sqlite_world: World) -> None:
    """Who asks over IPv6 is refused before anything is logged, and told why."""
    with cloudfront.delivering(sqlite_world, cloudfront_binds_address=True) as distribution:
        url = url_of(sqlite_world)
        assert probes.status_of(url) == 200
        distribution.seen_from = "192.0.2.8"
        assert probes.status_of(url) == 403
        refused = sqlite_world.api(
            "POST", "/downloads", json={"stage": STAGE}, environ_overrides={"REMOTE_ADDR": "2001:db8::1"}
        )
        assert (refused.status_code, refused.json["code"]) == (403, "network_not_allowed")
        assert "IPv4" in refused.json["detail"]
        assert len(sqlite_world.records("download")) == 1


def test_a_hold_promises_no_cut_of_them(sqlite_world: World, distribution: Distribution, operator: Operator) -> None:
    """The bucket refuses its own URLs; CloudFront's live on, which command and pages say, with what ends them."""
    world, url = sqlite_world, url_of(sqlite_world)
    page = words(world.visit("admin").get(f"/admin/holds/place?on={STAGE}"))
    assert "they work until they expire" in page
    assert "unless you cut them" not in page
    assert "Only a hold can cut them" not in page
    told = operator("hold", "place", STAGE, "--cut-issued", "--reason", "A leak.", by="admin", code=3).out
    assert "Issued URLs may still work until" in told
    assert "remove the key that signed them from its key group" in told
    assert world.records("hold.cut") == []
    assert probes.status_of(url) == 200
    page = words(world.visit("admin").get(f"/admin/stages/{STAGE}"))
    assert "could not be cut" in page
    world.clock.advance(cutting.AGAIN_AFTER)  # the worker tries again, and says the same
    cut = cutting.carry_out_now(world.use, STAGE)
    assert cut is not None
    assert (cut.state, cut.way, cut.told) == (CutState.FAILED, CutWay.POLICY, cutting.ONLY_THE_BUCKET_REFUSES)
    world.lift(STAGE)
    cutting.carry_out(world.use)
    assert world.use.bucket_policy._statements() == []


def test_an_organizations_are_not_cut_either(sqlite_world: World, distribution: Distribution) -> None:
    on = "organization:birch-university"
    holds.place(sqlite_world.use, sqlite_world.admin, on, "A leak.", cut_issued=True)
    cut = cutting.carry_out_now(sqlite_world.use, on)
    assert cut is not None
    assert (cut.state, cut.told) == (CutState.FAILED, cutting.BEYOND_THE_BUCKET)
    page = sqlite_world.visit("admin").get(f"/admin/holds/cut?on={on}")
    assert "remove the key that signed them" in words(page)


def test_a_rotated_key_signs_the_next_url(sqlite_world: World, distribution: Distribution, operator: Operator) -> None:
    """Both keys are in the group meanwhile; nothing is restarted, and the command says when the old one can go."""
    before = url_of(sqlite_world)
    public = operator("keys", "rotate-cloudfront", "--prepare", "--json").body["public_key"]
    again = operator("keys", "rotate-cloudfront", "--prepare").out
    assert again.startswith(public)
    assert "PRIVATE" not in again
    distribution.key_group["KSECONDKEY"] = public
    assert "signs now" in operator("keys", "rotate-cloudfront", "--key-pair-id", KEY_PAIR_ID, code=1).line
    told = operator("keys", "rotate-cloudfront", "--key-pair-id", "KSECONDKEY").out
    assert f"then remove {KEY_PAIR_ID} from the key group" in told
    after = url_of(sqlite_world)
    assert "Key-Pair-Id=KSECONDKEY&" in after
    assert [probes.status_of(url) for url in (before, after)] == [200, 200]
    del distribution.key_group[KEY_PAIR_ID]
    assert [probes.status_of(url) for url in (before, after)] == [403, 200]
    operator("keys", "rotate-cloudfront", code=2)
    operator("keys", "rotate-cloudfront", "--prepare", "--key-pair-id", "KTHIRDKEY", code=2)
    operator("keys", "rotate-cloudfront", "--rsa", "--key-pair-id", "KTHIRDKEY", code=2)


def test_the_doctor_tries_it(sqlite_world: World, distribution: Distribution, monkeypatch: pytest.MonkeyPatch) -> None:
    """Green as it is; red where CloudFront does not know the key, or lets through what it must not."""

    def found() -> doctor.Check:
        return next(check for check in doctor.examine(sqlite_world.use) if check.name == "CloudFront")

    good = found()
    assert (good.ok, good.sentence.partition(" ")[0]) == (True, distribution.url)
    public = distribution.key_group.pop(KEY_PAIR_ID)
    assert "returns 403: check that the key group" in found().sentence
    distribution.key_group[KEY_PAIR_ID] = public
    monkeypatch.setattr(Distribution, "require_signed", lambda *_: None)
    assert "does not refuse a URL without a signature" in found().sentence
    monkeypatch.undo()
    file = sqlite_world.settings.cloudfront_key_file
    file.chmod(0o644)
    assert "readable by others" in found().sentence
    file.chmod(0o600)


def test_urls_end_when_the_entry_says(sqlite_world: World, distribution: Distribution) -> None:
    issued = fetching.order(sqlite_world, STAGE, paths=["config.json"])
    ends = int(issued["files"][0]["url"].partition("Expires=")[2].partition("&")[0])
    assert issued["expires_at"].startswith(datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
