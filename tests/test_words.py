"""Words: what people read is plain English; each phrase below once slipped in, with what to write instead."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTEAD = {  # a pattern → what to write instead
    r"\b(?:stand|stands|stood) (?:in|here|below|above|on|at|there|among|beside)\b": "is in, appears, see below",
    r"\bmust never be\b": "should never happen",
    r"\bis told\b|\bby mail\b": "No email is sent, gets an email",
    r"\ba mail\b(?! server)|(?<![\w/`])[Mm]ails\b": "email, emails",
    r"\be-mail\b": "email",
    r"\bunwanted mail\b": "spam folder",
    r"\bit takes the tier\b|\btakes (?:one|two) admins?\b": "tier … is required, needs two admins",
    r"\bthe lab's to do\b": "only the lab can do this",
    r"\bour sign\b(?!-)|\ba sign that\b": "a valid CSRF token",
    r"\bpresent (?:one|password|state|version|app|end)\b": "current",
    r"\bno moment\b": "not a valid date or time",
    r"\bcannot be written down\b": "an unsupported character",
    r"\bhave been faster\b": "Someone else may have done this already",
    r"\bholds? (?:lies|that lies|was laid|is laid)\b": "is on hold",
    r"\b(?:lay|lays|laid|laying) (?:a|the) hold\b": "place a hold",
    r"\bthe very same\b|\bthis very\b": "is identical, this",
    r"\banew\b": "again",
    r"\bprov(?:e|es) (?:yourself|themselves|oneself)\b": "confirm it's you",
    r"\bwhoever\b|\bwhom\b": "anyone who, the person who",
    r"\bso-and-so\b": "a name",
    r"\bfor good\b|\bfor ever\b": "permanently",
    r"\bopen to (?:you|them|your organization)\b": "you can download",
    r"\bbeside\b|\bbesides\b": "next to, also",
    r"\b(?:some|any|every)body\b": "someone, anyone, everyone",
    r"\bone's\b|\boneself\b": "your",
    r"\bgoes? on\b": "continues, keeps happening",
    r"\bleft out\b|\bleave (?:it|them) out\b": "omitted, omit; a default in brackets",
    r"\bat once\b(?!\.)": "immediately",
    r"\bword for word\b": "exactly",
    r"\bbegin again\b": "start again",
    r"\bis (?:not right|no \w+ (?:id|name|address))\b": "is incorrect, is not a valid …",
    r"\blower-case\b": "lowercase",
    r"\bwas looked at\b": "was checked",
    r"\bnothing (?:needs to be done|is left to do)\b": "there is nothing to do",
    r"\bworthless\b": "no longer works",
    r"\b(?:asks?|asked) for access\b": "request access",
}
EXCEPTIONS = {  # (file, the words) → why
    ("server/example/reading.py", "everybody"): "a model's training text, not a sentence of ours",
}
SHOWN_BY = re.compile(r"\.command|\bgroup\b|\bbp\.")  # a command's help, a view's description
PAGES = (
    "README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md", "deploy/runbooks.md",
    "deploy/monitoring/alerts.yml", "deploy/monitoring/grafana.json", "client/README.md", "docs/tools.md",
)  # fmt: skip
FORBIDDEN = re.compile("|".join(f"(?P<p{number}>{pattern})" for number, pattern in enumerate(INSTEAD)), re.IGNORECASE)


def faults(text: str) -> list[tuple[str, str]]:
    """Each forbidden phrase in a text, and what to write instead."""
    flat = " ".join(text.split())
    instead = list(INSTEAD.values())
    return [(found[0], instead[int(str(found.lastgroup)[1:])]) for found in FORBIDDEN.finditer(flat)]


def of_python(path: Path) -> Iterator[str]:
    """Literals with a space in them, and the docstrings that are shown: refusals, commands, the API's description."""
    tree = ast.parse(path.read_text())
    literals = {id(node): node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for part in ast.walk(node):
                if part is not node:
                    literals.pop(id(part), None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (doc := _docstring(node)) is not None:
            literals.pop(id(doc), None)
            if is_shown(path, node):
                yield str(doc.value)
    for literal in literals.values():
        text = _text(literal)
        if " " in text.strip():
            yield text


def is_shown(path: Path, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> bool:
    """Whether people read a docstring: a command's help, a view's description, a refusal's sentence."""
    place = path.relative_to(ROOT).as_posix()
    if isinstance(node, ast.ClassDef):
        return place == "server/domain/errors.py"
    decorators = " ".join(map(ast.unparse, getattr(node, "decorator_list", [])))
    return place.startswith(("server/cli/", "server/web/api/", "client/")) and bool(SHOWN_BY.search(decorators))


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> ast.Constant | None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.value
    return None


def _text(literal: ast.expr) -> str:
    if isinstance(literal, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in literal.values)
    return literal.value if isinstance(literal, ast.Constant) and isinstance(literal.value, str) else ""


def of_template(path: Path) -> Iterator[str]:
    """What a page says: its text, and the sentences in its statements; neither tags nor comments nor names."""
    text = re.sub(r"\{#.*?#\}", " ", path.read_text(), flags=re.DOTALL)
    code = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
    yield re.sub(r"<[^<>]*>", " ", code.sub(" … ", text))
    for statement in code.findall(text):
        yield from re.findall(r"""['"]([^'"]* [^'"]*)['"]""", statement)


def of_script(path: Path) -> Iterator[str]:
    """The quoted texts of a script."""
    yield from re.findall(r"""["`]([^"`\n]* [^"`\n]*)["`]""", path.read_text())


def of_settings(path: Path) -> Iterator[str]:
    """The comments, joined: a sentence may run over lines."""
    for block in re.split(r"\n(?!# )", path.read_text()):
        yield " ".join(line.removeprefix("# ") for line in block.splitlines() if line.startswith("#"))


READERS = [
    *(
        (path, of_python)
        for folder in ("server", "client/weightgate")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ),
    *((path, of_template) for path in sorted((ROOT / "server/web/templates").rglob("*.html"))),
    *((path, of_script) for path in sorted((ROOT / "server/web/static").glob("*.js"))),
    *((ROOT / name, lambda path: iter([path.read_text()])) for name in PAGES),
    (ROOT / "config/example.toml", of_settings),
]


def test_what_people_read_is_plain_english() -> None:
    """No text that is shown has a phrase of the table: refusals, help, pages, mails, settings, guides."""
    found = {
        f"{place}: “{words}” → {instead}"
        for path, read in READERS
        for place in [path.relative_to(ROOT).as_posix()]
        for text in read(path)
        for words, instead in faults(text)
        if (place, words) not in EXCEPTIONS
    }
    assert not found, "\n" + "\n".join(sorted(found))


@pytest.mark.parametrize(
    "text",
    ["Whom to ask stands below.", "A hold\n    lies on it.", "Look among unwanted mail.", "It takes the tier partner."],
)
def test_the_worst_are_found(text: str) -> None:
    """Also where the phrase runs over a line."""
    assert faults(text)


@pytest.mark.parametrize(
    "text", ["A mail server.", "/mails and `development_mails`", "It stands for itself.", "at once."]
)
def test_the_plain_ones_are_not(text: str) -> None:
    """What only looks like a phrase of the table."""
    assert not faults(text)
