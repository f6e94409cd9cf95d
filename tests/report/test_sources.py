import pytest

from affekt.errors import DataError
from affekt.evaluation.scores import score
from affekt.report.sources import open_runs, run_folder, scored


def saved(results, folder):
    results.save(folder / "results.json")
    return folder


def test_results_file_and_folder_are_the_same_source(comparison, tmp_path):
    results = comparison()
    saved(results, tmp_path)
    tables = [scored(source).table() for source in (results, tmp_path, str(tmp_path / "results.json"))]
    assert all(table.equals(tables[0]) for table in tables)
    assert run_folder(tmp_path) == run_folder(tmp_path / "results.json") == tmp_path
    assert run_folder(results) is None


def test_scores_are_not_scored_again(comparison):
    scores = score(comparison())
    assert scored(scores) is scores and run_folder(scores) is None


def test_two_runs_are_named_after_their_folders(comparison, tmp_path):
    one, two = (saved(comparison(), tmp_path / name) for name in ("one", "two"))
    results, folder = open_runs([one, two / "results.json"])
    assert results.run["names"] == ["one", "two"] and folder == tmp_path / "one-and-two"
    assert open_runs([one])[1] == one
    other = saved(comparison(), tmp_path / "elsewhere" / "one")
    assert open_runs([one, other])[0].run["names"] == [f"{tmp_path.name}/one", "elsewhere/one"]
    with pytest.raises(DataError, match="3 runs"):
        open_runs([one, two, other])
    with pytest.raises(DataError, match="not there"):
        open_runs([tmp_path / "nothing.json"])
