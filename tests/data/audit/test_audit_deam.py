from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from affekt.data.audit import audit_artists, audit_deam, findings
from affekt.data.audit.records import AudioAudit
from affekt.data.audit.sound import Sound
from affekt.data.base import Song
from affekt.data.deam import load_deam
from affekt.errors import DataError


def test_a_copy_as_distributed(small_deam, copies):
    copies.write_audio(small_deam.root, [2, 1001])
    audit = audit_deam(small_deam.root)
    assert (audit.n_songs, audit.n_with_audio) == (72, 2)
    assert [(part.part, part.n_songs, part.n_with_audio) for part in audit.parts] == [
        ("2013", 30, 1),
        ("2014", 30, 1),
        ("2015", 12, 0),
    ]
    assert audit.exchange.state == "exchanged"
    early, later = audit.parts[0].agreement, audit.parts[1].agreement
    assert early.valence_arousal > 0.9 > early.valence_valence
    assert later.valence_valence > 0.9 > later.valence_arousal
    assert "exchanged for 30 songs" in audit.verdict
    assert "1730 of DEAM's 1802 songs" in audit.verdict
    assert [one.songs for one in audit.ceilings] == ["2013", "2014", "2015", "2013 and 2014", "all"]


def test_ceilings_are_those_of_the_corrected_labels(small_deam):
    audit = audit_deam(small_deam.root)
    labels = np.array([small_deam.truth[song] for song in small_deam.truth if song <= 1000])
    std = np.array([small_deam.std[song] for song in small_deam.truth if song <= 1000])
    expected = 1 - (std**2 / 9).mean(axis=0) / labels.var(axis=0, ddof=1)
    found = audit.ceilings[0]
    np.testing.assert_allclose((found.valence.r2, found.arousal.r2), expected)


def test_single_ratings_give_a_second_ceiling(small_deam, copies):
    copies.write_ratings(small_deam)
    audit = audit_deam(small_deam.root)
    n = len(audit.ceilings) // 2
    assert [one.method for one in audit.ceilings] == ["rater deviations"] * n + ["split-half"] * n
    assert [one.songs for one in audit.ceilings[:n]] == [one.songs for one in audit.ceilings[n:]]
    lines = audit.summary_lines()
    assert "Noise ceiling from the raters' disagreement (labels put right)" in lines
    assert "Noise ceiling from single ratings, split in halves (labels put right)" in lines
    assert json.loads(json.dumps(audit.as_dict(), allow_nan=False))["ceilings"][-1]["method"] == "split-half"


def test_a_mended_copy(tmp_path, copies):
    copies.make_deam(tmp_path, exchanged=lambda song: False)
    audit = audit_deam(tmp_path)
    assert audit.exchange.state == "straight"
    assert "the right way round" in audit.verdict


def test_an_undecided_copy_is_a_finding_and_not_an_error(small_deam):
    small_deam.dynamic_files[0].unlink()
    audit = audit_deam(small_deam.root)
    assert audit.exchange.state == "unclear"
    assert "cannot be told: no dynamic annotations" in audit.verdict
    assert "as the files have them" in "\n".join(audit.summary_lines())
    assert json.loads(json.dumps(audit.as_dict(), allow_nan=False))["parts"][0]["agreement"]["contrast"] is None


def test_a_generated_copy_says_so(tmp_path, copies):
    copies.make_deam(tmp_path, n_2014=0, n_2015=0, exchanged=lambda song: False)
    copies.write_mark(tmp_path)
    audit = audit_deam(tmp_path)
    assert audit.synthetic and "synthetic music" in audit.summary_lines()[0]
    assert "1802" not in audit.verdict


def test_every_number_is_in_the_printed_lines(small_deam):
    audit = audit_deam(small_deam.root)
    text = "\n".join(audit.summary_lines())
    for part in audit.parts:
        assert f"{part.agreement.valence_arousal:.3f}" in text
    for one in audit.ceilings:
        assert f"{one.arousal.standard_error:.3f}" in text
    assert audit.verdict in text
    assert json.loads(json.dumps(audit.as_dict(), allow_nan=False))["n_songs"] == 72


