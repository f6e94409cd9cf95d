"""The page in a real browser: a song goes in, a prediction comes out, and no other host is asked for anything."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile as sf

from affekt.model.predictor import Model

pytestmark = pytest.mark.slow
PHONE_PX = 390
ROWS = "document.querySelectorAll('.songs tbody tr').length"
ERRORS = "document.querySelectorAll('.errors .error').length"


@pytest.fixture(scope="module")
def page(served: Any, open_page: Callable[[str], Any], song: Path) -> Any:
    """The page of one model, with two songs in it."""
    opened = open_page(served.address)
    opened.until("document.querySelector('#affekt.ready') !== null")
    opened.page.set_input_files("#affekt-file", [song, write_song(song.parent / "<b>two & more.flac", 1)])
    opened.until(f"{ROWS} === 2")
    return opened


@pytest.fixture
def fresh(served: Any, open_page: Callable[[str], Any]) -> Iterator[Any]:
    """The page of one model, as it is when it is opened."""
    opened = open_page(served.address)
    opened.until("document.querySelector('#affekt.ready') !== null")
    yield opened
    opened.page.close()


def write_song(path: Path, seed: int) -> Path:
    sf.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 5 * 16_000), 16_000)
    return path


def text(opened: Any, selector: str) -> str:
    return str(opened.ask("(selector) => document.querySelector(selector).textContent", selector))


def strangers(opened: Any) -> list[str]:
    """What was asked of other hosts."""
    local = ("127.0.0.1", None)
    return [url for url in opened.requests if urlsplit(url.removeprefix("blob:")).hostname not in local]


def test_songs_are_shown_with_values_and_words(page: Any, model: Model, song: Path) -> None:
    expected = model.predict(song)
    row = text(page, ".songs tbody tr")
    assert "song.wav" in row and f"{expected.valence:.1f}" in row and f"{expected.arousal:.1f}" in row
    low, high = expected.interval("arousal")
    assert f"{low:.1f} to {high:.1f}" in row
    assert page.ask("document.querySelectorAll('.plane .marks .song .cross').length") == 2
    assert page.ask("document.querySelectorAll('.course .line').length") == 2
    assert "Songs" in text(page, ".songs h2") and "tiny-handcrafted" in text(page, ".facts")


def test_names_of_files_are_text(page: Any) -> None:
    assert page.ask("document.querySelector('.songs b, .result b') === null")
    assert "<b>two & more.flac" in text(page, ".songs tbody")


def test_no_other_host_is_asked_and_nothing_is_complained_of(page: Any) -> None:
    assert len(page.requests) > 10 and strangers(page) == []
    assert page.complaints == []
    assert page.ask("[...document.fonts].filter((font) => font.status !== 'unloaded').length") == 0


def test_the_browser_would_not_ask_another_host(fresh: Any) -> None:
    assert fresh.ask("fetch('https://example.org').then(() => 'asked', () => 'refused')") == "refused"
    assert any("Content Security Policy" in complaint for complaint in fresh.complaints)


def test_the_playhead_follows_the_player(page: Any) -> None:
    page.page.locator(".pick").first.click()
    page.until("document.querySelector('#affekt audio').duration > 6.9")
    page.ask("document.querySelector('#affekt audio').play()")
    page.until("parseFloat(document.querySelector('.playhead').style.left) > 2")
    page.until("document.querySelector('.plane .now.on') !== null")
    page.ask("document.querySelector('#affekt audio').pause()")
    at = "document.querySelector('#affekt audio').currentTime / 7 * 100"
    page.until(f"Math.abs(parseFloat(document.querySelector('.playhead').style.left) - {at}) < 0.5")


def test_keys_move_the_playhead(page: Any) -> None:
    page.page.locator(".pick").first.click()
    page.until("document.querySelector('#affekt audio').duration > 6.9")
    page.page.locator(".seek").focus()
    page.page.keyboard.press("ArrowRight")
    page.until("document.querySelector('#affekt audio').currentTime === 5")
    assert page.page.locator(".seek").get_attribute("aria-valuetext") == "0:05 of 0:07"
    page.page.keyboard.press("Home")
    page.until("document.querySelector('#affekt audio').currentTime === 0")


def test_results_are_downloaded(page: Any, model: Model, song: Path) -> None:
    expected = model.predict(song)
    with page.page.expect_download() as download:
        page.page.locator("button.json").click()
    found = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert [one["file"] for one in found] == ["song.wav", "<b>two & more.flac"]
    assert found[0] == {"file": "song.wav"} | expected.as_dict() | {"model": "tiny-handcrafted"}
    with page.page.expect_download() as download:
        page.page.locator("button.csv").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert [row["path"] for row in rows] == ["song.wav", "<b>two & more.flac"]
    assert float(rows[0]["valence_low"]) == expected.interval("valence").low
    assert rows[0]["model"] == model.fingerprint


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [PHONE_PX, 820, 1200])
def test_nothing_scrolls_sideways(page: Any, scheme: str, width_px: int) -> None:
    page.see(width_px=width_px, color_scheme=scheme)
    page.ask("document.querySelector('.about').open = true")
    assert page.ask("document.documentElement.scrollWidth") <= width_px
    wide = "(one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.table')"
    assert page.ask(f"[...document.querySelectorAll('#affekt *')].filter({wide}).map((one) => one.className)") == []


def test_a_file_that_is_no_audio_is_told_and_can_be_dismissed(fresh: Any, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.mp3"
    path.write_text("no audio", encoding="utf-8")
    fresh.page.set_input_files("#affekt-file", path)
    fresh.until(f"{ERRORS} === 1")
    told = text(fresh, ".errors")
    assert told.startswith("<img src=x onerror=alert(1)>.mp3: is not audio that can be read")
    assert fresh.ask("document.querySelector('.errors img') === null")
    fresh.page.get_by_role("button", name="Dismiss").click()
    fresh.until(f"{ERRORS} === 0")


def test_the_keyboard_is_enough(fresh: Any, song: Path) -> None:
    chosen = [song, write_song(song.parent / "second.wav", 2)]
    # From the start: the browser takes a moment to leave its choosers to playwright, and cancels one that comes before.
    fresh.page.on("filechooser", lambda chooser: chooser.set_files(chosen))
    fresh.page.keyboard.press("Tab")
    assert fresh.ask("document.activeElement.className") == "skip"
    fresh.page.keyboard.press("Tab")
    assert fresh.ask("document.activeElement.id") == "affekt-file"
    assert fresh.ask("getComputedStyle(document.querySelector('.drop')).outlineStyle") == "solid"
    fresh.page.keyboard.press("Enter")
    fresh.until(f"{ROWS} === 2")
    reached = []
    for _ in range(40):
        fresh.page.keyboard.press("Tab")
        reached.append(fresh.ask("document.activeElement.className || document.activeElement.tagName"))
        if reached[-1] == "quiet delete":
            break
    assert {"record", "seek", "quiet json", "quiet csv", "pick", "quiet delete"} <= set(reached)
    fresh.page.keyboard.press("Enter")  # deletes the first song
    fresh.until(f"{ROWS} === 1")
    assert "second.wav" in text(fresh, ".songs tbody")
    fresh.page.locator("button.delete").click()
    fresh.until("document.activeElement.id === 'affekt-file'")
    assert fresh.ask("document.querySelectorAll('.plane .song').length") == 0
    assert not fresh.page.locator(".songs").is_visible()


def test_dropped_files_are_heard(fresh: Any, song: Path) -> None:
    transfer = fresh.page.evaluate_handle(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "dropped.wav"));
            return transfer;
        }""",
        base64.b64encode(song.read_bytes()).decode(),
    )
    fresh.page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    fresh.until(f"{ROWS} === 1")
    assert "dropped.wav" in text(fresh, ".songs tbody")


