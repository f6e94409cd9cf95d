"""Pages in a real browser: they draw, they answer to mouse and keys, and they ask for nothing.

Needs Chromium or Chrome on this machine and the Python package playwright, which drives it; skipped without them.
"""

import shutil

import numpy as np
import pytest
import soundfile as sf

from affekt.evaluation.join import join
from affekt.evaluation.scores import score
from affekt.report import write_excerpts, write_report

playwright = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--mute-audio"]
NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "a": 0.5, "a (untrained)": 1.2}
DESIGN = {"waveform/x": 0.9, "waveform/y": 1.1, "log-mel/x": 0.7, "log-mel/y": 0.6}
A4_PX = 700  # what a sheet leaves between its margins


@pytest.fixture(scope="module")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser found (looked for {', '.join(BROWSERS)})")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(make_comparison, tmp_path_factory):
    """The page of a run with everything in it, excerpts included, and the page of two runs."""
    folder = tmp_path_factory.mktemp("pages")
    scores = score(make_comparison(n_songs=30, noise={**NOISE, **DESIGN}, ceiling=(0.8, 0.9)))
    time_s = np.arange(3 * 16_000) / 16_000
    sf.write(folder / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time_s), 16_000)
    write_excerpts(scores, dict.fromkeys(scores.song_ids, folder / "tone.wav"), folder)
    two = join(make_comparison(noise=NOISE), make_comparison(noise=NOISE, shift=0.5), ("left", "right"))
    return {"one": write_report(scores, folder / "one.html"), "two": write_report(two, folder / "two.html")}


@pytest.fixture
def opened(browser, pages):
    """Opens a page and, when the test is over, makes sure that it neither complained nor asked for anything."""
    contexts, complaints, requests = [], [], []

    def open_page(which="one", width_px=1200, **options):
        context = browser.new_context(viewport={"width": width_px, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: requests.append(r.url))
        page.goto(pages[which].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
    asked = [url[:100] for url in requests if not url.startswith(("data:", "blob:")) and not url.endswith(".html")]
    assert not asked


def draw_all(page):
    page.evaluate("plots.forEach(draw)")
    page.wait_for_function("plots.every((plot) => plot.querySelector('svg.main-svg .plot'))")


@pytest.mark.parametrize("which", ["one", "two"])
def test_every_picture_draws(opened, which):
    page = opened(which)
    page.wait_for_selector("#main .plot svg.main-svg")  # what is on the screen draws by itself
    draw_all(page)
    drawn = page.evaluate(
        "plots.map((plot) => [plot.id, plot.querySelectorAll('.trace, .hm').length, plot.data.length])"
    )
    assert len(drawn) >= 6 and all(n_drawn >= n_traces > 0 for _, n_drawn, n_traces in drawn), drawn
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def hover(page, plot, trace, point):
    """Put the mouse over a point; what the label then says."""
    page.locator(f"#{plot}").scroll_into_view_if_needed()
    at = page.evaluate(
        """([id, trace, point]) => {
            const plot = document.getElementById(id), box = plot.getBoundingClientRect(), own = plot._fullLayout;
            const { x, y } = plot.data[trace];
            return [box.left + own.xaxis._offset + own.xaxis.d2p(x[point]),
                    box.top + own.yaxis._offset + own.yaxis.d2p(y[point])];
        }""",
        [plot, trace, point],
    )
    page.mouse.move(at[0] - 40, at[1] - 40)
    page.mouse.move(*at)
    page.wait_for_selector(f"#{plot} .hoverlayer text")
    return " ".join(page.locator(f"#{plot} .hoverlayer text").all_text_contents())


def test_hovering_names_the_song_and_the_tests(opened):
    page = opened()
    draw_all(page)
    plot = page.evaluate("plots.find((plot) => plot.id.startsWith('scatter')).id")
    names = page.evaluate("songNames")
    alone = page.evaluate(  # the first point that no other one covers
        """(id) => {
            const [from, to] = document.getElementById(id).data, points = [from, to].flatMap((t) => t.x.map((x, i) => [x, t.y[i]]));
            const far = (i) => points.every(([x, y], j) => j === i || Math.hypot(x - from.x[i], y - from.y[i]) > 0.35);
            return from.x.findIndex((_, i) => far(i));
        }""",
        plot,
    )
    assert alone >= 0 and names[alone] in hover(page, plot, 0, alone)
    page.wait_for_function(f"document.getElementById('{plot}').layout.shapes.length === 3")  # its two points are joined
    page.locator("#matrix-0").scroll_into_view_if_needed()
    box = page.locator("#matrix-0 .hm").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 10)
    page.wait_for_selector("#matrix-0 .hoverlayer text")
    assert "Holm" in page.locator("#matrix-0 .hoverlayer").text_content()


def test_play_buttons_play_and_stop(opened):
    page = opened()
    buttons = page.locator("button.play")
    assert buttons.count() == 12 and buttons.first.get_attribute("aria-label").startswith("Play ten seconds of ")
    buttons.first.click()
    page.wait_for_function("player.duration > 0 && !player.paused && player.currentTime > 0")
    assert page.evaluate("player.duration") == pytest.approx(3, abs=0.2)
    assert buttons.first.get_attribute("aria-pressed") == "true"
    buttons.nth(1).click()
    page.wait_for_function("document.querySelectorAll('.play')[1].getAttribute('aria-pressed') === 'true'")
    assert buttons.first.get_attribute("aria-pressed") == "false"
    buttons.nth(1).click()
    page.wait_for_function("player.paused && !document.querySelector('.play[aria-pressed=true]')")


def test_a_phone_needs_no_sideways_scrolling(opened):
    page = opened(width_px=320)
    draw_all(page)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    ladder = page.locator("#ladder-0").bounding_box()
    assert ladder["x"] >= 0 and ladder["x"] + ladder["width"] <= 320


def test_printed_pages_hold_every_picture_and_no_navigation(opened):
    page = opened(width_px=A4_PX)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("plots.every((plot) => plot.querySelector('svg.main-svg .plot'))")
    assert not page.locator("nav").is_visible() and not page.locator("button.play").first.is_visible()
    widest = page.evaluate("Math.max(...plots.map((plot) => plot.querySelector('svg').getBoundingClientRect().right))")
    assert widest <= A4_PX
    assert page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"


def test_keys_reach_everything_in_order(opened):
    page = opened()
    focused = "document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label')"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the answer"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top >= 0")  # seen while it has the focus
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    order = []
    for _ in range(60):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "[document.activeElement.getBoundingClientRect().top + scrollY, document.activeElement.tagName]"
            )
        )
    tops = [top for top, tag in order if tag != "BODY"]
    assert sum(after < before - 400 for before, after in zip(tops, tops[1:], strict=False)) == 0
    page.locator("button.play").first.focus()
    page.keyboard.press("Space")
    page.wait_for_function("!player.paused && player.duration > 0")


def test_the_experiment_is_copied(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    button = page.locator("button[data-copies=experiment]")
    button.click()
    page.wait_for_function("document.getElementById('copied').textContent === 'Copied.'")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#experiment").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_background(opened, scheme):
    page = opened(color_scheme=scheme)
    worst = page.evaluate(
        """() => {
            const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const behind = (node) => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
            const found = [];
            for (const node of document.querySelectorAll("body *:not(script):not(style)")) {
                if (node.closest(".plot") || ![...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
                const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
                found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.className + ": " + node.textContent.trim().slice(0, 40)]);
            }
            return found.sort((a, b) => a[0] - b[0])[0];
        }"""
    )
    assert worst[0] >= 4.5, worst