def song(number, artist):
    return Song(str(number), None, (5.0, 5.0), artist=artist)


def test_artists_are_counted():
    names = ["Anna", "Anna", "Bert", None, "Cleo", "Cleo", "Cleo"]
    audit = audit_artists([song(998 + i, name) for i, name in enumerate(names)])
    assert (audit.n_known, audit.n_artists, audit.n_sharing, audit.n_sharing_2013) == (6, 3, 5, 2)


def test_the_expected_leak_is_what_random_splits_leak():
    rng = np.random.default_rng(0)
    artists = rng.integers(0, 25, size=50)
    audit = audit_artists([song(i, str(artist)) for i, artist in enumerate(artists)])
    leaks = []
    for _ in range(4000):
        order = rng.permutation(50)
        leaks.append(np.isin(artists[order[:10]], artists[order[10:]]).mean())
    assert audit.expected_leak == pytest.approx(np.mean(leaks), abs=4 * np.std(leaks) / math.sqrt(4000))


def test_no_artists_leak_nothing():
    assert audit_artists([song(i, None) for i in range(5)]).expected_leak == 0.0


def found(audit, words):
    (finding,) = [one for one in audit.findings if words in one.what]
    return finding


def test_every_finding_says_what_to_do_and_faults_come_first(small_deam):
    audit = audit_deam(small_deam.root)
    assert all(one.what.endswith(".") and one.do.endswith(".") for one in audit.findings)
    levels = [one.level for one in audit.findings]
    assert levels == sorted(levels, key=["fault", "warning", "note"].index)
    text = "\n".join(audit.summary_lines())
    assert all(one.what in text and one.do in text for one in audit.findings)


class TestVerdict:
    def test_as_distributed(self, small_deam):
        audit = audit_deam(small_deam.root)
        assert audit.usable and audit.verdict.endswith("Usable.")
        assert found(audit, "exchanged for 30 songs").level == "warning"

    def test_mended(self, tmp_path, copies):
        copies.make_deam(tmp_path, exchanged=lambda song: False)
        audit = audit_deam(tmp_path)
        assert audit.usable
        assert "not exchanged again" in found(audit, "the right way round").do

    def test_ids_shuffled(self, small_deam):
        lines = small_deam.first_file.read_text().splitlines()
        cells = [line.split(",", 1) for line in lines[1:]]
        rest = [one[1] for one in cells][7:] + [one[1] for one in cells][:7]
        moved = [f"{one[0]},{numbers}" for one, numbers in zip(cells, rest, strict=True)]
        small_deam.first_file.write_text("\n".join([lines[0], *moved]) + "\n")
        audit = audit_deam(small_deam.root)
        assert not audit.usable and "Not usable as it is: 1 fault" in audit.verdict
        fault = found(audit, "do not tell whether they are right")
        assert fault.level == "fault" and 'labels="raw"' in fault.do

    def test_broken_cells_in_every_file_are_all_found_and_the_rest_is_audited(self, small_deam):
        first = small_deam.first_file.read_text().splitlines()
        first[1], first[2] = "2, x , 0.9, 5 , 0.5", "5, 5.0"
        small_deam.first_file.write_text("\n".join(first) + "\n")
        small_deam.second_file.write_text(small_deam.second_file.read_text().replace("2003,", "2002,"))
        valence = small_deam.dynamic_files[0]
        valence.write_text(valence.read_text().replace("-0.", "-7.", 1))
        audit = audit_deam(small_deam.root)
        blocking = [one for one in audit.findings if one.blocks and one.topic == "files"]
        assert [one.what.split(":")[0] for one in blocking] == [
            "static_annotations_averaged_songs_1_2000.csv",
            "static_annotations_averaged_songs_2000_2058.csv",
            "valence.csv",
        ]
        assert blocking[0].ids == (
            "line 3: 2 cells; allowed: 5, as in the header",
            'line 2: valence_mean = "x"; allowed: a number from 1 to 9',
        )
        assert audit.n_songs == 69 and not audit.usable
        with pytest.raises(DataError):
            load_deam(small_deam.root)

    def test_an_unreadable_file_is_a_finding(self, small_deam):
        small_deam.second_file.write_text("")
        small_deam.dynamic_files[1].write_bytes("ä".encode("utf-16"))
        folder = small_deam.root / "more"
        folder.mkdir()
        (folder / "metadata_2013.csv").write_text("a,b\n")
        (folder / small_deam.first_file.name).write_text("other")
        audit = audit_deam(small_deam.root)
        whats = " ".join(one.what for one in audit.findings if one.blocks)
        for words in ("the file is empty", "not UTF-8", "a column song_id and a column artist", "differ"):
            assert words in whats
        assert audit.n_songs == 60 and not audit.usable

    def test_nothing_readable_is_an_error(self, small_deam, tmp_path):
        small_deam.first_file.write_text("")
        small_deam.second_file.unlink()
        with pytest.raises(DataError, match=r"no static annotations found that can be read .*the file is empty"):
            audit_deam(small_deam.root)
        with pytest.raises(DataError, match="no such folder"):
            audit_deam(tmp_path / "nowhere")


