// Reads simulations as JSON, and writes what iam-simulate says of each: Allowed, ImplicitlyDenied, ExplicitlyDenied.
const { anonymousPrincipal, runSimulation } = require("@cloud-copilot/iam-simulate");
const { readFileSync } = require("node:fs");

async function main() {
  const answers = [];
  for (const one of JSON.parse(readFileSync(0, "utf8"))) {
    if (one.request.principal === null) one.request.principal = anonymousPrincipal;
    const told = await runSimulation(one, {});
    answers.push(told.resultType === "error" ? JSON.stringify(told.errors) : told.overallResult);
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
