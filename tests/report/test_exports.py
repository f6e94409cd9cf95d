import csv
import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from affekt.errors import DataError, StorageError
from affekt.evaluation.scores import score
from affekt.report import write_all
from affekt.report.exports import CSV_COLUMNS, file_stems, results_csv

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "a-nano": 0.7, "b": 0.5}
TEXTS = ["report.html", "results.csv", "table.tex", "summary.md"]


def test_everything_lies_beside_the_page(comparison, tmp_path):
    pytest.importorskip("matplotlib")
    paths = write_all(comparison(noise={"mean": 0.0, "b": 0.5}, n_songs=12), tmp_path, quiet=True)
    assert [path.name for path in paths[:4]] == TEXTS and all(path.stat().st_size for path in paths)
    figures = {path.name for path in paths[4:]}
    assert figures == {path.name for path in (tmp_path / "figures").iterdir()}
    assert {name.removesuffix(".png") for name in figures if name.endswith(".png")} == {
        name.removesuffix(".svg") for name in figures if name.endswith(".svg")
    }
    assert {"ladder-valence.png", "matrix-arousal.svg", "scatter-b.png", "confusion-mean.png", "loss-b.svg"} <= figures
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_without_matplotlib_the_rest_is_written_and_one_remark_says_what_to_install(comparison, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    remarks = []
    paths = write_all(comparison(), tmp_path, remarks.append, quiet=True)
    assert [path.name for path in paths] == TEXTS and len(remarks) == 1
    assert "pip install 'affekt[figures]'" in remarks[0] and not (tmp_path / "figures").exists()


def test_scores_folder_file_and_memory_give_the_same_files(comparison, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    results = comparison(n_songs=12)
    results.save(tmp_path / "results.json")
    sources = [results, score(results), tmp_path, tmp_path / "results.json"]
    for number, source in enumerate(sources):
        write_all(source, tmp_path / str(number), lambda text: None, quiet=True)
    for name in TEXTS:
        assert len({(tmp_path / str(n) / name).read_bytes() for n in range(len(sources))}) == 1


def test_csv_is_tidy_and_repeats_the_score_table(viewed):
    view = viewed(noise=NOISE, synthetic=True)
    found = pd.read_csv(io.StringIO(results_csv(view)), keep_default_na=False)
    assert tuple(found.columns) == CSV_COLUMNS
    assert not found.duplicated(["encoder", "target", "score"]).any()
    values = found.set_index(["encoder", "target", "score"])
    for row in view.scores.table().to_dict("records"):
        for name in ("r2", "pearson", "ccc", "r2_minus_mean"):
            for column, end in (("value", ""), ("low", "_low"), ("high", "_high")):
                cell, expected = values.loc[(row["encoder"], row["target"], name), column], row[name + end]
                assert cell == "" if np.isnan(expected) else float(cell) == pytest.approx(expected, rel=1e-5)
    assert set(found["music"]) == {"synthetic music"}
    assert set(found.loc[found["encoder"] == "a-nano", "weights"]) == {"random weights"}
    assert set(found.loc[found["encoder"] == "mean", "role"]) == {"baseline"}


def test_csv_has_the_mean_over_targets_and_the_quadrants(viewed):
    view = viewed(noise=NOISE)
    rows = {(r["encoder"], r["target"], r["score"]): r for r in csv.DictReader(io.StringIO(results_csv(view)))}
    assert float(rows["b", "mean of the targets", "r2"]["value"]) == pytest.approx(view.mean_r2("b")[0], rel=1e-5)
    accuracy = rows["b", "mean of the targets", "quadrant_accuracy"]
    assert float(accuracy["low"]) == pytest.approx(view.scores.quadrant_accuracy("b")[1], rel=1e-5)
    single = viewed(noise=NOISE, targets=("tension",))
    assert "mean of the targets" not in results_csv(single)


def test_file_names_are_plain_and_all_different():
    pictures = [{"id": f"ladder-{i}", "subject": s} for i, s in enumerate(["Ä/b", "a b", "A_B", "日本", "", "../x"])]
    stems = list(file_stems(pictures))
    assert stems == ["ladder-a-b", "ladder-a-b-2", "ladder-a-b-3", "ladder", "ladder-2", "ladder-x"]


def test_errors_leave_nothing_behind(comparison, tmp_path):
    with pytest.raises(DataError, match="not there"):
        write_all(tmp_path / "nothing.json", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_all(comparison(n_songs=12), tmp_path / "file", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_neither_torch_nor_the_data_are_needed(comparison, tmp_path):
    comparison(n_songs=12, noise={"mean": 0.0, "b": 0.5}).save(tmp_path / "results.json")
    program = (
        "import sys\n"
        "class NoTorch:\n"  # not sys.modules['torch'] = None: scipy takes that for an imported torch and fails
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'lightning', 'transformers', 'librosa'):\n"
        "            raise ImportError(f'{name} is not installed')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from affekt.report import print_table, write_all\n"
        "from affekt.evaluation import Results\n"
        "from rich.console import Console\n"
        "write_all(sys.argv[1], sys.argv[1], quiet=True)\n"
        "print_table(Results.load(sys.argv[1] + '/results.json'), Console())\n"
        "assert 'torch' not in sys.modules\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mean" in done.stdout and all((tmp_path / name).exists() for name in TEXTS)


def test_over_time_every_song_has_its_scores_in_a_file(comparison, tmp_path):
    results = comparison(noise={"mean": 0.0, "b": 0.5}, n_songs=12, n_frames=9, synthetic=True)
    paths = write_all(results, tmp_path, quiet=True)
    assert "over_time.csv" in [path.name for path in paths]
    table = pd.read_csv(tmp_path / "over_time.csv", dtype={"song_id": str})
    assert len(table) == 2 * 12 * 2 and set(table["n_frames"]) == {9} and set(table["music"]) == {"synthetic music"}
    found = score(results).over_time
    mine = table[(table["encoder"] == "b") & (table["target"] == "arousal")]
    assert mine["ccc"].mean() == pytest.approx(found.value("b", "ccc", "arousal")[0], abs=1e-5)
    assert table[table["encoder"] == "mean"]["pearson"].isna().all()
    wide = pd.read_csv(tmp_path / "results.csv")
    row = wide[(wide["encoder"] == "b") & (wide["target"] == "arousal") & (wide["score"] == "over_time_ccc")]
    assert row["value"].item() == pytest.approx(found.value("b", "ccc", "arousal")[0], abs=1e-5)
