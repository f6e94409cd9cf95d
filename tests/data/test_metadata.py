from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from affekt.data.metadata import (
    Credits,
    artist_key,
    disagreements,
    read_licence,
    read_metadata,
    read_official_sets,
    read_tags,
    short_licence,
    unify_artists,
)
from affekt.errors import DataError

Y2013 = (
    "song_id,album,artist,title,Genre\n"
    '2,"\t2.mp3","The New Mystikal Troubadours\t","\tTonight  A Lonely Century\t","\tBlues\t"\n'
    '142,"\t142.mp3","Circus Marcus-Aux puces nº2 \t","\t Carosello\t","\tClassical\t"\n'
    '143,"\t143.mp3","Circus Marcus\t","\tAux puces nº5\t","\tClassical\t"\n'
    '118,"\t118.mp3","Cooper-Moore & Assif Tsahar\t","\tAmerica\t","\tBlues\t"\n'
    '525,"\t525.mp3","Cooper-Moore\t","\t(h) Banjo\t","\tFolk\t"\n'
    '160,"\t160.mp3","Advent Chamber Orchestra-Bughici \t","\t Suite","\tClassical\t"\n'
    '232,"\t232.mp3","Advent Chamber Orchestra-Dvorak \t","\t Serenade","\tClassical\t"\n'
    '178,"\t178.mp3","K-Conjog\t","\tUno Is Walking\t","\tClassical\t"\n'
    '928,"\t928.mp3",Waiters, the  13 O\' Clock in the Morning ,"\tRock\t"\n'
)
Y2014 = (
    "song_id,artist,album,title,Genre,,,,,,,\n"
    "1001,The Rope River Blues Band,Smith,Weatherman,SoulRB-Country-Folk,Avant-Garde,melancholy,,,,,\n"
    "1009,Big Bill Broonzy,Baby, Please Don't Go,SoulRB-Blues,acoustic blues,,,,,,\n"
    "1168,Corey Cerovsek, violin; Paavali Jumppanen, piano,Classical, Spring 2011,"
    '"""Violin Sonata No. 5, Op. 24 """"Spring"""" (Beethoven)""",piano,,,,\n'
    "1459,Live at WFMU on Gaylord Fields' Show on September 25,2011,Sons And Daughters,Bird of Youth,indie,,,,,,\n"
    "1516,Blank &amp; Kytt,Heavy, Crazy,Hip-Hop,Rock,,,,,,\n"
    "1829,Dave Shuford, Margot Bianca and Pigeons,NATCH 2,Pop-Experimental-Rock,indie,,,,,,\n"
    "1900,The Tag Band,Album,Song,somafm,Rock,,,,,,\n"
)
Y2015 = (
    "song_id,title,artist,album,Genre,,,\n"
    "2001,Old Tree,Creepoid,n/a,Rock,,,\n"
    "2002,Spring Day 1,Amar Lal,n/a,Singer/Songwriter,,,\n"
    "2031,Go,No, Really,n/a,folk,,\n"
    "2050,Homecoming,BeatRaider,A Journey,hiphop,electronic,,\n"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metadata")
    paths = []
    for year, text in ((2013, Y2013), (2014, Y2014), (2015, Y2015)):
        path = folder / f"metadata_{year}.csv"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return read_metadata(paths)


@pytest.mark.parametrize(
    ("song", "artist", "title", "genre"),
    [
        ("2", "The New Mystikal Troubadours", "Tonight A Lonely Century", "Blues"),
        ("142", "Circus Marcus", "Aux puces nº2 - Carosello", "Classical"),
        ("118", "Cooper-Moore & Assif Tsahar", "America", "Blues"),
        ("525", "Cooper-Moore", "(h) Banjo", "Folk"),
        ("160", "Advent Chamber Orchestra", "Bughici - Suite", "Classical"),
        ("178", "K-Conjog", "Uno Is Walking", "Classical"),
        ("928", "Waiters", "the 13 O' Clock in the Morning", "Rock"),
        ("1001", "The Rope River Blues Band", "Weatherman", "SoulRB"),
        ("1009", "Big Bill Broonzy", None, "SoulRB"),
        (
            "1168",
            "Corey Cerovsek, violin; Paavali Jumppanen, piano",
            'Violin Sonata No. 5, Op. 24 "Spring" (Beethoven)',
            "Classical",
        ),
        ("1459", "Bird of Youth", "Sons And Daughters", "Folk"),
        ("1516", "Blank & Kytt", None, "Hip-Hop"),
        ("1829", "Dave Shuford, Margot Bianca and Pigeons", None, "Pop"),
        ("1900", "The Tag Band", "Song", "somafm"),
        ("2001", "Creepoid", "Old Tree", "Rock"),
        ("2002", "Amar Lal", "Spring Day 1", "Singer/Songwriter"),
        ("2031", "No, Really", "Go", "Folk"),
        ("2050", "BeatRaider", "Homecoming", "Hip-Hop"),
    ],
)
def test_untidy_rows(found, song, artist, title, genre):
    assert found[song] == Credits(artist, title, genre)


def test_one_artist_has_one_spelling_the_most_frequent():
    names = {"1": "My Bubba and Mi", "2": "My Bubba & Mi", "3": "My Bubba & Mi", "4": "MY BUBBA  AND MI", "5": "Mi"}
    unified = unify_artists({song: Credits(name) for song, name in names.items()})
    assert [one.artist for one in unified.values()] == ["My Bubba & Mi"] * 4 + ["Mi"]


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=12).map(lambda name: Credits(name or None)), max_size=8))
def test_unifying_invents_no_artist_and_loses_no_song(credits):
    unified = unify_artists(credits)
    assert unified.keys() == credits.keys()
    assert all((one.artist is None) <= (credits[song].artist is None) or one.artist for song, one in unified.items())
    keys = {}
    for one in unified.values():
        if one.artist:
            assert keys.setdefault(artist_key(one.artist), one.artist) == one.artist


