// Passkeys: a form with data-passkey asks the browser for a proof ("get") or for a new key ("create"), then sends it.
"use strict";

(() => {
  const toBytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));

  const toText = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const described = (credentials) => (credentials || []).map((one) => ({ ...one, id: toBytes(one.id) }));

  const get = async (options) => {
    const made = await navigator.credentials.get({
      publicKey: {
        ...options,
        challenge: toBytes(options.challenge),
        allowCredentials: described(options.allowCredentials),
      },
    });
    const answer = made.response;
    return {
      clientDataJSON: toText(answer.clientDataJSON),
      authenticatorData: toText(answer.authenticatorData),
      signature: toText(answer.signature),
      userHandle: answer.userHandle ? toText(answer.userHandle) : null,
      of: made,
    };
  };

  const create = async (options) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: toBytes(options.challenge),
        user: { ...options.user, id: toBytes(options.user.id) },
        excludeCredentials: described(options.excludeCredentials),
      },
    });
    return {
      clientDataJSON: toText(made.response.clientDataJSON),
      attestationObject: toText(made.response.attestationObject),
      of: made,
    };
  };

  const ask = async (form) => {
    const response = await fetch(form.dataset.begin, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams({ csrf_token: form.elements.csrf_token.value }),
    });
    if (!response.ok) {
      throw new Error(
        response.status === 429
          ? "Too many attempts. Wait a while, then try again."
          : "The server did not accept this. Reload the page, then try again.",
      );
    }
    if (!(response.headers.get("Content-Type") || "").startsWith("application/json")) {
      throw new Error("Your session has ended. Sign in again.");
    }
    const { of: made, ...answer } = await (form.dataset.passkey === "create" ? create : get)(await response.json());
    return JSON.stringify({
      id: made.id,
      rawId: toText(made.rawId),
      type: made.type,
      authenticatorAttachment: made.authenticatorAttachment,
      clientExtensionResults: made.getClientExtensionResults(),
      response: answer,
    });
  };

  const words = (error) => {
    if (error.name === "NotAllowedError" || error.name === "AbortError") {
      return "No passkey was used. It was cancelled, took too long, or this device has no passkey for this site.";
    }
    if (error.name === "InvalidStateError") {
      return "This device already has a passkey for your account.";
    }
    return error.name === "Error" ? error.message : "This browser cannot use passkeys here.";
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential) {
      continue; // the form stays hidden: the page has another way
    }
    form.hidden = false;
    const message = form.querySelector("[data-passkey-message]");
    const answer = form.querySelector("[name=answer], [name=proof_passkey]");
    const button = form.querySelector("button[type=submit]");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      message.hidden = true;
      button.disabled = true;
      try {
        answer.value = await ask(form);
        form.submit();
      } catch (error) {
        message.textContent = words(error);
        message.hidden = false;
        button.disabled = false;
      }
    });
  }
})();
