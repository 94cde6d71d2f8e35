"""What is kept of templates: the same sources within the hour, and nothing else."""

import os
from pathlib import Path

import pytest

from tests import templates


def kept(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A place that a finished template has in a folder of its own."""
    monkeypatch.setattr(templates, "KEPT", folder / "kept")
    with templates._kept_in("sqlite") as place:
        place.mkdir()
    return place


def test_a_template_of_the_same_sources_is_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second process takes what the first has built."""
    place = kept(monkeypatch, tmp_path)
    with templates._kept_in("sqlite") as found:
        assert found == place
        assert found.exists()


def test_an_old_template_is_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the example did must have been a little while ago."""
    place = kept(monkeypatch, tmp_path)
    made = place.stat().st_mtime - templates.KEPT_SECONDS
    os.utime(place, (made, made))
    with templates._kept_in("sqlite") as found:
        assert not found.exists()


def test_a_template_of_other_sources_is_thrown_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A change below the web gives templates another name, and the old ones do not pile up."""
    place = kept(monkeypatch, tmp_path)
    monkeypatch.setattr(templates, "_of_sources", lambda: "other")
    with templates._kept_in("sqlite") as found:
        assert found != place
    assert not place.exists()


def test_only_what_is_below_the_web_has_a_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One changed byte there names another template; a changed page does not."""
    for path in ("server/domain/stages.py", "server/web/app.py", "config/example.toml", "requirements.lock"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("one")
    monkeypatch.setattr(templates, "ROOT", tmp_path)
    monkeypatch.setattr(templates, "NO_SAY", tmp_path / "server" / "web")
    monkeypatch.setattr(templates, "__file__", str(tmp_path / "config" / "example.toml"))
    before = templates._of_sources.__wrapped__()
    (tmp_path / "server" / "web" / "app.py").write_text("two")
    assert templates._of_sources.__wrapped__() == before
    (tmp_path / "server" / "domain" / "stages.py").write_text("two")
    assert templates._of_sources.__wrapped__() != before
