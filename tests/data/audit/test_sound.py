from __future__ import annotations

import math
import os
import shutil
import threading

import numpy as np
import pytest
import soundfile as sf

from affekt.data.audit import audit_deam
from affekt.data.audit import sound as sounds
from affekt.data.audit.sound import listen, listen_to_all, same_content

RATE = 8000


def write(path, samples, rate=RATE, **tags):
    import mutagen

    sf.write(path, samples, rate)
    if tags:
        file = mutagen.File(path, easy=True)
        if file.tags is None:
            file.add_tags()
        file.update(tags)
        file.save()
    return path


def tone(seconds=2.0, rate=RATE, level=0.5):
    return level * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


def test_a_sound_file_is_measured(tmp_path):
    found = listen("7", write(tmp_path / "7.wav", np.stack([tone(), tone()], axis=1)))
    assert (found.song_id, found.fault, found.n_channels, found.sample_rate_hz) == ("7", None, 2, RATE)
    assert found.duration_s == pytest.approx(2.0)
    assert found.level_db == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    assert found.silent_s == found.clipped_share == 0


def test_blocks_make_no_difference(tmp_path, monkeypatch):
    samples = np.random.default_rng(0).normal(0, 0.3, size=(5 * RATE, 2)).clip(-1, 1)
    samples[RATE : 2 * RATE] = 0
    path = write(tmp_path / "1.wav", samples)
    whole = listen("1", path)
    monkeypatch.setattr(sounds, "_BLOCK_FRAMES", 1234)
    parts = listen("1", path)
    assert parts.digest == whole.digest
    assert (parts.silent_s, parts.duration_s) == (whole.silent_s, whole.duration_s)
    assert parts.level_db == pytest.approx(whole.level_db)


@pytest.mark.parametrize(("level", "silent"), [(0.0, True), (1e-5, True), (1e-2, False)])
def test_silence(tmp_path, level, silent):
    found = listen("1", write(tmp_path / "1.flac", tone(level=level)))
    assert (found.level_db < sounds.SILENCE_DB) == silent == (found.silent_s == pytest.approx(2.0, abs=0.05))


def test_the_longest_silent_stretch_counts(tmp_path):
    samples = tone(10)
    samples[RATE : 2 * RATE] = samples[4 * RATE : 7 * RATE] = 0
    assert listen("1", write(tmp_path / "1.wav", samples)).silent_s == pytest.approx(3.0, abs=0.1)


def test_clipping_is_runs_at_full_scale_and_not_single_peaks(tmp_path):
    samples = np.zeros(1000)
    samples[[10, 20, 30, 31]] = 1.0
    samples[100:110] = -1.0
    assert listen("1", write(tmp_path / "1.wav", samples)).clipped_share == pytest.approx(0.01)


def test_the_same_samples_are_found_whatever_the_tags_say(tmp_path):
    write(tmp_path / "1.mp3", tone(), artist="Anna")
    shutil.copy(tmp_path / "1.mp3", tmp_path / "2.mp3")
    write(tmp_path / "3.mp3", tone(level=0.4))
    import mutagen

    tags = mutagen.File(tmp_path / "2.mp3", easy=True)
    tags["artist"] = "Bert"
    tags.save()
    found = listen_to_all({str(i): tmp_path / f"{i}.mp3" for i in (1, 2, 3)}, quiet=True)
    assert [one.tags.artist for one in found] == ["Anna", "Bert", None]
    assert same_content(found) == [("1", "2")]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda raw: raw[: len(raw) // 2], "cut short"),
        (lambda raw: b"", "empty"),
        (lambda raw: b"not audio" * 100, "not audio that can be read"),
    ],
)
def test_a_broken_file_is_named_and_ends_nothing(tmp_path, spoil, words):
    good = write(tmp_path / "1.mp3", tone(5))
    (tmp_path / "2.mp3").write_bytes(spoil(good.read_bytes()))
    first, second = listen_to_all({"1": good, "2": tmp_path / "2.mp3"}, quiet=True)
    assert first.fault is None
    assert words in second.fault and str(tmp_path) not in second.fault


def test_samples_that_are_no_numbers(tmp_path):
    samples = tone().astype(np.float32)
    samples[5] = np.nan
    sf.write(tmp_path / "1.wav", samples, RATE, subtype="FLOAT")
    assert "not finite" in listen("1", tmp_path / "1.wav").fault


def test_a_reader_that_fails_in_its_own_way_ends_nothing(tmp_path, monkeypatch):
    def fail(path):
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(sounds, "read_tags", fail)
    assert "ZeroDivisionError: odd" in listen("1", write(tmp_path / "1.wav", tone())).fault


def test_ctrl_c_stops_the_files_that_wait(tmp_path, monkeypatch):
    paths = {str(i): write(tmp_path / f"{i}.wav", tone(0.1)) for i in range(200)}
    begun = []
    lock = threading.Lock()

    def interrupt(jobs):
        raise KeyboardInterrupt
        yield

    def slow(song_id, path, stop):
        with lock:
            begun.append(song_id)
        stop.wait(5)
        return listen(song_id, path)

    monkeypatch.setattr(sounds, "listen", slow)
    monkeypatch.setattr(sounds, "as_completed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        listen_to_all(paths, quiet=True)
    assert len(begun) <= 2 * (os.cpu_count() or 1)


class TestInTheAudit:
    @pytest.fixture
    def audit(self, small_deam):
        folder = small_deam.root / "DEAM_audio"
        folder.mkdir()
        long = 46.0
        write(folder / "2.mp3", tone(long), artist="Anna")
        raw = (folder / "2.mp3").read_bytes()
        (folder / "5.mp3").write_bytes(raw[: len(raw) // 2])
        shutil.copy(folder / "2.mp3", folder / "8.mp3")
        write(folder / "11.mp3", np.zeros(int(long * RATE)))
        write(folder / "14.mp3", tone(20))
        write(folder / "17.wav", (5 * tone(long)).clip(-1, 1))
        write(folder / "2001.mp3", tone(16, rate=16000), rate=16000)
        return audit_deam(small_deam.root)

    def finding(self, audit, words):
        (one,) = [one for one in audit.findings if words in one.what]
        return one

    def test_each_fault_is_found_at_its_song_and_none_ends_the_audit(self, audit):
        assert (audit.audio.n_files, audit.audio.n_whole) == (7, 6)
        for words, level, song in (
            ("cannot be read", "fault", "5: is cut short"),
            ("is silent: ", "fault", "11: "),
            ("is clipped", "note", "17: "),
            ("under two ids or more, sample for sample", "warning", "2 = 8"),
        ):
            finding = self.finding(audit, words)
            assert finding.level == level and [one.startswith(song) for one in finding.ids] == [True]
        assert audit.usable and "Usable, but for 2 faults." in audit.verdict

    def test_too_short_for_a_clip_or_for_its_annotation(self, audit):
        assert self.finding(audit, "too short").ids == (
            "14: 20.0 s, a clip has 45",
            f"2001: 16.0 s, annotated until {audit_last_s(audit):.1f}",
        )

    def test_rates_are_counted(self, audit):
        assert audit.audio.sample_rates_hz == {"8000": 5, "16000": 1}
        assert "8000: 5, 16000: 1" in self.finding(audit, "sample rate").what


def audit_last_s(audit):
    from affekt.data.deam import read_deam

    return read_deam(audit.root).curves[2001].times_s[-1]
