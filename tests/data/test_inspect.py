from __future__ import annotations

import json

from affekt.data.base import Dataset, Song
from affekt.data.inspect import inspect, overview


def test_a_folder_in_a_few_lines(tmp_path, copies):
    header = ("file_name", "valence", "arousal", "valence_std", "arousal_std", "n_raters", "genre", "decade")
    rows = [(f"{i}.wav", 1 + i % 7, 9 - i % 5, 1.5, 1.2, 10, "xyz"[i % 3], 1960 + i % 2 * 10) for i in range(20)]
    copies.write_folder(tmp_path, header, rows)
    found = inspect("folder", tmp_path, None)
    lines = "\n".join(found.summary_lines())
    assert "folder: 20 songs, 20 with audio, 0 artists" in lines
    assert "highest R2 a perfect model could reach, from rater deviations: valence" in lines
    assert "columns: genre (3 different), decade (2 different)" in lines
    assert json.loads(json.dumps(found.as_dict()))["columns"] == {"genre": 3, "decade": 2}


def test_every_ceiling_is_shown_the_given_one_first():
    songs = tuple(
        Song(str(i), None, (float(i),), (1.0,), 3, ratings=((i - 1.0,), (float(i),), (i + 1.0,))) for i in range(12)
    )
    dataset = Dataset("made", songs, ("valence",), ceiling=(0.5,), ceiling_method="construction")
    found = overview(dataset)
    assert list(found.ceilings) == ["construction", "split-half", "rater deviations"]
    assert found.ceilings["construction"] == (0.5,)
    assert overview(dataset.with_ceiling()).ceilings.keys() == {"split-half", "rater deviations"}
    assert overview(Dataset("made", (Song("a", None, (1.0,)),), ("valence",))).ceilings == {}
