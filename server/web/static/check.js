// The page "check it yourself": takes files, holds them against each other with proofs.js, and shows what it found.
"use strict";

const page = document.querySelector("[data-check]");
const held = {}; // what was dropped, by what it is: answer, record, proof or receipt

// ---- Reading: what a file is --------------------------------------------------------------------------------------
async function take(files) {
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    held[kindOf(bytes)] = { name: file.name, bytes };
  }
  await show();
}

function kindOf(bytes) {
  const start = new TextDecoder().decode(bytes.slice(0, 64));
  if (start.startsWith("c2sp.org/tlog-proof")) return "proof";
  if (start.startsWith("weightgate-receipt/")) return "receipt";
  if (!start.startsWith("{")) return "unknown";
  const fields = asObject(bytes);
  return fields && "receipt" in fields ? "answer" : "record";
}

function asObject(bytes) {
  try {
    return JSON.parse(Proofs.text(bytes));
  } catch {
    return null;
  }
}

// A record has one form of each value (sorted names, no spaces): what reads back otherwise says something twice.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

// ---- Checking: each step says what it found, and the next ones go on where they can -------------------------------
class Check {
  constructor() {
    this.steps = []; // { name, state: good, bad or open, text }
    this.path = null;
  }

  // Run one step. Returns what it returns; a fault is shown, and is the end of nothing but this step.
  async step(name, run, words) {
    try {
      const found = await run();
      this.steps.push({ name, state: "good", text: words(found) });
      return found;
    } catch (fault) {
      if (!(fault instanceof Proofs.Fault)) throw fault;
      const text = fault.kind === "malformed" ? `It is malformed: ${fault.message}.` : fault.message;
      this.steps.push({ name, state: "bad", text });
      return null;
    }
  }

  open(name, text) {
    this.steps.push({ name, state: "open", text });
  }

  get verdict() {
    if (this.steps.some((one) => one.state === "bad")) return "bad";
    return this.path && this.steps.every((one) => one.state === "good") ? "good" : "open";
  }
}

async function check(files, written) {
  const done = new Check();
  if (files.unknown) {
    const wrong = "it is neither a receipt, a proof nor a record";
    await done.step(files.unknown.name, () => fail("malformed", wrong), String);
  }
  const inAll = (found) => `${counted(found.length, "key")} read.`;
  const keys = (await done.step("Keys", () => readKeys(written), inAll)) ?? [];
  const reading = { answer: () => readAnswer(files.answer.bytes), proof: () => readProof(files.proof.bytes) };
  const answer = files.answer && (await done.step("Receipt file", reading.answer, ofDownload));
  const proof = files.proof && (await done.step("Proof file", reading.proof, inHead));
  const record = answer ? answer.record : files.record?.bytes;
  const salt = answer ? answer.salt : proof?.salt;
  if (answer && files.record) {
    await done.step("Record file", () => same(files.record.bytes, answer.record), () => "It is the receipt’s.");
  }
  const leaf = record && salt ? await checkRecord(done, record, salt) : null;
  if (!leaf && !done.steps.some((one) => one.state === "bad")) {
    done.open("Record", "Add the receipt file or the record file: a proof proves the place of a record.");
  }
  const note = answer ? answer.receipt : files.receipt && Proofs.text(files.receipt.bytes);
  const receipt = note ? await checkReceipt(done, note, leaf, keys) : null;
  if (proof) await checkProof(done, { proof, leaf, salt, receipt, keys });
  else if (!files.proof) done.open("Place in the log", "Add the proof file to see that the entry is in the log.");
  return done;
}

async function checkRecord(done, record, salt) {
  await done.step("Record", () => readRecord(record), (said) => `A record of the kind ${said.kind}.`);
  const committed = await Proofs.commitment(salt, record);
  const leaf = await Proofs.leafHash(committed);
  done.steps.push({ name: "Commitment", state: "good", text: `Salt and record give ${short(committed)}.` });
  done.steps.push({ name: "Leaf", state: "good", text: `The commitment gives the leaf ${short(leaf)}.` });
  return leaf;
}

