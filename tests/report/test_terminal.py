import io

import pandas as pd
import pytest
from rich.console import Console

from affekt.evaluation.join import join
from affekt.evaluation.scores import score
from affekt.report.terminal import print_table

NOISE = {"mean": 0.0, "wav2vec2-base": 0.9, "mambavision-s": 0.4, "precomputed:some/very/long/path/embeddings.csv": 0.7}


def printed(results, width=80, terminal=True, styled=False):
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system="standard" if styled else None,
        no_color=False,
    )
    print_table(results, console)
    return console.file.getvalue()


@pytest.mark.parametrize("targets", [("valence", "arousal"), ("tension",), ("a", "b", "c", "d", "e")])
def test_table_fits_eighty_columns_and_shows_every_number(comparison, targets):
    results = comparison(noise=NOISE, targets=targets)
    text = printed(results)
    assert max(map(len, text.splitlines())) <= 80
    for _, row in results.table().iterrows():
        assert f"{row['r2']:z.2f} [{row['r2_low']:z.2f}, {row['r2_high']:z.2f}]" in text
        assert f"{row['rmse']:.2f}" in text


def test_best_of_each_target_is_bold(comparison):
    text = printed(comparison(noise=NOISE), styled=True)
    assert text.count("\x1b[1mmambavision-s") == 2
    assert "\x1b[1mwav2vec2-base" not in text


def test_verdicts_and_notes_follow_the_table(comparison):
    results = comparison(noise=NOISE)
    results.encoders.append({"label": "broken"})
    text = printed(results, width=400)
    assert "Valence: mambavision-s has the highest R²" in text
    assert "without a score: broken" in text


def test_synthetic_music_is_called_so_on_a_terminal_and_in_a_pipe(comparison):
    results = comparison(synthetic=True)
    assert "synthetic music" in printed(results)
    assert all("synthetic music" in line for line in printed(results, terminal=False).splitlines()[1:])
    assert "synthetic" not in printed(comparison())


def test_a_pipe_gets_tab_separated_full_numbers(comparison):
    results = comparison(noise=NOISE)
    text = printed(results, terminal=False)
    found = pd.read_csv(io.StringIO(text), sep="\t")
    expected = results.table()
    assert list(found.columns) == list(expected.columns)
    pd.testing.assert_frame_equal(found, expected.round(4), check_dtype=False, check_exact=False, atol=1e-4)


def test_labels_with_markup_are_printed_as_they_are(comparison):
    text = printed(comparison(noise={"[red]evil[/red]": 0.5, "plain": 0.6}))
    assert "[red]evil[/red]" in text.replace("\n", "")


def test_two_runs_are_told_apart_and_none_of_their_encoders_is_called_the_best(comparison):
    runs = join(comparison(noise={"a": 0.4, "b": 0.5}), comparison(noise={"a": 2.5, "b": 0.5}), ("raw", "corrected"))
    text = " ".join(printed(runs, styled=True).split())
    assert "Better in raw: a." in text and "has the highest" not in text
    assert "\x1b[1ma (raw)" not in text


def test_undefined_numbers_are_dashes(comparison):
    results = comparison(noise={"mean": 0.0}, n_folds=2)
    results.predictions = [p._replace(y_pred=5.0) for p in results.predictions]
    assert "–" in printed(results)


def test_scored_results_are_not_scored_again(comparison):
    results = comparison()
    assert printed(score(results)) == printed(results)


def test_over_time_has_a_table_of_its_own_and_columns_down_a_pipe(comparison):
    results = comparison(noise={"mean": 0.0, "b": 0.5}, n_frames=9)
    text = printed(results, width=100)
    found = score(results).over_time
    value, low, high = found.value("b", "ccc", "valence")
    assert "within songs, averaged over songs" in text and f"{value:z.2f} [{low:z.2f}, {high:z.2f}]" in text
    assert "b follows it best" in text
    table = pd.read_csv(io.StringIO(printed(results, terminal=False)), sep="\t")
    mine = table[(table["encoder"] == "b") & (table["target"] == "valence")]
    assert mine["over_time_ccc"].item() == pytest.approx(value, abs=1e-5)
