from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data import load_dataset
from affekt.data.ceiling import noise_ceiling
from affekt.data.folder import load_folder
from affekt.errors import DataError

HEADER = ("file_name", "arousal", "valence", "artist", "genre")


@pytest.fixture
def three(tmp_path, copies):
    rows = [
        ("audio/001.wav", 3.5, 6.25, "Anna", "jazz"),
        ("audio/002.wav", 8, 2, " anna ", "rock"),
        ("audio/003.wav", 1, 9, "", ""),
    ]
    return copies.write_folder(tmp_path / "music", HEADER, rows)


class TestLoading:
    def test_songs_with_valence_first(self, three):
        dataset = load_dataset("folder", root=three)
        assert dataset.target_names == ("valence", "arousal")
        assert dataset.scale == (1.0, 9.0)
        assert dataset.ids == ["001", "002", "003"]
        assert dataset.songs[0].targets == (6.25, 3.5)
        assert dataset.songs[0].audio_path == three / "audio/001.wav"
        assert [song.genre for song in dataset.songs] == ["jazz", "rock", None]
        assert dataset.notes == ()

    def test_one_artist_has_one_spelling_and_an_empty_cell_is_none(self, three):
        artists = [song.artist for song in load_folder(three).songs]
        assert artists[0] == artists[1] and artists[2] is None

    def test_another_column_may_be_the_group(self, three):
        assert [song.artist for song in load_folder(three, group="genre").songs] == ["jazz", "rock", None]
        with pytest.raises(DataError, match='no column "label"'):
            load_folder(three, group="label")

    def test_one_of_the_two_is_enough(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file_name", "Arousal"), [("a.wav", 3)])
        assert load_folder(tmp_path).target_names == ("arousal",)

    @pytest.mark.parametrize(
        ("asked", "names"),
        [
            (["tension", "arousal_proxy", "valence_proxy"], ("tension", "valence_proxy", "arousal_proxy")),
            (["arousal_proxy", "tension", "valence_proxy"], ("valence_proxy", "tension", "arousal_proxy")),
            (["tension", "power"], ("tension", "power")),
            ("power", ("power",)),
        ],
    )
    def test_the_order_is_kept_but_for_valence_and_arousal(self, tmp_path, copies, asked, names):
        values = {"valence_proxy": 1.0, "arousal_proxy": 2.0, "tension": 3.0, "power": 4.0}
        copies.write_folder(tmp_path, ("file_name", *values), [("a.wav", *values.values())])
        dataset = load_folder(tmp_path, targets=asked)
        assert dataset.target_names == names
        assert dataset.songs[0].targets == tuple(values[name] for name in names)

    @pytest.mark.parametrize(
        ("values", "scale"),
        [
            ((1, 9), (1, 9)),
            ((2.5, 3), (1, 9)),
            ((0.1, 0.9), (0, 1)),
            ((-1, 1), (-1, 1)),
            ((0, 0), (0, 1)),
            ((3, 97.5), (3, 98)),
        ],
    )
    def test_the_scale_is_deam_s_or_read_off(self, tmp_path, copies, values, scale):
        copies.write_folder(tmp_path, ("file_name", "valence"), [(f"{i}.wav", v) for i, v in enumerate(values)])
        dataset = load_folder(tmp_path)
        assert dataset.scale == scale
        assert bool(dataset.notes) == (scale != (1, 9))

    def test_a_given_scale_is_kept_and_held_to(self, three):
        assert load_folder(three, scale=(0, 10)).scale == (0, 10)
        with pytest.raises(DataError, match='line 3: arousal = "8"; allowed: a number from 1 to 7'):
            load_folder(three, scale=(1, 7))
        with pytest.raises(DataError, match="the lower first"):
            load_folder(three, scale=(9, 1))

    def test_ids_are_as_long_as_needed(self, tmp_path, copies):
        names = ["a/x.wav", "b/x.wav", "b/x.mp3", "c/y.wav", "z"]
        copies.write_folder(tmp_path, ("file_name", "valence"), [(name, 5) for name in names])
        assert load_folder(tmp_path).ids == ["a/x", "b/x.wav", "b/x.mp3", "y", "z"]

    def test_an_id_never_takes_another_s_place(self, tmp_path, copies):
        names = ["x.wav", "sub/x.wav", "x", "a.b", "a.b.wav"]
        copies.write_folder(tmp_path, ("file_name", "valence"), [(name, 5) for name in names])
        assert len(set(load_folder(tmp_path).ids)) == 5

    def test_paths_written_on_windows(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file_name", "valence"), [("audio/1.wav", 5)])
        (tmp_path / "metadata.csv").write_text("file_name,valence\r\naudio\\1.wav,5\r\n")
        assert load_folder(tmp_path).songs[0].audio_path == tmp_path / "audio/1.wav"


class TestFurtherColumns:
    def test_they_are_attributes_of_the_songs(self, tmp_path, copies):
        header = ("file_name", "valence", "Decade", "label", "artist", "tempo", "valence_std", "mood_std")
        rows = [("a.wav", 5, "1990s", "  Blue   Note ", "Anna", 120, 1.0, 2), ("b.wav", 6, "", "Verve", "", 90, "", 3)]
        first, second = load_folder(copies.write_folder(tmp_path, header, rows)).songs
        assert first.attributes == (("Decade", "1990s"), ("label", "Blue Note"), ("tempo", "120"), ("mood_std", "2"))
        assert second.attributes == (("label", "Verve"), ("tempo", "90"), ("mood_std", "3"))
        assert first.value("decade") == "1990s" and second.value("decade") is None
        assert first.value("label") == "Blue Note" and first.value("artist") == "Anna"

    def test_targets_groups_and_spreads_are_none(self, tmp_path, copies):
        header = ("file_name", "tension", "tension_std", "power", "power_std", "n_raters", "album", "Artist")
        copies.write_folder(tmp_path, header, [("a.wav", 5, 1, 6, 1, 10, "First", "Anna")])
        assert load_folder(tmp_path, targets=["tension", "power"], group="album").songs[0].attributes == ()
        assert load_folder(tmp_path, targets=["tension"]).songs[0].attributes == (("power", "6"), ("album", "First"))

    def test_they_change_the_fingerprint(self, tmp_path, copies):
        prints = set()
        for decade in ("1990s", "1980s"):
            copies.write_folder(tmp_path, ("file_name", "valence", "decade"), [("a.wav", 5, decade)])
            prints.add(load_folder(tmp_path).fingerprint())
        assert len(prints) == 2

    def test_leave_one_out_by_any_of_them(self, tmp_path, copies):
        from affekt.data.splits import draw_split, verify

        rows = [(f"{i}.wav", 1 + i % 9, "swing" if i % 2 else "bop", f"Artist {i // 3}") for i in range(24)]
        dataset = load_folder(copies.write_folder(tmp_path, ("file_name", "valence", "Style", "artist"), rows))
        split = draw_split(dataset, "leave-one-out", 0, by="style", group=None)
        assert split.values == ("bop", "swing") and len(split.tested) == 24
        verify(split, dataset)


class TestRaters:
    HEADER = ("file_name", "valence", "arousal", "Valence_std", "arousal_STD", "N_raters")

    def test_deviations_and_their_number_give_the_ceiling(self, tmp_path, copies):
        rows = [(f"{i}.wav", 1 + i % 8, 9 - i % 5, 1.5, 0.5, 10 + i % 2) for i in range(20)]
        dataset = load_folder(copies.write_folder(tmp_path, self.HEADER, rows))
        assert dataset.songs[1].target_std == (1.5, 0.5) and dataset.songs[1].n_raters == 11
        assert dataset.ceiling == tuple(one.r2 for one in noise_ceiling(dataset.songs))
        assert dataset.ceiling_method == "rater deviations" and dataset.ceiling[0] < dataset.ceiling[1] < 1
        assert dataset.notes == ()

    def test_songs_may_lack_them(self, tmp_path, copies):
        rows = [(f"{i}.wav", 1 + i % 8, 9 - i % 5, *((1.5, 0.5, 10) if i % 2 else ("", 0.5, ""))) for i in range(20)]
        dataset = load_folder(copies.write_folder(tmp_path, self.HEADER, rows))
        assert dataset.songs[0].target_std is None and dataset.songs[0].n_raters is None
        assert dataset.ceiling == tuple(one.r2 for one in noise_ceiling(dataset.songs[1::2]))

    def test_too_little_is_no_ceiling_and_says_so(self, tmp_path, copies):
        copies.write_folder(tmp_path, self.HEADER[:4], [("a.wav", 1, 2, 1), ("b.wav", 3, 4, 1)])
        dataset = load_folder(tmp_path)
        assert dataset.ceiling is None and dataset.songs[0].target_std is None
        assert dataset.notes == (
            "No noise ceiling: it needs all of n_raters, valence_std, arousal_std in a song's line; found the columns "
            "Valence_std.",
        )

    def test_a_spread_may_be_a_target_itself(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file_name", "valence", "valence_std"), [("a.wav", 1, 2), ("b.wav", 3, 4)])
        dataset = load_folder(tmp_path, targets=["valence", "valence_std"])
        assert dataset.songs[0].targets == (1, 2) and dataset.songs[0].target_std is None

    def test_mistakes_are_named_with_the_others(self, tmp_path, copies):
        rows = [("a.wav", 1, 2, -1, 1, 10), ("b.wav", 1, 2, 1, "wide", 0), ("c.wav", 1, 2, 1, 1, 2.5)]
        copies.write_folder(tmp_path, self.HEADER, rows)
        with pytest.raises(DataError) as caught:
            load_folder(tmp_path, scale=(1, 9))
        heading, *lines = str(caught.value).splitlines()
        assert heading.startswith("4 problems")
        for line, part in zip(
            lines,
            [
                'line 2: Valence_std = "-1"; allowed: a number from 0 to 8',
                'line 3: N_raters = "0"; allowed: a whole number from 1',
                'line 3: arousal_STD = "wide"; allowed: a number from 0 to 8',
                'line 4: N_raters = "2.5"; allowed: a whole number from 1',
            ],
            strict=True,
        ):
            assert part in line


class TestWhatIsMissing:
    def test_missing_files_are_counted_and_named(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file_name", "valence"), [("a.wav", 5), ("missing.wav", 6)])
        dataset = load_folder(tmp_path)
        assert [song.audio_path is None for song in dataset.songs] == [False, True]
        assert dataset.notes == ("1 of 2 songs have labels and no audio file: missing.wav.",)

    def test_a_name_too_long_for_any_file_is_a_missing_file(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file_name", "valence"), [("missing" + "x" * 300, 5)])
        assert load_folder(tmp_path).songs[0].audio_path is None

    def test_songs_without_a_target_are_left_out_and_named(self, tmp_path, copies):
        rows = [("a.wav", 5, 5), ("b.wav", "", 5), ("c.wav", 5, " ")]
        copies.write_folder(tmp_path, ("file_name", "valence", "arousal"), rows)
        dataset = load_folder(tmp_path)
        assert dataset.ids == ["a"]
        assert dataset.notes == ("2 songs were left out because a target is empty: b.wav, c.wav.",)

    def test_no_song_left(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file_name", "valence"), [("a.wav", "")])
        with pytest.raises(DataError, match="no song has all of valence"):
            load_folder(tmp_path)

    def test_no_targets_to_guess(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file_name", "tension", "mood", "genre"), [("a.wav", 1, 2, "jazz")])
        with pytest.raises(DataError, match=r"no column valence or arousal.*Columns of numbers: tension, mood\."):
            load_folder(tmp_path)
        with pytest.raises(DataError, match=r"no column power\. Columns of numbers: tension, mood\."):
            load_folder(tmp_path, targets=["tension", "power"])
        with pytest.raises(DataError, match="each of them once"):
            load_folder(tmp_path, targets=["tension", "tension"])

    def test_folder_or_table_missing(self, tmp_path):
        with pytest.raises(DataError, match="no such folder"):
            load_folder(tmp_path / "nowhere")
        with pytest.raises(DataError, match=r"no metadata.csv \(it is empty\)"):
            load_folder(tmp_path)
        (tmp_path / "metadata.jsonl").write_text("{}")
        with pytest.raises(DataError, match=r"it holds metadata.jsonl"):
            load_folder(tmp_path)

    def test_no_file_names(self, tmp_path, copies):
        copies.write_folder(tmp_path, ("file", "valence"), [("a.wav", 5)])
        with pytest.raises(DataError, match=r'no column "file_name"\. Found: "file", "valence"'):
            load_folder(tmp_path)


class TestMistakes:
    def test_all_are_named_at_once(self, tmp_path, copies):
        rows = [
            ("a.wav", "loud", 5),
            ("b.wav", 5, 5),
            ("./b.wav", 5, "nan"),
            ("../c.wav", 5, 5),
            ("sub/../../d.wav", 5, 5),
            ("/etc/e.wav", 5, 5),
            ("C:\\f.wav", 5, 5),
            ("", 5, 5),
        ]
        copies.write_folder(tmp_path, ("file_name", "valence", "arousal"), rows)
        with pytest.raises(DataError) as caught:
            load_folder(tmp_path)
        lines = str(caught.value).splitlines()
        assert lines[0] == f"8 problems in {tmp_path / 'metadata.csv'}"
        expected = [
            'line 2: valence = "loud"; allowed: a number',
            'line 4: file_name = "./b.wav" occurs twice; it stands in line 3',
            'line 4: arousal = "nan"; allowed: a number',
            'line 5: file_name = "../c.wav" leads out of the folder',
            'line 6: file_name = "sub/../../d.wav" leads out of the folder',
            'line 7: file_name = "/etc/e.wav" leads out of the folder',
            'line 8: file_name = "C:\\f.wav" leads out of the folder',
            'line 9: file_name = ""; allowed: the path of an audio file',
        ]
        for line, part in zip(lines[1:], expected, strict=True):
            assert part in line


CELLS = st.one_of(
    st.floats().map(str),
    st.floats(1, 9).map(lambda value: f" {value:.3f}"),
    st.integers(-100, 100).map(str),
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.sampled_from(["", "1_0", "٣", "5,5", "0x5", "1e1", "infinity", "--5"]),
)
NAMES = st.one_of(
    st.integers(0, 30).map(lambda n: f"{n}.wav"), st.text(st.characters(codec="utf-8"), max_size=6), st.just("../a.wav")
)


@pytest.fixture(scope="module")
def wild_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("wild")


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.tuples(NAMES, CELLS, CELLS), min_size=1, max_size=6))
def test_wild_tables_are_read_as_written_or_refused(wild_folder, rows):
    text = io.StringIO()
    csv.writer(text).writerows([("file_name", "valence", "arousal"), *rows])
    (wild_folder / "metadata.csv").write_bytes(text.getvalue().encode())
    try:
        dataset = load_folder(wild_folder)
    except DataError as error:
        assert "metadata.csv" in str(error)
        return
    complete = [row for row in rows if row[1].strip() and row[2].strip()]
    assert len(dataset) == len(complete)
    for song, (_, *written) in zip(dataset.songs, complete, strict=True):
        for value, cell in zip(song.targets, written, strict=True):
            assert set(cell.strip()) <= set("0123456789.+-eE") and float(cell) == value
            assert math.isfinite(value) and dataset.scale[0] <= value <= dataset.scale[1]


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=80), st.text(max_size=40).map(lambda t: "file_name,valence\n" + t)))
def test_any_bytes_give_a_data_set_or_one_clear_error(wild_folder, content):
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    (wild_folder / "metadata.csv").write_bytes(raw)
    try:
        assert len(load_folder(wild_folder)) > 0
    except DataError as error:
        assert "metadata.csv" in str(error)


@pytest.mark.skipif("AFFEKT_TEST_DATA" not in os.environ, reason="needs the real data")
def test_real_folder():
    root = Path(os.environ["AFFEKT_TEST_DATA"]) / "emotify"
    dataset = load_folder(root, targets=["valence_proxy", "arousal_proxy"])
    assert len(dataset) == len(dataset.with_audio) == 400
    assert dataset.scale == (1.0, 9.0)
    with pytest.raises(DataError, match="Columns of numbers: amazement, solemnity"):
        load_folder(root)
