import re

import pytest

from affekt.evaluation.join import join
from affekt.evaluation.scores import score
from affekt.report import joined, write_all, write_report
from affekt.report.view import View

NOISE = {"mean": 0.0, "a": 0.5, "b": 0.6, "a (untrained)": 1.5}


@pytest.fixture
def view(comparison):
    first = comparison(noise=NOISE, ceiling=(0.8, 0.9))
    second = comparison(noise={"mean": 0.0, "a": 2.5, "c": 0.6}, ceiling=(0.7, 0.6), shift=0.4)
    second.run["experiment"]["split"]["folds"] = 9
    second.run["versions"]["numpy"] = "1.0"
    second.dataset["labels"] = "raw"
    return View(score(join(first, second, ("left", "right"))))


def test_the_same_encoder_is_compared_across_runs(view):
    assert [pair.name for pair in joined.pairs(view)] == ["a", "mean"]
    verdict = joined.verdicts(view)[1]
    difference = view.scores.difference("a (left)", "a (right)", "arousal")
    assert verdict.claim == "Better in left: a."
    assert f"{difference[0]:+.3f} [{difference[1]:.3f}, {difference[2]:.3f}]" in verdict.detail
    assert "mean" not in verdict.detail.lower().split("r²")[0]


def test_the_other_way_round_and_no_difference(comparison):
    one, other = (comparison(noise={"a": noise, "b": 0.5}, n_songs=300, n_folds=10) for noise in (1.2, 0.5))
    view = View(score(join(one, other, ("l", "r"))))
    assert joined.verdicts(view)[0].claim == "Better in r: a."
    few = comparison(noise={"a": 2.5, "b": 0.5}), comparison(noise={"a": 0.5, "b": 0.5})
    verdict = joined.verdicts(View(score(join(*few, ("l", "r")))))[0]
    assert verdict.claim == "Better in r: a. Over folds not confirmed: a."
    assert "; the test over folds does not confirm it (p = 0." in verdict.detail
    same = View(score(join(few[1], comparison(noise={"a": 0.5, "b": 0.5}), ("l", "r"))))
    assert joined.verdicts(same)[0].claim == "No difference shown between the runs."
    apart = View(score(join(comparison(noise={"a": 0.5}), comparison(noise={"b": 0.5}), ("l", "r"))))
    assert joined.verdicts(apart)[0].claim == "The two runs have no encoder in common."
    assert all(len(answer["pictures"]) == 2 for answer in joined.page_data(apart)["answers"])


def test_both_ladders_stand_side_by_side_with_their_own_ceilings(view):
    answer = joined.page_data(view)["answers"][0]
    left, right, between = answer["pictures"]
    ceilings = [ladder["figure"]["layout"]["shapes"][0]["x0"] for ladder in (left, right)]
    assert ceilings == [0.8, 0.7]
    assert left["figure"]["layout"]["xaxis"]["range"] == right["figure"]["layout"]["xaxis"]["range"]
    assert {trace["name"] for trace in left["figure"]["data"]} == NOISE.keys()  # own names, without the run
    assert left["title"].startswith("left:") and between["title"] == "left minus right, valence"


def test_what_differs_between_the_experiments_is_told(view):
    data = joined.page_data(view)
    assert ["split.folds", "4", "9"] in data["settings"]["rows"]
    assert not any(row[0] == "name" for row in data["settings"]["rows"])
    assert ["labels", "–", "raw"] in data["datasets"]["rows"]
    assert ["ceiling", "0.8, 0.9", "0.7, 0.6"] in data["datasets"]["rows"]
    assert any(row[0] == "versions.numpy" for row in data["versions"]["rows"])


def test_settings_of_encoders_are_matched_by_name(view):
    for run, order in zip(view.scores.results.run["joined"], (1, -1), strict=True):
        settings = [{"name": "a", "head": "mlp"}, {"name": "b", "head": "ridge" if order == 1 else "mlp"}]
        run["experiment"] = {"encoders": settings[::order]}
    assert joined.experiment_differences(view)["rows"] == [["encoders.b.head", "ridge", "mlp"]]


def test_page_and_exports_of_two_runs(view, tmp_path):
    paths = write_all(view.scores, tmp_path, quiet=True)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<h1>left against right: does it make a difference\?</h1>", text)
    assert "The annotations of 40 songs differ" in text
    assert {path.name for path in paths} >= {"run1-valence.png", "run2-valence.svg", "between-arousal.png"}
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "noise ceiling (left)" in summary and "noise ceiling (right)" in summary
    assert "a (left)" in (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert "ceiling (right) & 0.70" in (tmp_path / "table.tex").read_text()
    assert write_report(view.scores, tmp_path / "x.html").read_text(encoding="utf-8") == text
