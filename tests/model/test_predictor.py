"""A track to an emotion: what it says, on every kind of input, and how it loads."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

import affekt
from affekt.encoders import build_encoder
from affekt.errors import AudioError, DataError, WeightsError
from affekt.model.bundle import SETTINGS, WEIGHTS
from affekt.model.predictor import Model, load_model
from affekt.training.ridge import solve
from affekt.training.table import ClipTable, Task


@pytest.fixture(params=["ridge", "suffix"])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.getfixturevalue(f"{request.param}_bundle"))


@pytest.fixture
def ridge(ridge_bundle: Path) -> Model:
    return load_model(ridge_bundle)


@pytest.fixture
def song(song_folder: Path) -> Path:
    return song_folder / "audio" / "song03.wav"


def same(one: affekt.Emotion, other: affekt.Emotion, tolerance: float = 0.0) -> bool:
    assert one.curve is not None and other.curve is not None
    return np.allclose(one.values, other.values, rtol=0, atol=tolerance) and np.allclose(
        one.curve.values, other.curve.values, rtol=0, atol=tolerance
    )


# --- what it says ----------------------------------------------------------------------------------------------------


def test_an_emotion(model: Model, song: Path) -> None:
    found = model.predict(song)
    assert found.targets == ("valence", "arousal")
    assert (found.valence, found.arousal) == found.values
    assert found.coverage == 0.9 and found.scale == (1.0, 9.0)
    for target in found.targets:
        low, high = found.interval(target)
        assert 1 <= low <= found.of(target) <= high <= 9
        assert high - low <= 2 * next(one.half_width for one in model.settings.targets if one.name == target) + 1e-9
    assert found.duration_s == pytest.approx(6.0, abs=0.01)
    assert found.quadrant in ("V+ A+", "V- A+", "V- A-", "V+ A-")
    assert all(-1 <= value <= 1 for value in found.unit)
    assert json.loads(json.dumps(found.as_dict()))["valence"]["value"] == found.valence


def test_the_curve_spans_the_track(model: Model, song: Path) -> None:
    curve = model.predict(song).curve
    assert curve is not None
    assert curve.values.shape == (len(curve.times_s), 2)
    assert curve.times_s[0] == pytest.approx(0.75, abs=0.01), "the centre of the first window"
    assert curve.times_s[-1] == pytest.approx(5.25, abs=0.01)
    assert np.all(np.diff(curve.times_s) > 0) and np.diff(curve.times_s).max() <= 0.75 + 1e-3
    assert model.predict(song, curve=False).curve is None
    assert model.predict(song, curve=False).values == pytest.approx(model.predict(song).values, abs=1e-4)


def test_it_learnt_something(ridge: Model, song_folder: Path) -> None:
    """Loudness carries arousal in these songs."""
    labels = affekt.load_dataset("folder", root=song_folder)
    found = [ridge.predict(song.audio_path, curve=False).arousal for song in labels.songs if song.audio_path]
    assert np.corrcoef(found, [song.targets[1] for song in labels.songs])[0, 1] > 0.8


def test_ridge_is_the_one_that_the_folds_chose(ridge: Model, song_folder: Path) -> None:
    """The bundle's line against `solve` on activations computed here."""
    labels = affekt.load_dataset("folder", root=song_folder, scale=(1, 9))
    encoder = build_encoder("mambavision-nano", "pretrained", 0)
    plan = affekt.ClipPlan(3, 1.5)
    clips = {song.id: plan.cut(affekt.decode(song.audio_path, 16_000), 16_000) for song in labels.songs}
    assert encoder.spec.sample_rate_hz == 16_000
    arrays = {song: encoder.activations(clip, encoder.cut("all")).astype(np.float16) for song, clip in clips.items()}
    task = Task(
        ClipTable(arrays), {s.id: np.array(s.targets) for s in labels.songs}, affekt_fold(tuple(labels.ids)), seed=0
    )
    alphas = np.array(ridge.settings.chosen["alpha"])
    line = solve(task, 5.0, alphas)
    song = labels.songs[5]
    expected = line.predict(task.table.song_means([song.id]))[0].clip(1, 9)
    assert ridge.predict(song.audio_path, curve=False).values == pytest.approx(tuple(expected), abs=0.01)


def affekt_fold(songs: tuple[str, ...]) -> object:
    from affekt.data.splits import Fold

    return Fold(songs, (), ())


# --- input -----------------------------------------------------------------------------------------------------------


def test_a_file_its_samples_and_an_open_file_are_the_same(model: Model, song: Path) -> None:
    of_file = model.predict(song)
    samples, rate_hz = sf.read(song, dtype="float32")
    assert same(of_file, model.predict((samples, rate_hz)))
    assert same(of_file, model.predict(str(song)))
    with song.open("rb") as file:
        assert same(of_file, model.predict(file))


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 96_000])
def test_any_rate_and_any_number_of_channels(
    ridge: Model, song: Path, tmp_path: Path, rate_hz: int, channels: int
) -> None:
    samples, own_hz = sf.read(song, dtype="float32")
    other = soxr.resample(samples, own_hz, rate_hz)
    path = tmp_path / "song.wav"
    sf.write(path, np.repeat(other[:, None], channels, axis=1), rate_hz, subtype="FLOAT")
    found, plain = ridge.predict(path), ridge.predict((other, rate_hz))
    assert same(found, plain, 1e-3)
    if rate_hz >= own_hz:
        assert same(found, ridge.predict(song), 1.0), "resampling there and back changes little"