def test_the_microphone_is_heard(fresh: Any) -> None:
    fresh.page.context.grant_permissions(["microphone"])
    fresh.page.locator(".record").click()
    fresh.until("document.querySelector('.record .said').textContent === 'Stop recording, 0:02'")
    fresh.page.locator(".record").click()
    fresh.until(f"{ROWS} + {ERRORS} === 1")
    assert "Recording 1" in text(fresh, ".songs tbody")


def test_who_is_sent_away_comes_again(serve: Any, open_page: Callable[[str], Any], song: Path) -> None:
    with serve(page=True, n_at_once=1, n_waiting=0, retry_after_s=1) as served:
        opened = open_page(served.address)
        opened.until("document.querySelector('#affekt.ready') !== null")
        served.service.desk._count(1)  # somebody else is inside
        opened.page.set_input_files("#affekt-file", song)
        opened.until("document.querySelector('.status').textContent === 'song.wav waits for its turn'")
        served.service.desk._count(-1)
        opened.until(f"{ROWS} === 1")
        opened.page.close()


def test_two_models_stand_side_by_side(
    serve: Any, open_page: Callable[[str], Any], synthetic_model: Model, song: Path
) -> None:
    with serve(page=True, other=synthetic_model) as served:
        opened = open_page(served.address)
        opened.until("document.querySelector('#affekt.ready') !== null")
        assert "Trained on synthetic music." in text(opened, "p.synthetic") and "made-up" in text(opened, "p.synthetic")
        opened.page.set_input_files("#affekt-file", song)
        opened.until(f"{ROWS} === 1")
        assert opened.ask("document.querySelectorAll('.answers .answer').length") == 2
        assert opened.ask("document.querySelectorAll('.plane .marks .song .point').length") == 2
        assert "trained on synthetic music" in text(opened, ".answer.second .warnings")
        assert "synthetic" not in opened.ask("document.querySelector('.answer.first').textContent")
        assert strangers(opened) == [] and opened.complaints == []
        opened.see(width_px=PHONE_PX)
        assert opened.ask("document.documentElement.scrollWidth") <= PHONE_PX
        opened.page.close()


def test_targets_without_a_plane_are_shown_on_their_own(
    serve: Any, open_page: Callable[[str], Any], planeless_model: Model, song: Path
) -> None:
    with serve(page=True, whom=planeless_model) as served:
        opened = open_page(served.address)
        opened.until("document.querySelector('#affekt.ready') !== null")
        opened.page.set_input_files("#affekt-file", song)
        opened.until(f"{ROWS} === 1")
        assert opened.ask("document.querySelectorAll('.gauge').length") == 2
        assert opened.ask("document.querySelector('.plane, #affekt i') === null")
        assert "<i>energy" in text(opened, ".answers") and "<i>energy" in text(opened, ".songs thead")
        opened.page.locator("button.delete").click()
        opened.until(f"{ROWS} === 0")
        assert opened.complaints == []
        opened.page.close()
