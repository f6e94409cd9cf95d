import numpy as np
import pytest

from affekt.report.failing import groups, worst_songs
from affekt.report.figures.failures import group_picture, worst_picture

NOISE = {"mean": 0.0, "handcrafted-closed": 0.9, "mambavision-s": 0.5, "mambavision-s (untrained)": 2.0}


def test_darkest_cell_is_the_largest_error(viewed):
    view = viewed(noise=NOISE, n_songs=80)
    genre = groups(view)["genre"]
    trace = group_picture(view, 0, genre)["figure"]["data"][0]
    errors = np.array([[group.rmse[label] for label in view.contenders] for group in genre])
    shades = np.array(trace["z"])
    assert shades.max() == 1 and shades.min() == 0
    assert np.unravel_index(shades.argmax(), shades.shape) == np.unravel_index(errors.argmax(), errors.shape)
    assert trace["text"] == [[f"{error:.2f}" for error in row] for row in errors]


def test_table_has_the_twins_that_the_picture_leaves_out(viewed):
    picture = group_picture(viewed(noise=NOISE, n_songs=80), 0, groups(viewed(noise=NOISE, n_songs=80))["quadrant"])
    assert "mambavision-s (untrained)" in picture["table"]["columns"]
    assert "untrained" not in str(picture["figure"])


def test_hardest_songs_have_a_point_for_each_encoder_and_their_names(viewed):
    view = viewed(noise=NOISE)
    worst = worst_songs(view, 5)
    picture = worst_picture(view, worst)
    for trace, label in zip(picture["figure"]["data"], view.contenders, strict=True):
        assert trace["x"] == pytest.approx([song.errors[label] for song in worst], abs=0.006)
        assert len(trace["customdata"]) == 5
    assert picture["figure"]["layout"]["meta"]["songs"] == [song.position for song in worst]
