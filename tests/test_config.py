"""The experiment file: defaults, inheritance, overrides, and every mistake in one error."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.config import Experiment, SearchSection, load_experiment, parse_experiment, parse_freeze
from affekt.errors import ConfigError
from affekt.registry import DATASETS

EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))


def mistakes(value: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_experiment(value, "x.yaml")
    return str(caught.value)


def test_an_encoder_inherits_what_it_does_not_override() -> None:
    experiment = parse_experiment(
        {
            "freeze": "last2",
            "head": "mlp",
            "training": {"epochs": 7, "lr": 1.0e-4},
            "encoders": ["wav2vec2-nano", {"name": "mambavision-nano", "freeze": "none", "training": {"epochs": 3}}],
        }
    )
    first, second = experiment.encoders
    assert (first.freeze, first.head, first.training.epochs, first.training.lr) == ("last2", "mlp", 7, 1e-4)
    assert (second.freeze, second.head, second.training.epochs, second.training.lr) == ("none", "mlp", 3, 1e-4)
    assert first.clips.count == 6 and first.clips.length_s == 5.0


def test_all_mistakes_are_told_at_once_with_the_nearest_known_key() -> None:
    message = mistakes(
        {
            "dataset": {"name": "deem"},
            "training": {"epochs": "x"},
            "freez": "all",
            "encoders": ["wav2vec", {"name": "mean", "training": {"batchsize": 3}}],
        }
    )
    assert message.startswith("5 problems in x.yaml")
    assert 'dataset.name: "deem": unknown data set. Did you mean "demo"?' in message
    assert 'encoders[0].name: "wav2vec": unknown encoder. Did you mean "wav2vec2-' in message
    assert 'encoders[1].training.batchsize: unknown key. Did you mean "encoders[1].training.batch_size"?' in message
    assert "training.epochs = 'x'" in message
    assert 'freez: unknown key. Did you mean "freeze"?' in message


def test_an_inherited_mistake_is_told_once() -> None:
    assert mistakes({"encoders": ["mean", "handcrafted"], "clips": {"count": 0}}).count("clips.count") == 1


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "encoders: missing"),
        ({"encoders": []}, "encoders"),
        ({"encoders": ["mean", "mean"]}, "named twice"),
        ({"encoders": ["mean"], "seeds": [1, 1]}, "occurs twice"),
        ({"encoders": ["mean"], "seeds": [-1]}, "0 or larger"),
        ({"encoders": ["wav2vec2-nano"], "freeze": "last1"}, "closed form"),
        ({"encoders": ["mean"], "freeze": "lots"}, '"last1", "last2"'),
        ({"encoders": ["mean"], "head": "mlp", "training": {"lr": 1.0, "max_lr": 0.1}}, "above max_lr"),
        ({"encoders": ["mean"], "training": {"precision": "foo"}}, "training.precision"),
        ({"encoders": ["mean"], "dataset": {"name": "folder"}}, "dataset.root: missing"),
        ({"encoders": ["mean"], "name": "../up"}, "name"),
        ({"encoders": ["mean"], "clips": {"length_s": float("nan")}}, "length_s"),
        ({"encoders": [3]}, "encoders[0]"),
        ({"encoders": [{"name": "mean", "clip_embeddings": -1}]}, "clip_embeddings"),
        ({"encoders": [{"name": "mean", "training": {"validation": 0.2}}]}, "all encoders share one split"),
        ({"encoders": ["mean"], "dataset": {"name": "folder", "root": "x", "n_songs": 20}}, "belongs to demo"),
        (
            {"encoders": ["mean"], "dataset": {"name": "folder", "root": "x", "labels": "raw"}},
            "belongs to deam and demo",
        ),
        (
            {"encoders": ["mean"], "dataset": {"name": "pmemo"}},
            "dataset.root: missing; name the folder that holds PMEmo",
        ),
        ({"encoders": ["mean"], "dataset": {"name": "pmemo", "root": "x", "labels": "raw"}}, 'not for "pmemo"'),
        ({"encoders": ["mean"], "dataset": {"name": "deam", "parts": []}}, "dataset.parts"),
        ({"encoders": ["mean"], "split": {"kind": "cross-corpus"}}, "name the data set to test on in `test_dataset`"),
        (
            {"encoders": ["mean"], "test_dataset": {"name": "emomusic"}},
            "test_dataset.root: missing; name the folder that holds emoMusic",
        ),
        (
            {"encoders": ["mean"], "test_dataset": {"name": "folder", "root": "x", "n_songs": 20}},
            'test_dataset.n_songs: not for "folder"',
        ),
        (
            {"encoders": ["mean"], "test_dataset": {"name": "deam"}, "split": {"folds": 3}},
            "split.folds = 3: test_dataset names the tested songs, and artists are never shared. Leave `split` out.",
        ),
        (
            {"encoders": ["mean"], "test_dataset": {"name": "deam"}, "split": {"kind": "kfold"}},
            "split.kind = kfold: test_",
        ),
        (
            {"encoders": ["mean"], "test_dataset": {"name": "deam"}, "split": {"group": None}},
            "split.group = None: test_",
        ),
        ({"encoders": ["mean"], "test_dataset": {"name": "deam"}, "split": {"by": "genre"}}, "split.by: belongs to"),
        (
            {"encoders": ["mean"], "test_dataset": {"name": "deam", "annotations": "dynamic"}},
            'test_dataset.annotations = "dynamic", dataset.annotations = "static"; they must be the same.',
        ),
        ({"encoders": ["mean"], "test_dataset": {"nam": "deam"}}, 'Did you mean "test_dataset.name"?'),
    ],
)
def test_mistakes(value: dict[str, Any], told: str) -> None:
    assert told in mistakes(value)


def test_a_second_data_set_says_what_kind_of_split_it_is() -> None:
    value = {"encoders": ["mean"], "test_dataset": {"name": "deam", "parts": [2014, "2015"]}}
    experiment = parse_experiment(value)
    assert experiment.split.kind == "cross-corpus"
    assert experiment.test_dataset is not None and experiment.test_dataset.parts == ["2014", "2015"]
    assert parse_experiment(experiment.model_dump(mode="json")) == experiment
    assert experiment.fingerprint() != parse_experiment({"encoders": ["mean"]}).fingerprint()
    assert parse_experiment({"encoders": ["mean"], "test_dataset": None}).split.kind == "kfold"


def test_keys_of_a_plug_in_are_for_its_loader_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DATASETS, "_entries", {**DATASETS._entries, "mine": "nowhere:load"})
    experiment = parse_experiment({"encoders": ["mean"], "dataset": {"name": "mine", "labels": "raw"}})
    assert experiment.dataset.labels == "raw"


@pytest.mark.parametrize(("word", "n"), [("all", 0), ("none", None), ("last1", 1), ("last 12", 12)])
def test_freeze(word: str, n: int | None) -> None:
    assert parse_freeze(word) == n


@pytest.mark.parametrize("word", ["", "last0", "last", "last-1", "LAST1", "some"])
def test_freeze_refuses(word: str) -> None:
    with pytest.raises(ConfigError, match="not allowed"):
        parse_freeze(word)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_overrides_reach_every_depth(tmp_path: Path) -> None:
    path = write(tmp_path, "encoders: [mean, wav2vec2-nano]\nhead: seed")
    overrides = ["training.epochs=3", "encoders.1.freeze=last1", "seeds=[4, 5]", "dataset.name=demo"]
    experiment = load_experiment(path, overrides)
    assert experiment.training.epochs == 3
    assert experiment.encoders[1].freeze == "last1" and experiment.encoders[1].training.epochs == 3
    assert experiment.seeds == [4, 5]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("epochs", "expected key=value"),
        ("encoders.7.freeze=all", "not an index"),
        ("name.x=3", "is a value, not a section"),
        ("seeds=[", "cannot be read"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_experiment(write(tmp_path, "name: x\nencoders: [mean]"), [override])


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00", "just words"])
def test_what_is_no_experiment_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_experiment(write(tmp_path, text))


def test_a_missing_file_says_where_examples_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="experiments/"):
        load_experiment(tmp_path / "nothing.yaml")


def test_every_setting_changes_the_fingerprint() -> None:
    base: dict[str, Any] = {"encoders": ["wav2vec2-nano"], "head": "mlp"}
    changes = [
        {},
        {"head": "linear"},
        {"freeze": "last1"},
        {"seeds": [1]},
        {"clips": {"count": 5}},
        {"training": {"epochs": 3}},
        {"loss": {"toward": "zero"}},
        {"split": {"folds": 4}},
        {"permute_labels": True},
        {"clip_embeddings": None},
    ]
    prints = {parse_experiment({**base, **change}).fingerprint() for change in changes}
    assert len(prints) == len(changes)
    assert parse_experiment(base).fingerprint() == parse_experiment(dict(base)).fingerprint()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid_and_survives_a_round_trip(path: Path) -> None:
    experiment = load_experiment(path)
    assert Experiment.model_validate(experiment.model_dump(mode="json")) == experiment


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)  # on a busy machine the time says nothing
@given(st.dictionaries(st.sampled_from(["encoders", "training", "clips", "freeze", "dataset", "seeds", "x"]), JSON))
def test_wild_input_is_an_experiment_or_one_clear_error(value: dict[str, Any]) -> None:
    try:
        assert isinstance(parse_experiment(value), Experiment)
    except ConfigError as error:
        assert "problem" in str(error)


def test_yaml_numbers_with_exponents_are_numbers() -> None:
    assert parse_experiment(yaml.safe_load("{encoders: [mean], training: {lr: 3e-5}}")).training.lr == 3e-5


# --- search, split, layer ------------------------------------------------------------------------------------------

RIDGE_WITH_A_RATE = {"name": "mean", "head": "ridge", "training": {"lr": 1e-3}}
TRAINED = {"encoders": ["mean", {"name": "wav2vec2-nano", "head": "mlp"}]}


def test_a_search_draws_the_same_settings_for_a_seed() -> None:
    space = {"training.max_lr": [1e-4, 1e-3, 1e-2], "head": ["linear", "mlp"]}
    search = parse_experiment({**TRAINED, "search": {"trials": 4, "space": space}}).search
    drawn = search.draw(0)
    assert len(drawn) == 4 and drawn == search.draw(0) != search.draw(1)
    assert len({tuple(trial.items()) for trial in drawn}) == 4, "without replacement"
    whole = search.model_copy(update={"trials": 100}).draw(0)
    assert len(whole) == 6 and all(trial in whole for trial in drawn)
    assert parse_experiment(TRAINED).search.draw(0) == []


def test_trials_are_drawn_as_from_the_whole_grid() -> None:
    """Points are counted and not listed, so that a large grid costs nothing; the draw is the one of the list."""
    space = {"training.max_lr": [1e-4, 1e-3, 1e-2], "head": ["linear", "mlp"], "loss.variance": [0.0, 0.1, 0.2, 0.5]}
    grid = [dict(zip(space, point, strict=True)) for point in itertools.product(*space.values())]
    for trials in (1, 5, 23):
        drawn = SearchSection(trials=trials, space=space).draw(7)
        assert drawn == random.Random(7).sample(grid, trials)
    assert SearchSection(trials=24, space=space).draw(7) == grid


def searched(space: dict[str, list[Any]], trials: int = 1000, **settings: Any) -> dict[str, Any]:
    return {**TRAINED, "search": {"trials": trials, "space": space}, **settings}


def test_settings_of_a_trial_must_fit_together() -> None:
    message = mistakes(searched({"training.lr": [0.1, 1e-4, 0.01], "head": ["linear"]}))
    assert message.startswith("1 problem in")
    assert "search.space at training.lr = 0.1, head = linear: training.lr = 0.1 is above max_lr = 0.001." in message
    assert "2 of 3 trials are refused, for encoders[1]" in message


@pytest.mark.parametrize(
    "value",
    [
        searched({"training.lr": [0.1, 0.01]}, training={"schedule": "constant"}),
        searched({"training.lr": [0.1], "training.schedule": ["constant"]}),
        searched({"training.lr": [0.1], "training.max_lr": [0.1, 0.2]}),
        searched({"training.max_lr": [1e-4]}, encoders=[RIDGE_WITH_A_RATE, "wav2vec2-nano"], head="mlp"),
    ],
)
def test_settings_that_fit_together_are_no_mistake(value: dict[str, Any]) -> None:
    parse_experiment(value)


def test_every_trained_encoder_must_bear_every_trial() -> None:
    encoders = ["handcrafted", {"name": "wav2vec2-nano", "training": {"lr": 5e-4}}]
    message = mistakes(searched({"training.max_lr": [1e-2, 1e-4]}, encoders=encoders, head="mlp"))
    assert message.startswith("1 problem in")
    assert "training.max_lr = 0.0001: training.lr = 0.0005 is above" in message and "for encoders[1]" in message


def test_a_mistake_in_trials_is_told_once_for_encoders_that_share_it_and_not_again_for_one_that_has_it_anyway() -> None:
    many = ["handcrafted", "wav2vec2-nano", "mambavision-nano"]
    assert mistakes(searched({"training.lr": [0.1]}, encoders=many, head="mlp")).startswith("1 problem in")
    wrong = searched({"head": ["linear", "mlp"]}, training={"lr": 0.1})
    assert mistakes(wrong).splitlines()[1:] == ["  encoders[1]: training.lr = 0.1 is above max_lr = 0.001."]


def test_only_trials_that_will_be_run_are_looked_at() -> None:
    """A grid of 10^12 points, half of them refused, of which one is drawn: the seed decides."""
    space = {key: [n / 1e6 for n in range(1, 1001)] for key in ("loss.variance", "loss.correlation")}
    space |= {"training.weight_decay": space["loss.variance"], "training.lr": [1e-5] * 500 + [0.1] * 500}
    told = set()
    for seed in range(20):
        value = searched(space, trials=1, seeds=[seed])
        rate = SearchSection(**value["search"]).draw(seed)[0]["training.lr"]
        if rate == 0.1:
            assert "training.lr = 0.1 is above" in mistakes(value)
        else:
            parse_experiment(value)
        told.add(rate)
    assert told == {1e-5, 0.1}


def test_a_trial_changes_what_it_names_and_nothing_else() -> None:
    section = parse_experiment(TRAINED).encoders[1]
    tried = section.tried({"training.max_lr": 0.02, "head": "linear", "loss.toward": "zero"})
    assert (tried.training.max_lr, tried.head, tried.loss.toward) == (0.02, "linear", "zero")
    assert tried.tried({"training.max_lr": 1e-3, "head": "mlp", "loss.toward": "labels"}) == section


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"search": {"trials": 3}}, ["trials and space belong together"]),
        ({"search": {"space": {"head": ["mlp"]}}}, ["trials and space belong together"]),
        ({"search": {"trials": 1, "space": {"training.maxlr": [1]}}}, ["search.space.training.maxlr", "max_lr"]),
        ({"search": {"trials": 1, "space": {"head": []}}}, ["search.space.head: no values"]),
        ({"search": {"trials": 1, "space": {"training.max_lr": [-1]}}}, ["training.max_lr = -1", "greater than 0"]),
        ({"search": {"trials": 1, "space": {"head": ["ridge", "deep"]}}}, ["chooses its own strength", "deep"]),
        ({"search": {"trials": 1, "space": {"training.epochs": [3]}}}, ["cannot be searched"]),
        ({"layer": "first"}, ["layer", '"first" is not allowed']),
        ({"layer": 0}, ["layer", '"0" is not allowed']),
        ({"split": {"kind": "leave-one-out"}}, ["split.by: missing"]),
        ({"split": {"by": "genre"}}, ["split.by", "leave-one-out"]),
        ({"split": {"kind": "file"}}, ["split.path: missing"]),
        ({"split": {"path": "split.json"}}, ["split.path", '"file"']),
        (
            {"split": {"kind": "holdout"}, "training": {"validation": 0.2}},
            ["training.validation = 0.2", '"holdout" names its validation songs itself'],
        ),
        ({"split": {"kind": "seed"}, "training": {"validation": 0.05}}, ["training.validation = 0.05", '"seed"']),
        (
            {"split": {"kind": "file", "path": "split.json"}, "training": {"validation": 0.2}},
            ["training.validation = 0.2", '"file"'],
        ),
    ],
)
def test_mistakes_of_searches_splits_and_layers(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        parse_experiment({**TRAINED, **settings})
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("split", [{"kind": "holdout"}, {"kind": "seed"}, {"kind": "file", "path": "split.json"}])
def test_the_usual_share_of_validation_songs_is_allowed_where_a_split_fixes_it(split: dict[str, Any]) -> None:
    parse_experiment({**TRAINED, "split": split})
    parse_experiment({**TRAINED, "split": split, "training": {"validation": 0.1}})
    assert parse_experiment({**TRAINED, "training": {"validation": 0.2}}).training.validation == 0.2


def test_two_encoders_cannot_stand_in_one_cell_of_a_design() -> None:
    factors = {"input": "waveform", "trunk": "mamba"}
    twice = [{"name": "mean", "factors": factors}, {"name": "handcrafted", "factors": factors}]
    with pytest.raises(ConfigError, match="another encoder has the same"):
        parse_experiment({"encoders": twice})


def test_a_search_needs_something_to_search() -> None:
    with pytest.raises(ConfigError, match="every head is ridge"):
        parse_experiment({"encoders": ["mean"], "search": {"trials": 2, "space": {"head": ["mlp"]}}})
