from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.deam import STATIC_NAMES, load_deam
from affekt.data.splits import draw_split, verify
from affekt.errors import ConfigError, DataError

METADATA = "DEAM_Annotations/metadata"
ODD_CELLS = ["1_0", "٣", "0x5", "5,5", '"5"3', "5e0", "+5", "1e400", "", "n/a", "2.", "\n5", "5\n", '"5.5"', "7"]
WILD_CELLS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.floats().map(str),
    st.floats(0, 10).map(lambda value: f" {value:.2f} "),
    st.sampled_from(ODD_CELLS),
)


def labels_of(dataset):
    return {int(song.id): song.targets for song in dataset.songs}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def twelve_songs(copies, tmp_path_factory):
    copy = copies.make_deam(tmp_path_factory.mktemp("twelve"), n_2013=4, n_2014=4, n_2015=4)
    return copy, copy.first_file.read_text()


class TestOfficialSplit:
    def test_the_marks_of_emomusic_are_read(self, small_deam, copies):
        early = [song for song in small_deam.truth if song <= 1000]
        sets = {song: "evaluation" if i % 4 == 0 else "development" for i, song in enumerate(early)}
        copies.write_songs_info(small_deam.root, {**sets, 999: "development"})
        dataset = load_deam(small_deam.root)
        assert {int(song.id): song.value("mediaeval 2013 SET") for song in dataset.songs} == {
            song: sets.get(song) for song in small_deam.truth
        }
        assert dataset.songs[0].artist == "Artist 2" and dataset.songs[0].title == "Song 2"
        split = draw_split(dataset, "official-2013", 0)
        assert set(split.tested) == {str(song) for song in early if sets[song] == "evaluation"}
        verify(split, dataset)

    def test_a_copy_without_them_says_what_to_do(self, small_deam):
        with pytest.raises(ConfigError, match=r"songs_info\.csv: put that file anywhere below DEAM's folder"):
            draw_split(load_deam(small_deam.root), "official-2013", 0)

    def test_the_other_kinds_work_on_parts(self, small_deam):
        dataset = load_deam(small_deam.root)
        long = draw_split(dataset, "long", 0)
        assert set(long.tested) == {song.id for song in dataset.songs if int(song.id) > 2000}
        assert draw_split(dataset, "leave-one-out", 0, by="part").values == ("2013", "2014", "2015")


