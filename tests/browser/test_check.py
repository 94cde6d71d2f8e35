"""The page "check it yourself" in a real browser: what is genuine is proven, and each kind of damage is named."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, Route, expect

from tests.browser.demo_portal import until
from tests.browser.people import People

VECTORS = Path(__file__).parents[1] / "vectors"
PATH = "/help/check"
# What is none is not asked who signed it.
KINDS = {"malformed": {"malformed"}, "unsigned": {"unsigned", "foreign", "malformed"}, "unproven": {"altered"}}
PROOF = """async ({proof, leaf_hex, vkey}) => {
  try {
    const key = await Proofs.parseKey(vkey), read = Proofs.parseProof(proof);
    await Proofs.requireHead(read.head, [key]);
    await Proofs.requireIncluded(read, Uint8Array.from(leaf_hex.match(/../g) ?? [], (byte) => parseInt(byte, 16)));
    return "proven";
  } catch (fault) { return fault.kind ?? String(fault); }
}"""
RECEIPT = """async ({receipt, vkey, log_vkey}) => {
  try {
    const keys = [await Proofs.parseKey(vkey), await Proofs.parseKey(log_vkey)];
    await Proofs.requireReceipt(Proofs.parseReceipt(receipt), keys);
    return "proven";
  } catch (fault) { return fault.kind ?? String(fault); }
}"""
COMMITTED = """async ({salt, record}) => {
  const bytes = Uint8Array.from(salt.match(/../g), (byte) => parseInt(byte, 16));
  const committed = await Proofs.commitment(bytes, record);
  return [Proofs.hex(committed), Proofs.hex(await Proofs.leafHash(committed))];
}"""
VKEY = "async (vkey) => { try { await Proofs.parseKey(vkey); return true; } catch { return false; } }"

Files = dict[str, bytes]


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def test_the_script_agrees_with_the_vectors(people: People) -> None:
    """Commitments, keys, receipts and proofs: those that are good, and each that is not for its own reason."""
    keys = [key["vkey"] for key in vectors("notes")["keys"] if key["kind"] == 1]
    with people.at(None, PATH) as page:
        for case in vectors("log")["cases"]:
            told = page.evaluate(COMMITTED, {"salt": case["salt_hex"], "record": case["record"]})
            assert told == [case["commitment_hex"], case["leaf_hash_hex"]]
        assert [page.evaluate(VKEY, key) for key in keys] == [True] * len(keys)
        assert [key for key in vectors("notes")["refused_vkeys"] if page.evaluate(VKEY, key)] == []
        for name, run in (("proofs", PROOF), ("receipts", RECEIPT)):
            known = vectors(name)
            for case in known["accepted"]:
                asked = {"vkey": keys[0], **case, "log_vkey": keys[0]}
                assert page.evaluate(run, asked) == "proven", case
            for case in known["refused"]:
                assert page.evaluate(run, {**case, "log_vkey": keys[0]}) in KINDS[case["why"]], case["about"]


@pytest.fixture(scope="module")
def genuine(demo: dict[str, Any]) -> list[Files]:
    """Two downloads of the demo, each with the files that a partner has of it."""
    return [taken(demo) for _ in range(2)]


def taken(demo: dict[str, Any]) -> Files:
    headers = {"Authorization": f"Bearer {demo['tokens']['cleared']}"}
    api = f"{demo['endpoint']}/api/v1/downloads"
    order = {"stage": "mini-gpt/base", "paths": ["config.json"]}
    issued = requests.post(api, json=order, headers=headers, timeout=20)

    def sealed() -> bytes | None:
        proof = requests.get(f"{api}/{issued.json()['id']}/proof", headers=headers, timeout=20)
        return proof.content if proof.status_code == 200 else None

    return {"receipt.json": issued.content, "download.tlog-proof": until(sealed)}


def drop(page: Page, files: Files) -> str:
    """Give the page files; return what it says in the end."""
    dropped: list[FilePayload] = [
        {"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files.items()
    ]
    page.get_by_label("Receipt, proof or record files").set_input_files(dropped)
    page.locator("[data-verdict]").wait_for()
    return page.locator("[data-found]").inner_text()


def changed(**fields: Callable[[Any], Any]) -> Callable[[Files, Files], Files]:
    """The receipt file with some of its fields changed."""

    def change(mine: Files, _: Files) -> Files:
        answer = json.loads(mine["receipt.json"])
        more = {name: how(answer[name]) for name, how in fields.items()}
        return {**mine, "receipt.json": json.dumps({**answer, **more}).encode()}

    return change


def in_proof(before: Callable[[list[str]], tuple[str, str]]) -> Callable[[Files, Files], Files]:
    """The proof with one text in it replaced. before: of its lines, what and by what."""

    def change(mine: Files, _: Files) -> Files:
        proof = mine["download.tlog-proof"].decode()
        old, new = before(proof.split("\n"))
        assert old in proof
        return {**mine, "download.tlog-proof": proof.replace(old, new, 1).encode()}

    return change


def flipped(encoded: str) -> str:
    data = bytearray(base64.b64decode(encoded))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


def resigned(note: str) -> str:
    head, _, line = note.rstrip("\n").rpartition(" ")
    return f"{head} {flipped(line)}\n"


FOREIGN = vectors("receipts")["accepted"][0]["receipt"]
DAMAGED: dict[str, tuple[Callable[[Files, Files], Files], str]] = {
    "a letter of the record": (
        changed(record=lambda text: text.replace("mini-gpt", "mini-gqt")), "they give another leaf than the receipt"),
    "the salt": (changed(salt=flipped), "they give another leaf than the receipt"),
    "the receipt's time": (
        changed(receipt=lambda note: note.replace("time 1", "time 2")), "The receipt was altered: the signature"),
    "the receipt's signature": (changed(receipt=resigned), "The receipt was altered: the signature"),
    "a receipt of another log": (changed(receipt=lambda _: FOREIGN), "It is of another log, weights.example.org"),
    "a receipt that is none": (changed(receipt=lambda note: note[:-4]), "It is malformed"),
    "the list of files": (changed(files=lambda files: files[:-1]), "names other files"),
    "the download's id": (changed(id=lambda text: text[::-1]), "is of another download"),
    "a twin in the record": (
        changed(record=lambda text: text.replace("{", '{"kind":"download",', 1)), "not canonical JSON"),
    "the proof of another download": (
        lambda mine, other: {**mine, "download.tlog-proof": other["download.tlog-proof"]}, "is for another entry"),
    "the salt in the proof": (in_proof(lambda lines: (lines[1], f"extra {flipped(lines[1][6:])}")), "another entry"),
    "a hash of the path": (in_proof(lambda lines: (lines[3], flipped(lines[3]))), "leads to another root"),
    "a hash left out": (in_proof(lambda lines: (f"{lines[3]}\n", "")), "The path lacks a hash"),
    "the index": (in_proof(lambda lines: (lines[2], "index 3")), "Path does not hold"),
    "an index beyond the log": (in_proof(lambda lines: (lines[2], "index 99999")), "has no entry 99999"),
    "the head's size": (
        in_proof(lambda lines: (f"\n{lines[lines.index('') + 2]}\n", "\n70000\n")), "The head was altered"),
    "a proof that is none": (in_proof(lambda lines: (lines[2], "index 03")), "not in plain decimal form"),
    "a picture": (lambda mine, _: {**mine, "cat.png": b"\x89PNG"}, "neither a receipt, a proof nor a record"),
}  # fmt: skip


def test_what_is_genuine_is_proven_and_drawn(people: People, genuine: list[Files]) -> None:
    """With the path as a picture, for whoever sees it and whoever does not; nothing is sent; on a phone too."""
    sent: list[str] = []
    with people.at(None, PATH, viewport={"width": 320, "height": 700}) as page:
        page.wait_for_load_state("networkidle")
        page.on("request", lambda request: sent.append(request.url))
        said = drop(page, genuine[0])
        assert "Proven. The log holds exactly this record" in said
        assert "does not hold" not in said
        expect(page.get_by_role("img", name="hashes lead from the leaf of entry")).to_be_visible()
        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.get_by_role("button", name="Start again").click()
        expect(page.locator("[data-verdict]")).to_have_count(0)
    assert sent == []


def test_half_of_it_is_not_called_proven(people: People, genuine: list[Files]) -> None:
    """A receipt alone is a promise, a proof alone is about no record: the page says what is missing."""
    for name, said in (("receipt.json", "Add the proof file"), ("download.tlog-proof", "Add the receipt file")):
        with people.at(None, PATH) as page:
            found = drop(page, {name: genuine[0][name]})
            assert "Nothing is wrong so far" in found
            assert said in found


def test_the_record_of_an_entry_goes_with_its_proof(people: People, genuine: list[Files]) -> None:
    """For entries that are no downloads there is no receipt; the salt is in the proof."""
    record = json.loads(genuine[0]["receipt.json"])["record"].encode()
    with people.at(None, PATH) as page:
        proof = {"download.tlog-proof": genuine[0]["download.tlog-proof"]}
        assert "Proven" in drop(page, {"entry.json": record, **proof})
    with people.at(None, PATH) as page:
        assert "Not proven" in drop(page, {"entry.json": record.replace(b"config", b"konfig"), **proof})


@pytest.mark.parametrize("what", DAMAGED)
def test_each_kind_of_damage_is_named(people: People, genuine: list[Files], what: str) -> None:
    """And nothing of it is called proven."""
    damage, named = DAMAGED[what]
    with people.at(None, PATH) as page:
        said = drop(page, damage(*genuine))
        assert "Not proven" in said
        assert named in said
        assert page.locator("[data-verdict]").get_attribute("data-verdict") == "bad"


def test_other_keys_can_be_given(people: People, genuine: list[Files]) -> None:
    """Whoever had the keys by another way puts them in place of the server's; what they did not sign is refused."""
    other = vectors("notes")["keys"][0]["vkey"]
    with people.at(None, PATH) as page:
        page.get_by_text("Keys", exact=True).click()
        field = page.get_by_label("Keys of the log")
        kept = field.input_value()
        field.fill(other)
        assert "It is of another log" in drop(page, genuine[0])
        field.fill(kept)
        field.blur()
        expect(page.get_by_text("Proven. The log holds")).to_be_visible()


