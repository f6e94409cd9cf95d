"""Playlists: which songs, in which order, and that every line is the file it stands for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutagen.id3 import ID3, TIT2, TPE1

from affekt.errors import ConfigError
from affekt.evaluation.metrics import QUADRANTS
from affekt.model.playlist import WORDS, entry, find_quadrants, write_playlist

TARGETS = ("valence", "arousal")
#: Of names of files.
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


def row(valence: float, arousal: float, quadrant: str | None = "V+ A+", duration_s: float = 12.6) -> dict[str, Any]:
    return {"valence": valence, "arousal": arousal, "quadrant": quadrant, "duration_s": duration_s}


def lines(path: Path) -> list[str]:
    """As a player in another language reads them: a line ends with a line feed alone."""
    text = path.read_bytes().decode("utf-8")
    assert text.endswith("\n")
    return text[:-1].split("\n")


def files(path: Path) -> list[str]:
    return [line for line in lines(path) if line and not line.startswith("#")]


# ---- quadrants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "quadrant"),
    [
        *zip(QUADRANTS, QUADRANTS, strict=True),
        *zip(WORDS, QUADRANTS, strict=True),
        ("V+A+", "V+ A+"),
        ("v+ a-", "V+ A-"),
        (" v-,a+ ", "V- A+"),
        ("Calm", "V+ A-"),
        ("V\N{MINUS SIGN} A\N{MINUS SIGN}", "V- A-"),
    ],
)
def test_a_quadrant_has_many_names(name: str, quadrant: str) -> None:
    assert find_quadrants([name, name], TARGETS) == [quadrant]


def test_words_say_what_quadrants_are() -> None:
    assert dict(zip(WORDS, QUADRANTS, strict=True)) == {
        "happy": "V+ A+",
        "tense": "V- A+",
        "sad": "V- A-",
        "calm": "V+ A-",
    }


@pytest.mark.parametrize(("name", "told"), [("hapy", "Did you mean"), ("V+", '"V- A-" or sad'), ("", "no such")])
def test_an_unknown_quadrant(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        find_quadrants([name], TARGETS)


def test_a_model_without_quadrants() -> None:
    with pytest.raises(ConfigError, match="predicts tension, arousal"):
        find_quadrants(["sad"], ("tension", "arousal"))
    assert find_quadrants([], ("tension",)) == []


# ---- files ----------------------------------------------------------------------------------------------------------


def test_the_songs_of_one_quadrant_those_farthest_from_the_centre_first(tmp_path: Path) -> None:
    songs = [
        (tmp_path / "near.mp3", row(5.5, 5.5)),
        (tmp_path / "other.mp3", row(2, 8, "V- A+")),
        (tmp_path / "sub" / "far.mp3", row(9, 8.5, duration_s=215.4)),
        (tmp_path.parent / "middle.mp3", row(5.1, 8)),
    ]
    found = write_playlist(tmp_path, "V+ A+", songs, 5.0)
    assert found == (tmp_path / "V+ A+.m3u8", 3, 0)
    assert lines(found.path) == [
        "#EXTM3U",
        "#PLAYLIST:V+ A+ (happy)",
        "#EXTINF:215,far",
        os.path.join("sub", "far.mp3"),  # noqa: PTH118 (as a line has it)
        "#EXTINF:13,middle",
        os.path.join("..", "middle.mp3"),  # noqa: PTH118
        "#EXTINF:13,near",
        "near.mp3",
    ]


def test_a_quadrant_without_songs_is_an_empty_list_and_replaces_an_older_one(tmp_path: Path) -> None:
    write_playlist(tmp_path, "V- A-", [(tmp_path / "a.mp3", row(1, 1, "V- A-"))], 5.0)
    found = write_playlist(tmp_path, "V- A-", [(tmp_path / "a.mp3", row(9, 9))], 5.0)
    assert found.n_songs == 0 and lines(found.path) == ["#EXTM3U", "#PLAYLIST:V- A- (sad)"]
    assert len(list(tmp_path.iterdir())) == 1


def test_titles_are_those_of_the_tags(tmp_path: Path) -> None:
    path = tmp_path / "01.mp3"
    soundfile.write(path, [0.0] * 4000, 8000)
    tags = ID3()
    tags.add(TPE1(encoding=3, text=["Ärtist"]))
    tags.add(TIT2(encoding=3, text=["One\nline"]))
    tags.save(path)
    found = write_playlist(tmp_path, "V+ A+", [(path, row(9, 9))], 5.0)
    assert lines(found.path)[2] == "#EXTINF:13,Ärtist - One line"


@given(name=NAMES, folder=NAMES)
@example(name="#EXTM3U", folder=" ")
@example(name="http:song.mp3", folder="x")
@example(name="C:song.mp3", folder="\\\\server")
@example(name="\u2028", folder="\x85")
@example(name="a\rb", folder="x")
def test_every_line_leads_to_its_file(tmp_path_factory: pytest.TempPathFactory, name: str, folder: str) -> None:
    root = tmp_path_factory.mktemp("wild")
    for path, at in ((root / name, root), (root / folder / name, root), (root / name, root / folder)):
        found = write_playlist(at, "V+ A+", [(path, row(9, 9))], 5.0)
        held = files(found.path)
        assert len(held) == found.n_songs == 1 - found.n_left_out
        assert bool(found.n_left_out) == any(char in os.path.relpath(path, at) for char in "\r\n")
        assert [os.path.normpath(at / line) for line in held] == [str(path)] * found.n_songs
        assert all(not line.startswith(("#", " ")) and ":" not in line.split("/")[0] for line in held)


def test_a_name_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp3")
    found = write_playlist(tmp_path, "V+ A+", [(path, row(9, 9)), (tmp_path / "a.mp3", row(9, 9))], 5.0)
    assert (found.n_songs, found.n_left_out) == (1, 1) and files(found.path) == ["a.mp3"]


def test_a_folder_behind_a_link_is_left_by_its_own_way(tmp_path: Path) -> None:
    """`..` leads out of the folder itself, not out of the link to it."""
    (tmp_path / "deep" / "lists").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "lists")
    (tmp_path / "song.mp3").touch()
    line = entry(tmp_path / "song.mp3", tmp_path / "link")
    assert line is not None and (tmp_path / "link" / line).exists()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(1, 9), st.floats(1, 9), st.sampled_from([*QUADRANTS, None])), max_size=12))
def test_lists_share_out_all_songs_that_have_a_quadrant(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, float, str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    songs = [(folder / f"{i}.mp3", row(*place)) for i, place in enumerate(places)]
    found = [line for quadrant in QUADRANTS for line in files(write_playlist(folder, quadrant, songs, 5.0).path)]
    assert sorted(found) == sorted(path.name for path, one in songs if one["quadrant"])
