// Attachments: files that are chosen on a page about a finding go from here straight to the store, and are then checked.
"use strict";

(() => {
  class Fault extends Error {} // its text is for whoever chose the file

  const ADMITTED = /[^A-Za-z0-9._-]+/g;
  const slots = new WeakMap(); // where an announced file is to be put, until it was: one that broke off is sent again there
  const attached = new WeakSet();
  let form, box, chosen, list, isBusy = false;

  // ---- Speaking to the server and to the store ------------------------------------------------------------------
  const post = (address, fields) =>
    fetch(address, { method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(fields) }).catch(() => {
      throw new Fault("The connection to the server was lost. Try again.");
    });

  const isJson = (answer) => (answer.headers.get("Content-Type") || "").startsWith("application/json");

  const ask = async (address, fields) => {
    const answer = await post(address, { csrf_token: form.elements.csrf_token.value, ...fields });
    if (answer.redirected) throw new Fault("Your session has ended. Sign in again, then attach it on the finding’s page.");
    if (!isJson(answer)) throw new Fault("The server did not take it. Reload the page, then try again.");
    const told = await answer.json();
    if (!answer.ok) throw new Fault(told.detail);
    return told;
  };

  const put = ({ url, headers }, file, progress) =>
    new Promise((done, failed) => {
      const sending = new XMLHttpRequest(); // fetch tells nobody how far it is
      const lost = () => failed(new Fault("The connection to the store was lost. Try again."));
      sending.open("PUT", url);
      for (const [name, value] of Object.entries(headers)) {
        if (name !== "Content-Length") sending.setRequestHeader(name, value); // the browser’s own to say
      }
      sending.upload.onprogress = (event) => (progress.value = event.loaded / file.size);
      sending.onerror = sending.onabort = lost;
      sending.onload = () => {
        if (sending.status === 200) return done();
        slots.delete(file);
        failed(new Fault(`The store did not take it (HTTP ${sending.status}). Try again.`));
      };
      sending.send(file);
    });

  const announced = async (file, attach) => {
    const content = await file.arrayBuffer().catch(() => {
      throw new Fault("It could not be read. Choose it again.");
    });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return ask(attach, { name: plain(file.name), size_bytes: file.size, sha256 });
  };

  const send = async (file, row, attach) => {
    row.say("Sending…");
    row.progress.hidden = false;
    if (!slots.has(file)) slots.set(file, await announced(file, attach));
    const slot = slots.get(file);
    await put(slot, file, row.progress);
    row.say("Being checked…");
    slots.delete(file);
    await ask(`${attach}/${slot.id}/complete`);
    attached.add(file);
    row.say("Attached", "good");
  };

  // ---- What may be sent at all: the server asks the same ----------------------------------------------------------
  const plain = (name) => {
    const [, stem, type] = /^(.*?)(\.[^.]*)?$/s.exec(name.replace(ADMITTED, "-").replace(/^[^A-Za-z0-9]+/, ""));
    return stem.slice(0, 90) + (type || "").toLowerCase();
  };

  const fault = (file) => {
    const { sizeAtMost, types } = chosen.dataset;
    if (!types.split(", ").some((type) => new RegExp(`^.+\\.${type === "jpg" ? "jpe?g" : type}$`).test(plain(file.name)))) {
      return `Files of this type are not taken, only ${types}.`;
    }
    if (file.size === 0) return "It is empty.";
    return file.size > sizeAtMost ? `It is larger than ${sizeAtMost / 1e6} MB. Attach a part of it.` : null;
  };

  const faultOfAll = (files) => {
    const most = chosen.dataset.filesAtMost;
    return files.length > most ? `A finding has up to ${most} attachments. Choose fewer files.` : null;
  };

  // ---- Showing ----------------------------------------------------------------------------------------------------
  const element = (tag, attributes, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };

  const rowOf = (file) => {
    const progress = element("progress", { max: 1, value: 0, hidden: true, ariaLabel: `Sent of ${file.name}` });
    const state = element("span", { className: "sending-state" });
    list.append(element("li", {}, element("span", { className: "sending-name" }, plain(file.name)), state, progress));
    const say = (words, how = "") => {
      state.textContent = words;
      state.className = `sending-state ${how}`;
      if (how) progress.hidden = true;
    };
    return { progress, say };
  };

  const tell = (words, how, ...more) => {
    const message = element("p", { className: `banner ${how}`, role: how === "bad" ? "alert" : "status" });
    message.append(element("span", {}, words, ...more));
    box.querySelector(".banner")?.remove();
    box.append(message);
  };

  // ---- The form ---------------------------------------------------------------------------------------------------
  // Report the finding; return where it is, or null where the server’s page has taken the place of this one.
  const report = async () => {
    const answer = await post(form.action, new FormData(form));
    if (answer.redirected) {
      isBusy = false;
      location.assign(answer.url);
      return null;
    }
    if (answer.ok && isJson(answer)) return answer.json();
    const files = chosen.files;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    if (start()) chosen.files = files;
    document.getElementById("summary")?.focus();
    return null;
  };

  // From now on it only attaches: the finding is there.
  const turnInto = ({ finding, address, attach }) => {
    Object.assign(form.dataset, { attach, address, finding });
    for (const field of form.querySelectorAll(".field:not([data-files])")) field.hidden = true;
    form.querySelector("[type=submit]").textContent = "Attach files";
  };

  const sendAll = async (files) => {
    list.replaceChildren();
    const rows = files.map((file) => [file, rowOf(file)]);
    const wrong = rows.filter(([file, row]) => fault(file) && (row.say(fault(file), "bad"), true));
    if (wrong.length) return tell("Nothing was sent. Choose the files again.", "bad");
    if (faultOfAll(files)) return tell(faultOfAll(files), "bad");
    if (!form.dataset.attach) {
      const made = await report();
      if (!made) return null;
      turnInto(made);
    }
    const { attach, address, finding } = form.dataset;
    let failures = 0;
    for (const [file, row] of rows) {
      try {
        await (attached.has(file) ? row.say("Attached", "good") : send(file, row, attach));
      } catch (error) {
        failures += 1;
        row.say(error instanceof Fault ? error.message : "Something went wrong in this browser. Try again.", "bad");
      }
    }
    isBusy = false;
    if (!failures) return location.assign(address);
    const link = element("a", { href: address }, `See finding ${finding}`);
    return tell("Not every file was attached. ", "bad", link, ".");
  };

  const submitted = async (event) => {
    if (!chosen.files.length && !form.dataset.attach) return; // nothing to attach: the form goes as it is
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = isBusy = true;
    box.querySelector(".banner")?.remove();
    try {
      await sendAll([...chosen.files]);
    } catch (error) {
      tell(error instanceof Fault ? error.message : "Something went wrong in this browser. Try again.", "bad");
    }
    button.disabled = isBusy = false;
  };

  const start = () => {
    form = document.querySelector("form[data-attaching]");
    if (!form || !window.crypto?.subtle) return false; // too old, or no HTTPS: the page says how else
    box = form.querySelector("[data-files]");
    [chosen, list] = [box.querySelector("input"), box.querySelector("ul")];
    form.hidden = box.hidden = false;
    document.querySelector("[data-otherwise]").hidden = true;
    form.addEventListener("submit", submitted);
    return true;
  };

  addEventListener("beforeunload", (event) => isBusy && event.preventDefault());
  start();
})();
