"""Run a witness (PyPI's witness-log) over requests from the standard input: one witness, which remembers between them.

usage: python witness_log_cosign.py < REQUESTS   (in an environment made from log-verifiers.txt)

REQUESTS: {"name", "seed" (hex), "logs": [[origin, vkey], …], "requests": [[body, unix seconds], …]}, each body that of
a POST to /add-checkpoint. Prints {"vkey", "answers": [[HTTP status, content type, body], …]}.
Nothing here imports the server.
"""

import json
import sys

from witness_log import WitnessService  # type: ignore[import-not-found]


def main() -> None:
    """Answer in order, as an HTTP server around the witness would."""
    told = json.load(sys.stdin)
    witness = WitnessService.new(told["name"], bytes.fromhex(told["seed"]))
    for origin, vkey in told["logs"]:
        witness.add_log(origin, vkey)
    answers = [witness.handle_add_checkpoint_http(body, time) for body, time in told["requests"]]
    json.dump({"vkey": witness.vkey(), "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
