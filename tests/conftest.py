"""What all tests share: a cache folder of their own, and a small folder of songs that can be learnt from."""

from __future__ import annotations

import csv
import gc
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import settings

from affekt.data import demo

N_SONGS = 16
SONG_S = 6.0
SONG_RATE_HZ = 16_000


# The same examples in every run, so that a green run stays green, and no limit on time, which says nothing on a busy
# machine. HYPOTHESIS_PROFILE=wild looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("wild", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

#: A browser that playwright may drive, and how it is started.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--mute-audio"]
FLAGS += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a microphone that beeps
DESKTOP = {"width": 1200, "height": 800}

#: Single tests of a minute and more: they begin first, so that test processes end together.
LONGEST = ("test_docs.py::test_shell_commands_run", "test_notebooks.py::test_it_runs_and_puts_out_what_it_keeps")


def pytest_configure() -> None:
    """Collect garbage rarely: with all that tests load, looking through it takes half a second each time."""
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, all others in their order."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))


@pytest.fixture(autouse=True)
def affekt_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's cache folder, empty and temporary, so that no test reads or fills the user's own."""
    home = tmp_path_factory.mktemp("affekt-home")
    monkeypatch.setenv("AFFEKT_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def song_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AudioFolder of 16 mono songs of 6 s with ids "song00" to "song15" by 8 artists, two songs each.

    Brightness carries valence, loudness carries arousal, both between 1 and 9, with songs in every quadrant. Do not
    write into it: all tests share it.
    """
    root = tmp_path_factory.mktemp("song-folder")
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(N_SONGS):
        quadrant = np.array([number % 2, number // 2 % 2])
        bright, loud = 0.5 * quadrant + rng.uniform(0, 0.5, size=2)
        name = f"audio/song{number:02d}.wav"
        sf.write(root / name, _song(bright, loud, rng), SONG_RATE_HZ)
        valence, arousal = (1 + 8 * np.array([bright, loud])).round(2)
        rows.append([name, valence, arousal, f"artist {number // 2}", "dark" if bright < 0.5 else "bright"])
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file_name", "valence", "arousal", "artist", "genre"], *rows])
    return root


@pytest.fixture(scope="session")
def demo_songs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """A function (cache folder, n_songs, annotations="static") that puts the demo corpus into a cache folder.

    It is generated once for all test processes, and its songs last 20 s instead of 45, 32 s where they change. What
    generates and reads it is the package itself.
    """
    base = tmp_path_factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo-songs"

    def put(home: Path, n_songs: int, annotations: str = "static") -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(demo, "LENGTH_S", 32.0 if annotations == "dynamic" else 20.0)
            # two processes at once are no danger to each other
            demo.load_demo(common, n_songs, progress=False, annotations=annotations)
        home.mkdir(parents=True, exist_ok=True)
        for folder in common.glob("demo-*"):
            if not (home / folder.name).exists():
                (home / folder.name).symlink_to(folder)

    return put


def _song(bright: float, loud: float, rng: np.random.Generator) -> np.ndarray:
    """A chord whose overtones grow with `bright`, with a little noise, scaled by `loud`; (n_samples,)."""
    time_s = np.arange(int(SONG_S * SONG_RATE_HZ)) / SONG_RATE_HZ
    fundamental_hz = rng.uniform(110, 220)
    chord = np.zeros_like(time_s)
    for overtone in range(1, 9):
        angle = 2 * np.pi * (overtone * fundamental_hz * time_s + rng.uniform())
        chord += (0.2 + 0.75 * bright) ** (overtone - 1) * np.sin(angle)
    chord /= np.abs(chord).max()
    pulse = 0.7 + 0.3 * np.sin(2 * np.pi * rng.uniform(1, 3) * time_s)
    return (0.05 + 0.8 * loud) * pulse * chord + 0.01 * rng.standard_normal(len(time_s))


class Opened:
    """A page in the browser, with all it complained about and all it asked for."""

    def __init__(self, browser: Any, address: str) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(viewport=DESKTOP)
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address, timeout=120_000)

    def ask(self, expression: str, argument: Any = None) -> Any:
        return self.page.evaluate(expression, argument)

    def until(self, expression: str, timeout_s: float = 60.0) -> None:
        """Wait for an expression to become true. Playwright's own wait needs `eval`, which a page may forbid."""
        deadline = time.monotonic() + timeout_s
        while not self.ask(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def see(self, width_px: int = DESKTOP["width"], **media: str) -> None:
        self.page.set_viewport_size({"width": width_px, "height": 800})
        self.page.emulate_media(**{"media": "screen", "color_scheme": "light", **media})


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium or Chrome of this machine, which the Python package playwright drives; skips without either."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser found (looked for {', '.join(BROWSERS)})")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def open_page(browser: Any) -> Callable[[str], Opened]:
    """Opens a page at an address."""
    return lambda address: Opened(browser, address)