class TestLabels:
    def test_both_files_are_read_and_the_exchange_is_put_right(self, small_deam):
        dataset = load_deam(small_deam.root)
        assert labels_of(dataset) == small_deam.truth
        assert {int(song.id): song.target_std for song in dataset.songs} == small_deam.std
        assert len(dataset) == 72
        assert any("30 songs" in note and "put right" in note for note in dataset.notes)

    def test_raw_keeps_the_file_and_says_what_is_wrong_with_it(self, small_deam):
        dataset = load_deam(small_deam.root, labels="raw")
        assert labels_of(dataset) == {song: small_deam.as_written(song) for song in small_deam.truth}
        assert any("raw" in note and "exchanged for 30 songs" in note for note in dataset.notes)

    def test_a_mended_copy_is_not_exchanged_again(self, tmp_path, copies):
        copy = copies.make_deam(tmp_path, exchanged=lambda song: False)
        dataset = load_deam(tmp_path)
        assert labels_of(dataset) == copy.truth
        assert any("0 songs exchanged" in note for note in dataset.notes)

    def test_a_half_mended_copy_is_refused_with_the_evidence(self, tmp_path, copies):
        copies.make_deam(tmp_path, exchanged=lambda song: song <= 45)
        with pytest.raises(DataError, match=r'does not tell: .*correlates.*labels="raw".*labels="corrected-unchecked"'):
            load_deam(tmp_path)

    def test_exchanged_dynamic_files_are_not_taken_for_exchanged_labels(self, tmp_path, copies):
        copy = copies.make_deam(tmp_path, exchanged=lambda song: False)
        valence, arousal = copy.dynamic_files
        valence.rename(tmp_path / "x")
        arousal.rename(valence)
        (tmp_path / "x").rename(arousal)
        with pytest.raises(DataError, match="as if the dynamic files were"):
            load_deam(tmp_path)

    def test_without_dynamic_files_an_unknown_copy_is_refused(self, small_deam):
        small_deam.dynamic_files[0].unlink()
        with pytest.raises(DataError, match="no dynamic annotations"):
            load_deam(small_deam.root)
        assert labels_of(load_deam(small_deam.root, labels="corrected-unchecked")) == small_deam.truth

    def test_songs_after_1000_alone_need_no_exchange(self, tmp_path, copies):
        copy = copies.make_deam(tmp_path, n_2013=0)
        assert labels_of(load_deam(tmp_path)) == copy.truth

    def test_songs_that_nothing_vouches_for_are_refused_until_asked_for(self, tmp_path, copies):
        copy = copies.make_deam(tmp_path, n_2013=0)
        copy.dynamic_files[0].unlink()
        with pytest.raises(DataError, match=r'no dynamic annotations to compare with.*labels="raw"'):
            load_deam(tmp_path)
        assert labels_of(load_deam(tmp_path, labels="raw")) == copy.truth

    def test_one_target(self, small_deam):
        dataset = load_deam(small_deam.root, targets=["arousal"])
        assert dataset.target_names == ("arousal",)
        assert labels_of(dataset) == {song: (arousal,) for song, (_, arousal) in small_deam.truth.items()}
        assert len(dataset.ceiling) == 1

    def test_valence_comes_first_whatever_is_asked(self, small_deam):
        assert load_deam(small_deam.root, targets=["arousal", "valence"]).target_names == ("valence", "arousal")

    @pytest.mark.parametrize("options", [{"labels": "fixed"}, {"targets": ["dominance"]}, {"targets": []}])
    def test_unknown_options(self, small_deam, options):
        with pytest.raises(DataError, match=r"corrected, raw|valence and arousal"):
            load_deam(small_deam.root, **options)

    def test_parts_and_raters(self, small_deam):
        songs = {int(song.id): song for song in load_deam(small_deam.root).songs}
        assert [(songs[i].part, songs[i].n_raters) for i in (2, 1001, 2001)] == [
            ("2013", 10),
            ("2014", 10),
            ("2015", 5),
        ]

    def test_a_missing_second_file_is_told(self, small_deam):
        small_deam.second_file.unlink()
        dataset = load_deam(small_deam.root)
        assert len(dataset) == 60
        assert any(STATIC_NAMES[1] in note for note in dataset.notes)


class TestLayout:
    def test_audio_is_found_and_missing_audio_is_counted(self, small_deam, copies):
        copies.write_audio(small_deam.root, [2, 5])
        copies.write_audio(small_deam.root, [1001], folder=Path("elsewhere"), suffix=".wav")
        dataset = load_deam(small_deam.root)
        assert [song.id for song in dataset.with_audio] == ["2", "5", "1001"]
        assert any(note.startswith("69 of 72 songs have labels and no audio") for note in dataset.notes)

    def test_levels_may_be_missing(self, small_deam, tmp_path):
        target = tmp_path / "by hand"
        shutil.copytree(small_deam.root / "DEAM_Annotations" / "annotations", target / "annotations")
        assert labels_of(load_deam(target)) == small_deam.truth

    def test_two_equal_copies_of_a_file_do_no_harm(self, small_deam):
        shutil.copy(small_deam.first_file, small_deam.root)
        assert labels_of(load_deam(small_deam.root)) == small_deam.truth

    def test_two_different_copies_are_both_named(self, small_deam):
        other = small_deam.root / small_deam.first_file.name
        other.write_text(small_deam.first_file.read_text() + " ")
        with pytest.raises(DataError) as caught:
            load_deam(small_deam.root)
        assert str(other) in str(caught.value) and str(small_deam.first_file) in str(caught.value)

    def test_mp3_is_preferred_to_a_converted_file(self, small_deam, copies):
        copies.write_audio(small_deam.root, [2], suffix=".wav")
        copies.write_audio(small_deam.root, [2])
        assert load_deam(small_deam.root).with_audio[0].audio_path.suffix == ".mp3"

    def test_a_linked_audio_folder_is_followed_and_a_loop_is_not(self, small_deam, copies, tmp_path):
        copies.write_audio(tmp_path / "store", [2], folder=Path("mp3"))
        (small_deam.root / "audio").symlink_to(tmp_path / "store", target_is_directory=True)
        (tmp_path / "store" / "back").symlink_to(small_deam.root, target_is_directory=True)
        assert len(load_deam(small_deam.root).with_audio) == 1

    def test_a_link_that_leads_nowhere_is_no_audio(self, small_deam):
        (small_deam.root / "2.mp3").symlink_to(small_deam.root / "gone.mp3")
        assert not load_deam(small_deam.root).with_audio

    def test_files_of_a_mac_archive_are_passed_over(self, small_deam):
        folder = small_deam.root / "__MACOSX"
        folder.mkdir()
        (folder / small_deam.first_file.name).write_bytes(b"\x00\x05\x16")
        (small_deam.root / f"._{small_deam.first_file.name}").write_bytes(b"\x00\x05\x16")
        assert labels_of(load_deam(small_deam.root)) == small_deam.truth

    def test_no_folder_and_no_annotations(self, tmp_path):
        with pytest.raises(DataError, match="no such folder"):
            load_deam(tmp_path / "nowhere")
        with pytest.raises(DataError, match=r"no static annotations found.*kaggle\.com"):
            load_deam(tmp_path)


