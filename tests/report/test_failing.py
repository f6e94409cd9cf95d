import numpy as np
import pytest

from affekt.report.failing import groups, worst_songs

NOISE = {"mean": 0.0, "a": 0.5, "a (untrained)": 9.0}


def test_error_of_a_genre_is_the_root_mean_squared_error_of_its_songs(viewed):
    view = viewed(noise={"only": 0.5})
    results = view.scores.results
    genre = {song["id"]: song["genre"] for song in results.songs}
    errors = [(p.y_pred - p.y_true) ** 2 for p in results.predictions if genre[p.song_id] == "Jazz"]
    jazz = next(group for group in groups(view)["genre"] if group.name == "Jazz")
    assert jazz.rmse["only"] == pytest.approx(np.sqrt(np.mean(errors)))
    assert jazz.n_songs == len(errors) // 4  # two seeds, two targets


def test_kinds_are_quadrant_genre_and_attributes_that_tell_songs_apart(viewed):
    view = viewed(n_songs=80)
    assert list(groups(view)) == ["quadrant", "genre", "decade"]
    for song in view.songs:
        song["attributes"] = {"decade": "1990s", "id": song["id"]}  # all the same; all different
        song["part"] = "2013" if int(song["id"]) % 2 else "2014"
    assert list(groups(view)) == ["quadrant", "genre", "part"]
    for song in view.songs:
        columns = {f"column {i}": str(int(song["id"]) % (2 + i)) for i in range(20)}
        song["attributes"] = {"measured": str(int(song["id"]) // 4), **columns}
    assert list(groups(view)) == ["quadrant", "genre", "part", *(f"column {i}" for i in range(5))]
    assert "quadrant" not in groups(viewed(targets=("tension", "calm")))


def test_small_groups_are_left_out_and_large_ones_come_first(viewed):
    view = viewed(n_songs=40)
    for i, song in enumerate(view.songs):
        song["genre"] = "large" if i < 30 else "middle" if i < 36 else "small"
    assert [(group.name, group.n_songs) for group in groups(view)["genre"]] == [("large", 30), ("middle", 6)]


def test_hardest_songs_are_those_of_the_encoders_that_compete(viewed):
    view = viewed(noise=NOISE)
    error = np.sqrt(((view.predictions["a"] - view.y_true) ** 2).mean(axis=1))  # neither mean nor the twin count
    worst = worst_songs(view, 6)
    assert [song.position for song in worst] == np.argsort(-error)[:6].tolist()
    assert worst[0].error == pytest.approx(error.max()) and worst[0].errors.keys() == NOISE.keys()


def test_the_mean_alone_has_hardest_songs_too(viewed):
    assert len(worst_songs(viewed(noise={"mean": 0.0}), 12)) == 12


def test_songs_that_no_seed_tested_are_no_failures(comparison):
    from affekt.evaluation.scores import score
    from affekt.report.view import View

    results = comparison(n_songs=60, noise=NOISE)
    results.predictions = [p for p in results.predictions if int(p.song_id) % 3 != p.seed]
    view = View(score(results))
    assert all(np.isfinite(song.error) for song in worst_songs(view, 60))
    assert all(np.isfinite(list(group.rmse.values())).all() for kind in groups(view).values() for group in kind)
