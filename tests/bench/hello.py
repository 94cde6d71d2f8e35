"""The floor: the smallest Flask app, served with the same settings as ours."""

from flask import Flask

app = Flask(__name__)


@app.post("/api/v1/downloads")
def hello() -> str:
    return "hello"
