"""Pages in a real browser: they draw, they answer to mouse and keys, and they ask for nothing.

Needs Chromium or Chrome on this machine and the Python package playwright, which drives it; skipped without. A page
is opened once and used by several tests, because drawing it takes longer than anything that is asked of it.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile as sf

from affekt.evaluation.join import join
from affekt.evaluation.scores import score
from affekt.report import write_excerpts, write_report

DESIGN = {"waveform/x": 0.9, "waveform/y": 1.1, "log-mel/x": 0.7, "log-mel/y": 0.6}
NOISE = {**DESIGN, "log-mel/x (untrained)": 1.2}
PAIR = {"mean": 0.0, "a": 0.5}
PHONE_PX, SHEET_PX = 320, 700  # a sheet of A4 without its margins
ALL_DRAWN = "plots.every((plot) => plot.querySelector('.trace, .hm'))"


@pytest.fixture(scope="module")
def one_run(open_page, make_comparison, tmp_path_factory):
    """A run with everything that a report can show, excerpts included."""
    folder = tmp_path_factory.mktemp("one")
    scores = score(make_comparison(n_songs=30, noise=NOISE, ceiling=(0.8, 0.9)))
    time_s = np.arange(3 * 16_000) / 16_000
    sf.write(folder / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time_s), 16_000)
    write_excerpts(scores, dict.fromkeys(scores.song_ids, folder / "tone.wav"), folder)
    return open_page(write_report(scores, folder / "report.html").as_uri())


@pytest.fixture(scope="module")
def two_runs(open_page, make_comparison, tmp_path_factory):
    joined = join(make_comparison(noise=PAIR), make_comparison(noise=PAIR, shift=0.5), ("left", "right"))
    return open_page(write_report(joined, tmp_path_factory.mktemp("two") / "report.html").as_uri())


@pytest.fixture
def seen(one_run):
    """The page of one run as on a desktop, everything drawn."""
    one_run.see()
    one_run.ask("plots.forEach(draw)")
    one_run.until(ALL_DRAWN)
    return one_run


def test_what_is_on_the_screen_draws_by_itself(one_run):
    one_run.until("plots[0].querySelector('.trace') !== null")
    assert not one_run.ask(ALL_DRAWN)  # the rest waits until somebody scrolls there


def test_keys_reach_everything_in_the_order_of_the_page(one_run):
    one_run.page.keyboard.press("Tab")  # nothing was clicked or focused before: keep this test here
    assert one_run.ask("document.activeElement.textContent") == "Skip to the answer"
    assert one_run.ask("document.activeElement.getBoundingClientRect().top >= 0")  # seen while it has the focus
    one_run.page.keyboard.press("Enter")
    assert one_run.ask("document.activeElement.id") == "main"
    assert one_run.ask("document.querySelectorAll('[tabindex]:not([tabindex=\"0\"]):not(#main)').length") == 0
    one_run.ask("window.reached = [document.activeElement]")
    for _ in range(15):
        one_run.page.keyboard.press("Tab")
        one_run.ask("reached.push(document.activeElement)")
        assert one_run.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    follows = "(a, b) => Boolean(a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING)"
    assert one_run.ask(f"reached.slice(1).every((after, i) => ({follows})(reached[i], after))")


@pytest.mark.parametrize("which", ["one_run", "two_runs"])
def test_every_picture_draws_without_a_complaint_or_a_request(which, request):
    opened = request.getfixturevalue(which)
    opened.ask("plots.forEach(draw)")
    opened.until(ALL_DRAWN)
    drawn = opened.ask("plots.map((plot) => [plot.id, plot.querySelectorAll('.trace, .hm').length, plot.data.length])")
    assert len(drawn) >= 6 and all(n_drawn >= n_traces > 0 for _, n_drawn, n_traces in drawn), drawn
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("data:", "blob:"))] == opened.requests[:1]


def test_hovering_names_the_song(seen):
    plot = seen.ask("plots.find((plot) => plot.id.startsWith('scatter')).id")
    names = seen.ask("songNames")
    alone = seen.ask(  # the first annotation that no other point is close to
        """(id) => {
            const [from, to] = document.getElementById(id).data;
            const points = [from, to].flatMap((trace) => trace.x.map((x, i) => [x, trace.y[i]]));
            const clear = (i, [x, y], j) => j === i || Math.hypot(x - from.x[i], y - from.y[i]) > 0.3;
            return from.x.findIndex((_, i) => points.every((point, j) => clear(i, point, j)));
        }""",
        plot,
    )
    assert alone >= 0
    hover(seen, plot, 0, alone, names[alone])
    seen.until(f"document.getElementById('{plot}').layout.shapes.length === 3")  # its two points are joined


def hover(opened, plot, trace, point, words):
    """Put the mouse over a point and wait for these words in its label."""
    opened.page.locator(f"#{plot}").scroll_into_view_if_needed()
    x, y = opened.ask(
        """([id, trace, point]) => {
            const plot = document.getElementById(id), box = plot.getBoundingClientRect(), own = plot._fullLayout;
            const { x, y } = plot.data[trace];
            return [box.left + own.xaxis._offset + own.xaxis.d2p(x[point]),
                    box.top + own.yaxis._offset + own.yaxis.d2p(y[point])];
        }""",
        [plot, trace, point],
    )
    opened.page.mouse.move(x - 2, y - 2)
    opened.page.mouse.move(x, y)
    opened.until(f"document.querySelector('#{plot} .hoverlayer').textContent.includes({json.dumps(words)})")


def test_hovering_over_a_difference_tells_its_tests(seen):
    hover(seen, "matrix-0", 0, 0, "(Holm)")


def test_play_buttons_play_and_stop(seen):
    buttons = seen.page.locator("button.play")
    assert buttons.count() == 12 and buttons.first.get_attribute("aria-label").startswith("Play ten seconds of ")
    buttons.first.click()
    seen.until("player.duration > 0 && !player.paused && player.currentTime > 0")
    assert seen.ask("player.duration") == pytest.approx(3, abs=0.2)
    assert buttons.first.get_attribute("aria-pressed") == "true"
    buttons.nth(1).focus()
    seen.page.keyboard.press("Space")  # another one, by key
    seen.until("document.querySelectorAll('.play')[1].getAttribute('aria-pressed') === 'true'")
    assert buttons.first.get_attribute("aria-pressed") == "false"
    buttons.nth(1).click()
    seen.until("player.paused && document.querySelector('.play[aria-pressed=true]') === null")


def test_a_click_on_a_song_with_an_excerpt_plays_it(seen):
    position = seen.ask("Number(document.querySelector('.play').dataset.song)")
    index = seen.ask("document.getElementById('worst-songs').layout.meta.songs")[0]
    assert index == position
    hover(seen, "worst-songs", 0, 0, seen.ask("songNames")[position])
    seen.page.mouse.down()
    seen.page.mouse.up()
    seen.until(f"playing === '{position}' && !player.paused")
    seen.ask("player.pause()")


def test_the_experiment_is_copied(seen):
    seen.page.locator("button[data-copies=experiment]").click()
    seen.until("document.getElementById('copied').textContent === 'Copied.'")
    assert seen.ask("navigator.clipboard.readText()") == seen.page.locator("#experiment").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_background(seen, scheme):
    seen.see(color_scheme=scheme)
    contrast, where = seen.ask(
        """() => {
            const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
            const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            const weights = [0.2126, 0.7152, 0.0722];
            const light = (rgb) => weights.reduce((sum, weight, i) => sum + weight * linear(rgb[i] / 255), 0);
            const back = (node) => parse(getComputedStyle(node).backgroundColor);
            const opaque = (node) => back(node)[3] !== 0 && back(node);
            const behind = (node) => (node ? opaque(node) || behind(node.parentElement) : [255, 255, 255]);
            const speaks = (node) => [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            const nodes = [...document.querySelectorAll("body *:not(script):not(style)")];
            return nodes.filter((node) => !node.closest(".plot") && speaks(node)).map((node) => {
                const both = [light(parse(getComputedStyle(node).color)), light(behind(node))];
                const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
                return [ratio, `${node.className}: ${node.textContent.trim().slice(0, 40)}`];
            }).sort((a, b) => a[0] - b[0])[0];
        }"""
    )
    assert contrast >= 4.5, where


@pytest.mark.parametrize("which", ["one_run", "two_runs"])
def test_a_phone_needs_no_sideways_scrolling(which, request):
    opened = request.getfixturevalue(which)
    opened.see(width_px=PHONE_PX)
    opened.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert opened.ask("document.documentElement.scrollWidth") == PHONE_PX
    opened.until(f"plots[0].querySelector('svg').getBoundingClientRect().right <= {PHONE_PX}")
    opened.ask("document.querySelectorAll('details').forEach((one) => { one.open = false; })")


def test_printed_pages_hold_every_picture_and_no_navigation(seen):
    seen.see(width_px=SHEET_PX, media="print")
    seen.ask("window.dispatchEvent(new Event('beforeprint'))")
    seen.until(ALL_DRAWN)
    for hidden in ("nav", "button.play", "figure summary"):
        assert not seen.page.locator(hidden).first.is_visible()
    unfolded = seen.page.locator("details:not(figure details)")
    assert unfolded.count() > 0
    assert all(one.is_visible() for one in (*unfolded.locator("summary").all(), *unfolded.locator("table").all()))
    rights = "plots.map((plot) => plot.querySelector('svg').getBoundingClientRect().right)"
    seen.until(f"Math.max(...{rights}) <= {SHEET_PX}")
    assert seen.ask("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
