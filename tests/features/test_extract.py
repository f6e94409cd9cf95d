"""From songs to stored activations: once, whatever breaks or stops it, and under a key that tells all that matters."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from affekt.audio.clips import ClipPlan
from affekt.audio.decode import decode
from affekt.audio.spectrogram import LogMel
from affekt.data.base import Song
from affekt.data.folder import load_folder
from affekt.encoders import build_encoder
from affekt.encoders.baselines import PrecomputedEncoder
from affekt.encoders.spectrogram import SpectrogramEncoder
from affekt.encoders.waveform import WaveformEncoder
from affekt.errors import StorageError
from affekt.features import extract as module
from affekt.features import prepare
from affekt.features.crew import AHEAD, THREADS
from affekt.features.extract import Features, extract
from affekt.features.keys import prefix_settings, store_key
from affekt.features.store import Store

PLAN = ClipPlan(2, 1.0)
SONGS = 6


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def nano() -> Any:
    return build_encoder("wav2vec2-nano")


@pytest.fixture
def encoder(nano: Any) -> Any:
    return copy.deepcopy(nano)


@pytest.fixture
def songs(song_folder: Path) -> tuple[Song, ...]:
    return load_folder(song_folder).songs[:SONGS]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def calls(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the real decoder, the real prefix and each of its modules ran."""
    counted: Counter[str] = Counter()

    def counting(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            counted[what] += 1
            return real(*arguments)

        return call

    monkeypatch.setattr(prepare, "sound", counting("decode", prepare.sound))
    monkeypatch.setattr(encoder, "activations", counting("prefix", encoder.activations))
    for name in ("feature_projection", "encoder.layers.0", "encoder.layers.3"):
        encoder.model.get_submodule(name).register_forward_hook(lambda *_, name=name: counted.update([name]))
    return counted


def by_hand(encoder: Any, song: Song, freeze: str) -> np.ndarray:
    assert song.audio_path is not None
    clips = PLAN.cut(decode(song.audio_path, encoder.spec.sample_rate_hz), encoder.spec.sample_rate_hz)
    return encoder.activations(clips, encoder.cut(freeze))


@pytest.mark.parametrize("freeze", ["all", "last1", "none"])
def test_activations_are_those_of_the_prefix(encoder: Any, songs: tuple[Song, ...], store: Store, freeze: str) -> None:
    features = extract(encoder, encoder.cut(freeze), songs, PLAN, store)
    assert list(features.arrays) == [song.id for song in songs]
    assert features.n_extracted == SONGS
    assert features.skipped == {}
    for song in songs:
        wanted = by_hand(encoder, song, freeze)
        assert features.arrays[song.id].dtype == np.float16
        np.testing.assert_allclose(features.arrays[song.id], wanted, rtol=2e-3, atol=2e-3)
        assert store.about(features.keys[song.id])["song"] == song.id
        assert features.seconds[song.id] > 0


def test_a_second_run_decodes_nothing_and_runs_nothing(
    encoder: Any, songs: tuple[Song, ...], store: Store, calls: Counter[str]
) -> None:
    cut = encoder.cut("last1")
    first = extract(encoder, cut, songs, PLAN, store)
    assert calls == {"decode": SONGS, "prefix": SONGS, "feature_projection": SONGS, "encoder.layers.0": SONGS}
    calls.clear()
    second = extract(encoder, cut, songs, PLAN, store)
    assert calls == {}
    assert (second.n_reused, second.n_extracted) == (SONGS, 0)
    assert second.keys == first.keys
    assert second.seconds == first.seconds
    for song in songs:
        np.testing.assert_array_equal(first.arrays[song.id], second.arrays[song.id])


def test_a_copy_of_a_song_elsewhere_is_known(
    encoder: Any, songs: tuple[Song, ...], store: Store, calls: Counter[str], tmp_path: Path
) -> None:
    cut = encoder.cut("all")
    extract(encoder, cut, songs[:1], PLAN, store)
    assert songs[0].audio_path is not None
    moved = replace(songs[0], id="moved", audio_path=Path(shutil.copy(songs[0].audio_path, tmp_path / "other.wav")))
    assert extract(encoder, cut, [moved], PLAN, store).n_reused == 1
    assert calls["decode"] == 1


def changed_weight(encoder: Any) -> Any:
    with torch.no_grad():
        encoder.model.encoder.layers[0].final_layer_norm.bias[3] += 1e-3
    return encoder


def changed_version(encoder: Any) -> Any:
    encoder.code_version += 1
    return encoder


def rebuilt(encoder: Any, **changes: Any) -> WaveformEncoder:
    return WaveformEncoder("wav2vec2-nano", encoder.model, "random weights", "none", **changes)


CHANGES: dict[str, Callable[[SimpleNamespace], Any]] = {
    "one bit of audio": lambda made: made.path.write_bytes(made.path.read_bytes()[:-1] + b"\x55"),
    "encoder": lambda made: setattr(made, "encoder", build_encoder("handcrafted")),
    "seed of the weights": lambda made: setattr(made, "encoder", build_encoder("wav2vec2-nano", seed=1)),
    "one weight": lambda made: changed_weight(made.encoder),
    "normalisation": lambda made: setattr(made, "encoder", rebuilt(made.encoder, normalise=False)),
    "sample rate": lambda made: setattr(made, "encoder", rebuilt(made.encoder, sample_rate_hz=8000)),
    "number of clips": lambda made: setattr(made, "plan", ClipPlan(3, 1.0)),
    "length of clips": lambda made: setattr(made, "plan", ClipPlan(2, 1.5)),
    "cut": lambda made: setattr(made, "freeze", "last2"),
    "no cut": lambda made: setattr(made, "freeze", "all"),
    "dtype": lambda made: made.monkeypatch.setattr("affekt.features.keys.DTYPE", np.float32),
    "version of the code": lambda made: changed_version(made.encoder),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_ingredient_changes_the_key(
    what: str,
    encoder: Any,
    songs: tuple[Song, ...],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert songs[0].audio_path is not None
    path = Path(shutil.copy(songs[0].audio_path, tmp_path / "song.wav"))
    made = SimpleNamespace(encoder=encoder, plan=PLAN, freeze="last1", path=path, monkeypatch=monkeypatch)

    def key() -> str:
        return store_key(path, prefix_settings(made.encoder, made.encoder.cut(made.freeze), made.plan))

    def run() -> Features:
        song = replace(songs[0], audio_path=path)
        return extract(made.encoder, made.encoder.cut(made.freeze), [song], made.plan, store)

    before = key()
    assert key() == before
    assert run().n_extracted == 1
    CHANGES[what](made)
    getattr(made.encoder, "__dict__", {}).pop("_digests", None)  # a new process would compute it anew
    assert key() != before
    assert run().n_extracted == 1, "nothing stale is taken for the new setting"


@pytest.mark.parametrize(
    "change", [{"n_mels": 64}, {"hop_length": 256}, {"dynamic_range_db": 60.0}, {"mel_scale": "htk"}, {"power": 1.0}]
)
def test_each_setting_of_the_front_end_changes_the_key(change: dict[str, Any], songs: tuple[Song, ...]) -> None:
    model = build_encoder("mambavision-nano").model  # type: ignore[attr-defined]
    keys = set()
    for front_end in (LogMel(), LogMel(**change)):
        encoder = SpectrogramEncoder("mambavision-nano", model, "random weights", "none", front_end)
        assert songs[0].audio_path is not None
        keys.add(store_key(songs[0].audio_path, prefix_settings(encoder, encoder.cut("all"), PLAN)))
    assert len(keys) == 2


def test_a_broken_song_is_skipped_with_its_reason(
    encoder: Any, songs: tuple[Song, ...], store: Store, tmp_path: Path
) -> None:
    import soundfile

    whole = tmp_path / "whole.mp3"
    soundfile.write(whole, np.random.default_rng(0).normal(0, 0.1, 5 * 44100), 44100)
    broken = {
        "text.mp3": b"not music at all, whatever its name says\n" * 50,
        "cut.mp3": whole.read_bytes()[: whole.stat().st_size // 3],
        "empty.wav": b"",
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "short.wav", np.zeros(1600), 16000)
    names = [*broken, "silent.wav", "short.wav", "absent.wav"]
    bad = [Song(name, tmp_path / name, (5.0, 5.0)) for name in names]
    bad.append(Song("unheard", None, (5.0, 5.0)))
    mixed = [song for pair in zip(bad, songs, strict=False) for song in pair] + bad[len(songs) :]
    ticks: list[int] = []
    features = extract(encoder, encoder.cut("all"), mixed, PLAN, store, lambda n=1, **_: ticks.extend([1] * n))
    assert set(features.arrays) == {song.id for song in songs}
    assert set(features.skipped) == {song.id for song in bad}
    for name in names:
        assert name in features.skipped[name], "the reason names the file"
    assert "no audio file" in features.skipped["unheard"]
    assert "empty" in features.skipped["empty.wav"]
    assert "0.10 s long" in features.skipped["short.wav"]
    assert len(ticks) == len(mixed), "the progress bar comes to its end"
    assert len(list(store.entries())) == len(songs)


def test_values_that_are_not_finite_are_never_stored(
    encoder: Any, songs: tuple[Song, ...], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = encoder.activations
    ran: list[int] = []

    def sometimes(clips: np.ndarray, cut: Any) -> np.ndarray:
        ran.append(1)
        return real(clips, cut) * (np.nan if len(ran) == 2 else 1)

    monkeypatch.setattr(encoder, "activations", sometimes)
    features = extract(encoder, encoder.cut("all"), songs, PLAN, store)
    (reason,) = features.skipped.values()  # of whichever song was decoded second
    assert "not finite" in reason
    assert len(features.arrays) == SONGS - 1


def test_values_beyond_half_precision_are_bounded(
    encoder: Any, songs: tuple[Song, ...], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "activations", lambda clips, cut: np.array([[1e9, -1e9, 1.0]], np.float32))
    features = extract(encoder, encoder.cut("all"), songs[:1], PLAN, store)
    np.testing.assert_array_equal(features.arrays[songs[0].id], [[65504, -65504, 1]])


@pytest.mark.parametrize("n_done", [1, 4])
def test_what_was_stopped_goes_on_where_it_was(
    encoder: Any, songs: tuple[Song, ...], store: Store, calls: Counter[str], n_done: int
) -> None:
    ticks: list[int] = []

    def stop(n: int = 1, **_: Any) -> None:
        ticks.extend([1] * n)
        if len(ticks) == n_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(encoder, encoder.cut("last1"), songs, PLAN, store, stop)
    kept = len(list(store.entries()))
    assert kept == calls["prefix"] >= n_done, "every song that was computed is kept"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    calls.clear()
    features = extract(encoder, encoder.cut("last1"), songs, PLAN, store)
    assert calls["decode"] == calls["prefix"] == SONGS - kept
    assert (features.n_reused, features.n_extracted) == (kept, SONGS - kept)
    assert len(features.arrays) == SONGS


def test_stopped_within_a_prefix_only_that_song_is_lost(
    encoder: Any, songs: tuple[Song, ...], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = encoder.activations
    ran: list[int] = []

    def stop(clips: np.ndarray, cut: Any) -> np.ndarray:
        ran.append(1)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return real(clips, cut)

    monkeypatch.setattr(encoder, "activations", stop)
    with pytest.raises(KeyboardInterrupt):
        extract(encoder, encoder.cut("all"), songs, PLAN, store)
    assert len(list(store.entries())) == 2


def test_a_damaged_value_is_an_error_and_no_skip(encoder: Any, songs: tuple[Song, ...], store: Store) -> None:
    cut = encoder.cut("all")
    key = extract(encoder, cut, songs[:1], PLAN, store).keys[songs[0].id]
    store.path(key).write_bytes(b"damaged")
    with pytest.raises(StorageError, match="Delete the file"):
        extract(encoder, cut, songs, PLAN, store)
    store.path(key).unlink()
    assert extract(encoder, cut, songs, PLAN, store).n_extracted == SONGS


def test_songs_decoded_ahead_are_few(
    encoder: Any, songs: tuple[Song, ...], store: Store, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory must not grow with the number of songs where the prefix is slower than the decoder."""
    many = [replace(song, id=f"{song.id}-{turn}") for turn in range(5) for song in songs]
    most = []
    compute = module._Extraction._put

    def watched(*arguments: Any) -> None:
        most.append(calls["decode"] - calls["prefix"])
        compute(*arguments)

    monkeypatch.setattr(module._Extraction, "_put", watched)
    monkeypatch.setattr(Store, "__contains__", lambda self, key: False)
    extract(encoder, encoder.cut("all"), many, PLAN, store)
    assert len(most) == len(many)
    assert max(most) <= AHEAD + THREADS


def test_embeddings_that_are_looked_up_need_no_audio(songs: tuple[Song, ...], store: Store) -> None:
    silent = [replace(song, audio_path=None) for song in songs]
    table = {song.id: np.full(3, i, np.float32) for i, song in enumerate(silent[1:])}
    encoder = PrecomputedEncoder("precomputed:table.csv", table)
    ticks: list[int] = []
    features = extract(encoder, encoder.cut("all"), silent, PLAN, store, lambda n=1, **_: ticks.extend([1] * n))
    assert {song: array.tolist() for song, array in features.arrays.items()} == {
        song: [vector.tolist()] for song, vector in table.items()
    }
    assert features.skipped == {silent[0].id: "no precomputed embedding"}
    assert (features.keys, features.n_extracted) == ({}, 0)
    assert len(ticks) == SONGS
    assert not store.root.exists()


def test_many_songs_do_not_exhaust_open_files(song_folder: Path, tmp_path: Path) -> None:
    """With a limit far below the number of songs, small activations are read without keeping a file open each."""
    code = f"""
import resource
from pathlib import Path
from affekt.audio.clips import ClipPlan
from affekt.data import load_dataset
from affekt.encoders import build_encoder
from affekt.features.extract import extract
from affekt.features.store import Store
encoder = build_encoder("handcrafted")
songs = load_dataset("folder", root={str(song_folder)!r}).songs
extract(encoder, encoder.cut("all"), songs[:1], ClipPlan(1, 1.0), Store(Path({str(tmp_path)!r})))
in_use = len(list(Path("/proc/self/fd").iterdir()))
resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 12, in_use + 12))
found = extract(encoder, encoder.cut("all"), songs, ClipPlan(1, 1.0), Store(Path({str(tmp_path)!r})))
assert len(found.arrays) == 16 and not found.skipped, found.skipped
"""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to count open files")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# --- long songs ---------------------------------------------------------------------------------------------------


def test_clips_of_a_file_are_those_of_the_whole_song(song_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affekt.audio.decode.BLOCK_FRAMES", 5_000)
    path = load_folder(song_folder).songs[0].audio_path
    assert path is not None
    whole = decode(path, 22_050)
    monkeypatch.setattr(
        "affekt.audio.decode.SampleStream.read", lambda *_: pytest.fail("the whole song was held in memory")
    )
    clips = prepare.sound(prepare.Task(path, PLAN), 22_050).value
    np.testing.assert_array_equal(clips, PLAN.cut(whole, 22_050))


def test_a_song_shorter_than_a_clip_and_one_whose_header_is_wrong_are_cut_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal(16_000 * 3)
    soundfile.write(tmp_path / "short.wav", samples[:12_000], 16_000)
    soundfile.write(tmp_path / "pipe.wav", samples, 16_000)
    data = bytearray((tmp_path / "pipe.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "pipe.wav").write_bytes(data)
    for name in ("short.wav", "pipe.wav"):
        whole = PLAN.cut(decode(tmp_path / name, 16_000), 16_000)
        clips = prepare.sound(prepare.Task(tmp_path / name, PLAN), 16_000).value
        np.testing.assert_array_equal(clips, whole)


# --- worker processes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wav2vec2-nano", "handcrafted"])
def test_workers_give_the_values_of_threads(name: str, songs: tuple[Song, ...], tmp_path: Path) -> None:
    encoder = build_encoder(name)
    found = [
        extract(encoder, encoder.cut("all"), songs, PLAN, Store(tmp_path / str(n)), workers=n).arrays for n in (0, 2)
    ]
    assert list(found[0]) == list(found[1]) == [song.id for song in songs]
    for song in songs:
        np.testing.assert_array_equal(found[0][song.id], found[1][song.id])


def test_a_failed_write_stops_the_run(encoder: Any, songs: tuple[Song, ...], tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file stands where the folder should")
    with pytest.raises(StorageError):
        extract(encoder, encoder.cut("all"), songs, PLAN, Store(tmp_path / "store"), workers=0)
