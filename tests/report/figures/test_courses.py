import numpy as np

from affekt.report.figures.courses import course_pictures, following_picture

NOISE = {"mean": 0.0, "a": 0.3, "b-nano": 1.5}


def test_encoders_are_ranked_by_how_well_they_follow(viewed):
    view = viewed(noise=NOISE, n_frames=12)
    found = view.scores.over_time
    rows = following_picture(view, found, "arousal")["table"]["rows"]
    assert [row[0] for row in rows] == found.ranking("arousal")
    assert rows[0][1:] == [f"{value:z.2f}" for value in found.value("a", "ccc", "arousal")]
    assert rows[-1][0] == "mean" and rows[-1][1] == "0.00"


def test_songs_are_drawn_from_the_best_followed_to_the_worst(viewed):
    view = viewed(noise=NOISE, n_frames=12)
    found = view.scores.over_time
    pictures = course_pictures(view, found)
    assert [p["title"] for p in pictures[::2]] == [
        f"{how}: valence" for how in ("Followed best", "Upper third", "Lower third", "Followed worst")
    ]
    ccc = found.per_song["a"][:, :, -1].mean(axis=(0, 2))
    ids = [song["id"] for song in view.songs]
    drawn = [ids.index(p["caption"].split(":")[0]) for p in pictures[::2]]
    assert drawn[0] == np.argmax(ccc) and drawn[-1] == np.argmin(ccc)


def test_a_curve_shows_the_annotation_and_what_was_predicted(viewed):
    view = viewed(noise=NOISE, n_frames=12, synthetic=True)
    found = view.scores.over_time
    picture = course_pictures(view, found)[0]
    truth, *encoders = picture["figure"]["data"]
    at = [song["id"] for song in view.songs].index(picture["caption"].split(":")[0])
    np.testing.assert_allclose(truth["x"], found.times_s[at])
    np.testing.assert_allclose(truth["y"], found.truth[at][:, 0], atol=1e-3)
    assert [trace["name"] for trace in encoders] == ["a", "b-nano°"]  # a constant would only cover the others
    mean = np.mean([found.y_pred["a"][seed][at][:, 0] for seed in (0, 1)], axis=0)
    np.testing.assert_allclose(encoders[0]["y"], mean, atol=1e-3)
    assert "synthetic music" in picture["figure"]["layout"]["xaxis"]["title"]["text"]
    low, high = picture["figure"]["layout"]["yaxis"]["range"]
    assert low < min(truth["y"]) and max(truth["y"]) < high
    assert len(picture["table"]["rows"]) == 12


def test_a_song_that_hardly_moves_does_not_look_as_if_it_did(viewed):
    view = viewed(noise={"a": 0.0}, n_frames=12)
    for song in view.scores.results.songs:
        song["curve"]["y_true"] = (5 + 0.01 * np.sin(np.arange(24.0)).reshape(12, 2)).tolist()
    low, high = course_pictures(view, view.scores.over_time)[0]["figure"]["layout"]["yaxis"]["range"]
    assert high - low >= 0.3 * 8
