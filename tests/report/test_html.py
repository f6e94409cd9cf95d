import json
import re
from itertools import pairwise

import pytest

from affekt.errors import DataError, StorageError
from affekt.evaluation.results import Results
from affekt.evaluation.scores import score
from affekt.report import write_report
from affekt.report.html import report_data
from affekt.report.view import View

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "wav2vec2-base": 0.7, "mambavision-nano": 0.5}
EVIL = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }}&<b>"
DESIGN = {"waveform/a": 0.9, "waveform/b": 1.1, "log-mel/a": 0.7, "log-mel/b": 0.6}


@pytest.fixture
def written(read_page, tmp_path):
    return lambda results: read_page(write_report(results, tmp_path / "report.html"))


def data_of(results):
    return report_data(View(score(results)))


def test_answers_come_in_the_promised_order(comparison, written):
    page = written(comparison(noise=NOISE, ceiling=(0.8, 0.7)))
    sections = [attrs["id"] for attrs in page.named("section")]
    assert sections == ["verdict", "ceiling", "cost", "failures", "encoders", "run"]
    for sentence in (
        "mambavision-nano (random weights) is better than every other",
        "mambavision-nano has the highest R²",
        "0.80",
        "random weights",
        "decodes to silence",
        "0123456789",
        "affekt compare demo.yaml",
        "kfold, 4 fold(s), seed 1",
    ):
        assert sentence in page.words
    places = [page.words.index(words) for words in ("mambavision-nano", "R² for valence", "In full", "All scores")]
    assert places == sorted(places)


def test_a_controlled_design_and_twins_have_sections_of_their_own(comparison, written):
    noise = {"mean": 0.0, **DESIGN, "a": 0.5, "a (untrained)": 1.4}
    page = written(comparison(noise=noise))
    sections = [attrs["id"] for attrs in page.named("section")]
    assert sections == ["verdict", "ceiling", "cost", "inputs", "pretraining", "failures", "encoders", "run"]
    links = [attrs["href"] for attrs in page.named("a")]
    assert links == ["#main", *(f"#{section}" for section in sections)]
    assert "Waveform or spectrogram?" in page.words and "Interaction" in page.words
    assert "Pretraining adds" in page.words


def test_opens_without_a_network(comparison, written):
    page = written(comparison(noise=NOISE))
    assert all(not attrs.get("src") for _, attrs in page.tags)
    assert all(attrs["href"].startswith(("#", "data:")) for _, attrs in page.tags if attrs.get("href"))
    policy = next(a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "media-src data:" in policy and "http" not in policy
    styles = [text for text in page.scripts if ":root" in text and len(text) < 50_000]
    assert styles and not any("url(" in text or "@import" in text for text in styles)
    assert sum(text.count("plotly.js v") for text in page.scripts) == 1


def test_size_stays_below_eight_megabytes_for_a_whole_deam(comparison, tmp_path):
    path = write_report(comparison(n_songs=1802, noise=NOISE, n_folds=5), tmp_path / "report.html")
    assert path.stat().st_size < 8e6


def test_hostile_titles_and_labels_stay_text(comparison, written):
    results = comparison(noise={EVIL: 0.5, "plain": 0.6}, targets=("valence", "arousal", EVIL))
    for song in results.songs:
        song["title"] = song["artist"] = song["genre"] = EVIL
        song["attributes"] = {EVIL: EVIL if int(song["id"]) % 2 else "x"}
    results.skipped[0]["reason"] = results.dataset["notes"][0] = EVIL
    results.run["experiment"]["name"] = EVIL
    page = written(results)
    assert not page.named("img") and not page.unclosed
    assert EVIL in page.words
    scripts = [attrs.get("id") for attrs in page.named("script")]
    assert scripts == [None, "drawings", "song-names", "excerpts", None]
    assert "&lt;/script&gt;&lt;img" in page.stored("song-names")[0]  # plotly reads a little HTML in texts


def test_every_picture_has_a_place_a_drawing_a_description_and_a_table(comparison, written):
    page = written(comparison(noise=NOISE, synthetic=True))
    places = [attrs for attrs in page.named("div") if attrs.get("class") == "plot"]
    assert [attrs["id"] for attrs in places] == list(dict.fromkeys(attrs["id"] for attrs in places))
    assert {attrs["id"] for attrs in places} == set(page.stored("drawings"))
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 30 for attrs in places)
    assert page.words.count("Numbers behind this picture") == len(places)
    # Ladders, matrices, costs, error by quadrant, genre and decade, hardest songs; three or two of each encoder.
    assert len(places) == 2 + 2 + 2 + 3 + 1 + 2 * 3 + 2 * 2


