"""A whole comparison on real files: what it leaves, that it repeats, resumes, and keeps what is finished."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import affekt
from affekt import experiment as story
from affekt.config import Experiment, parse_experiment
from affekt.data import Dataset, load_dataset
from affekt.data.curves import Curve
from affekt.data.splits import Fold, Split
from affekt.errors import ConfigError, DataError, LeakageError
from affekt.evaluation.results import Results
from affekt.features.store import Store
from affekt.folds import Fit
from affekt.record import remarks


def experiment_on(folder: Path, **settings: Any) -> Experiment:
    value = {
        "name": "small",
        "dataset": {"name": "folder", "root": str(folder)},
        "split": {"folds": 2},
        "clips": {"count": 2, "length_s": 2.0},
        "encoders": ["mean", "mambavision-nano"],
        **settings,
    }
    return parse_experiment(value)


FINE_TUNED = {"head": "seed", "freeze": "last1", "training": {"epochs": 2}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def run(experiment: Experiment, out: Path, store: Store) -> Results:
    return story.run_experiment(experiment, out, store, quiet=True)[0]


@pytest.fixture(scope="module")
def finished(song_folder: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    out = tmp_path_factory.mktemp("run") / "fine-tuned"
    return run(experiment_on(song_folder, **FINE_TUNED), out, store), out


def test_every_song_is_predicted_once_by_every_encoder(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    frame = results.frame()
    assert (frame.groupby(["encoder", "seed", "target"])["song_id"].nunique() == 16).all()
    assert len(frame) == 16 * 2 * 2
    assert results.targets == ["valence", "arousal"]


def test_the_run_folder_says_exactly_what_was_run(finished: tuple[Results, Path]) -> None:
    results, out = finished
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished" and record["versions"]["torch"] and record["machine"]["cores"]
    assert parse_experiment({**record["experiment"]}).fingerprint()
    assert Results.load(out / "results.json") == results
    weights = {encoder["label"]: encoder["weights"] for encoder in results.encoders}
    assert weights["mambavision-nano"] == "random weights (seed 0)"
    folds = json.loads((out / "split.json").read_text())["0"]["folds"]
    assert sorted(song for fold in folds for song in fold["test"]) == sorted(song["id"] for song in results.songs)


def test_history_and_cost_are_measured(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    assert [row["epoch"] for row in results.history] == [1, 2, 1, 2]
    assert all(np.isfinite(row["validation_mse"]) for row in results.history)
    cost = {row["encoder"]: row for row in results.cost}
    assert cost["mambavision-nano"]["extraction_s_per_song"] > 0 and cost["mambavision-nano"]["training_s"] > 0


def test_the_same_seed_gives_the_same_numbers(
    finished: tuple[Results, Path], song_folder: Path, store: Store, tmp_path: Path
) -> None:
    again = run(experiment_on(song_folder, **FINE_TUNED), tmp_path / "again", store)
    assert again.predictions == finished[0].predictions
    other = run(experiment_on(song_folder, **FINE_TUNED, seeds=[1]), tmp_path / "other", store)
    assert other.predictions != finished[0].predictions


def test_a_finished_run_is_not_computed_again(
    finished: tuple[Results, Path], song_folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import affekt.training.fit as fit

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a finished fold was trained again")

    monkeypatch.setattr(fit, "fit_suffix", never)
    assert run(experiment_on(song_folder, **FINE_TUNED), finished[1], store).predictions == finished[0].predictions


def test_a_stopped_run_goes_on_where_it_was(
    finished: tuple[Results, Path], song_folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    once = Fit.once

    def stop_at_the_third(fit: Fit, *args: Any) -> Any:
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(fit.contender.title)
        return once(fit, *args)

    monkeypatch.setattr(Fit, "once", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(experiment_on(song_folder, **FINE_TUNED), tmp_path / "stopped", store)
    monkeypatch.setattr(Fit, "once", once)
    kept = len(list((tmp_path / "stopped" / "folds").glob("*.json")))
    results = run(experiment_on(song_folder, **FINE_TUNED), tmp_path / "stopped", store)
    assert kept == 3
    assert results.predictions == finished[0].predictions


def test_another_experiment_does_not_enter_the_folder(
    finished: tuple[Results, Path], song_folder: Path, store: Store
) -> None:
    with pytest.raises(ConfigError, match="another experiment"):
        run(experiment_on(song_folder), finished[1], store)


def test_permuted_labels_cannot_be_predicted(song_folder: Path, store: Store, tmp_path: Path) -> None:
    settings = {"encoders": ["mambavision-nano"], "split": {"folds": 4}}
    honest = run(experiment_on(song_folder, **settings), tmp_path / "honest", store)
    control = run(experiment_on(song_folder, **settings, permute_labels=True), tmp_path / "control", store)
    assert any("permuted" in note for note in control.dataset["notes"])
    assert sorted(p.y_true for p in control.predictions) == sorted(p.y_true for p in honest.predictions)
    assert (control.table()["r2_low"] <= 0).all()
    assert control.table()["r2"].max() < honest.table()["r2"].max()


def test_a_leaking_split_is_refused(
    song_folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking(dataset: Dataset, *args: Any) -> Split:
        ids = dataset.ids
        return Split("leak", "by hand", "artist", (Fold(tuple(ids[:8]), tuple(ids[8:10]), tuple(ids[7:])),))

    monkeypatch.setattr(story, "draw_split", leaking)
    with pytest.raises(LeakageError):
        run(experiment_on(song_folder), tmp_path / "leak", store)


def test_broken_songs_are_skipped_named_and_counted(song_folder: Path, store: Store, tmp_path: Path) -> None:
    broken = tmp_path / "songs"
    shutil.copytree(song_folder, broken)
    (broken / "audio" / "song03.wav").write_text("not audio at all")
    whole = (broken / "audio" / "song04.wav").read_bytes()
    (broken / "audio" / "song04.wav").write_bytes(whole[: len(whole) // 2])
    (broken / "audio" / "song05.wav").unlink()
    results = run(experiment_on(broken), tmp_path / "run", store)
    assert {row["song_id"] for row in results.skipped} == {"song03", "song04"}
    assert results.dataset["left_out"] == [{"reason": "labels without an audio file", "n": 1, "song_ids": ["song05"]}]
    assert results.dataset["n_scored"] == 13
    assert [remark.split(" ")[0] for remark in remarks(results)] == ["1", "2"]


def test_too_few_songs_say_why(song_folder: Path, store: Store, tmp_path: Path) -> None:
    few = load_dataset("folder", root=song_folder).select([f"song{i:02d}" for i in range(9)])
    with pytest.raises(DataError, match="9 of 9 songs"):
        story.run_experiment(experiment_on(song_folder), tmp_path / "run", store, quiet=True, dataset=few)


def test_no_audio_at_all_is_told_before_any_work(song_folder: Path, store: Store, tmp_path: Path) -> None:
    songs = load_dataset("folder", root=song_folder)
    silent = replace(songs, songs=tuple(replace(song, audio_path=None) for song in songs.songs))
    with pytest.raises(ConfigError, match="no audio file"):
        story.run_experiment(experiment_on(song_folder), tmp_path / "run", store, quiet=True, dataset=silent)
    results = story.run_experiment(
        experiment_on(song_folder, encoders=["mean"]), tmp_path / "mean", store, quiet=True, dataset=silent
    )[0]
    assert results.dataset["n_scored"] == 16


def test_all_encoder_mistakes_are_told_together(song_folder: Path, store: Store, tmp_path: Path) -> None:
    settings = {"encoders": [{"name": "mambavision-nano", "freeze": "last99"}, "precomputed:nothing.csv"]}
    with pytest.raises(ConfigError) as caught:
        run(experiment_on(song_folder, head="mlp", **settings), tmp_path / "run", store)
    assert "2 problems" in str(caught.value)
    assert "6 layers" in str(caught.value) and "nothing.csv" in str(caught.value)


def test_the_python_interface(song_folder: Path, store: Store, tmp_path: Path) -> None:
    songs = affekt.load_dataset("folder", root=song_folder)
    results = affekt.compare(songs, ["mean", "handcrafted"], folds=2, seeds=2, out=tmp_path, store=store, quiet=True)
    table = results.table()
    assert list(table["encoder"]) == ["mean", "mean", "handcrafted", "handcrafted"]
    assert results.seeds == [0, 1]
    with pytest.raises(AttributeError):
        affekt.nothing_of_this_name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("my songs", "my-songs"),
        ("a/b\\c: 100 %\n", "a-b-c--100---"),
        ("Lieder_für.3", "Lieder_für.3"),
        ("音楽", "音楽"),
        ("R²\N{ROMAN NUMERAL FOUR}", "R--"),
        ("e\N{COMBINING ACUTE ACCENT}", "e\N{COMBINING ACUTE ACCENT}"),
        ("", "comparison"),
        (" ", "-"),
    ],
)
def test_a_data_set_of_any_name_names_a_run(
    song_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    songs = replace(affekt.load_dataset("folder", root=song_folder), name=name)
    results = affekt.compare(songs, ["mean"], folds=2, quiet=True)
    assert results.run["name"] == wanted
    assert results.run["experiment"]["dataset"]["name"] == name
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith(f"{wanted}-")


def test_a_name_of_ones_own_stands(song_folder: Path, tmp_path: Path) -> None:
    songs = replace(affekt.load_dataset("folder", root=song_folder), name="my songs")
    assert affekt.compare(songs, ["mean"], folds=2, quiet=True, out=tmp_path, name="mine").run["name"] == "mine"
    with pytest.raises(ConfigError, match="name"):
        affekt.compare(songs, ["mean"], folds=2, quiet=True, out=tmp_path, name="not mine")


def test_a_run_on_the_split_of_another(
    finished: tuple[Results, Path], song_folder: Path, store: Store, tmp_path: Path
) -> None:
    split = {"kind": "file", "path": str(finished[1] / "split.json")}
    results = run(experiment_on(song_folder, encoders=["mean"], split=split), tmp_path / "run", store)
    folds = [{(p.song_id, p.fold) for p in one.predictions} for one in (results, finished[0])]
    assert folds[0] == folds[1]


def test_one_genre_is_left_out_at_a_time(song_folder: Path, store: Store, tmp_path: Path) -> None:
    split = {"kind": "leave-one-out", "by": "genre", "group": None}
    results = run(experiment_on(song_folder, encoders=["mean"], split=split), tmp_path / "run", store)
    genre = {song["id"]: song["genre"] for song in results.songs}
    by_fold: dict[int, set[str]] = {}
    for prediction in results.predictions:
        by_fold.setdefault(prediction.fold, set()).add(genre[prediction.song_id])
    assert sorted(map(sorted, by_fold.values())) == [["bright"], ["dark"]]


# --- over time ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moving(song_folder: Path) -> Dataset:
    """The songs with a rising course of valence and a falling one of arousal around their annotation."""
    songs = []
    for song in load_dataset("folder", root=song_folder).songs:
        times_s = np.arange(1.0, 6.0, 0.5)
        slope = np.linspace(-0.5, 0.5, len(times_s))[:, None] * [1, -1]
        curve = Curve(times_s, np.clip(np.array(song.targets) + slope, 1, 9))
        songs.append(replace(song, curve=curve, targets=curve.mean))
    return Dataset("moving", tuple(songs))


HEARD = {"frames": {"window_s": 1.0, "hop_s": 1.0}, "encoders": ["mean", "handcrafted"], "folds": 2}


@pytest.fixture(scope="module")
def followed(moving: Dataset, store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    out = tmp_path_factory.mktemp("run") / "moving"
    return story.compare(moving, out=out, store=store, quiet=True, **HEARD), out


def test_over_time_every_moment_of_every_song_is_predicted_once(followed: tuple[Results, Path]) -> None:
    results, out = followed
    assert len(results.curves) == 2 * 16
    assert {len(curve.y_pred) for curve in results.curves} == {5}
    assert {len(song["curve"]["times_s"]) for song in results.songs} == {5}
    means = {(c.encoder, c.song_id): np.mean(c.y_pred, axis=0) for c in results.curves}
    for p in results.predictions:
        assert p.y_pred == pytest.approx(means[p.encoder, p.song_id][results.targets.index(p.target)])
    assert Results.load(out / "results.json") == results


def test_over_time_a_rerun_computes_nothing_and_gives_the_same(
    followed: tuple[Results, Path], moving: Dataset, store: Store, tmp_path: Path
) -> None:
    again = story.compare(moving, out=tmp_path / "again", store=store, quiet=True, **HEARD)
    assert again.curves == followed[0].curves
    assert {row["n_extracted"] for row in again.cost} == {0}


def test_over_time_a_head_is_trained_on_frames(moving: Dataset, store: Store, tmp_path: Path) -> None:
    settings = {**HEARD, "head": "linear", "training": {"epochs": 2}, "encoders": ["handcrafted"]}
    results = story.compare(moving, out=tmp_path / "linear", store=store, quiet=True, **settings)
    assert {len(curve.y_pred) for curve in results.curves} == {5}
    assert len(results.history) == 4


def test_over_time_the_control_gives_songs_the_course_of_others(moving: Dataset) -> None:
    mixed = story.permuted(moving, seed=1)
    assert mixed.dynamic and mixed.targets().tolist() != moving.targets().tolist()
    own = {song.targets: song.curve.values.tolist() for song in moving.songs}
    for song in mixed.songs:
        np.testing.assert_allclose(song.curve.values, own[song.targets])


def test_over_time_a_song_shorter_than_its_annotation_is_left_out_and_named(
    moving: Dataset, store: Store, tmp_path: Path
) -> None:
    first = moving.songs[0]
    late = Curve(first.curve.times_s + 3, first.curve.values)
    songs = (replace(first, curve=late), *moving.songs[1:])
    results = story.compare(replace(moving, songs=songs), out=tmp_path / "late", store=store, quiet=True, **HEARD)
    assert [row["song_id"] for row in results.skipped] == [first.id]
    assert "annotated up to" in results.skipped[0]["reason"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"frames": {"hop_s": 1.0}}, 'frames: belongs to dataset.annotations "dynamic"'),
        (
            {"dataset": {"name": "demo", "annotations": "dynamic"}, "clips": {"count": 3}},
            'clips: belongs to dataset.annotations "static"',
        ),
        (
            {
                "dataset": {"name": "demo", "annotations": "dynamic"},
                "encoders": ["mean", {"name": "handcrafted", "clips": {"count": 3}}],
            },
            'encoders[1].clips: belongs to dataset.annotations "static"',
        ),
        (
            {"dataset": {"name": "folder", "root": "x", "annotations": "dynamic"}},
            'dataset.annotations: not for "folder"',
        ),
    ],
)
def test_what_is_heard_must_fit_what_is_annotated(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_experiment({"encoders": ["mean"], **settings})
    assert told in str(error.value)
    assert str(error.value).count("belongs to dataset") <= 1


# --- whole songs --------------------------------------------------------------------------------------------------


def test_clips_train_and_whole_songs_of_any_length_are_tested(song_folder: Path, store: Store, tmp_path: Path) -> None:
    songs = []
    for i, song in enumerate(load_dataset("folder", root=song_folder).songs):
        if i < 12:
            songs.append(replace(song, part="2014"))
            continue
        assert song.audio_path is not None
        samples, rate_hz = soundfile.read(song.audio_path)
        whole = tmp_path / f"{song.id}.wav"
        soundfile.write(whole, np.tile(samples, i - 8), rate_hz)  # 24 to 42 s instead of 6
        songs.append(replace(song, part="2015", audio_path=whole))
    dataset = Dataset("clips and songs", tuple(songs))
    settings = {"split": {"kind": "long"}, "clips": {"count": 6, "length_s": 2.0}}
    results = story.compare(dataset, ["mean", "handcrafted"], out=tmp_path / "run", store=store, quiet=True, **settings)
    tested = {song.id for song in songs[12:]}
    assert {p.song_id for p in results.predictions} == tested
    ids, _, y_pred = results.arrays("handcrafted", 0)
    assert set(ids) == tested and np.isfinite(y_pred).all() and np.ptp(y_pred, axis=0).all()
    assert results.run["splits"]["0"].startswith("long: trained on 12 clips of 45 s, tested on 4 whole songs")