class TestMistakes:
    def test_all_are_named_with_file_line_column_found_and_allowed(self, small_deam):
        lines = small_deam.first_file.read_text().splitlines()
        lines[1] = "2, 9.5 , 0.9, happy , 0.5"
        lines[2] = "5, 5.0 , -1, nan , 0.5"
        lines[3] = "8, 5.0"
        lines[5] = lines[4]
        small_deam.first_file.write_text("\n".join(lines))
        with pytest.raises(DataError) as caught:
            load_deam(small_deam.root)
        message = str(caught.value)
        assert message.startswith("6 problems in ")
        for part in (
            'line 2: valence_mean = "9.5"; allowed: a number from 1 to 9',
            'line 2: arousal_mean = "happy"',
            'line 3: valence_std = "-1"; allowed: a number from 0 to 8',
            'line 3: arousal_mean = "nan"',
            "line 4: 2 cells; allowed: 5",
            "line 6: song_id = 11 occurs twice; it stands in static_annotations_averaged_songs_1_2000.csv, line 5",
        ):
            assert part in message

    def test_an_id_in_both_files(self, small_deam):
        edit(small_deam.second_file, "2001", "1001")
        with pytest.raises(DataError, match=r"2000_2058.csv, line 2: song_id = 1001 occurs twice.*1_2000.csv"):
            load_deam(small_deam.root)

    def test_a_missing_column_and_another_separator(self, small_deam):
        text = small_deam.first_file.read_text()
        small_deam.first_file.write_text(text.replace(",", ";"))
        with pytest.raises(DataError, match=r"no column song_id.*separated by commas"):
            load_deam(small_deam.root)

    def test_an_empty_file(self, small_deam):
        small_deam.first_file.write_text("")
        with pytest.raises(DataError, match="empty"):
            load_deam(small_deam.root)

    def test_a_word_in_a_dynamic_file(self, small_deam):
        text = small_deam.dynamic_files[1].read_text().splitlines()
        text[1] = text[1][: text[1].rindex(",")] + ",loud"
        small_deam.dynamic_files[1].write_text("\n".join(text))
        with pytest.raises(DataError, match=r'arousal\.csv, line 2: sample_.*ms = "loud"'):
            load_deam(small_deam.root)

    def test_many_mistakes_are_counted_and_cut_short(self, small_deam):
        small_deam.first_file.write_text(small_deam.first_file.read_text().replace(".", ","))
        with pytest.raises(DataError) as caught:
            load_deam(small_deam.root)
        lines = str(caught.value).splitlines()
        assert len(lines) == 32 and lines[-1].endswith("more")

    @settings(max_examples=200, deadline=None)
    @given(line=st.integers(1, 8), column=st.integers(0, 4), cell=WILD_CELLS)
    def test_a_wild_cell_is_read_as_written_or_refused(self, twelve_songs, line, column, cell):
        copy, text = twelve_songs
        lines = [row.split(",") for row in text.splitlines()]
        lines[line][column] = cell
        copy.first_file.write_bytes("\n".join(",".join(row) for row in lines).encode())
        try:
            dataset = load_deam(copy.root, labels="raw")
        except DataError as error:
            assert copy.first_file.name in str(error)
            return
        assert len(dataset) == 12
        rows = [[written.strip().strip('"').strip() for written in row] for row in lines[1:]]
        by_id = {str(int(row[0])): row for row in rows}
        for song in dataset.songs[:8]:
            read = (song.id, song.targets[0], song.target_std[0], song.targets[1], song.target_std[1])
            for value, written in zip(read[1:], by_id[song.id][1:], strict=True):
                assert set(written) <= set("0123456789.+-eE") and float(written) == value
            assert all(1 <= value <= 9 for value in song.targets)


