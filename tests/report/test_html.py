import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from affekt.errors import DataError, StorageError
from affekt.evaluation.results import Results
from affekt.report import report_data, write_report

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.7, "mambavision-nano": 0.5}
EVIL = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }}&<b>"


class Page(HTMLParser):
    """The visible text, the tags, and what lies in each script of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.text, self._inside = [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


def written(results, tmp_path):
    return Page(write_report(results, tmp_path / "report.html").read_text(encoding="utf-8"))


def test_answers_come_in_the_promised_order(comparison, tmp_path):
    page = written(comparison(noise=NOISE, ceiling=(0.8, 0.7)), tmp_path)
    assert [attrs["id"] for attrs in page.named("section")] == ["verdict", "ceiling", "cost", "encoders", "run"]
    for sentence in (
        "mambavision-nano has the highest R²",
        "0.80",
        "random weights",
        "decodes to silence",
        "0123456789",
    ):
        assert sentence in page.words


def test_opens_without_a_network(comparison, tmp_path):
    path = write_report(comparison(noise=NOISE), tmp_path / "report.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert all(not attrs.get("src") for _, attrs in page.tags)
    assert all(attrs["href"].startswith(("#", "data:")) for _, attrs in page.tags if attrs.get("href"))
    policy = next(a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "http" not in policy
    styles = [text for text in page.scripts if ":root" in text and len(text) < 50_000]
    assert styles and not any("url(" in text or "@import" in text for text in styles)
    assert sum(text.count("plotly.js v") for text in page.scripts) == 1


def test_size_stays_below_eight_megabytes_for_a_whole_deam(comparison, tmp_path):
    path = write_report(comparison(n_songs=1802, noise=NOISE, n_folds=5), tmp_path / "report.html")
    assert path.stat().st_size < 8e6


def test_hostile_titles_and_labels_stay_text(comparison, tmp_path):
    results = comparison(noise={EVIL: 0.5, "plain": 0.6}, targets=("valence", "arousal", EVIL))
    for song in results.songs:
        song["title"] = song["artist"] = song["genre"] = EVIL
    results.skipped[0]["reason"] = results.dataset["notes"][0] = EVIL
    results.run["experiment"]["name"] = EVIL
    page = written(results, tmp_path)
    assert not page.named("img")
    assert EVIL in page.words
    assert [attrs["id"] for attrs in page.named("script") if "id" in attrs] == ["drawings", "song-names"]
    assert len(page.named("script")) == 4
    names = next(json.loads(text) for text in page.scripts if text.startswith("["))
    assert "&lt;/script&gt;&lt;img" in names[0]  # plotly reads a little HTML in texts


def test_every_picture_has_a_place_a_drawing_a_description_and_a_table(comparison, tmp_path):
    results = comparison(noise=NOISE, synthetic=True)
    page = written(results, tmp_path)
    places = [attrs for attrs in page.named("div") if attrs.get("class") == "plot"]
    drawings = next(json.loads(text) for text in page.scripts if text.startswith('{"'))
    assert [attrs["id"] for attrs in places] == list(dict.fromkeys(attrs["id"] for attrs in places))
    assert {attrs["id"] for attrs in places} == set(drawings)
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 30 for attrs in places)
    assert page.words.count("Numbers behind this picture") == len(places)
    # Two of R2, one of cost; three for each of the two that have epochs, two for the others.
    assert len(places) == 2 + 1 + 2 * 3 + 2 * 2


def test_synthetic_music_is_called_so_everywhere(comparison, tmp_path):
    page = written(comparison(noise=NOISE, synthetic=True), tmp_path)
    assert "Synthetic music. The songs and their ratings were generated" in re.sub(r" +\.", ".", page.words)
    places = [attrs for attrs in page.named("div") if attrs.get("class") == "plot"]
    assert all("Synthetic music" in attrs["aria-label"] for attrs in places)
    titles = [attrs for attrs in page.named("span") if attrs.get("class") == "synthetic"]
    assert len(titles) >= len(places)
    drawings = report_data(comparison(noise=NOISE, synthetic=True))["drawings"]
    assert all("synthetic music" in json.dumps(drawing["layout"]["annotations"]) for drawing in drawings.values())
    assert "ynthetic" not in written(comparison(noise=NOISE), tmp_path).words.replace("synthetic no", "")


def test_data_is_plain_and_finite(comparison):
    results = comparison(noise=NOISE, n_songs=12)
    results.predictions = [p._replace(y_pred=5.0) if p.encoder == "mean" else p for p in results.predictions]
    json.dumps(report_data(results), allow_nan=False)


def test_comparison_table_repeats_the_score_table(comparison):
    results = comparison(noise=NOISE)
    data = report_data(results)["comparison"]
    table = results.table().set_index(["encoder", "target"])
    assert [group["name"] for group in data["groups"]] == ["valence", "arousal", "mean of the targets"]
    for group in data["groups"][:2]:
        for cells in group["rows"]:
            row = table.loc[(cells[0], group["name"])]
            assert cells[1] == f"{row['r2']:z.2f} [{row['r2_low']:z.2f}, {row['r2_high']:z.2f}]"
            assert cells[3] == f"{row['rmse']:.2f}"
        assert group["rows"][group["best"]][0] == "mambavision-nano"
    averaged = {cells[0]: cells for cells in data["groups"][2]["rows"]}
    assert averaged["wav2vec2-base"][1].startswith(f"{table.loc['wav2vec2-base', 'r2'].mean():.2f} [")
    assert averaged["wav2vec2-base"][2].startswith(f"{table.loc['wav2vec2-base', 'r2_minus_mean'].mean():.2f} [")
    assert averaged["mean"][2] == "–"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "options",
    [
        {"n_songs": 2, "n_folds": 1, "noise": {"only": 0.5}, "targets": ("tension",), "seeds": (7,)},
        {"n_songs": 10, "noise": {f"encoder-{i}": 0.3 + 0.1 * i for i in range(12)}, "targets": tuple("abcde")},
        {"n_songs": 10, "noise": {"hopeless": 30.0, "good": 0.1}},
        {"n_songs": 10, "targets": ("valence_mean", "tension", "arousal_mean")},
    ],
)
def test_any_shape_of_comparison_is_reported(comparison, tmp_path, options):
    results = comparison(**options)
    page = written(results, tmp_path)
    assert all(label in page.words for label in results.labels)


def test_missing_parts_are_dashes(comparison, tmp_path):
    results = comparison(noise=NOISE)
    results.cost, results.history, results.skipped, results.run = [], [], [], {}
    results.dataset = {"name": "bare"}
    for encoder in results.encoders:
        for key in [key for key in encoder if key not in ("label", "name")]:
            del encoder[key]
    results.songs = [{"id": song["id"]} for song in results.songs]
    page = written(results, tmp_path)
    assert "Every song could be used" in page.words and "No ceiling is known" in page.words
    assert "There are no epochs to show" in page.words and "–" in page.words


def test_ceiling_may_be_recorded_by_name_and_for_some_targets(comparison):
    results = comparison(noise=NOISE)
    results.dataset["ceiling"] = {"arousal": 0.9}
    data = report_data(results)
    assert [row[:2] for row in data["ceilings"]["rows"]] == [["arousal", "0.90"]]
    dashed = [len(p["figure"]["layout"]["shapes"]) for p in data["overview"]]
    assert dashed == [0, 1]


def test_same_results_same_page_from_file_folder_or_memory(comparison, tmp_path):
    results = comparison()
    results.save(tmp_path / "results.json")
    sources = [results, tmp_path / "results.json", tmp_path, str(tmp_path)]
    pages = {write_report(source, tmp_path / f"{i}.html").read_bytes() for i, source in enumerate(sources)}
    assert len(pages) == 1


def test_errors_leave_nothing_behind(comparison, tmp_path):
    with pytest.raises(DataError, match="not there"):
        write_report(tmp_path / "nothing.json", tmp_path / "report.html")
    empty = comparison()
    empty.predictions = []
    with pytest.raises(DataError, match="nothing to score"):
        write_report(empty, tmp_path / "report.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_report(comparison(), tmp_path / "file" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_songs_left_out_are_counted_by_reason_and_listed(comparison):
    results = comparison()
    results.skipped = [{"song_id": str(i), "path": f"{i}.mp3", "reason": "too short"} for i in range(3)]
    results.skipped.append({"song_id": "9", "path": None, "reason": "no audio"})
    run = report_data(results)["run"]
    assert run["reasons"] == ["3 songs: too short", "1 song: no audio"]
    assert run["n_skipped"] == len(run["skipped"]["rows"]) == 4
    assert run["skipped"]["rows"][3] == ["9", "–", "no audio"]


def test_songs_that_the_data_set_left_out_are_counted_too(comparison):
    results = comparison()
    results.dataset["left_out"] = [{"reason": "labels without an audio file", "n": 2, "song_ids": ["a", "b"]}]
    run = report_data(results)["run"]
    assert run["reasons"] == ["2 songs: labels without an audio file", "1 song: decodes to silence"]
    assert not any("left_out" in row[0] for row in run["dataset"]["rows"])


@pytest.mark.filterwarnings("error")
def test_seeds_with_test_songs_of_their_own_are_reported(comparison, tmp_path):
    results = comparison(n_songs=60, noise=NOISE)
    results.predictions = [p for p in results.predictions if int(p.song_id) % 3 != p.seed]
    page = written(results, tmp_path)
    assert "Each seed tested songs of its own: 40 on average, 60 in all." in page.words
    json.dumps(report_data(results), allow_nan=False)


def test_a_control_run_says_so(comparison):
    results = comparison()
    assert report_data(results)["score_notes"] == []
    results.run["experiment"]["permute_labels"] = True
    assert "the labels were shuffled" in report_data(results)["score_notes"][0]


def test_songs_read_from_a_folder_go_by_the_name_of_the_experiment(comparison):
    results = comparison()
    assert report_data(results)["dataset"] == "deam"
    results.dataset["name"], results.run["experiment"]["name"] = "folder", "emotify"
    assert report_data(results)["dataset"] == "emotify"


def test_error_by_genre_is_the_root_mean_squared_error_of_its_songs(comparison):
    results = comparison(noise={"only": 0.5}, seeds=(0,))
    rows = {(row[0], row[1]): row for row in report_data(results)["errors"]["rows"]}
    genre = {song["id"]: song["genre"] for song in results.songs}
    errors = [(p.y_pred - p.y_true) ** 2 for p in results.predictions if genre[p.song_id] == "Jazz"]
    assert rows["genre", "Jazz"][3] == f"{np.sqrt(np.mean(errors)):.2f}"
    assert rows["genre", "Jazz"][2] == str(len(errors) // 2)


def test_no_torch_needed(comparison, tmp_path):
    comparison(n_songs=12).save(tmp_path / "results.json")
    program = (
        "import sys\n"
        "class NoTorch:\n"  # not sys.modules['torch'] = None: scipy takes that for an imported torch and fails
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'lightning', 'transformers'):\n"
        "            raise ImportError(f'{name} is not installed')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "import affekt.evaluation, affekt.report\n"
        "from affekt.report import print_table, write_report\n"
        "from affekt.evaluation import Results\n"
        "from rich.console import Console\n"
        "write_report(sys.argv[1], sys.argv[2])\n"
        "print_table(Results.load(sys.argv[1]), Console())\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "results.json"), str(tmp_path / "report.html")]
    done = subprocess.run(arguments, capture_output=True, text=True, env=_same_path(), check=False)
    assert done.returncode == 0, done.stderr
    assert "mambavision-s" in done.stdout and (tmp_path / "report.html").exists()


def test_results_survive_a_save(comparison, tmp_path):
    results = comparison()
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json").table().equals(results.table())


def _same_path():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"}