def test_the_saved_page_works_without_a_network(people: People, genuine: list[Files], tmp_path: Path) -> None:
    """One file, opened from the disk, that its own policy keeps from everything else."""
    saved = tmp_path / "check.html"
    with people.at(None, PATH) as page:
        with page.expect_download() as saving:
            page.get_by_role("link", name="Save this page").click()
        saving.value.save_as(saved)
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    with people.at(None, None) as page:
        page.context.set_offline(True)
        page.route("http*://**", refuse)
        page.goto(saved.as_uri())
        assert "Proven" in drop(page, genuine[0])
        assert Axe().run(page).response["violations"] == []
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'ran = 1'}))")
        assert page.evaluate("typeof ran") == "undefined"
    assert asked == []
    assert people.complaints, "its policy stopped the script that was added"
    assert all("script" in said for said in people.complaints)
    people.complaints.clear()


def test_a_browser_that_cannot_is_told_what_to_do(people: People) -> None:
    """Without Ed25519 there is no place to drop a file that nobody would check."""
    with people.at(None, None) as page:
        page.add_init_script("Object.defineProperty(crypto, 'subtle', {value: undefined})")
        page.goto(f"{people.endpoint}{PATH}")
        expect(page.get_by_text("This browser cannot verify Ed25519 signatures")).to_be_visible()
        expect(page.get_by_label("Receipt, proof or record files")).to_be_hidden()