async function checkReceipt(done, note, leaf, keys) {
  const promise = (one) => `It promises that a leaf is in the log ${one.log} within ${one.mmd} seconds.`;
  const receipt = await done.step("Receipt", () => Proofs.parseReceipt(note), promise);
  if (!receipt) return null;
  if (leaf) {
    const wrong = "The record or its salt was altered: they give another leaf than the receipt promises.";
    const holds = () => Proofs.equal(leaf, receipt.leaf) || fail("altered", wrong);
    await done.step("Receipt and record", holds, () => "The receipt promises the leaf of this record.");
  }
  const signed = () => Proofs.requireReceipt(receipt, keys);
  await done.step("Receipt’s signature", signed, () => "It is by the log’s receipt key.");
  return receipt;
}

async function checkProof(done, { proof, leaf, salt, receipt, keys }) {
  const { head } = proof;
  const signed = () => Proofs.requireHead(head, keys);
  await done.step("Head’s signature", signed, () => `It is by the key of ${head.origin}.`);
  if (receipt && receipt.log !== head.origin) {
    const wrong = `The receipt is for ${receipt.log}, the proof for ${head.origin}.`;
    await done.step("Receipt and proof", () => fail("foreign", wrong), String);
  }
  if (!leaf) return;
  if (proof.salt && !Proofs.equal(proof.salt, salt)) {
    const wrong = "The proof is for another entry: its salt differs from the receipt’s.";
    await done.step("Receipt and proof", () => fail("foreign", wrong), String);
    return;
  }
  const place = `This is entry ${proof.index} of ${head.size}`;
  const leads = ({ steps }) => `${place}: ${counted(steps.length, "hash", "es")} from its leaf to the root of the head.`;
  const climbed = await done.step("Path", () => Proofs.requireIncluded(proof, leaf), leads);
  if (climbed) done.path = { leaf, ...climbed, index: proof.index, size: head.size };
}

function fail(kind, message) {
  throw new Proofs.Fault(kind, message);
}

async function readKeys(written) {
  const lines = written.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!lines.length) fail("malformed", "enter the log’s keys, one on a line");
  return Promise.all(lines.map((line) => Proofs.parseKey(line)));
}

function readAnswer(bytes) {
  const fields = asObject(bytes) ?? fail("malformed", "it is not JSON");
  for (const name of ["id", "record", "salt", "receipt"]) {
    if (typeof fields[name] !== "string") fail("malformed", `“${name}” is missing`);
  }
  const record = new TextEncoder().encode(fields.record), said = readRecord(record);
  if (said.download !== fields.id) fail("altered", `The record is of another download than ${fields.id}.`);
  if (canonical(listed(said.files)) !== canonical(listed(fields.files))) {
    fail("altered", "The record names other files than the list in the receipt file.");
  }
  const salt = Proofs.fromBase64(fields.salt, 32);
  return { id: fields.id, record, salt, receipt: fields.receipt, files: said.files };
}

function readProof(bytes) {
  return Proofs.parseProof(Proofs.text(bytes));
}

function listed(files) {
  if (!Array.isArray(files)) fail("malformed", "its list of files is missing");
  const known = files.map((file) => [file?.path, file?.size_bytes, file?.sha256]);
  return known.sort((one, other) => (String(one[0]) < String(other[0]) ? -1 : 1));
}

function readRecord(bytes) {
  const said = asObject(bytes) ?? fail("malformed", "the record is not JSON");
  if (canonical(said) !== Proofs.text(bytes)) fail("malformed", "the record is not canonical JSON");
  return said;
}

function same(one, other) {
  return Proofs.equal(one, other) || fail("altered", "The record file differs from the record in the receipt file.");
}

const short = (hash) => `${Proofs.hex(hash).slice(0, 8)}…${Proofs.hex(hash).slice(-8)}`;
const counted = (number, what, many = "s") => `${number} ${what}${number === 1 ? "" : many}`;
const ofDownload = (answer) => `Download ${answer.id}: ${counted(answer.files.length, "file")}.`;
const inHead = (proof) => `Entry ${proof.index}, under a head of ${proof.head.size} entries.`;

// ---- Showing ------------------------------------------------------------------------------------------------------
const VERDICTS = {
  good: "Proven. The log holds exactly this record, under a head that its key signed.",
  bad: "Not proven: something was altered, or does not belong together. Keep the files, and ask the lab why.",
  open: "Nothing is wrong so far, but something is still missing.",
};
const STATES = { good: "holds", bad: "does not hold", open: "missing" };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