class TestFiles:
    def test_what_is_missing_costs_something_and_can_be_got(self, small_deam):
        small_deam.second_file.unlink()
        small_deam.dynamic_files[0].unlink()
        audit = audit_deam(small_deam.root)
        assert "58 whole songs of 2015" in found(audit, "2000_2058.csv is missing").what
        assert "annotations over time" in found(audit, "valence.csv or arousal.csv").what
        assert "metadata.zip" in found(audit, "metadata_2013.csv, metadata_2014.csv, metadata_2015.csv missing").do
        assert "single ratings" in found(audit, "single ratings").what.lower()
        present = {one.name: one.path is not None for one in audit.files}
        assert present["static_annotations_averaged_songs_1_2000.csv"] and not present["songs_info.csv"]

    def test_songs_in_one_place_and_not_in_another(self, small_deam, copies):
        copies.write_audio(small_deam.root, [2, 3])
        for path in small_deam.dynamic_files:
            lines = path.read_text().splitlines()
            path.write_text("\n".join(line for line in lines if not line.startswith("2005,")) + "\n")
        valence = small_deam.dynamic_files[0]
        valence.write_text(valence.read_text() + valence.read_text().splitlines()[1].replace("2,", "4,", 1) + "\n")
        audit = audit_deam(small_deam.root)
        assert found(audit, "audio and no label").ids == ("3",)
        assert len(found(audit, "labels and no audio").ids) == 71
        assert found(audit, "a label and no annotations over time").ids == ("2005",)
        assert found(audit, "in one of valence.csv and arousal.csv alone").ids == ("4",)
        assert found(audit, "of DEAM's 1802 have no label here").ids[:2] == ("3", "4")


def test_curves_of_other_lengths(small_deam):
    valence, arousal = small_deam.dynamic_files
    for path in (valence, arousal):
        lines = path.read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("5,"))
        lines[at] = ",".join([cell for cell in lines[at].split(",") if cell][: 9 if path == valence else 11])
        path.write_text("\n".join(lines) + "\n")
    audit = audit_deam(small_deam.root)
    assert found(audit, "valence and arousal of different length").ids == ("5",)
    assert "5" in found(audit, "other than 60 annotations over time").ids


