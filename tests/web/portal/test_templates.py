"""Templates: all of them compile, none holds what the strict policy stops, and every macro renders."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string
from jinja2 import UndefinedError, nodes
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, IntegerField, PasswordField, RadioField, SelectField, SelectMultipleField, widgets

from server.domain.errors import NotPossible
from server.domain.resources import Resources
from server.web import app as web
from server.web.portal.kit.forms import Form, date, long_text, text
from tests.templates import Template

FOLDER = Path(web.__file__).parent / "templates"
TEMPLATES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html"))
TAG = re.compile(r"<[a-z][^<>]*>", re.IGNORECASE)
# What the policy stops: scripts and styles inside the page, and attributes that hold either.
WITH_ITS_OWN_POLICY = {"help/check/offline.html"}  # a file that is saved; tests/web/portal/help/test_check.py
INLINE = re.compile(r"<style\b|<script\b(?![^>]*\bsrc=)|\sstyle\s*=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)
SAFE = re.compile(r"\|\s*safe\b|Markup\(|autoescape")
AT = datetime(2019, 8, 20, 14, 3, tzinfo=UTC)
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EVIL = '<b title="x">\'&'
STAGE = {
    "name": "774M", "href": "/stages/gpt-2/774M", "parameters": "774 million parameters", "state": "partners",
    "held": False, "is_mine": True, "since": "with partners since 20 August 2019", "plan": "", "open": False,
    "reason": "Your agreement v2 was replaced.", "next_text": "Sign v3", "next_href": "/agreements/model-sharing",
    "ends_soon": "Your access ends in 6 days", "between": "1 finding open",
}  # fmt: skip


class Sample(Form):
    """A field of each type."""

    name = text("Name", 80, "As it stands in the agreement.")
    note = long_text("Purpose", most=2000, required=False)
    tier = SelectField("Tier", choices={"research": "research", "partner": "partner"})
    kind = RadioField("What for", choices={"studies": "studies", "audits": "audits"})
    scopes = SelectMultipleField(
        "Scopes", choices={"stages:read": "see stages"}, widget=widgets.ListWidget(prefix_label=False),
        option_widget=widgets.CheckboxInput(),
    )  # fmt: skip
    until = date("Ends on")
    days = IntegerField("Days")
    password = PasswordField("Password")
    sure = BooleanField("I may sign")


@pytest.fixture(scope="module")
def app(sqlite_template: Template) -> Iterator[Flask]:
    """An app that only reads, so all tests here share it."""
    use = Resources(sqlite_template.settings)
    app = web.create(use)
    app.jinja_env.globals.update(at=AT, sha256=SHA256, evil=EVIL, stage=STAGE)
    yield app
    use.close()


def rendered(app: Flask, source: str, **values: Any) -> str:
    """What a page makes of it."""
    with app.test_request_context("/downloads?stage=gpt-2", headers={"Accept": "text/html"}):
        app.preprocess_request()
        return " ".join(render_template_string(source, **values).split())


def macro(app: Flask, file: str, call: str, **values: Any) -> str:
    return rendered(app, f'{{% import "macros/{file}.html" as m with context %}}{call}', **values)


def test_every_template_compiles(app: Flask) -> None:
    """With every filter that it names, and every template that it builds on."""
    assert len(TEMPLATES) > 25
    for name in TEMPLATES:
        app.jinja_env.get_template(name)


def test_every_macro_is_used(app: Flask) -> None:
    """By another template or in its own file; and no template imports what neither it nor one that extends it uses."""
    trees = {name: app.jinja_env.parse((FOLDER / name).read_text(encoding="utf-8")) for name in TEMPLATES}
    read: dict[str, set[str]] = {}  # what each template names: `macro`, and `file.macro` by the name it imported it as
    for name, tree in trees.items():
        plain = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "load"}
        parts = {f"{node.node.name}.{node.attr}" for node in tree.find_all(nodes.Getattr) if hasattr(node.node, "name")}
        for reader in (name, *(str(base.template.value) for base in tree.find_all(nodes.Extends))):  # type: ignore[attr-defined]
            read.setdefault(reader, set()).update(plain | parts)
    used, idle = {(name, macro) for name in TEMPLATES for macro in read[name]}, set()
    for name, tree in trees.items():
        for whole in tree.find_all(nodes.Import):
            found = {one.partition(".")[2] for one in read[name] if one.startswith(f"{whole.target}.")}
            used |= {(whole.template.value, macro) for macro in found}  # type: ignore[attr-defined]
            idle |= set() if found else {(name, whole.target)}
        for some in tree.find_all(nodes.FromImport):
            taken = [one if isinstance(one, tuple) else (one, one) for one in some.names]
            used |= {(some.template.value, macro) for macro, _ in taken}  # type: ignore[attr-defined]
            idle |= {(name, alias) for _, alias in taken if alias not in read[name]}
    made = {(name, macro.name) for name, tree in trees.items() for macro in tree.find_all(nodes.Macro)}
    assert made - used == set()
    assert idle == set()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_holds_nothing_inline(name: str) -> None:
    """No script, no style, no handler: the policy would stop it. Nothing is called safe without saying why."""
    source = (FOLDER / name).read_text()
    markup = re.sub(r"\{#.*?#\}", "", source, flags=re.DOTALL)
    tags = TAG.findall(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", markup, flags=re.DOTALL))
    assert name in WITH_ITS_OWN_POLICY or [tag for tag in tags if INLINE.search(tag)] == []
    lines = source.splitlines()
    assert [line for line in lines if SAFE.search(line.split("{#")[0]) and "{#" not in line] == []
    for form in re.findall(r"<form\b[^>]*method=.post.*?</form>", source, re.DOTALL | re.IGNORECASE):
        assert "csrf" in form, "a form that posts carries the token"


@pytest.mark.parametrize(
    ("file", "call", "parts"),
    [
        ("page", "{{ m.head('Tokens', lead=evil) }}", ["<h1>Tokens</h1>", "&lt;b title"]),
        ("page", "{% call m.head('Tokens') %}<a>Make</a>{% endcall %}", ['<div class="head-action"><a>Make</a>']),
        ("page", "{{ m.crumbs([('Home', '/'), (evil, none)]) }}", ['<a href="/">Home</a>', 'current="page">&lt;b']),
        ("page", "{% call m.section('Files', 'files') %}inside{% endcall %}", ['id="files"', "<h2>Files</h2> inside"]),
        ("page", "{{ m.appearance('dark', '/x') }}", ['"dark" aria-pressed="true"', '"light" aria-pressed="false"']),
        ("forms", "{{ m.csrf() }}", ['<input type="hidden" name="csrf_token" value="']),
        ("forms", "{{ m.submit('Revoke it', 'danger') }}", ['<button type="submit" class="button danger">Revoke it<']),
        ("forms", "{{ m.button('/x', 'End', fields={'id': evil}) }}", ['"post" action="/x"', "csrf_token", '"&lt;b']),
        ("forms", "{% call m.filters() %}<i></i>{% endcall %}", ['<form method="get"', "<i></i>", "Filter</button>"]),
        ("data", "{{ m.moment(at) }}", ['datetime="2019-08-20T14:03:00+00:00" title="20 August 2019, 14:03:00 UTC"']),
        ("data", "{{ m.moment(none) }}{{ m.on(none) }}{{ m.bytes(none) }}", ["–––"]),
        ("data", "{{ m.on(at) }}", [">20 August 2019</time>"]),
        ("data", "{{ m.until(at) }}{{ m.until(none) }}", ['title="ends 20 August 2019, 14:03:00 UTC">', "–"]),
        ("data", "{{ m.bytes(1234567) }}", ['value="1234567"', ">1.23 MB<"]),
        ("data", "{{ m.short(sha256) }}", [f'title="{SHA256}"', f'data-copy="{SHA256}"', ">9f86d081…b0f00a08<"]),
        ("data", "{{ m.copy(evil) }}", ['data-copy="&lt;b title=&#34;x&#34;&gt;&#39;&amp;"', "Copy"]),
        ("data", "{{ m.badge(evil, 'good') }}", ['class="badge good">&lt;b']),
        ("data", "{{ m.state('partners') }}", ["state-partners", "</svg>partners"]),
        ("data", "{{ m.state('public', true) }}", ["state-held", "</svg>on hold", "public before"]),
        ("data", "{{ m.bar(1200000000, 3100000000, 'fetched') }}", ["1.2 GB of 3.1 GB, 38 %", 'aria-label="fetched"']),
        ("data", "{{ m.bar(5, 0, in_bytes=false) }}", ["5 of 0, 0 %", 'max="1"']),
        ("data", "{{ m.command(evil) }}", ["<code>&lt;b", "data-copy"]),
        ("data", "{{ m.empty('None yet.') }}", ["None yet."]),
        ("data", "{{ m.pager('c2', {'stage': 'gpt-2'}) }}", ['href="?stage=gpt-2&amp;cursor=c2"', "Older"]),
        ("data", "{{ m.pager(none, {'cursor': 'c'}) }}", ["Newest", "End of list"]),
        ("data", "{{ m.secret('wgk_x') }}", ["Copy this now", 'data-copy="wgk_x"', 'data-save="wgk_x"']),
        ("data", "{{ m.facts([('A', evil), ('B', none), ('C', m.bytes(1))]) }}", ["<dd>&lt;b", "<dd>–<", "<dd><data"]),
        ("data", "{{ m.person('Rita', 'r@x.example') }}", ["Rita", "r@x.example"]),
        ("icons", "{{ m.icon('download') }}", ['aria-hidden="true"', "<path"]),
        ("ladder", "{{ m.ladder([stage, stage]) }}", ["<ol", "774M", "Sign v3", "replaced", "1 finding", "6 days"]),
        ("charts", "{{ m.chart('Bytes a day', 'bars', ['Day', 'A'], [['1 May', 2000], ['2 May', none]], 'bytes') }}",
         ["<figcaption><h2", ">Bytes a day<", 'data-value="2000">2 kB', 'data-value="">–', 'scope="row">1 May']),
        ("charts", "{{ m.scripts() }}", ["/static/vendor/chartjs/chart.umd.min.js?v=", "/static/charts.js?v="]),
    ],
)  # fmt: skip
def test_every_macro_renders(app: Flask, file: str, call: str, parts: list[str]) -> None:
    """With what its first line promises, and with what others wrote escaped."""
    made = macro(app, file, call)
    for part in parts:
        assert part in made, made
    assert EVIL not in made
    assert not any(INLINE.search(tag) for tag in TAG.findall(made))


def test_every_icon_is_drawn_and_used(app: Flask) -> None:
    """Those that are there; a name that nobody drew stops the page."""
    templates = Path(app.root_path) / "templates"
    icons = templates / "macros" / "icons.html"
    others = " ".join(page.read_text(encoding="utf-8") for page in templates.rglob("*.html") if page != icons)
    names = re.findall(r'^  "(\w+)": ', icons.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 10
    for name in names:
        assert re.search("<(path|circle|rect)", macro(app, "icons", f"{{{{ m.icon('{name}') }}}}"))
        assert f"'{name}'" in others, name
    with pytest.raises(UndefinedError):
        macro(app, "icons", "{{ m.icon('nothing') }}")


def test_a_form_that_comes_back_says_what_is_wrong(app: Flask) -> None:
    """Each field keeps what was typed, is marked, and is linked from the top; a password is not shown again."""
    call = "{{ m.summary(form) }}{% for f in form if f.type != 'CSRFTokenField' %}{{ m.field(f) }}{% endfor %}"
    sent = {"name": "", "note": EVIL, "tier": "none", "until": "no", "days": "x", "password": "hunter2"}
    with app.test_request_context("/", method="POST", headers={"Accept": "text/html"}):
        form = Sample(MultiDict(sent))
        form.validate()
        form.refused = NotPossible("It was decided already.", next_step="Contact {contact}.")
        app.preprocess_request()
        made = " ".join(
            render_template_string(f'{{% import "macros/forms.html" as m with context %}}{call}', form=form).split()
        )
    assert 'role="alert" tabindex="-1"' in made
    assert "It was decided already. Contact clearance@example-lab.example." in made
    for field, target in (("name", "name"), ("tier", "tier"), ("kind", "kind-0"), ("until", "until"), ("days", "days")):
        assert f'<a href="#{target}">' in made, field
        assert f'id="{target}"' in made, field
        assert f'id="{field}-error"' in made, field
    assert 'aria-describedby="name-hint name-error"' in made
    assert 'aria-invalid="true"' in made
    assert "&lt;b title" in made
    assert EVIL not in made
    assert "hunter2" not in made
    assert "CSRF" not in made
    assert 'Purpose <span class="optional">(optional)</span>' in made
    assert made.count("<fieldset") == made.count("<legend>") == 2
