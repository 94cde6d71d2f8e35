"""Serve the witness of PyPI's witness-log over HTTP, as its documentation shows: it is a library, and no program.

usage: python witness_log_serve.py PORT NAME SEED-HEX ORIGIN VKEY   (in an environment made from log-verifiers.txt)

Nothing here imports the server.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from witness_log import WitnessService  # type: ignore[import-not-found]


def main() -> None:
    """Hand each request to the witness until killed; its state is kept in memory."""
    port, name, seed, origin, vkey = sys.argv[1:]
    witness = WitnessService.new(name, bytes.fromhex(seed))
    witness.add_log(origin, vkey)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, kind, answer = witness.handle_add_checkpoint_http(body, int(time.time()))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer.encode())))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            """The test reads answers instead."""

    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    print(witness.vkey(), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