class TestMetadata:
    def write(self, root, text):
        (root / "metadata_2013.csv").write_text("song_id,artist,title\n" + text)

    def test_names_that_become_one_artist_are_listed(self, small_deam):
        self.write(
            small_deam.root, "2,  The Agrarians ,A\n5,the  agrarians,B\n8,The Agrarians,C\n11,The Agrarians-D,E\n"
        )
        audit = audit_deam(small_deam.root)
        assert (audit.artists.n_known, audit.artists.n_artists, audit.artists.n_names) == (4, 1, 2)
        assert set(audit.artists.respelled) == {
            ("the agrarians", "The Agrarians"),
            ("The Agrarians-D", "The Agrarians"),
        }
        assert found(audit, "names in the metadata files").ids[0] == "The Agrarians-D = The Agrarians"
        assert "artist of its own" in found(audit, "The artist of 68 of 72 songs is unknown").do

    def test_one_title_under_two_ids(self, small_deam):
        self.write(small_deam.root, "2,Anna,Song\n5,ANNA,song\n8,Anna,Other\n")
        assert found(audit_deam(small_deam.root), "under two ids").ids == ("2 = 5",)

    def test_tags_that_say_something_else(self, small_deam, copies):
        import mutagen

        self.write(small_deam.root, "2,Anna & Bert,One: two\n5,Cleo,Three\n")
        said = {2: ("ANNA and  Bert", "one two"), 5: ("Dora", "Three")}
        for song, path in zip(said, copies.write_audio(small_deam.root, [*said]), strict=True):
            tags = mutagen.File(path, easy=True)
            tags.add_tags()
            tags["artist"], tags["title"] = said[song]
            tags.save()
        audit = audit_deam(small_deam.root)
        finding = found(audit, "Metadata and tags name another")
        assert finding.ids == ('5: "Cleo" in the metadata, "Dora" in the file',)
        assert not [one for one in audit_deam(small_deam.root, audio=False).findings if "tags name" in one.what]


@pytest.mark.skipif("AFFEKT_TEST_DATA" not in os.environ, reason="needs the real data")
def test_real_copy():
    audit = audit_deam(Path(os.environ["AFFEKT_TEST_DATA"]) / "DEAM")
    assert audit.usable and not audit.of_level("fault")
    assert (audit.artists.n_names, len(audit.artists.respelled)) == (948, 25)
    assert sum(audit.audio.licences.values()) == 10 and audit.audio.licences["CC BY-NC-SA 3.0"] == 1
    assert "too few to prove anything" in found(audit, "Loudness correlates").what
    assert len(found(audit, "valence and arousal of different length").ids) == 7
    assert (audit.n_songs, audit.n_with_audio, audit.exchange.n_songs) == (1802, 10, 744)
    assert (audit.exchange.state, audit.artists.n_known, audit.artists.n_artists) == ("exchanged", 1802, 927)
    correlations = [
        (a.valence_valence, a.valence_arousal, a.arousal_arousal, a.arousal_valence)
        for a in (part.agreement for part in audit.parts)
    ]
    expected = [(0.575, 0.956, 0.570, 0.949), (0.912, 0.591, 0.942, 0.570), (0.984, 0.050, 0.929, -0.101)]
    np.testing.assert_allclose(correlations, expected, atol=5.01e-4)
    ceilings = {one.songs: (one.valence.r2, one.arousal.r2) for one in audit.ceilings}
    for songs, r2 in {
        "2013": (0.83, 0.85),
        "2014": (0.73, 0.85),
        "2015": (0.83, 0.55),
        "2013 and 2014": (0.79, 0.85),
    }.items():
        np.testing.assert_allclose(ceilings[songs], r2, atol=5.01e-3)


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC BY 3.0", True),
        ("CC0 1.0", True),
        ("CC BY-NC-SA 3.0", False),
        ("CC BY-ND 4.0", False),
        ("FMA-Limited", False),
    ],
)
def test_only_open_licences_need_no_second_look(licence, free):
    sounds = [Sound("2", Path("2.mp3"), licence=licence), Sound("3", Path("3.mp3"))]
    audio = AudioAudit(2, 2, 0.0, {}, {}, {licence: 1, "not stated": 1}, ())
    (found,) = findings._about_licences(sounds, audio)
    assert f"{1 if free else 2} song" in found.do
