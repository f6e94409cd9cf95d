import numpy as np
import pytest

from affekt.evaluation.join import join
from affekt.evaluation.scores import score
from affekt.report.view import View, song_name

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "a": 0.7, "b-nano": 0.5, "a (untrained)": 1.5}


def test_who_is_who(viewed):
    view = viewed(noise=NOISE)
    assert {label: view.roles(label) for label in NOISE} == {
        "mean": ["baseline"],
        "handcrafted-closed": ["baseline"],
        "a": [],
        "b-nano": ["random weights"],
        "a (untrained)": ["untrained twin"],
    }
    assert view.twin("a") == "a (untrained)" and view.parent("a (untrained)") == "a" and view.twin("b-nano") is None
    assert set(view.contenders) == NOISE.keys() - {"a (untrained)"}


def test_order_is_that_of_the_mean_r2_with_undefined_ones_last(comparison):
    results = comparison(noise=NOISE)
    results.predictions = [p._replace(y_true=5.0) if p.target == "valence" else p for p in results.predictions]
    assert View(score(results)).order == results.labels  # R2 of valence, and so every mean, is undefined
    view = View(score(comparison(noise=NOISE)))
    means = [np.mean([view.scores.r2(label, target)[0] for target in view.targets]) for label in view.order]
    assert means == sorted(means, reverse=True)


def test_seconds_are_extraction_and_prediction_together(viewed):
    view = viewed(noise=NOISE)
    assert view.seconds_per_song("a") == pytest.approx(1.2 + 0.0001)
    view.cost("a").update(prediction_s_per_song=None)
    assert view.seconds_per_song("a") == pytest.approx(1.2)
    view.cost("a").update(extraction_s_per_song=None)
    assert view.seconds_per_song("a") is None


def test_a_ceiling_may_be_recorded_by_name_and_for_some_targets(viewed):
    view = viewed(noise=NOISE)
    view.scores.results.dataset["ceiling"] = {"arousal": 0.9, "valence": None}
    assert view.ceiling == {"arousal": 0.9} and view.ceilings == {"ceiling": {"arousal": 0.9}}
    assert viewed(noise=NOISE).ceilings == {}


def test_a_run_of_two_has_its_own_names_and_ceiling_and_shared_colours(comparison):
    first = comparison(noise=NOISE, ceiling=(0.8, 0.9))
    second = comparison(noise={"other": 0.4, "a": 0.6}, ceiling=(0.5, 0.6))
    scores = score(join(first, second, ("one", "two")))
    both, one, two = View(scores), View(scores, "one"), View(scores, "two")
    assert set(map(one.title, one.order)) == NOISE.keys() and {*map(two.title, two.order)} == {"other", "a"}
    assert one.ceiling == {"valence": 0.8, "arousal": 0.9} and two.ceiling == {"valence": 0.5, "arousal": 0.6}
    assert both.ceilings == {"ceiling (one)": one.ceiling, "ceiling (two)": two.ceiling}
    assert both.colours["a (one)"] == both.colours["a (two)"] == both.colours["a (untrained)"] == two.colours["a (two)"]
    assert both.colours["other"] not in {both.colours["a (one)"], both.colours["b-nano"]}


def test_songs_read_from_a_folder_go_by_the_name_of_the_experiment(viewed):
    view = viewed()
    assert view.about == "deam"
    view.scores.results.dataset["name"], view.experiment["name"] = "folder", "emotify"
    assert view.about == "emotify"


@pytest.mark.parametrize(
    ("song", "name"),
    [
        ({"id": "7"}, "7"),
        ({"id": "7", "title": "So What", "artist": None}, "7: So What"),
        ({"id": "7", "title": "So What", "artist": "Miles"}, "7: So What – Miles"),
    ],
)
def test_a_song_is_named_as_far_as_it_is_known(song, name):
    assert song_name(song) == name
