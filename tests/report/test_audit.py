from __future__ import annotations

import pytest

from affekt.data.audit import audit_deam
from affekt.report.audit import audit_data, write_audit

EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def copy(tmp_path):
    """A copy of DEAM with three songs a part is too small to tell, and enough for a page."""
    folder = tmp_path / "deam"
    folder.mkdir()
    songs = {2: (3, 6), 5: (7, 4), 8: (5, 5), 1001: (4, 7), 1003: (6, 3), 1005: (5, 6)}
    rows = [f"{song},{v},1,{a},1" for song, (v, a) in songs.items()]
    header = "song_id,valence_mean,valence_std,arousal_mean,arousal_std"
    (folder / "static_annotations_averaged_songs_1_2000.csv").write_text("\n".join([header, *rows]) + "\n")
    for i, name in enumerate(("valence", "arousal")):
        series = [f"{song},{(numbers[i] - 5) / 4:g}" for song, numbers in songs.items()]
        (folder / f"{name}.csv").write_text("\n".join(["song_id,sample_15000ms", *series]) + "\n")
    (folder / "metadata_2013.csv").write_text(f"song_id,artist,title\n2,{EVIL},A\n5,{EVIL},A\n8,{EVIL.upper()},B\n")
    return folder


def test_the_page_says_all_that_was_found(copy, tmp_path, read_page):
    audit = audit_deam(copy)
    page = read_page(write_audit(audit, tmp_path / "audit.html"))
    assert [attrs["id"] for attrs in page.named("section")] == [
        "verdict", "findings", "labels", "files", "artists", "audio",
    ]  # fmt: skip
    assert "Not as it is." in page.words and audit.verdict in page.words
    for one in audit.findings:
        assert " ".join(one.what.split()) in page.words and " ".join(one.do.split()) in page.words
    for part in audit.parts:
        assert f"{part.agreement.valence_valence:.3f}" in page.words


def test_it_opens_without_a_network_and_runs_nothing_from_outside(copy, tmp_path, read_page):
    page = read_page(write_audit(audit_deam(copy), tmp_path / "audit.html"))
    assert all(not attrs.get("src") for _, attrs in page.tags)
    assert not page.named("img")
    assert EVIL in page.words


def test_pictures_pair_static_with_dynamic_annotations_as_the_files_name_them(copy):
    audit = audit_deam(copy, audio=False)
    data = audit_data(audit)
    titles = [one["title"] for one in data["pictures"]]
    assert titles[0] == "Static valence over dynamic valence, as the files name them" and len(titles) == 4
    traces = data["drawings"][data["pictures"][1]["id"]]["data"]
    assert [trace["name"] for trace in traces] == ["2013", "2014"]
    assert (traces[0]["customdata"], traces[0]["y"]) == (["2", "5", "8"], [3.0, 7.0, 5.0])
    assert traces[0]["x"] == [0.25, -0.25, 0.0]
    assert data["audio"] is None


def test_without_annotations_over_time_there_are_no_pictures(copy, tmp_path):
    (copy / "arousal.csv").unlink()
    audit = audit_deam(copy, audio=False)
    assert audit_data(audit)["pictures"] == []
    assert write_audit(audit, tmp_path / "audit.html").stat().st_size > 10_000
