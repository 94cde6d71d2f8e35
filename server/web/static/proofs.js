// Receipts and proofs of the log, verified with the browser's own cryptography: bytes in, findings out. No library, no
// network, nothing of the page. Written from the formats (C2SP signed-note, tlog-checkpoint and tlog-proof; RFC 9162,
// section 2.1), so it shares nothing with the server but the test vectors.
"use strict";

const Proofs = (() => {
  const ED25519 = 1;
  const KEY_ID_BYTES = 4, HASH_BYTES = 32;
  const PATH_AT_MOST = 63, SIGNATURES_AT_MOST = 100;
  const MMD_SECONDS_AT_MOST = 86_400n, TIME_MS_AT_MOST = 253_370_764_800_000n; // a day; the year 9999
  const RECEIPT = "weightgate-receipt/v1", PROOF = "c2sp.org/tlog-proof@v1";
  const COMMIT = "weightgate-commit/v1\n";
  const utf8 = new TextEncoder();

  // What is wrong. kind: malformed (nobody may read it), foreign (another log's), unsigned, or altered.
  class Fault extends Error {
    constructor(kind, message) {
      super(message);
      this.kind = kind;
    }
  }

  // ---- Encodings that leave no choice -----------------------------------------------------------------------------
  function malformed(what) {
    throw new Fault("malformed", what);
  }

  function text(bytes) {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return malformed("it is not UTF-8");
    }
  }

  function base64(bytes) {
    return btoa(String.fromCharCode(...bytes));
  }

  function fromBase64(encoded, size) {
    let data;
    try {
      data = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    } catch {
      malformed("a value is not valid base64");
    }
    if (base64(data) !== encoded) malformed("a value is not in canonical base64");
    if (size !== undefined && data.length !== size) malformed(`a value has ${data.length} bytes, not ${size}`);
    return data;
  }

  function decimal(written) {
    if (!/^(0|[1-9][0-9]{0,18})$/.test(written) || BigInt(written) >= 2n ** 63n) {
      malformed("a number is not in plain decimal form");
    }
    return BigInt(written);
  }

  function origin(written) {
    if (/^(?!.*:\/\/)[!-*,-~]{1,200}$/.test(written)) return written;
    return malformed("the log's name is not of the form host/downloads/year");
  }

  function keyName(written) {
    const length = [...written].length;
    if (length < 1 || length > 200 || /[+\p{C}\p{Z}]/u.test(written)) malformed("a key's name is not one");
    return written;
  }

  function valueAfter(line, label) {
    if (!line?.startsWith(`${label} `)) malformed(`the line “${label}” is missing or misplaced`);
    return line.slice(label.length + 1);
  }

  function hex(bytes) {
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function equal(one, other) {
    return one.length === other.length && one.every((byte, at) => byte === other[at]);
  }

  // ---- Hashes -----------------------------------------------------------------------------------------------------
  async function sha256(...parts) {
    const whole = await new Blob(parts).arrayBuffer();
    return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  }

  const commitment = (salt, record) => sha256(COMMIT, salt, record);
  const leafHash = (committed) => sha256(Uint8Array.of(0), committed);
  const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

  // The way from a leaf to the root that its siblings lead to: RFC 9162, section 2.1.3.2. Faulty ones end in a Fault.
  async function climb(leaf, index, size, siblings) {
    if (index < 0n || index >= size) throw new Fault("altered", `A log of ${size} entries has no entry ${index}.`);
    const steps = [];
    let here = index, last = size - 1n, hash = leaf;
    for (const sibling of siblings) {
      if (last === 0n) throw new Fault("altered", "The path has a hash too many.");
      const onLeft = (here & 1n) === 1n || here === last;
      hash = onLeft ? await nodeHash(sibling, hash) : await nodeHash(hash, sibling);
      if (onLeft) {
        while (here !== 0n && (here & 1n) === 0n) [here, last] = [here >> 1n, last >> 1n];
      }
      [here, last] = [here >> 1n, last >> 1n];
      steps.push({ sibling, onLeft, hash });
    }
    if (last !== 0n) throw new Fault("altered", "The path lacks a hash: it ends below the root.");
    return { steps, root: hash };
  }

  // ---- Keys and notes ---------------------------------------------------------------------------------------------
  const keyId = async (name, key) => (await sha256(name, "\n", Uint8Array.of(ED25519), key)).slice(0, KEY_ID_BYTES);

  async function parseKey(written) {
    const [name, id, ...rest] = written.split("+");
    const data = fromBase64(rest.join("+"), 1 + HASH_BYTES);
    keyName(name);
    if (data[0] !== ED25519) malformed("it is not an Ed25519 key");
    const key = { name, bytes: data.slice(1), id: await keyId(name, data.slice(1)) };
    if (hex(key.id) !== id) malformed("its ID does not match its name and key");
    return key;
  }

  function parseNote(whole) {
    // eslint-disable-next-line no-control-regex
    if (/[\x00-\x09\x0b-\x1f]/.test(whole)) malformed("it contains a control character");
    const cut = whole.lastIndexOf("\n\n");
    if (cut < 0 || !whole.endsWith("\n") || cut + 2 >= whole.length) {
      malformed("it has no signatures after an empty line");
    }
    const lines = whole.slice(cut + 2, -1).split("\n");
    if (lines.length > SIGNATURES_AT_MOST) malformed(`it has more than ${SIGNATURES_AT_MOST} signatures`);
    const signatures = lines.map((line) => {
      if (!line.startsWith("— ")) malformed("a signature line does not start with an em dash and a space");
      const [name, ...rest] = line.slice(2).split(" ");
      const data = fromBase64(rest.join(" "));
      if (data.length <= KEY_ID_BYTES) malformed("a signature is too short");
      return { name: keyName(name), id: data.slice(0, KEY_ID_BYTES), bytes: data.slice(KEY_ID_BYTES) };
    });
    return { text: whole.slice(0, cut + 1), signatures };
  }

  // Return the key that signed a note. Others' signatures are passed over; a bad one of a known key never is.
  async function requireSigned(note, keys, what) {
    let signer = null;
    for (const key of keys) {
      for (const line of note.signatures.filter((one) => one.name === key.name && equal(one.id, key.id))) {
        const known = await crypto.subtle.importKey("raw", key.bytes, { name: "Ed25519" }, false, ["verify"]);
        if (!(await crypto.subtle.verify("Ed25519", known, line.bytes, utf8.encode(note.text)))) {
          throw new Fault("unsigned", `${what} was altered: the signature by ${key.name} is not one of this text.`);
        }
        signer = key;
      }
    }
    if (signer) return signer;
    const names = note.signatures.map((one) => one.name).join(", ");
    throw new Fault("unsigned", `It is signed by ${names}, with none of the keys below.`);
  }

  // ---- The three forms --------------------------------------------------------------------------------------------
  function parseHead(whole) {
    const note = parseNote(whole);
    const lines = note.text.split("\n");
    if (lines.length !== 4 || lines[3]) malformed("the head's text has not exactly three lines");
    return { origin: origin(lines[0]), size: decimal(lines[1]), root: fromBase64(lines[2], HASH_BYTES), note };
  }

  function parseReceipt(whole) {
    const note = parseNote(whole);
    const lines = note.text.split("\n");
    if (lines.length !== 6 || lines[5] || lines[0] !== RECEIPT) malformed(`it is not the five lines of ${RECEIPT}`);
    const log = origin(valueAfter(lines[1], "log"));
    const leaf = fromBase64(valueAfter(lines[2], "leaf"), HASH_BYTES);
    const time = decimal(valueAfter(lines[3], "time")), mmd = decimal(valueAfter(lines[4], "mmd"));
    if (mmd > MMD_SECONDS_AT_MOST || time > TIME_MS_AT_MOST) malformed("its deadline is too late");
    return { log, leaf, time, mmd, note };
  }

  function parseProof(whole) {
    const cut = whole.indexOf("\n\n");
    const lines = whole.slice(0, Math.max(cut, 0)).split("\n");
    if (cut < 0 || lines.shift() !== PROOF) malformed(`it is not ${PROOF} with a head below an empty line`);
    let salt = null;
    if (lines[0]?.startsWith("extra ")) {
      salt = fromBase64(lines.shift().slice(6));
      if (!salt.length) malformed("it has an extra line without data");
    }
    const index = decimal(valueAfter(lines.shift(), "index"));
    if (lines.length > PATH_AT_MOST) malformed(`its path is longer than ${PATH_AT_MOST} hashes`);
    const path = lines.map((line) => fromBase64(line, HASH_BYTES));
    return { salt, index, path, head: parseHead(whole.slice(cut + 2)) };
  }

  // ---- What is asked of them --------------------------------------------------------------------------------------
  function foreign(log, keys) {
    const known = keys.map((key) => key.name).join(", ") || "none";
    return new Fault("foreign", `It is of another log, ${log}. The keys below are of: ${known}.`);
  }

  async function requireReceipt(receipt, keys) {
    const log = keys.find((key) => key.name === receipt.log);
    if (!log) throw foreign(receipt.log, keys);
    // A key that bears the log's name signs heads; one that signs both could pass one off as the other.
    const signer = await requireSigned(receipt.note, keys.filter((key) => key.name !== receipt.log), "The receipt");
    if (equal(log.bytes, signer.bytes)) throw new Fault("unsigned", "Heads and receipts have one key.");
  }

  async function requireHead(head, keys) {
    const own = keys.filter((key) => key.name === head.origin);
    if (!own.length) throw foreign(head.origin, keys);
    await requireSigned(head.note, own, "The head");
  }

  async function requireIncluded(proof, leaf) {
    const climbed = await climb(leaf, proof.index, proof.head.size, proof.path);
    if (!equal(climbed.root, proof.head.root)) {
      throw new Fault("altered", `The path from this record leads to another root than that of the signed head.`);
    }
    return climbed;
  }

  return {
    Fault, RECEIPT, PROOF, text, hex, equal, fromBase64, commitment, leafHash, parseKey, parseReceipt, parseProof,
    requireReceipt, requireHead, requireIncluded,
  };
})();