def test_a_screen_reader_finds_its_way(comparison, written):
    page = written(comparison(noise={**NOISE, **DESIGN}))
    names = [tag for tag, _ in page.tags]
    assert [names.count(tag) for tag in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for _, attrs in page.tags:
        assert attrs.get("aria-labelledby", ids[0]) in ids
    assert page.named("html")[0]["lang"] == "en"
    assert names.count("caption") == names.count("table")
    assert all(attrs.get("scope") in ("col", "row", "rowgroup") for attrs in page.named("th"))
    assert all(attrs["aria-label"] for attrs in page.named("button"))


def test_synthetic_music_is_called_so_everywhere(comparison, written):
    page = written(comparison(noise=NOISE, synthetic=True))
    assert "Synthetic music. The songs and their ratings were generated" in re.sub(r" +\.", ".", page.words)
    places = [attrs for attrs in page.named("div") if attrs.get("class") == "plot"]
    assert all("Synthetic music" in attrs["aria-label"] for attrs in places)
    titles = [attrs for attrs in page.named("span") if attrs.get("class") == "synthetic"]
    assert len(titles) >= len(places)
    assert "ynthetic" not in written(comparison(noise=NOISE)).words.replace("synthetic no", "")


def test_data_is_plain_and_finite(comparison):
    results = comparison(noise={**NOISE, **DESIGN, "mean (untrained)": 1.0}, n_songs=12)
    results.predictions = [p._replace(y_pred=5.0) if p.encoder == "mean" else p for p in results.predictions]
    json.dumps(data_of(results), allow_nan=False)


def test_comparison_table_repeats_the_score_table(comparison):
    results = comparison(noise=NOISE)
    data = data_of(results)["comparison"]
    table = results.table().set_index(["encoder", "target"])
    assert [group["name"] for group in data["groups"]] == ["valence", "arousal", "mean of the targets"]
    for group in data["groups"][:2]:
        for cells in group["rows"]:
            row = table.loc[(cells[0], group["name"])]
            assert cells[1] == f"{row['r2']:z.2f} [{row['r2_low']:z.2f}, {row['r2_high']:z.2f}]"
            assert cells[3] == f"{row['rmse']:.2f} [{row['rmse_low']:.2f}, {row['rmse_high']:.2f}]"
            assert cells[6] == f"{row['spearman']:.2f} [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]"
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
def test_any_shape_of_comparison_is_reported(comparison, written, options):
    results = comparison(**options)
    page = written(results)
    assert all(label in page.words for label in results.labels)


def test_missing_parts_are_dashes(comparison, written):
    results = comparison(noise=NOISE)
    results.cost, results.history, results.skipped, results.fits, results.run = [], [], [], [], {}
    results.dataset = {"name": "bare"}
    for encoder in results.encoders:
        for key in [key for key in encoder if key not in ("label", "name")]:
            del encoder[key]
    results.songs = [{"id": song["id"]} for song in results.songs]
    page = written(results)
    assert "Every song could be used" in page.words and "No ceiling is known" in page.words
    assert "There are no epochs to show" in page.words and "–" in page.words
    assert "The results do not record their experiment" in page.words


def test_same_results_same_page_from_file_folder_or_memory(comparison, tmp_path):
    results = comparison()
    results.save(tmp_path / "results.json")
    sources = [results, score(results), tmp_path / "results.json", tmp_path, str(tmp_path)]
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


@pytest.mark.filterwarnings("error")
def test_seeds_with_test_songs_of_their_own_are_reported(comparison, written):
    results = comparison(n_songs=60, noise=NOISE)
    results.predictions = [p for p in results.predictions if int(p.song_id) % 3 != p.seed]
    page = written(results)
    assert "Each seed tested songs of its own: 40 on average, 60 in all." in page.words
    json.dumps(data_of(results), allow_nan=False)


def test_results_survive_a_save(comparison, tmp_path):
    results = comparison()
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json").table().equals(results.table())


def test_who_follows_the_music_stands_first_where_songs_are_annotated_over_time(comparison, written):
    page = written(comparison(noise=NOISE, n_frames=10, synthetic=True))
    assert [attrs["id"] for attrs in page.named("section")][:2] == ["over-time", "verdict"]
    for sentence in (
        "Who follows the music?",
        "Valence over time: ",
        "Each moment is judged by the 4 s before it.",
        "Songs as a whole",
        "mean: 40 songs without r",
    ):
        assert sentence in page.words


def test_songs_with_one_annotation_say_nothing_of_time(comparison, written):
    assert "over time" not in written(comparison(noise=NOISE)).words