async function show() {
  const found = await check(held, page.querySelector("[data-keys]").value);
  const verdict = { good: "good", bad: "bad", open: "info" }[found.verdict];
  const names = Object.values(held).map((file) => file.name).join(", ");
  page.querySelector("[data-files]").textContent = names;
  const steps = found.steps.map((one) => element(
    "li", { class: one.state },
    element("strong", {}, one.name), " ",
    element("span", { class: `badge ${one.state === "open" ? "neutral" : one.state}` }, STATES[one.state]),
    element("p", {}, one.text),
  ));
  const shown = [element("p", { class: `banner ${verdict}`, "data-verdict": found.verdict }, VERDICTS[found.verdict])];
  const list = element("ol", { class: "checks" }, ...steps);
  const aside = found.path ? [element("section", {}, ...drawn(found.path))] : [];
  shown.push(element("div", { class: aside.length ? "columns" : "" }, list, ...aside));
  page.querySelector("[data-found]").replaceChildren(...shown);
  page.querySelector("[data-again]").hidden = false;
}

// The path as a picture: the leaf below, the root on top; each hash with the one that it is joined with.
const ROW = 58, WIDTH = 348, BOX = { width: 140, height: 30 };

function drawn(path) {
  const hashes = [path.leaf, ...path.steps.map((step) => step.hash)];
  const height = hashes.length * ROW, top = hashes.length - 1;
  const left = 0, right = WIDTH - BOX.width, middle = right / 2;
  const columnOf = (level) => (level === top ? middle : path.steps[level].onLeft ? right : left);
  const label = `${path.steps.length} hashes lead from the leaf of entry ${path.index} up to the root.`;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label });
  hashes.forEach((hash, level) => {
    const y = (top - level) * ROW + 14, x = columnOf(level);
    if (level < top) {
      const other = x === left ? right : left, above = columnOf(level + 1) + BOX.width / 2;
      for (const from of [x, other]) {
        picture.append(svg("line", { x1: from + BOX.width / 2, y1: y, x2: above, y2: y - ROW + BOX.height }));
      }
      picture.append(...boxed(other, y, path.steps[level].sibling, "sibling"));
    }
    picture.append(...boxed(x, y, hash, level === top ? "root" : level ? "node" : "leaf"));
  });
  const listed = path.steps.map(({ sibling, onLeft }) => (
    element("li", {}, `from the ${onLeft ? "left" : "right"}: `, element("code", {}, Proofs.hex(sibling)))
  ));
  return [
    element("h2", {}, "The path"), element("div", { class: "path" }, picture),
    element("details", {}, element("summary", {}, "Its hashes, lowest first"), element("ol", {}, ...listed)),
  ];
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(page.querySelector("[data-picture]").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function boxed(x, y, hash, kind) {
  const words = kind === "node" || kind === "sibling" ? short(hash) : `${kind} ${Proofs.hex(hash).slice(0, 8)}…`;
  return [
    svg("rect", { x: x + 1, y, width: BOX.width - 2, height: BOX.height, rx: 6, class: kind }),
    svg("text", { x: x + BOX.width / 2, y: y + 20, "text-anchor": "middle" }, words),
  ];
}

// ---- The page -----------------------------------------------------------------------------------------------------
async function isAble() {
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32), { name: "Ed25519" }, false, ["verify"]);
    return true;
  } catch {
    return false; // too old, or a page without HTTPS, which is given no cryptography
  }
}

async function start() {
  const chosen = page.querySelector("[data-choose]"), zone = page.querySelector("[data-drop]");
  if (!(await isAble())) {
    page.querySelector("[data-unable]").hidden = false;
    zone.hidden = true;
    return;
  }
  chosen.addEventListener("change", async () => {
    await take(chosen.files);
    chosen.value = "";
  });
  page.querySelector("[data-keys]").addEventListener("input", () => Object.keys(held).length && show());
  page.querySelector("[data-again]").addEventListener("click", (event) => {
    for (const kind of Object.keys(held)) delete held[kind];
    page.querySelector("[data-found]").replaceChildren();
    page.querySelector("[data-files]").textContent = "";
    event.currentTarget.hidden = true;
    chosen.focus();
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("is-over");
  });
  addEventListener("dragleave", () => zone.classList.remove("is-over"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("is-over");
    await take(event.dataTransfer.files);
  });
}

start();
