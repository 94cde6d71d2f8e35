"""An app with the weaknesses that the scanners look for, so that it is seen that they find some: python … PORT."""

import sqlite3
import sys
from pathlib import Path

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return (
        '<a href="/hello?name=you">hello</a> <a href="/find?number=1">find</a> <a href="/go?to=/">go</a>'
        '<a href="/read?file=hosts">read</a><form action="/hello"><input name="name"></form>'
    )


@app.get("/hello")
def hello() -> str:
    return f"<p>Hello {request.args.get('name', '')}</p>"


@app.get("/find")
def find() -> Response:
    database = sqlite3.connect(":memory:")
    database.executescript("CREATE TABLE things (number, name); INSERT INTO things VALUES (1, 'one'), (2, 'two')")
    query = f"SELECT name FROM things WHERE number = {request.args.get('number', '0')}"  # noqa: S608  # the weakness
    try:
        return Response("\n".join(str(row) for row in database.execute(query)))
    except sqlite3.Error as error:
        return Response(f"sqlite3.OperationalError: {error}", 500)


@app.get("/go")
def go() -> BaseResponse:
    return redirect(request.args.get("to", "/"))


@app.get("/read")
def read() -> Response:
    return Response((Path("/etc") / request.args.get("file", "")).read_text(), mimetype="text/plain")


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]))
