from pathlib import Path

from affekt.paths import cache_home


def test_own_variable_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("AFFEKT_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_home() == tmp_path / "own"


def test_xdg_folder_is_shared_with_others(monkeypatch, tmp_path):
    monkeypatch.delenv("AFFEKT_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "affekt"


def test_relative_xdg_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.delenv("AFFEKT_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache" / "affekt"


def test_nothing_is_created(monkeypatch, tmp_path):
    monkeypatch.setenv("AFFEKT_HOME", str(tmp_path / "new"))
    cache_home()
    assert list(Path(tmp_path).iterdir()) == []