@pytest.mark.parametrize("length_s", [0.5, 1.0, 1.4999, 1.5, 1.6, 7.0])
def test_short_ones(model: Model, length_s: float) -> None:
    rng = np.random.default_rng(0)
    found = model.predict((0.1 * rng.standard_normal(round(length_s * 16_000)), 16_000))
    assert ("short" in [remark.code for remark in found.remarks]) == (length_s < 1.5)
    assert found.curve is not None and len(found.curve.times_s) >= 1
    assert found.duration_s == pytest.approx(length_s, abs=1e-3)


def test_memory_of_a_long_one_is_bounded(ridge: Model) -> None:
    """Ten hours, cut as they come: no more windows than a screen shows."""
    plan, rate_hz = ridge.plan(), 16_000
    n_samples = 36_000 * rate_hz
    clips, windows = plan.firsts(n_samples, rate_hz)
    assert len(clips) == 3 and len(windows) == 240
    assert windows[-1] + 1.5 * rate_hz == n_samples
    pieces = (np.zeros(2**22, np.float32) for _ in range(n_samples // 2**22))
    rest = np.ones(n_samples % 2**22, np.float32)
    found = plan.cut_stream((piece for some in (pieces, [rest]) for piece in some), n_samples, rate_hz)
    assert found is not None and found.shape == (243, 24_000) and found[-1].max() == 1


@pytest.mark.parametrize(
    "samples",
    [np.zeros(100), np.zeros(0), np.zeros((4, 4, 4)), np.full(16_000, np.nan), np.zeros(16_000, int)],
    ids=["too short", "empty", "three axes", "not finite", "whole numbers"],
)
def test_samples_that_cannot_be_used(ridge: Model, samples: np.ndarray) -> None:
    with pytest.raises(AudioError):
        ridge.predict((samples, 16_000))


def test_files_that_cannot_be_used(ridge: Model, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        ridge.predict(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="the file: is not audio") as told:
        ridge.predict(io.BytesIO(b"hello"))
    assert "affekt-" not in str(told.value), "where it lay for a moment is nobody's business"


def test_remarks(ridge: Model, song: Path) -> None:
    samples, rate_hz = sf.read(song, dtype="float32")

    def codes(changed: np.ndarray) -> list[str]:
        return [remark.code for remark in ridge.predict((changed, rate_hz)).remarks]

    assert codes(samples) == []
    assert "silent" in codes(1e-5 * samples)
    assert "clipped" in codes((30 * samples).clip(-1, 1))
    assert "unfamiliar" in codes(np.sign(np.sin(2 * np.pi * 7000 * np.arange(len(samples)) / rate_hz)))


# --- loading ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(ridge_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in (SETTINGS, WEIGHTS, "README.md"):
        (folder / name).write_bytes((ridge_bundle / name).read_bytes())
    return folder


def changed(folder: Path, **settings: object) -> None:
    path = folder / SETTINGS
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_saved_and_loaded_it_is_the_same(model: Model, song: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "again")
    again = load_model(tmp_path / "again")
    assert again.fingerprint == model.fingerprint
    assert same(again.predict(song), model.predict(song))


def test_a_flipped_bit(copy: Path) -> None:
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    with pytest.raises(DataError, match="its hash is not the one"):
        load_model(copy)


def test_a_file_that_grew_is_not_read(copy: Path) -> None:
    with (copy / WEIGHTS).open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="It is not read"):
        load_model(copy)


@pytest.mark.parametrize("name", [SETTINGS, WEIGHTS])
def test_a_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DataError, match=name):
        load_model(copy)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"format": 2}, "reads format 1"),
        ({"surprise": 1}, "surprise"),
        ({"coverage": 2}, "coverage"),
        ({"scale": [9, 1]}, "does not ascend"),
        ({"targets": []}, "targets"),
        ({"name": "../elsewhere"}, "name"),
    ],
)
def test_settings_that_cannot_be(copy: Path, settings: dict[str, object], told: str) -> None:
    changed(copy, **settings)
    with pytest.raises(DataError, match=told):
        load_model(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "null", "{}"])
def test_settings_that_are_none(copy: Path, text: str) -> None:
    (copy / SETTINGS).write_text(text)
    with pytest.raises(DataError, match=r"model\.json"):
        load_model(copy)


def test_other_weights_of_the_encoder(copy: Path) -> None:
    changed(copy, seed=7)
    with pytest.raises(WeightsError, match="was trained behind weights"):
        load_model(copy)


def test_tensors_of_another_shape(copy: Path) -> None:
    target = json.loads((copy / SETTINGS).read_text())["targets"][0]
    changed(copy, targets=[target])
    with pytest.raises(WeightsError, match="do not fit"):
        load_model(copy)


def test_a_place_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no model\.json"):
        load_model(tmp_path)
