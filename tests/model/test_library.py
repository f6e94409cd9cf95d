"""A folder of music to a table: every format, resumed, broken files named."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from affekt.errors import ConfigError, DataError
from affekt.model.batch import Answer, find_files
from affekt.model.library import predict_library
from affekt.model.predictor import Model, load_model
from affekt.model.rows import FORMATS, columns, name_of, read_rows, row_of, write_rows


@pytest.fixture(scope="module")
def model(ridge_bundle: Path) -> Model:
    return load_model(ridge_bundle)


@pytest.fixture
def music(song_folder: Path, tmp_path: Path) -> Path:
    """Five songs, one of them in a folder of the folder, and a broken one."""
    folder = tmp_path / "music"
    (folder / "more").mkdir(parents=True)
    for number in range(5):
        place = folder / "more" if number == 4 else folder
        shutil.copy(song_folder / "audio" / f"song0{number}.wav", place / f"söng {number}.wav")
    (folder / "broken.mp3").write_bytes(b"this is no music" * 100)
    (folder / "notes.txt").write_text("not taken")
    (folder / ".hidden.wav").write_bytes(b"not taken either")
    return folder


def names(rows: list[dict[str, object]]) -> list[str]:
    return [Path(str(row["path"])).name for row in rows]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("curve", [False, True])
def test_every_format_holds_what_the_model_says(
    model: Model, music: Path, tmp_path: Path, suffix: str, curve: bool
) -> None:
    out = tmp_path / f"moods{suffix}"
    rows = predict_library(model, [music], out, curve, quiet=True)
    assert names(rows) == ["broken.mp3", *(f"söng {number}.wav" for number in range(4))]
    read = read_rows(out, model.targets)
    assert names(read) == names(rows)
    for row in read[1:]:
        emotion = model.predict(str(row["path"]), curve)
        assert (row["valence"], row["arousal"]) == emotion.values, "to the last digit"
        assert (row["arousal_low"], row["arousal_high"]) == emotion.interval("arousal")
        assert row["quadrant"] == emotion.quadrant and row["duration_s"] == emotion.duration_s
        assert row["error"] is None and row["model"] == model.fingerprint
        assert row.get("curve") == (emotion.as_dict()["curve"] if curve else None)
    assert "broken.mp3: is not audio" in str(read[0]["error"]) and read[0]["valence"] is None
    assert not list(tmp_path.glob(".*.part"))


def test_a_csv_is_a_csv(model: Model, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "moods.csv"
    predict_library(model, [music], out, curve=True, quiet=True)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == columns(("valence", "arousal"))
    with (tmp_path / "moods.curve.csv").open(newline="", encoding="utf-8") as file:
        moments = list(csv.DictReader(file))
    assert list(moments[0]) == ["path", "time_s", "valence", "arousal"]
    assert {row["path"] for row in moments} == {row["path"] for row in rows if not row["error"]}


def test_workers_say_the_same(model: Model, music: Path) -> None:
    alone = predict_library(model, [music], recursive=True, quiet=True)
    assert predict_library(model, [music], recursive=True, workers=2, quiet=True) == alone
    assert names(alone)[-1] == "söng 4.wav"


def asked(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every track that the encoder hears."""
    heard: list[int] = []
    plain = model.encoder.activations
    monkeypatch.setattr(model.encoder, "activations", lambda clips, cut: heard.append(1) or plain(clips, cut))
    return heard


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_there_is_not_computed_again(
    model: Model, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    out = tmp_path / f"moods{suffix}"
    first = predict_library(model, [music], out, quiet=True)
    heard = asked(model, monkeypatch)
    again = predict_library(model, [music], out, recursive=True, quiet=True)
    assert len(heard) == 1, "the song in the folder of the folder alone"
    assert [row for row in again if "more" not in str(row["path"])] == first
    assert names(read_rows(out, model.targets)) == names(again)


def test_rows_of_another_model_are_computed_again(
    model: Model, music: Path, tmp_path: Path, suffix_bundle: Path
) -> None:
    out = tmp_path / "moods.jsonl"
    predict_library(model, [music], out, quiet=True)
    other = load_model(suffix_bundle)
    rows = predict_library(other, [music], out, quiet=True)
    assert {row["model"] for row in rows} == {other.fingerprint}
    assert len(read_rows(out, other.targets)) == len(rows)


def test_a_curve_is_added_where_it_is_wanted(model: Model, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "moods.json"
    predict_library(model, [music], out, quiet=True)
    assert all(row.get("curve") for row in predict_library(model, [music], out, True, quiet=True) if not row["error"])


def test_curves_of_an_earlier_model_do_not_pass_for_those_of_this_one(
    model: Model, music: Path, tmp_path: Path, suffix_bundle: Path
) -> None:
    out = tmp_path / "moods.csv"
    predict_library(model, [music], out, True, quiet=True)
    other = load_model(suffix_bundle)
    predict_library(other, [music], out, quiet=True)
    assert not any(row.get("curve") for row in read_rows(out, other.targets))


def test_a_file_beside_the_table_that_is_not_ours_stays(model: Model, music: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "moods.curve.csv"
    theirs.write_text("path,time_s,mine\n")
    predict_library(model, [music], tmp_path / "moods.csv", quiet=True)
    assert theirs.read_text() == "path,time_s,mine\n"


def test_songs_that_are_not_named_now_stay(model: Model, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "moods.csv"
    predict_library(model, [music], out, quiet=True)
    predict_library(model, [music / "more"], out, quiet=True)
    assert len(read_rows(out, model.targets)) == 6


def test_stopped_in_the_middle(model: Model, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves a table; a kill leaves a journal, whose last line may be half written."""
    out = tmp_path / "moods.csv"
    stopped = iter(range(100))

    def stop(answer: Answer) -> None:
        if next(stopped) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_library(model, [music], out, quiet=True, done=stop)
    kept = read_rows(out, model.targets)
    assert len(kept) == 3 and not list(tmp_path.glob(".*.part"))
    out.unlink()
    journal = "".join(json.dumps(row) + "\n" for row in kept)
    (tmp_path / ".moods.csv.part").write_text(journal + '{"path": "half', encoding="utf-8")
    heard = asked(model, monkeypatch)
    rows = predict_library(model, [music], out, quiet=True)
    n_good = sum(not row["error"] for row in kept)
    assert len(rows) == 5 and len(heard) == 4 - n_good


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "\0\1\2", "path,valence\nx,1\n"])
def test_somebody_elses_table_is_not_overwritten(model: Model, music: Path, tmp_path: Path, content: str) -> None:
    out = tmp_path / "mine.csv"
    out.write_text(content)
    with pytest.raises(DataError, match="not a table of predictions"):
        predict_library(model, [music], out, quiet=True)
    assert out.read_text() == content


def test_what_cannot_be_asked(model: Model, music: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.csv"):
        predict_library(model, [music], tmp_path / "moods.xlsx", quiet=True)
    with pytest.raises(DataError, match="2 problems"):
        find_files([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(DataError, match="--recursive"):
        find_files([tmp_path / "empty"])


def test_a_file_that_is_named_twice_is_one(music: Path) -> None:
    file = music / "söng 1.wav"
    assert find_files([file, music, file])[0] == file
    assert len(find_files([file, music, file])) == 5


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    row = row_of(Answer(path, None, f"{path}: broken"), ("valence",), "m@1")
    assert name_of(path).endswith(r"caf\udce9.wav")
    for suffix in FORMATS:
        write_rows(tmp_path / f"t{suffix}", [row], ("valence",))
        assert read_rows(tmp_path / f"t{suffix}", ("valence",))[0]["path"] == name_of(path)
