import numpy as np
import pytest

from affekt.errors import DataError
from affekt.evaluation import metrics
from affekt.evaluation.factorial import factorial
from affekt.evaluation.join import join
from affekt.evaluation.results import Results
from affekt.evaluation.scores import score
from affekt.evaluation.statistics import SCORES, bootstrap_interval, weighted_scores

R2 = SCORES.index("r2")
NAMES = ("raw", "corrected")


def two_runs(noisy, make_results, n_songs=60, **options):
    """The same encoders on the same songs; the second run has valence and arousal of half the songs exchanged."""
    y_true, y_pred = noisy(n_songs, n_seeds=2, mean=1.0, good=0.5)
    exchanged = y_true.copy()
    exchanged[: n_songs // 2] = exchanged[: n_songs // 2, ::-1]
    order = np.stack([np.random.default_rng(9 + s).permutation(n_songs) % 5 for s in range(2)])
    first = make_results(y_true, y_pred, ceiling=[0.8, 0.9], labels="raw", scale=[1, 9], **options)
    second = make_results(exchanged, y_pred, folds=order, ceiling=[0.7, 0.9], labels="corrected", scale=[1, 9])
    return first, second


def test_each_encoder_is_scored_against_the_annotations_of_its_own_run(noisy, make_results):
    first, second = two_runs(noisy, make_results)
    scores = score(join(first, second, NAMES))
    assert scores.encoders == ["mean (raw)", "good (raw)", "mean (corrected)", "good (corrected)"]
    for name, run in zip(NAMES, (first, second), strict=True):
        alone = score(run)
        for target in run.targets:
            np.testing.assert_allclose(scores.r2(f"good ({name})", target), alone.r2("good", target))
    with pytest.raises(DataError, match="different annotations"):
        _ = scores.y_true
    assert not scores.same_annotations


def test_the_difference_between_runs_is_paired_over_the_same_songs(noisy, make_results):
    first, second = two_runs(noisy, make_results)
    scores = score(join(first, second, NAMES))
    statistics = [
        weighted_scores(run.arrays("good", 0)[1], np.stack([run.arrays("good", seed)[2] for seed in (0, 1)]))
        for run in (first, second)
    ]
    expected = bootstrap_interval(lambda w: statistics[0](w) - statistics[1](w), 60, seed=0)
    found = scores.difference("good (raw)", "good (corrected)", "valence")
    np.testing.assert_allclose(found, [values[R2, 0] for values in expected])


def test_tests_that_need_the_same_annotations_or_folds_are_left_out_with_a_reason(noisy, make_results):
    first, second = two_runs(noisy, make_results)
    scores = score(join(first, second, NAMES))
    pairs = scores.pairs().set_index(["target", "first", "second"])
    across = [row for row in pairs.index if row[1][-5:] != row[2][-5:]]
    within = [row for row in pairs.index if row not in across]
    assert len(across) == 8 and len(within) == 4
    assert pairs.loc[across, ["p_songs", "p_folds"]].isna().all(axis=None)
    assert pairs.loc[within, ["p_songs", "p_folds"]].notna().all(axis=None)
    assert scores.notes[:3] == [
        "Two runs: raw with 60 songs and corrected with 60, scored on the 60 in common.",
        "The annotations of 30 songs differ between raw and corrected. R² of each encoder is against the annotations "
        "of its own run; between the runs there is no test of squared errors.",
        "raw and corrected drew different folds. Between the runs, a test over folds uses the test sets that both "
        "have, if there are at least two.",
    ]


def test_runs_that_differ_in_the_encoder_alone_are_tested_as_one(noisy, make_results):
    y_true, y_pred = noisy(60, mean=1.0, good=0.5, poor=0.9)
    both = score(make_results(y_true, y_pred))
    halves = [make_results(y_true, {name: y_pred[name]}) for name in ("good", "poor")]
    scores = score(join(*halves, ("a", "b")))
    assert scores.encoders == ["good", "poor"] and scores.same_annotations
    assert scores.notes == ["Two runs: a with 60 songs and b with 60, scored on the 60 in common."]
    expected = both.pairs().set_index(["target", "first", "second"])
    for _, row in scores.pairs().iterrows():
        other = expected.loc[row["target"], row["first"], row["second"]]
        for column in ("difference", "low", "high", "p_songs", "p_folds"):
            assert row[column] == pytest.approx(other[column]), column


def test_seeds_may_differ_and_songs_are_the_common_ones(noisy, make_results):
    y_true, y_pred = noisy(60, n_seeds=2, good=0.5)
    first = make_results(y_true[:50], {"good": y_pred["good"][:, :50]}, seeds=[0, 1])
    second = make_results(
        y_true[10:], {"good": y_pred["good"][:1, 10:]}, seeds=[7], ids=[f"s{i}" for i in range(10, 60)]
    )
    joined = join(first, second, ("a", "b"))
    scores = score(joined)
    assert scores.song_ids == [f"s{i}" for i in range(10, 50)] == [song["id"] for song in joined.songs]
    assert scores.seeds == {"good (a)": [0, 1], "good (b)": [7]}
    common = slice(10, 50)
    expected = metrics.r2(y_true=y_true[common], y_pred=y_pred["good"][0, common])[0]
    assert scores.r2("good (b)", "valence")[0] == pytest.approx(expected)
    alone = {group["reason"]: group["song_ids"] for group in joined.dataset["left_out"]}
    assert alone["predicted in a alone"] == sorted(f"s{i}" for i in range(10))
    assert scores.notes[0].endswith("a with 50 songs and b with 50, scored on the 40 in common.")


def test_runs_that_tested_other_songs_with_the_same_seed_keep_their_own(noisy, make_results):
    y_true, y_pred = noisy(60, n_seeds=2, good=0.5)
    rng = np.random.default_rng(0)
    tested = [np.stack([rng.permutation(60) < 40 for _ in range(2)]) for _ in range(2)]
    runs = [
        make_results(y_true, {"good": np.where(mask[..., None], y_pred["good"], np.nan)}, folds=np.zeros((2, 60), int))
        for mask in tested
    ]
    scores = score(join(*runs, ("a", "b")))
    kept = tested[0].any(axis=0) & tested[1].any(axis=0)
    assert len(scores.song_ids) == kept.sum()
    for name, masks in zip(("a", "b"), tested, strict=True):
        r2 = [
            metrics.r2(y_true=y_true[mask & kept], y_pred=run[mask & kept])[0]
            for mask, run in zip(masks, y_pred["good"], strict=True)
        ]
        assert scores.r2(f"good ({name})", "valence")[0] == pytest.approx(np.mean(r2))


def test_provenance_of_both_runs_is_kept(noisy, make_results):
    first, second = two_runs(noisy, make_results, artists=["x"] * 60)
    first.run, second.run = {"name": "one", "fingerprint": "1"}, {"name": "two", "fingerprint": "2"}
    first.dataset["notes"], second.dataset["notes"] = ["Shared.", "As distributed."], ["Shared.", "Put right."]
    first.skipped = [{"song_id": "x", "path": None, "reason": "silent"}]
    first.history = [{"encoder": "good", "seed": 0, "fold": 0, "epoch": 1}]
    second.cost = [{"encoder": "good", "n_parameters": 3}]
    second.fits = [{"encoder": "good", "seed": 0, "fold": 0, "n_train": 3}]
    joined = join(first, second, NAMES)
    assert joined.run["joined"] == [first.run, second.run] and joined.run["names"] == list(NAMES)
    assert joined.dataset["notes"] == ["Shared.", "raw: As distributed.", "corrected: Put right."]
    assert joined.dataset["labels"] is None and joined.dataset["runs"]["raw"]["labels"] == "raw"
    assert joined.ceiling("good (raw)") == {"valence": 0.8, "arousal": 0.9}
    assert joined.ceiling("good (corrected)") == {"valence": 0.7, "arousal": 0.9}
    second.targets, second.dataset["ceiling"] = second.targets[::-1], {"arousal": 0.9, "valence": 0.7}
    assert join(first, second, NAMES).ceiling("good (corrected)") == {"valence": 0.7, "arousal": 0.9}
    assert joined.ceiling() == {} and first.ceiling() == first.ceiling("good") == {"valence": 0.8, "arousal": 0.9}
    assert joined.history[0]["encoder"] == "good (raw)" and joined.cost[0]["encoder"] == "good (corrected)"
    assert joined.fits[0] == {**second.fits[0], "encoder": "good (corrected)"}
    assert joined.skipped[0]["reason"] == "raw: silent"
    assert {song["artist"] for song in joined.songs} == {"x"}  # the second run knew no artists


def test_joined_results_survive_a_save(noisy, make_results, tmp_path):
    joined = join(*two_runs(noisy, make_results), NAMES)
    joined.save(tmp_path / "results.json")
    again = Results.load(tmp_path / "results.json")
    assert score(again).table().equals(score(joined).table())
    assert again.run_of("good (raw)") == "raw"


def test_each_run_has_its_own_reference(noisy, make_results):
    scores = score(join(*two_runs(noisy, make_results), NAMES))
    assert scores.reference("good (raw)") == "mean (raw)" and scores.is_reference("mean (corrected)")
    table = scores.table().set_index(["encoder", "target"])
    for name in NAMES:
        over = scores.difference(f"good ({name})", f"mean ({name})", "valence")
        assert table.loc[(f"good ({name})", "valence"), "r2_minus_mean"] == pytest.approx(over[0])
    assert all("always guessing the mean" in line or "Every encoder beats" in line for line in scores.headline())


def test_twins_follow_their_encoders_and_factors_are_left_to_each_run(noisy, make_results):
    y_true, y_pred = noisy(60, good=0.4, twin=0.8)
    about = {"good": {"factors": {"input": "w", "trunk": "m"}}, "twin": {"twin_of": "good"}}
    runs = [make_results(y_true, y_pred, about=about) for _ in range(2)]
    scores = score(join(*runs, ("a", "b")))
    assert {(row.encoder, row.twin) for row in scores.twins()} == {
        ("good (a)", "twin (a)"),
        ("good (b)", "twin (b)"),
    }
    assert factorial(scores) is None
    assert scores.notes[-1].endswith("The report of each run has its own analysis.")


def spoiled(noisy, make_results, **changes):
    first, second = two_runs(noisy, make_results)
    for key, value in changes.items():
        second.dataset[key] = value
    return first, second


def test_runs_that_cannot_be_compared_are_refused_with_all_reasons(noisy, make_results):
    first, second = spoiled(noisy, make_results, name="emotify", scale=[0, 1], synthetic=True)
    second.targets = ["tension", "calmness"]
    with pytest.raises(DataError) as caught:
        join(first, second, ("same", "same"))
    message = str(caught.value)
    assert message.startswith("5 problems in the two runs to compare")
    for said in (
        'both are called "same"',
        "data set: test in same, emotify in same",
        "synthetic: False in same, True in same",
        "targets: arousal, valence in same, calmness, tension in same",
        "scale: 1, 9 in same, 0, 1 in same",
    ):
        assert said in message


def test_a_single_common_song_joined_runs_and_other_songs_are_refused(noisy, make_results):
    first, second = two_runs(noisy, make_results)
    joined = join(first, second, NAMES)
    with pytest.raises(DataError, match="itself made of two runs"):
        join(joined, second, ("both", "corrected"))
    for run, title in ((first, "A"), (second, "B")):
        for song in run.songs:
            song["title"] = f"{title} {song['id']}"
    with pytest.raises(DataError, match="60 of 60 songs have the same id in raw and corrected, but another title"):
        join(first, second, NAMES)
    second.predictions = [p for p in second.predictions if p.song_id == "s0"]
    with pytest.raises(DataError, match="1 songs were predicted both"):
        join(first, second, NAMES)


def test_labels_that_would_meet_are_refused(noisy, make_results):
    y_true, y_pred = noisy(20, good=0.5)
    first = make_results(y_true, {"good": y_pred["good"], "good (b)": y_pred["good"]})
    second = make_results(y_true, y_pred)
    with pytest.raises(DataError, match=r"Two encoders would be called good \(b\)"):
        join(first, second, ("a", "b"))


def test_a_song_that_one_encoder_of_one_run_lacks_is_scored_for_none(noisy, make_results):
    y_true, y_pred = noisy(30, good=0.5, poor=0.9)
    first, second = (make_results(y_true, y_pred) for _ in range(2))
    second.predictions = [p for p in second.predictions if (p.encoder, p.song_id) != ("poor", "s5")]
    scores = score(join(first, second, ("a", "b")))
    assert "s5" not in scores.song_ids and len(scores.song_ids) == 29
    assert all(np.isfinite(runs).all() for runs in scores.y_pred.values())
    assert "Scored on the 29 songs common to all encoders, of 30 predicted (poor (b) lacks 1)." in scores.notes
