"""Draw docs/pictures/page-synthetic.png: the page of `affekt serve` with two generated songs.

    make demo
    python docs/make_page_picture.py models/demo

Needs the extra `web`, the Python package playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import affekt

PICTURE = Path(__file__).parent / "pictures" / "page-synthetic.png"
WIDTH_PX, HEIGHT_PX = 1100, 1000


def main() -> None:
    """Serve the model, drop songs on its page, take the picture."""
    parser = argparse.ArgumentParser(description="Draw the picture of the page.")
    parser.add_argument("model", help="folder of the demo model")
    songs = sorted(affekt.load_dataset("demo").songs, key=lambda song: sum(song.targets))
    files = [songs[len(songs) // 5].audio_path, songs[-len(songs) // 8].audio_path]
    command = [sys.executable, "-m", "affekt", "serve", parser.parse_args().model, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        address = service.stderr.readline().split()[-1]
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
            page.goto(address)
            _until(page, "document.querySelector('#affekt.ready') !== null")
            for n, file in enumerate(files, 1):
                page.set_input_files("#affekt-file", str(file))
                _until(page, f"document.querySelectorAll('.songs tbody tr').length === {n}")
            page.screenshot(path=PICTURE)
        service.terminate()


def _until(page: Page, expression: str) -> None:
    while not page.evaluate(expression):
        page.wait_for_timeout(50)


if __name__ == "__main__":
    main()
