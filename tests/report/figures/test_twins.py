from affekt.report.figures.twins import twin_picture

NOISE = {"mean": 0.0, "a": 0.5, "b": 0.6, "a (untrained)": 1.0, "b (untrained)": 2.5}


def test_shows_what_pretraining_adds_largest_first(viewed):
    view = viewed(noise=NOISE)
    rows = twin_picture(view, "valence")["table"]["rows"]
    assert [row[0] for row in rows] == ["b", "a"]
    for name, value, low, high, verdict in rows:
        expected = view.scores.difference(name, f"{name} (untrained)", "valence")
        assert [value, low, high] == [f"{number:z.3f}" for number in expected]
        assert verdict == "better"


def test_without_twins_there_is_no_picture(viewed):
    assert twin_picture(viewed(), "valence") is None