def test_the_first_file_wins_and_the_second_fills(tmp_path):
    first, second = tmp_path / "metadata_2013.csv", tmp_path / "metadata_2014.csv"
    first.write_text("song_id,artist,title\n2,Anna,\n")
    second.write_text("Id,Track,Artist\n2,Song,Bert\nx,y,z\n")
    assert read_metadata([first, second]) == {"2": Credits("Anna", "Song")}


def test_an_old_spreadsheet_s_encoding(tmp_path):
    path = tmp_path / "metadata_2013.csv"
    path.write_bytes("song_id,artist\n2,Björk\n".encode("latin-1"))
    assert read_metadata([path])["2"].artist == "Björk"


@pytest.mark.parametrize("text", ["", "song,performer\n2,Anna\n"])
def test_no_column_for_the_artist(tmp_path, text):
    path = tmp_path / "metadata_2013.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="needs a column song_id and a column artist"):
        read_metadata([path])


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg"])
def test_tags_of_a_file(tmp_path, suffix):
    import mutagen

    path = tmp_path / f"song{suffix}"
    sf.write(path, np.zeros(4410), 44100)
    assert read_tags(path) == Credits()
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file["artist"], file["title"], file["genre"] = "Anna\t", "One  two", "Rock"
    file.save()
    assert read_tags(path) == Credits("Anna", "One two", "Rock")


def test_tags_of_a_wav_and_of_no_audio(tmp_path):
    wav, text = tmp_path / "a.wav", tmp_path / "b.mp3"
    sf.write(wav, np.zeros(100), 16000)
    text.write_text("not audio")
    assert read_tags(wav) == read_tags(text) == read_tags(tmp_path / "none.mp3") == Credits()


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (
            "Attribution-Noncommercial-Share Alike 3.0 United States: http://creativecommons.org/licenses/by-nc-sa/3.0/us/",
            "CC BY-NC-SA 3.0",
        ),
        ("Creative Commons Attribution: http://creativecommons.org/licenses/by/3.0/", "CC BY 3.0"),
        ("Attribution-NonCommercial-NoDerivatives (aka Music Sharing) 4.0 International", "CC BY-NC-ND 4.0"),
        ("Attribution-ShareAlike", "CC BY-SA"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0 or public domain"),
        ("FMA-Limited: http://freemusicarchive.org/FMA_License", "FMA-Limited"),
        (" (c) 2009  Somebody ", "(c) 2009 Somebody"),
        ("", None),
    ],
)
def test_licences_in_short(text, licence):
    assert short_licence(text) == licence


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg"])
def test_the_licence_of_a_file(tmp_path, suffix):
    import mutagen

    path = tmp_path / f"song{suffix}"
    sf.write(path, np.zeros(4410), 44100)
    assert read_licence(path) is None
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file["copyright"] = "http://creativecommons.org/licenses/by-nc/3.0/"
    file.save()
    assert read_licence(path) == "CC BY-NC 3.0"
    assert read_licence(tmp_path / "none.mp3") is None


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (Credits("My Bubba & Mi", "Oh: Kiss No"), Credits("my bubba  AND mi", "Oh kiss, no"), []),
        (Credits("Bj\u00f6rk", "A"), Credits("Bjo\u0308rk", "B"), ["title"]),
        (Credits("Anna", None), Credits("Bert", "B"), ["artist"]),
        (Credits(), Credits("Bert", "B"), []),
    ],
)
def test_disagreements_are_of_substance(one, other, differ):
    found = disagreements(one, other)
    assert list(found) == differ
    assert all(found[name] == (getattr(one, name), getattr(other, name)) for name in differ)


class TestOfficialSets:
    def test_the_mark_is_found_behind_names_that_spilled_over(self, tmp_path):
        path = tmp_path / "songs_info.csv"
        path.write_text(
            "song_id,file_name,Artist,Song title,Genre,Mediaeval 2013 set\n"
            '2,"\t2.mp3","A\t","\tB\t","\tBlues\t",development\n'
            "3,3.mp3,Development, The Band,Title,Blues, Evaluation \n"
            "4,4.mp3,A,B,Blues,\n"
            "x,5.mp3,A,B,Blues,development\n"
        )
        assert read_official_sets([path]) == {"2": "development", "3": "evaluation"}

    def test_files_without_the_column_say_nothing(self, tmp_path):
        path = tmp_path / "metadata_2014.csv"
        path.write_text("song_id,artist,tags\n2,A,development\n")
        assert read_official_sets([path]) == {}
        (tmp_path / "metadata_2013.csv").write_text("")
        assert read_official_sets([tmp_path / "metadata_2013.csv"]) == {}
