"""Who takes part: one encoder for each entry and seed, untrained twins where asked for, all mistakes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affekt.config import Experiment, parse_experiment
from affekt.contender import Contender, enter
from affekt.data import Dataset, load_dataset
from affekt.encoders import build_encoder
from affekt.encoders.waveform import WaveformEncoder
from affekt.errors import ConfigError


@pytest.fixture
def songs(song_folder: Path) -> Dataset:
    return load_dataset("folder", root=song_folder)


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """A saved model: its weights are given, whatever they are."""
    encoder: Any = build_encoder("wav2vec2-nano")
    encoder.model.save_pretrained(tmp_path / "saved")
    return str(tmp_path / "saved")


def entered(songs: Dataset, **settings: Any) -> list[Contender]:
    return enter(experiment(**settings), songs, quiet=True)


def experiment(**settings: Any) -> Experiment:
    return parse_experiment({"seeds": [0, 1], **settings})


def test_an_untrained_encoder_has_weights_of_its_own_for_each_seed(songs: Dataset) -> None:
    (contender,) = entered(songs, encoders=["wav2vec2-nano"])
    first, second = contender.encoders.values()
    assert first.settings() != second.settings()
    assert [encoder.spec.weights for encoder in (first, second)] == [f"random weights (seed {i})" for i in (0, 1)]


def test_given_weights_are_shared_by_all_seeds(songs: Dataset, checkpoint: str) -> None:
    contenders = entered(songs, encoders=["mean", {"name": "wav2vec2-nano", "weights": checkpoint}])
    assert all(contender.encoders[0] is contender.encoders[1] for contender in contenders)


def test_every_encoder_with_given_weights_gets_its_untrained_twin(songs: Dataset, checkpoint: str) -> None:
    encoders = ["mean", f"hf:{checkpoint}", "mambavision-nano"]
    contenders = entered(songs, encoders=encoders, untrained_twins=True)
    twins = {contender.title: contender.twin_of for contender in contenders}
    assert twins == {"mean": None, "hf:saved": None, "hf:saved (untrained)": "hf:saved", "mambavision-nano": None}
    trained, twin = (contender for contender in contenders if contender.title.startswith("hf:"))
    assert twin.encoder.drawn and not trained.encoder.drawn
    assert twin.encoder.n_parameters() == trained.encoder.n_parameters()
    assert (twin.cut, twin.plan, twin.section.head) == (trained.cut, trained.plan, trained.section.head)


def test_a_twin_must_not_take_the_name_of_another(songs: Dataset, checkpoint: str) -> None:
    encoders = [f"hf:{checkpoint}", {"name": "wav2vec2-nano", "label": "hf:saved (untrained)"}]
    with pytest.raises(ConfigError, match="named twice"):
        entered(songs, encoders=encoders, untrained_twins=True)


def test_all_mistakes_are_told_together(songs: Dataset) -> None:
    encoders = [{"name": "hf:/not/there"}, {"name": "mambavision-nano", "freeze": "last99", "head": "mlp"}, "mean"]
    with pytest.raises(ConfigError) as error:
        entered(songs, encoders=encoders)
    assert "hf:/not/there" in str(error.value) and "last99" in str(error.value)


def test_clips_that_are_too_long_are_told_before_any_work(songs: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WaveformEncoder, "longest_clip_s", 4.0, raising=False)
    with pytest.raises(ConfigError, match="length_s is 5; this encoder takes up to 4 s"):
        entered(songs, encoders=["wav2vec2-nano"])
