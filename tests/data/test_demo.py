import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import affekt
from affekt.data import demo, load_dataset
from affekt.data.ceiling import estimates, noise_ceiling
from affekt.data.deam import load_deam, read_deam
from affekt.data.demo import draw_corpus, label_moments, load_demo
from affekt.data.exchange import measure_agreement
from affekt.data.synthesis import CUE_NAMES, STYLES
from affekt.errors import ConfigError, DataError, StorageError

PER_RATER = "DEAM_Annotations/annotations/annotations per each rater/song_level/static_annotations_songs_1_2000.csv"
STATIC = "DEAM_Annotations/annotations/annotations averaged per song/song_level"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A root with a small corpus in full length, and the data set."""
    root = tmp_path_factory.mktemp("demo")
    return root, load_demo(root, n_songs=4, seed=1, progress=False)


@pytest.fixture
def short(monkeypatch):
    """Songs of one second: for tests in which nobody listens."""
    monkeypatch.setattr(demo, "LENGTH_S", 16.0)
    monkeypatch.setattr(demo, "render", lambda piece, length_s: demo_render(piece, 1.0))


demo_render = demo.render


def only_folder(root):
    (folder,) = Path(root).iterdir()
    return folder


# --- drawing ----------------------------------------------------------------------------------------------------


def test_same_seed_same_corpus():
    one, other = draw_corpus(30, 7), draw_corpus(30, 7)
    assert one.songs == other.songs
    np.testing.assert_array_equal(one.ratings, other.ratings)
    assert draw_corpus(30, 8).songs != one.songs


def test_labels_follow_cues_with_the_signs_of_the_literature():
    corpus = draw_corpus(3000, 0)
    design = np.column_stack([corpus.cues, np.ones(3000)])
    weights, *_ = np.linalg.lstsq(design, corpus.labels, rcond=None)
    valence, arousal = (dict(zip(CUE_NAMES, column, strict=False)) for column in weights.T)
    assert max(valence, key=valence.get) == "mode"
    assert max(arousal, key=arousal.get) == "tempo"
    assert {name for name, weight in valence.items() if weight > 0.1} == {"mode", "tempo", "register", "articulation"}
    assert {name for name, weight in valence.items() if weight < -0.05} == {"loudness", "brightness"}
    assert {name for name, weight in arousal.items() if weight < -0.05} == {"mode"}


def test_labels_spread_as_in_deam():
    corpus = draw_corpus(3000, 2)
    np.testing.assert_allclose(corpus.labels.std(axis=0), (1.106, 1.335), atol=0.08)
    np.testing.assert_allclose(corpus.labels.mean(axis=0), 5.0, atol=0.1)
    np.testing.assert_allclose(corpus.ceiling, (0.80, 0.85), atol=0.03)
    assert set(np.unique(corpus.ratings)) == set(range(1, 10))


def test_ceiling_is_what_a_perfect_model_reaches():
    gaps = []
    for seed in range(60):
        corpus = draw_corpus(96, seed)
        perfect, _ = label_moments(corpus.truth, corpus.bias)
        missed = ((corpus.labels - perfect) ** 2).sum(axis=0)
        r2 = 1 - missed / ((corpus.labels - corpus.labels.mean(axis=0)) ** 2).sum(axis=0)
        gaps.append(r2 - corpus.ceiling)
    error = np.std(gaps, axis=0) / np.sqrt(len(gaps))
    assert (np.abs(np.mean(gaps, axis=0)) < 3.5 * error).all()
    assert (error < 0.006).all()  # else the line above could not fail


def test_label_moments_are_those_of_simulated_labels():
    truth = np.array([[1.2, 5.0], [8.8, 6.3]])
    bias = draw_corpus(2, 0).bias
    rng = np.random.default_rng(0)
    labels = np.stack([demo._rate(rng, truth, bias)[1].mean(axis=1) for _ in range(20_000)])
    expected, variance = label_moments(truth, bias)
    np.testing.assert_allclose(labels.mean(axis=0), expected, atol=0.015)
    np.testing.assert_allclose(labels.var(axis=0), variance, rtol=0.05)


def test_artists_have_habits():
    corpus = draw_corpus(960, 0)
    artists = np.array([song.artist for song in corpus.songs])
    assert len(set(artists)) == 600
    pairs = [np.flatnonzero(artists == name)[:2] for name in set(artists) if (artists == name).sum() > 1]
    one, other = corpus.cues[np.array(pairs).T]
    for cue, least in (("tempo", 0.3), ("brightness", 0.4), ("register", 0.1)):
        column = CUE_NAMES.index(cue)
        assert np.corrcoef(one[:, column], other[:, column])[0, 1] > least


def test_ninety_six_songs_by_sixty_artists():
    corpus = draw_corpus(96, 0)
    assert len({song.artist for song in corpus.songs}) == 60
    assert len({song.title for song in corpus.songs}) == 96
    assert {song.genre for song in corpus.songs} == {style.name for style in STYLES}
    assert abs(corpus.cues[:, 0].mean()) < 0.35  # both modes


# --- what is written --------------------------------------------------------------------------------------------


def test_loads_as_deam_does(made):
    root, dataset = made
    assert dataset.name == "demo"
    assert dataset.synthetic
    assert dataset.ids == ["1001", "1002", "1003", "1004"]
    assert not dataset.without_audio
    assert "ynthetic" in dataset.notes[0]
    corpus = draw_corpus(4, 1)
    np.testing.assert_allclose(dataset.targets(), corpus.labels, atol=1e-9)
    np.testing.assert_allclose([song.target_std for song in dataset.songs], corpus.label_std, atol=0.0051)
    np.testing.assert_allclose(dataset.ceiling, corpus.ceiling)
    assert [song.artist for song in dataset.songs] == [song.artist for song in corpus.songs]
    assert [song.genre for song in dataset.songs] == [song.genre for song in corpus.songs]
    assert {song.n_raters for song in dataset.songs} == {10}
    by_reader = load_deam(only_folder(root))
    assert by_reader.synthetic
    np.testing.assert_array_equal(by_reader.targets(), dataset.targets())


def test_single_ratings_are_read_back(made):
    root, dataset = made
    corpus = draw_corpus(4, 1)
    np.testing.assert_array_equal([song.ratings for song in dataset.songs], corpus.ratings)
    header, first, *_ = (only_folder(root) / PER_RATER).read_text().splitlines()
    assert header == "workerId,SongId,Valence,Arousal"
    assert re.fullmatch(r"simulated-\d\d,1001,\d,\d", first)


def test_the_ceiling_is_the_known_one_and_the_raters_lead_to_it_in_two_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_write_song", lambda folder, song: None)
    corpus = draw_corpus(1000, 4)
    demo.write_corpus(tmp_path, corpus, 4, progress=False)
    dataset = load_deam(tmp_path)
    assert (dataset.ceiling, dataset.ceiling_method) == (corpus.ceiling, "construction")
    halves, deviations = estimates(dataset.songs)
    assert (halves.method, deviations.method) == ("split-half", "rater deviations")
    for found in (halves, deviations):
        np.testing.assert_allclose([one.r2 for one in found.targets], corpus.ceiling, atol=0.02)
    assert dataset.select(dataset.ids[:500]).ceiling_method == "split-half"


def test_targets_and_labels_are_passed_on(made):
    root, dataset = made
    arousal = load_demo(root, n_songs=4, seed=1, targets=["arousal"], labels="raw")
    assert arousal.target_names == ("arousal",)
    np.testing.assert_array_equal(arousal.targets()[:, 0], dataset.targets()[:, 1])
    assert arousal.ceiling == dataset.ceiling[1:]


def test_registered(made):
    root, dataset = made
    assert load_dataset("demo", root=root, n_songs=4, seed=1).fingerprint() == dataset.fingerprint()


def test_audio_is_mono_45_s_and_as_loud_as_drawn(made):
    _, dataset = made
    for song, drawn in zip(dataset.songs, draw_corpus(4, 1).songs, strict=True):
        sound, rate_hz = soundfile.read(song.audio_path)
        assert sound.ndim == 1
        assert len(sound) / rate_hz == pytest.approx(45.0, abs=0.1)
        assert 20 * np.log10(sound.std()) == pytest.approx(drawn.piece.cues.loudness_dbfs, abs=0.5)


def test_static_file_looks_like_deams(made):
    root, _ = made
    lines = (only_folder(root) / STATIC / "static_annotations_averaged_songs_1_2000.csv").read_text().splitlines()
    assert lines[0] == "song_id, valence_mean, valence_std, arousal_mean, arousal_std"
    assert len(lines) == 5
    # As in DEAM: "      2,         3.1 ,        0.94,         3   ,        0.63"
    assert all(re.fullmatch(r" {3}\d{4}, {9}\d(\.\d |   ), {8}\d(\.\d[\d ]|   ), {9}\d(\.\d |   ), {8}\d(\.\d[\d ]|   )", line) for line in lines[1:])  # fmt: skip  # noqa: E501


def test_mark_tells_what_was_done(made):
    root, dataset = made
    mark = json.loads((only_folder(root) / "SYNTHETIC.json").read_text())
    assert mark["synthetic"] is True
    assert (mark["n_songs"], mark["seed"], mark["n_raters"]) == (4, 1, 10)
    assert tuple(mark["ceiling"]) == dataset.ceiling


def test_dynamic_annotations_agree_with_static_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_write_song", lambda folder, song: None)
    corpus = draw_corpus(96, 0)
    demo.write_corpus(tmp_path, corpus, 0, progress=False)
    copy = read_deam(tmp_path)
    assert len(copy.dynamic) == 96
    assert measure_agreement(copy.ids, copy.mean, copy.dynamic).state == "straight"
    folder = tmp_path / STATIC.replace("song_level", "dynamic (per second annotations)")
    header, first, *_ = (folder / "valence.csv").read_text().splitlines()
    columns = header.split(",")
    assert (columns[1], columns[-1], len(columns)) == ("sample_15000ms", "sample_44500ms", 61)
    series = np.array(first.split(",")[1:], dtype=float)
    assert 0.005 < series.std() < 0.2  # moves, slowly
    assert np.abs(np.diff(series)).max() < 0.05


def test_published_spread_leads_to_the_same_ceiling(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_write_song", lambda folder, song: None)
    corpus = draw_corpus(1000, 3)
    demo.write_corpus(tmp_path, corpus, 3, progress=False)
    estimated = noise_ceiling(load_deam(tmp_path).songs)
    np.testing.assert_allclose([one.r2 for one in estimated], corpus.ceiling, atol=0.015)


def test_number_of_workers_changes_nothing(tmp_path, monkeypatch, short):
    sounds = []
    for workers in (1, 4):
        monkeypatch.setattr(demo.os, "cpu_count", lambda n=workers: n)
        dataset = load_demo(tmp_path / str(workers), n_songs=6, seed=2, progress=False)
        sounds.append([soundfile.read(song.audio_path)[0] for song in dataset.songs])
    for one, other in zip(*sounds, strict=True):
        np.testing.assert_array_equal(one, other)


def test_flac_where_mp3_cannot_be_written(tmp_path, monkeypatch, short):
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"FLAC": "FLAC"})
    dataset = load_demo(tmp_path, n_songs=2, progress=False)
    assert [song.audio_path.suffix for song in dataset.songs] == [".flac", ".flac"]
    assert soundfile.info(dataset.songs[0].audio_path).format == "FLAC"


# --- the cache --------------------------------------------------------------------------------------------------


def test_generated_once(tmp_path, monkeypatch, short):
    first = load_demo(tmp_path, n_songs=2, progress=False)
    monkeypatch.setattr(demo, "write_corpus", None)
    assert load_demo(tmp_path, n_songs=2).fingerprint() == first.fingerprint()


def test_other_number_or_seed_is_another_folder(tmp_path, short):
    for n_songs, seed in ((2, 0), (3, 0), (2, 1)):
        load_demo(tmp_path, n_songs=n_songs, seed=seed, progress=False)
    assert len(list(tmp_path.iterdir())) == 3


def test_default_place_is_the_cache(tmp_path, monkeypatch, short):
    monkeypatch.setenv("AFFEKT_HOME", str(tmp_path / "home"))
    dataset = load_demo(n_songs=2, progress=False)
    assert dataset.songs[0].audio_path.is_relative_to(tmp_path / "home")


def run_python(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(Path(affekt.__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=environment, stderr=subprocess.PIPE)


def test_racing_processes_share_one_corpus(tmp_path):
    code = "import sys; from affekt.data.demo import load_demo; assert len(load_demo(sys.argv[1], n_songs=2)) == 2"
    racers = [run_python(code, tmp_path) for _ in range(2)]
    for racer in racers:
        _, complaints = racer.communicate(timeout=60)
        assert (racer.returncode, complaints) == (0, b"")  # no progress bar where there is no terminal
    assert only_folder(tmp_path).name.startswith("demo-")


def test_loser_of_a_race_takes_the_winners_corpus(tmp_path, monkeypatch, short):
    publish = demo._publish

    def lose(temporary, folder):
        shutil.copytree(temporary, folder)
        publish(temporary, folder)

    monkeypatch.setattr(demo, "_publish", lose)
    assert len(load_demo(tmp_path, n_songs=2, progress=False)) == 2
    assert only_folder(tmp_path).name.startswith("demo-")


@pytest.mark.parametrize("blow", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
def test_interruption_leaves_nothing(tmp_path, monkeypatch, blow):
    def strike(piece, length_s):
        raise blow

    monkeypatch.setattr(demo, "render", strike)
    with pytest.raises(StorageError if isinstance(blow, OSError) else blow):
        load_demo(tmp_path, n_songs=5, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_killed_generation_is_not_taken_for_finished(tmp_path, short):
    code = "import sys; from affekt.data.demo import load_demo; load_demo(sys.argv[1], n_songs=50, progress=False)"
    process = run_python(code, tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".demo-*.part/DEAM_audio/MEMD_audio/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert list(tmp_path.glob("demo-*")) == []
    assert len(load_demo(tmp_path, n_songs=50, progress=False).with_audio) == 50


# --- mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_songs": 1}, "n_songs = 1; allowed: a whole number from 2 to 1000"),
        ({"n_songs": 1001}, "n_songs = 1001"),
        ({"n_songs": 2.5}, "n_songs = 2.5"),
        ({"n_songs": True}, "n_songs = True"),
        ({"n_songs": "96"}, "n_songs = '96'"),
        ({"seed": -1}, "seed = -1; allowed: a whole number, 0 or more"),
        ({"seed": 0.5}, "seed = 0.5"),
        ({"seed": None}, "seed = None"),
        ({"labels": "mended"}, 'labels = "mended"; allowed: corrected, raw'),
    ],
)
def test_bad_arguments_are_named_before_anything_is_made(tmp_path, arguments, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load_demo(tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not a folder"):
        load_demo(tmp_path / "file", n_songs=2)
    with pytest.raises(StorageError, match="cannot write"):
        load_demo(tmp_path / "file" / "below", n_songs=2)


def test_damaged_corpus_says_what_to_do(tmp_path, short):
    dataset = load_demo(tmp_path, n_songs=3, progress=False)
    dataset.songs[1].audio_path.unlink()
    (only_folder(tmp_path) / "SYNTHETIC.json").unlink()
    with pytest.raises(DataError, match=r"SYNTHETIC.json, 1 of 3 audio files missing. Delete this folder"):
        load_demo(tmp_path, n_songs=3)


# --- songs that change ------------------------------------------------------------------------------------------


def test_songs_that_change_have_sections_within_the_song():
    corpus = draw_corpus(40, 3, changing=True)
    for song in corpus.songs:
        starts = [section.start_s for section in song.sections]
        assert 3 <= len(starts) <= 5 and starts[0] == 0.0
        assert (np.diff([*starts, demo.LENGTH_S]) >= 6.0 - 1e-9).all()
    assert all(len(song.sections) == 1 for song in draw_corpus(40, 3).songs)


def test_what_is_felt_follows_the_music_with_a_delay():
    song = draw_corpus(5, 3, changing=True).songs[0]
    starts = [section.start_s for section in song.sections]
    expressed = demo.true_emotion(np.stack([section.piece.cues.as_row() for section in song.sections]))
    at_start = demo.felt_over_time(song, np.array([starts[1]]))[0]
    np.testing.assert_allclose(at_start, expressed[0], atol=1e-9)  # settled before the song, so nothing moved so far
    later = demo.felt_over_time(song, starts[1] + np.array([0.0, 2.0, 4.0]))
    gap = np.abs(later - expressed[1])
    np.testing.assert_allclose(gap[1] / gap[0], np.exp(-1), rtol=1e-6)
    np.testing.assert_allclose(gap[2] / gap[0], np.exp(-2), rtol=1e-6)


def test_the_truth_of_a_song_that_does_not_change_is_what_its_cues_express():
    corpus = draw_corpus(20, 3)
    np.testing.assert_allclose(corpus.truth, demo.true_emotion(corpus.cues))


def test_annotations_over_time_come_with_songs_that_sound_accordingly(tmp_path):
    dataset = load_demo(tmp_path, n_songs=3, seed=2, progress=False, annotations="dynamic")
    corpus = draw_corpus(3, 2, changing=True)
    assert dataset.dynamic and dataset.synthetic and dataset.scale == (-1.0, 1.0) and dataset.ceiling is None
    for song, drawn in zip(dataset.songs, corpus.songs, strict=True):
        assert len(song.curve) == 60 and song.curve.times_s[0] == 15.0
        felt = (demo.felt_over_time(drawn, song.curve.times_s) - 5) / 4
        assert np.abs(song.curve.values - np.clip(felt, -1, 1)).max() < 0.25  # the drift of the raters
        samples, rate_hz = soundfile.read(song.audio_path)
        assert len(samples) / rate_hz == pytest.approx(demo.LENGTH_S, abs=0.1)
        for section, end_s in zip(
            drawn.sections, [s.start_s for s in drawn.sections[1:]] + [demo.LENGTH_S], strict=True
        ):
            part = samples[int((section.start_s + 0.2) * rate_hz) : int((end_s - 0.2) * rate_hz)]
            level_db = 20 * np.log10(np.sqrt(np.mean(part**2)))
            assert level_db == pytest.approx(section.piece.cues.loudness_dbfs, abs=2.0)


def test_the_two_corpora_lie_side_by_side(short, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "LENGTH_S", 31.0)  # room for five sections
    still, moving = (load_demo(tmp_path, n_songs=2, progress=False, annotations=a) for a in ("static", "dynamic"))
    assert len(list(tmp_path.iterdir())) == 2
    assert not still.dynamic and moving.dynamic
    with pytest.raises(ConfigError, match="allowed: static, dynamic"):
        load_demo(tmp_path, annotations="both")
