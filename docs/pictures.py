"""Draws the two pictures of CONTRIBUTING.md from text: `python docs/pictures.py` writes them, a test compares them.

The rooms come from `.importlinter` and each room's docstring, the request from `docs/request.txt`.
"""

import ast
import configparser
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDTH, ROW, GAP, EDGE = 960, 34, 6, 12
COLUMN = 230  # where the second column begins
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1f2328}.name{font-weight:600}.file{font-family:ui-monospace,monospace;"
    "font-size:12px;fill:#57606a}.box{fill:#f6f8fa;stroke:#d0d7de}.layer{fill:none;stroke:#8c959f}"
    ".commit{stroke:#1a7f37;stroke-width:3}.told{fill:#1a7f37;font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.file{fill:#9198a1}.box{fill:#161b22;stroke:#3d444d}"
    ".layer{stroke:#656c76}.commit{stroke:#3fb950}.told{fill:#3fb950}}"
)


def rooms() -> str:
    """The layers of `server`, and inside `domain` its rooms: each may import only what is below it."""
    shapes, y = [], EDGE
    for layer in ("web | cli", "domain", "log", "storage"):
        inside = list(_rooms_of_domain()) if layer == "domain" else []
        height = ROW + len(inside) * (ROW + GAP) + (GAP if inside else 0)
        shapes.append(f'<rect class="layer" x="{EDGE}" y="{y}" width="{WIDTH - 2 * EDGE}" height="{height}" rx="6"/>')
        shapes += _line(y, layer, " · ".join(_sentence(part.strip(), "") for part in layer.split("|")))
        for place, (room, sentence) in enumerate(inside, 1):
            top = y + place * (ROW + GAP)
            shapes.append(
                f'<rect class="box" x="{2 * EDGE}" y="{top}" width="{WIDTH - 4 * EDGE}" height="{ROW}" rx="4"/>'
            )
            shapes += _line(top, room, sentence)
        y += height + GAP
    return _drawing(shapes, y + EDGE - GAP, "The layers of the server, the rooms of its domain; imports go down")


def request() -> str:
    """One request for a download, step by step, with the file of each."""
    shapes, y = [], EDGE
    for line in (ROOT / "docs" / "request.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, file, sentence = (part.strip() for part in line.split("|"))
        if name == "----":
            middle = y + ROW // 2
            shapes.append(f'<path class="commit" d="M{EDGE} {middle}H{EDGE + 160}"/>')
            shapes.append(f'<text class="told" x="{EDGE + 176}" y="{middle + 5}">{file}: {escape(sentence)}</text>')
        else:
            shapes.append(f'<rect class="box" x="{EDGE}" y="{y}" width="{WIDTH - 2 * EDGE}" height="{ROW}" rx="4"/>')
            shapes += _line(y, name, sentence, file)
        y += ROW + GAP
    return _drawing(shapes, y + EDGE - GAP, "One request for a download: decided and logged, committed, then signed")


def _rooms_of_domain() -> Iterator[tuple[str, str]]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    for row in contracts["importlinter:contract:rooms"]["layers"].split("\n"):
        names = [name.strip() for name in row.replace(":", "|").split("|") if name.strip()]
        if names:
            rooms_only = [name for name in names if (ROOT / "server" / "domain" / name).is_dir()]
            yield ", ".join(names), " · ".join(_sentence(name) for name in rooms_only) or "shared by the rooms"


def _sentence(package: str, inside: str = "domain") -> str:
    """The first sentence of what a package says of itself, without its full stop."""
    text = (ROOT / "server" / inside / package / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition(". ")[0].rstrip(".").replace("`", "")


def _line(top: int, name: str, sentence: str, file: str = "") -> list[str]:
    middle = top + ROW // 2 + 5
    shapes = [f'<text class="name" x="{3 * EDGE}" y="{middle}">{escape(name)}</text>']
    if file:
        shapes.append(f'<text class="file" x="{EDGE + COLUMN}" y="{middle}">{escape(file)}</text>')
    shapes.append(f'<text x="{EDGE + COLUMN + (310 if file else 0)}" y="{middle}">{escape(sentence)}</text>')
    return shapes


def _drawing(shapes: list[str], height: int, title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    return "\n".join([head, *shapes, "</svg>"]) + "\n"


PICTURES = {"rooms.svg": rooms, "request.svg": request}

if __name__ == "__main__":
    for file_name, draw in PICTURES.items():
        (ROOT / "docs" / file_name).write_text(draw(), encoding="utf-8")