class TestCredits:
    def test_metadata_below_the_root(self, small_deam):
        folder = small_deam.root / METADATA
        folder.mkdir(parents=True)
        (folder / "metadata_2013.csv").write_text(
            'song_id,album,artist,title,Genre\n2,"\t2.mp3","My Bubba & Mi\t","\tOh Kiss No\t","\tBlues\t"\n'
        )
        song = load_deam(small_deam.root).songs[0]
        assert (song.artist, song.title, song.genre) == ("My Bubba & Mi", "Oh Kiss No", "Blues")

    def test_tags_where_metadata_is_silent_in_one_spelling(self, small_deam, copies):
        import mutagen

        for song, path in zip((5, 8), copies.write_audio(small_deam.root, [5, 8]), strict=True):
            tags = mutagen.File(path, easy=True)
            tags.add_tags()
            tags["artist"], tags["title"] = "My Bubba and Mi", f"Title {song}"
            tags.save()
        folder = small_deam.root / METADATA
        folder.mkdir(parents=True)
        (folder / "metadata_2013.csv").write_text(
            "song_id,artist,title\n2,My Bubba & Mi,One\n11,My Bubba & Mi,Two\n14,My Bubba & Mi,Three\n"
        )
        songs = {song.id: song for song in load_deam(small_deam.root).songs}
        assert songs["5"].title == "Title 5"
        assert songs["5"].artist == songs["8"].artist == songs["2"].artist == "My Bubba & Mi"

    def test_unknown_artists_are_counted(self, small_deam):
        assert any("artist of 72 of 72 songs is unknown" in note for note in load_deam(small_deam.root).notes)


class TestSyntheticCopy:
    def test_the_mark_is_kept_and_stands_first(self, tmp_path, copies):
        copies.make_deam(tmp_path, n_2013=96, n_2014=0, n_2015=0, exchanged=lambda song: False)
        copies.write_mark(tmp_path, ceiling=[0.8, 0.9], n_raters=7)
        dataset = load_deam(tmp_path)
        assert dataset.synthetic
        assert dataset.notes[0] == "Synthetic music with simulated ratings."
        assert dataset.ceiling == (0.8, 0.9)
        assert dataset.songs[0].n_raters == 7
        assert any("0 songs exchanged" in note for note in dataset.notes)

    def test_too_few_songs_to_tell_are_left_as_they_are(self, tmp_path, copies):
        copy = copies.make_deam(tmp_path, n_2013=5, n_2014=0, n_2015=0, exchanged=lambda song: False)
        with pytest.raises(DataError, match="too few to tell"):
            load_deam(tmp_path)
        copies.write_mark(tmp_path)
        assert labels_of(load_deam(tmp_path)) == copy.truth

    @pytest.mark.parametrize("text", ["{", "[]", '{"synthetic": 1}', '{"synthetic": true, "ceiling": [1]}'])
    def test_a_broken_mark(self, small_deam, text):
        (small_deam.root / "SYNTHETIC.json").write_text(text)
        with pytest.raises(DataError, match="Generate the corpus again"):
            load_deam(small_deam.root)


@pytest.mark.skipif("AFFEKT_TEST_DATA" not in os.environ, reason="needs the real data")
def test_real_copy():
    dataset = load_deam(Path(os.environ["AFFEKT_TEST_DATA"]) / "DEAM")
    assert len(dataset) == 1802
    assert sum("744 songs" in note for note in dataset.notes) == 1
    assert len({song.artist for song in dataset.songs}) == 927
    np.testing.assert_allclose(dataset.ceiling, (0.787, 0.845), atol=5e-4)
    clips = dataset.select(song for song in dataset.ids if int(song) <= 2000)
    np.testing.assert_allclose(clips.ceiling, (0.79, 0.85), atol=0.01)
    whole = dataset.select(draw_split(dataset, "long", 0).tested)
    assert len(whole) == 58
    np.testing.assert_allclose(whole.ceiling, (0.83, 0.55), atol=0.01)
    for seed in (0, 1):
        split = draw_split(dataset, "leave-one-out", seed, by="part")
        assert (split.values, len(split.tested)) == (("2013", "2014", "2015"), 1802)
        verify(split, dataset)


