// A real OpenID Connect provider (oidc-provider, certified) for the tests, with people, clients and keys of its own.
// Run: node provider.mjs, with its configuration as JSON on standard input; it says "ready" once it listens.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { issuer, port, packages, people, clients, audience } = JSON.parse(readFileSync(0, "utf8"));
const installed = createRequire(`${packages}/package.json`).resolve("oidc-provider");
const { Provider } = await import(pathToFileURL(installed));

const MULTI_FACTOR = "urn:example:multi-factor";

function key(type, alg, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg };
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return new URLSearchParams(Buffer.concat(parts).toString());
}

function page(uid, told) {
  return `<!doctype html><html lang="en"><title>Provider</title><h1>Provider</h1><p>${told}</p>
<form method="post" action="/interaction/${uid}">
<label>Login <input name="login" autocomplete="username"></label>
<label>Password <input name="password" type="password"></label>
<label><input type="checkbox" name="second_factor" value="y"> Second factor</label>
<button name="act" value="sign-in">Continue</button> <button name="act" value="abort">Cancel</button>
</form></html>`;
}

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [key("rsa", "RS256", { modulusLength: 2048 }), key("ec", "ES256", { namedCurve: "P-256" })] },
  cookies: { keys: [randomUUID()] },
  acrValues: [MULTI_FACTOR],
  claims: { openid: ["sub", "amr", "acr"], profile: ["name", "preferred_username"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false,
  pkce: { required: () => false },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => (people[id] ? { accountId: id, claims: () => ({ sub: id, ...people[id].claims }) } : undefined),
  // Nobody is asked whether the portal may know who they are: a lab's provider belongs to the lab.
  async loadExistingGrant(ctx) {
    const { client, session } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "", audience: resource, accessTokenTTL: 600, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  extraTokenClaims: (_, token) => (token.kind === "ClientCredentials" ? { run_id: randomUUID() } : undefined),
  ttl: { AccessToken: 600, AuthorizationCode: 60, ClientCredentials: 600, Grant: 3600, IdToken: 600, Interaction: 600, Session: 3600 },
});

async function interact(request, response, uid) {
  if (request.method !== "POST") {
    response.setHeader("content-type", "text/html").end(page(uid, "Sign in"));
    return;
  }
  const typed = await body(request);
  if (typed.get("act") === "abort") {
    await provider.interactionFinished(request, response, { error: "access_denied" }, { mergeWithLastSubmission: false });
    return;
  }
  const person = Object.hasOwn(people, typed.get("login")) ? people[typed.get("login")] : undefined;
  if (person?.password !== typed.get("password")) {
    response.writeHead(403, { "content-type": "text/html" }).end(page(uid, "Wrong login or password"));
    return;
  }
  const strong = typed.has("second_factor");
  const login = { accountId: typed.get("login"), remember: true, amr: strong ? ["pwd", "mfa"] : ["pwd"] };
  if (strong) login.acr = MULTI_FACTOR;
  await provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
}

const answer = provider.callback();
const server = createServer((request, response) => {
  const [, uid] = /^\/interaction\/([\w-]+)$/.exec(request.url) ?? [];
  if (!uid) return answer(request, response);
  interact(request, response, uid).catch((error) => response.writeHead(400).end(String(error.message)));
});
server.listen(port, "127.0.0.1", () => console.log("ready"));
