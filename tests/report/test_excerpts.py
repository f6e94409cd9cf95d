import base64
import os

import numpy as np
import pytest
import soundfile as sf

from affekt.errors import StorageError
from affekt.report import drop_excerpts, excerpts, write_excerpts, write_report
from affekt.report.failing import worst_songs
from affekt.report.view import View

RATE_HZ = 16_000


def song(path, seconds=20.0, channels=1, level=0.3):
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = level * np.sin(2 * np.pi * 440 * time_s)
    sf.write(path, np.stack([tone] * channels, axis=1), RATE_HZ, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


@pytest.fixture
def view(viewed):
    return viewed(n_songs=20)


def hardest(view, n=3):
    return [view.scores.song_ids[song.position] for song in worst_songs(view, n)]


def test_ten_seconds_from_the_middle_of_the_hardest_songs(view, tmp_path):
    ids = hardest(view)
    first = song(tmp_path / "a.wav", 30, channels=2)
    marked, _ = sf.read(first)
    marked[: 10 * RATE_HZ] = marked[-10 * RATE_HZ :] = 0  # only the middle third sounds
    sf.write(first, marked, RATE_HZ)
    paths = {ids[0]: first, ids[2]: song(tmp_path / "c.flac", 4)}
    written = write_excerpts(view.scores, paths, tmp_path / "run")
    assert [path.stem for path in written] == [excerpts.excerpt_stem(i) for i in (ids[0], ids[2])]
    assert all(path.parent == tmp_path / "run" / "excerpts" for path in written)
    sound, rate_hz = sf.read(written[0], always_2d=True)
    assert rate_hz == excerpts.RATE_HZ and sound.shape[1] == 1
    assert len(sound) / rate_hz == pytest.approx(10, abs=0.2)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)  # nothing of the silent thirds
    assert written[0].stat().st_size < 100_000
    assert len(sf.read(written[1])[0]) / rate_hz == pytest.approx(4, abs=0.2)


def test_at_most_a_dozen_songs(view, tmp_path):
    path = song(tmp_path / "one.wav", 2)
    assert len(write_excerpts(view.scores, dict.fromkeys(view.scores.song_ids, path), tmp_path)) == 12


def test_results_need_not_be_scored(view, tmp_path):
    paths = {i: song(tmp_path / "x.wav", 1) for i in hardest(view, 1)}
    assert write_excerpts(view.scores.results, paths, tmp_path) == write_excerpts(view.scores, paths, tmp_path)


def test_a_broken_file_has_no_excerpt_and_nothing_else_happens(view, tmp_path, capfd):
    ids = hardest(view, 5)
    (tmp_path / "broken.mp3").write_bytes(b"ID3 no music here")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    bad = ["broken.mp3", "empty.wav", "folder", "missing.wav"]
    paths = {i: tmp_path / name for i, name in zip(ids, bad, strict=False)}
    paths[ids[4]] = song(tmp_path / "good.wav", 2)
    assert len(write_excerpts(view.scores, paths, tmp_path)) == 1
    assert write_excerpts(view.scores, {}, tmp_path / "none") == [] and not (tmp_path / "none").exists()


def test_a_loud_file_does_not_clip_and_a_short_one_is_kept_whole(view, tmp_path):
    (first,) = hardest(view, 1)
    (written,) = write_excerpts(view.scores, {first: song(tmp_path / "x.wav", 0.5, level=5.0)}, tmp_path)
    assert 0.8 < np.abs(sf.read(written)[0]).max() < 1.1


def test_where_mp3_cannot_be_written_it_is_ogg(view, tmp_path, monkeypatch):
    monkeypatch.setattr(sf, "available_formats", lambda: {"OGG": "", "WAV": ""})
    (first,) = hardest(view, 1)
    (written,) = write_excerpts(view.scores, {first: song(tmp_path / "x.wav", 2)}, tmp_path)
    assert written.suffix == ".ogg" and sf.info(written).format == "OGG"
    assert excerpts.find_excerpts(tmp_path, [first])[first].data_uri.startswith("data:audio/ogg;base64,")


def test_a_folder_that_cannot_be_written_is_one_clear_error(view, tmp_path):
    (tmp_path / "excerpts").write_text("in the way")
    (first,) = hardest(view, 1)
    with pytest.raises(StorageError):
        write_excerpts(view.scores, {first: song(tmp_path / "x.wav", 1)}, tmp_path)


def test_they_are_left_out_and_deleted_on_demand(view, tmp_path):
    path = song(tmp_path / "x.wav", 1)
    write_excerpts(view.scores, dict.fromkeys(view.scores.song_ids, path), tmp_path)
    kept = tmp_path / "excerpts" / "notes.txt"
    kept.write_text("somebody else's")
    pages = [write_report(view.scores, tmp_path / "page.html", excerpts=on).read_text() for on in (True, False)]
    assert ["data:audio" in page for page in pages] == [True, False]
    drop_excerpts(tmp_path)
    assert list((tmp_path / "excerpts").iterdir()) == [kept]
    drop_excerpts(tmp_path / "none")


def test_found_excerpts_are_whole_and_stay_within_the_bound(tmp_path, monkeypatch):
    (tmp_path / "excerpts").mkdir()
    content = os.urandom(1000)
    for i in "abcd":
        (tmp_path / "excerpts" / f"{excerpts.excerpt_stem(i)}.mp3").write_bytes(b"" if i == "b" else content)
    found = excerpts.find_excerpts(tmp_path, list("abxcd"))
    assert list(found) == ["a", "c", "d"]
    assert base64.b64decode(found["a"].data_uri.removeprefix("data:audio/mpeg;base64,")) == content
    monkeypatch.setattr(excerpts, "MOST_BYTES", 2500)
    assert list(excerpts.find_excerpts(tmp_path, list("dabc"))) == ["d", "a"]
    assert excerpts.find_excerpts(tmp_path / "nowhere", ["a"]) == {}


@pytest.mark.parametrize("song_id", ["../../etc/passwd", "a/b", "a b", "ä", "", "x" * 500, "con.mp3", "\ud800"])
def test_any_song_id_makes_a_name_that_stays_in_the_folder(song_id):
    stem = excerpts.excerpt_stem(song_id)
    assert stem and set(stem) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    assert len(stem) < 60 and stem != excerpts.excerpt_stem(song_id + "!")


def test_the_page_embeds_what_lies_beside_the_results(view, tmp_path):
    from affekt.report import html

    ids = hardest(view, 2)
    write_excerpts(view.scores, {ids[1]: song(tmp_path / "x.wav", 1)}, tmp_path)
    data = html.report_data(View(view.scores), tmp_path)
    assert [row["sounds"] for row in data["failing"]["songs"]][:2] == [False, True]
    position = view.scores.song_ids.index(ids[1])
    assert list(data["excerpts"]) == [str(position)] and data["failing"]["n_sounds"] == 1
    assert not html.report_data(View(view.scores), tmp_path / "elsewhere")["excerpts"]