@pytest.mark.skipif("AFFEKT_TEST_DATA" not in os.environ, reason="needs the real data")
def test_real_labels_without_dynamic_files_are_known_by_their_numbers(tmp_path):
    whole = load_deam(Path(os.environ["AFFEKT_TEST_DATA"]) / "DEAM")
    for path in (Path(os.environ["AFFEKT_TEST_DATA"]) / "DEAM").rglob("static_*.csv"):
        shutil.copy(path, tmp_path)
    alone = load_deam(tmp_path)
    assert labels_of(alone) == labels_of(whole)
    assert any("744 songs" in note and "those of the distributed file" in note for note in alone.notes)
    mended = [
        f"{song.id},{song.targets[0]},{song.target_std[0]},{song.targets[1]},{song.target_std[1]}"
        for song in whole.songs
    ]
    header = "song_id,valence_mean,valence_std,arousal_mean,arousal_std"
    (tmp_path / STATIC_NAMES[0]).chmod(0o644)
    (tmp_path / STATIC_NAMES[0]).write_text("\n".join([header, *mended[:1744]]))
    assert labels_of(load_deam(tmp_path)) == labels_of(whole)


class TestAnnotationsOverTime:
    def test_every_song_has_its_curve_and_its_mean(self, small_deam):
        dataset = load_deam(small_deam.root, annotations="dynamic")
        assert dataset.dynamic and dataset.scale == (-1.0, 1.0) and dataset.target_names == ("valence", "arousal")
        for song in dataset.songs:
            valence, arousal = small_deam.truth[int(song.id)]
            assert len(song.curve) == (20 if int(song.id) > 2000 else 10)
            np.testing.assert_allclose(song.targets, ((valence - 5) / 4, (arousal - 5) / 4), atol=0.1)
            np.testing.assert_allclose(song.targets, song.curve.values.mean(axis=0))

    def test_they_are_not_exchanged_where_the_static_ones_are(self, small_deam):
        static, dynamic = load_deam(small_deam.root), load_deam(small_deam.root, annotations="dynamic")
        together = np.corrcoef(static.targets().T, dynamic.targets().T)
        assert together[0, 2] > 0.95 and together[1, 3] > 0.95

    def test_one_target(self, small_deam):
        both = load_deam(small_deam.root, annotations="dynamic")
        alone = load_deam(small_deam.root, annotations="dynamic", targets=["arousal"])
        np.testing.assert_array_equal(alone.songs[0].curve.values, both.songs[0].curve.values[:, 1:])

    def test_they_change_the_fingerprint(self, small_deam):
        before = load_deam(small_deam.root, annotations="dynamic").fingerprint()
        edit(small_deam.dynamic_files[0], "sample_15500ms", "sample_15501ms")
        edit(small_deam.dynamic_files[1], "sample_15500ms", "sample_15501ms")
        assert load_deam(small_deam.root, annotations="dynamic").fingerprint() != before

    def test_a_copy_without_them_says_where_they_lie(self, small_deam):
        for path in small_deam.dynamic_files:
            path.unlink()
        with pytest.raises(DataError, match=r"no annotations over time.*valence\.csv and arousal\.csv"):
            load_deam(small_deam.root, annotations="dynamic")

    def test_files_that_do_not_agree_with_the_static_ones_are_refused(self, small_deam):
        valence, arousal = small_deam.dynamic_files
        lines = valence.read_text().splitlines()
        ids = [line.split(",", 1)[0] for line in lines[1:]]
        mixed = [f"{i},{line.split(',', 1)[1]}" for i, line in zip([*ids[7:], *ids[:7]], lines[1:], strict=True)]
        valence.write_text("\n".join([lines[0], *mixed]) + "\n")
        arousal.write_text(valence.read_text())
        with pytest.raises(DataError, match="do not agree with the static ones"):
            load_deam(small_deam.root, annotations="dynamic")

    def test_another_word_is_refused(self, small_deam):
        with pytest.raises(ConfigError, match="allowed: static, dynamic"):
            load_deam(small_deam.root, annotations="over time")
