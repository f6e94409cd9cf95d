"""What every registered encoder promises, checked over the whole registry; a new one is covered without a line here.

`hf:` is covered once for each family that it takes, by a tiny checkpoint in the official layout.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from affekt.data.base import Song
from affekt.encoders import Cut, Encoder, build_encoder
from affekt.encoders.auto import FAMILIES
from affekt.encoders.base import LookupEncoder
from affekt.encoders.catalogue import catalogue
from affekt.encoders.staged import StagedEncoder, state_digest
from affekt.encoders.stages import run_stages
from affekt.errors import ConfigError, DataError
from affekt.features.keys import DTYPE
from affekt.registry import ENCODERS

#: Embeddings known by song, without audio; `test_audio_is_asked_for` checks that no other encoder belongs here.
LOOKED_UP = {"mean", "precomputed:"}
#: Nothing about them can be trained; `test_what_can_be_trained` checks that no other encoder belongs here.
FIXED = {*LOOKED_UP, "handcrafted"}
#: One published model of each kind runs always, these on demand.
SLOW = {"wav2vec2-large", "hubert-base", "wavlm-base-plus", "data2vec-audio-base"}
SLOW |= {"mambavision-t2", "mambavision-s", "mambavision-b", "mambavision-l", "mambavision-l2"}
#: So many parameters make a network too large to try all cuts: its smaller sisters share its code.
LARGE = 60_000_000
#: So many make one that is only built, heard once, and held to its rebuilt form, for the same reason.
HUGE = 100_000_000


def params() -> list[Any]:
    entries = [name for name in ENCODERS.names() if name != "hf:"] + [f"hf:{family}" for family in FAMILIES]
    return [pytest.param(entry, marks=pytest.mark.slow if entry in SLOW else ()) for entry in entries]


@dataclass
class Built:
    """An encoder, how it was asked for, and whether building it drew from the caller's random numbers."""

    entry: str
    name: str
    weights: str
    encoder: Encoder
    random_kept: bool


@pytest.fixture(scope="module")
def names(publish: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What to write for the entries that take an argument."""
    folder = tmp_path_factory.mktemp("arguments")
    for family in FAMILIES:
        publish(family, folder / family)
    (folder / "embeddings.csv").write_text("song,a,b,c\n1,0.5,-1,2\n2,1e-3,4,5\n")
    written = {f"hf:{family}": f"hf:{folder / family}" for family in FAMILIES}
    return {**written, "precomputed:": f"precomputed:{folder / 'embeddings.csv'}"}


def build(entry: str, names: dict[str, str]) -> Built:
    name, weights = names.get(entry, entry), "pretrained" if entry.startswith("hf:") else "random"
    before = random_states()
    encoder = build_encoder(name, weights, seed=0)
    return Built(entry, name, weights, encoder, random_states() == before)


def random_states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


@pytest.fixture(scope="module", params=params())
def built(request: pytest.FixtureRequest, names: dict[str, str]) -> Built:
    """Each encoder, built once and let go before the next: pytest runs all tests of one parameter in a row."""
    return build(request.param, names)


@pytest.fixture
def hearing(built: Built) -> Encoder:
    """Each encoder that takes audio."""
    if built.entry in LOOKED_UP:
        pytest.skip("takes no audio")
    return built.encoder


@pytest.fixture
def staged(built: Built) -> StagedEncoder:
    """Each encoder that can be trained."""
    if built.entry in FIXED:
        pytest.skip("has nothing to train")
    assert isinstance(built.encoder, StagedEncoder)
    return built.encoder


@pytest.fixture
def handy(staged: StagedEncoder) -> StagedEncoder:
    """Each encoder that can be trained in a second or two."""
    if staged.n_parameters() > HUGE:
        pytest.skip("huge: its smaller sisters share its code")
    return staged


def two_clips(encoder: Encoder, length_s: float = 0.5) -> np.ndarray:
    """A soft chord and loud noise, shape (2, n_samples)."""
    rate_hz = encoder.spec.sample_rate_hz
    assert rate_hz is not None
    t_s = np.arange(round(length_s * rate_hz)) / rate_hz
    chord = 0.1 * np.sin(2 * np.pi * 220 * t_s) + 0.05 * np.sin(2 * np.pi * 277 * t_s)
    noise = 0.8 * np.random.default_rng(0).uniform(-1, 1, t_s.size)
    return np.stack([chord, noise]).astype(np.float32)


def cuts_to_try(encoder: StagedEncoder) -> list[str]:
    """Values of `freeze` that train something: all; of deep or large networks the outermost and some between."""
    trained = freezes(encoder)[1:]
    step = 1 + len(trained) // (8 if encoder.n_parameters() < LARGE else 2)
    return trained if step == 1 else [*trained[:-1:step], trained[-1]]


def freezes(encoder: StagedEncoder) -> list[str]:
    """Every value of `freeze` that the encoder takes."""
    found = ["all"]
    while True:
        try:
            encoder.cut(f"last{len(found)}")
        except ConfigError:
            return [*found, "none"]
        found.append(f"last{len(found)}")


# --- what it says of itself ------------------------------------------------------------------------------------------


def test_spec(built: Built) -> None:
    spec = built.encoder.spec
    assert spec.name == built.name
    assert spec.input in ("waveform", "spectrogram", "descriptors", "embeddings", "nothing")
    assert (spec.sample_rate_hz is not None) == built.encoder.needs_audio
    assert spec.sample_rate_hz is None or 8000 <= spec.sample_rate_hz <= 48000
    assert spec.embedding_dim > 0 or built.entry == "mean"
    assert spec.licence
    (row,) = [row for row in catalogue() if row["name"].partition("<")[0] == ENCODERS.key(built.name)]
    assert spec.input in row["input"].split(" or "), "the catalogue says otherwise"
    assert "unknown" not in row.values(), "give it a line in the catalogue"
    if isinstance(built.encoder, StagedEncoder) and built.weights == "random":
        assert spec.weights == "random weights (seed 0)"
    else:
        assert spec.weights and "random" not in spec.weights


def test_audio_is_asked_for(built: Built) -> None:
    song = Song("1", None, (5.0, 5.0))
    assert built.encoder.needs_audio == (built.entry not in LOOKED_UP)
    assert isinstance(built.encoder, LookupEncoder) != built.encoder.needs_audio
    assert built.encoder.missing([song]) == ({"1": "no audio file"} if built.encoder.needs_audio else {})


def test_what_can_be_trained(built: Built) -> None:
    assert isinstance(built.encoder, StagedEncoder) == (built.entry not in FIXED)
    if built.entry in FIXED:
        assert all(built.encoder.cut(freeze) == Cut(1, "all", frozen=True) for freeze in ("all", "last2", "none"))
        assert built.encoder.suffix(built.encoder.cut("none")) is None


def test_building_draws_no_random_numbers_of_the_caller(built: Built) -> None:
    assert built.random_kept


def test_settings(built: Built) -> None:
    settings = built.encoder.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["encoder"] == built.name
    assert isinstance(settings["code_version"], int)


def test_number_of_parameters(built: Built) -> None:
    if built.entry in FIXED:
        assert built.encoder.n_parameters() == 0
    else:
        assert built.encoder.n_parameters() == sum(p.numel() for p in built.encoder.model.parameters()) > 1000


def test_weights_follow_the_seed(handy: StagedEncoder) -> None:
    if "random" not in handy.spec.weights:
        assert build_encoder(handy.spec.name, "pretrained", seed=1).settings() == handy.settings()
        return
    other = build_encoder(handy.spec.name, "random", seed=1)
    assert other.spec.weights == "random weights (seed 1)"
    assert other.settings()["weights"] != handy.settings()["weights"]
    # Only weights before the cut count: all draws share the input that is stored where everything is trained.
    everything, last = handy.cut("none"), handy.cut("last1")
    assert other.settings(everything) == handy.settings(everything)
    assert other.settings(last)["weights"] != handy.settings(last)["weights"] != handy.settings()["weights"]


@pytest.mark.parametrize("name", [name for name in ENCODERS.names() if name.endswith("-nano")])
def test_same_seed_same_weights(name: str) -> None:
    assert build_encoder(name, "random", seed=3).settings() == build_encoder(name, "pretrained", seed=3).settings()


# --- activations -----------------------------------------------------------------------------------------------------


def test_embeddings(hearing: Encoder) -> None:
    clips = two_clips(hearing)
    cut = hearing.cut("all")
    found = hearing.activations(clips, cut)
    assert found.shape == (2, hearing.spec.embedding_dim)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert not np.allclose(found[0], found[1], atol=1e-3), "two different clips sound the same"
    np.testing.assert_array_equal(hearing.activations(clips, cut), found)


def test_clip_by_clip_as_in_a_batch(hearing: Encoder) -> None:
    if hearing.n_parameters() > HUGE:
        pytest.skip("huge: its smaller sisters share its code")
    clips = two_clips(hearing, length_s=0.65)
    for freeze in ("all", "none"):
        cut = hearing.cut(freeze)
        together = hearing.activations(clips, cut)
        alone = np.concatenate([hearing.activations(clip[None], cut) for clip in clips])
        np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-4 * np.abs(together).max())


def test_the_rebuilt_prefix_is_the_plain_one(staged: StagedEncoder) -> None:
    cut = staged.cut("all")
    length_s = min(3.2, staged.longest_clip_s or math.inf)
    x = staged.preprocess(torch.from_numpy(two_clips(staged, length_s)))
    with torch.inference_mode():
        quick = run_stages(staged.prefix(cut), x)
        plain = run_stages(staged.heard()[: cut.index], x)
    assert relative_error(quick, plain) < 2e-5


def test_the_rebuilt_prefix_follows_the_weights(handy: StagedEncoder) -> None:
    cut, x = handy.cut("all"), torch.from_numpy(two_clips(handy))
    before = handy.activations(x.numpy(), cut)
    kept = [parameter.detach().clone() for parameter in handy.model.parameters()]
    with torch.no_grad():
        for parameter in handy.model.parameters():
            parameter.mul_(1.01)
    try:
        with torch.inference_mode():
            plain = run_stages(handy.heard()[: cut.index], handy.preprocess(x))
        after = torch.from_numpy(handy.activations(x.numpy(), cut))
        assert relative_error(after, plain) < 2e-5
        assert not torch.equal(after, torch.from_numpy(before))
    finally:
        with torch.no_grad():
            for parameter, value in zip(handy.model.parameters(), kept, strict=True):
                parameter.copy_(value)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_looked_up(names: dict[str, str]) -> None:
    for entry in sorted(LOOKED_UP):
        encoder = build(entry, names).encoder
        assert isinstance(encoder, LookupEncoder)
        found = encoder.lookup(Song("1", None, (5.0, 5.0)))
        assert found.shape == (1, encoder.spec.embedding_dim)
        assert found.dtype == np.float32
        with pytest.raises(DataError, match="looked up by song"):
            encoder.activations(np.zeros((1, 16000), np.float32), encoder.cut("all"))


def test_any_layer_can_be_heard_or_none(staged: StagedEncoder) -> None:
    clips = two_clips(staged)
    n_layers = sum(stage.is_layer for stage in staged.stages())
    if staged.layer_pool() is None:
        with pytest.raises(ConfigError, match="no layers to choose from"):
            staged.hear(1)
        return
    with pytest.raises(ConfigError, match=f'allowed are "last", "weighted" and 1 to {n_layers}'):
        staged.hear(n_layers + 1)
    try:
        staged.hear("weighted")
        every = staged.activations(clips, staged.cut("all"))
        assert every.shape == (2, n_layers, staged.spec.embedding_dim)
        assert through(staged, staged.cut("all"), every).shape == (2, staged.spec.embedding_dim)
        staged.hear(1)
        first = staged.activations(clips, staged.cut("all"))
        np.testing.assert_allclose(first, every[:, 0], rtol=1e-4, atol=1e-5 * np.abs(first).max())
    finally:
        staged.hear("last")


# --- prefix and suffix -----------------------------------------------------------------------------------------------


def test_suffix_of_prefix_is_the_whole_at_every_cut(handy: StagedEncoder) -> None:
    clips = two_clips(handy)[1:]
    whole = handy.activations(clips, handy.cut("all"))
    scale = np.abs(whole).max()
    names = []
    for freeze in cuts_to_try(handy):
        cut = handy.cut(freeze)
        names.append(cut.name)
        stored = handy.activations(clips, cut)
        assert stored.dtype == np.float32
        assert len(stored) == 1
        assert np.abs(stored).max() < np.finfo(DTYPE).max, "would be cut off in the store"
        np.testing.assert_allclose(through(handy, cut, stored), whole, rtol=1e-4, atol=1e-5 * scale)
    assert len(set(names)) == len(names)


def test_half_precision_is_enough(handy: StagedEncoder) -> None:
    """What the store keeps gives the same embeddings but for the rounding of half precision."""
    clips = two_clips(handy)[1:]
    whole = handy.activations(clips, handy.cut("all"))
    for freeze in ("last1", "none"):
        cut = handy.cut(freeze)
        stored = handy.activations(clips, cut).astype(DTYPE).astype(np.float32)
        np.testing.assert_allclose(through(handy, cut, stored), whole, atol=0.02 * np.abs(whole).max())


def through(encoder: StagedEncoder, cut: Cut, stored: np.ndarray) -> np.ndarray:
    suffix = encoder.suffix(cut)
    assert suffix is not None
    with torch.no_grad():
        return suffix.eval()(torch.from_numpy(stored)).numpy()


def test_suffix_holds_exactly_what_stands_behind_the_cut(handy: StagedEncoder) -> None:
    stages = handy.stages()
    for freeze in cuts_to_try(handy):
        cut = handy.cut(freeze)
        suffix = handy.suffix(cut)
        assert suffix is not None
        behind = [parameter for stage in stages[cut.index :] for parameter in stage.parameters()]
        held = list(suffix.parameters())
        assert len(held) == len(behind) > 0
        assert all(parameter.requires_grad for parameter in held)
        assert all(torch.equal(one, other) and one is not other for one, other in zip(held, behind, strict=True))
        assert not shared_memory(suffix, handy.model)


def shared_memory(one: torch.nn.Module, other: torch.nn.Module) -> set[int]:
    """Addresses of tensors that both modules hold."""
    places = [{t.data_ptr() for t in (*m.parameters(), *m.buffers()) if t.numel()} for m in (one, other)]
    return places[0] & places[1]


def test_stages_share_no_parameters(staged: StagedEncoder) -> None:
    of = [id(parameter) for stage in staged.stages() for parameter in stage.parameters()]
    assert len(set(of)) == len(of)


def test_freezing_more_layers_than_there_are(staged: StagedEncoder) -> None:
    n_layers = len(freezes(staged)) - 2
    assert n_layers >= 2
    with pytest.raises(ConfigError, match=rf'freeze = "last{n_layers + 1}", but the encoder has {n_layers} layers'):
        staged.cut(f"last{n_layers + 1}")


def test_cuts_follow_each_other(staged: StagedEncoder) -> None:
    """last1 trains the last layer, lastN those of last(N-1) and one more, none everything."""
    cuts = [staged.cut(freeze) for freeze in freezes(staged)]
    assert cuts[0].frozen and cuts[0].index == len(staged.stages())
    assert not any(cut.frozen for cut in cuts[1:])
    assert [cut.index for cut in cuts] == sorted((cut.index for cut in cuts), reverse=True)
    assert cuts[-1].index == 0
    for n_trained, cut in enumerate(cuts[1:-1], start=1):
        stages = staged.stages()
        assert sum(stage.is_layer for stage in stages[cut.index :]) == n_trained
        assert stages[cut.index].is_layer and stages[cut.index].name == cut.name


@pytest.mark.parametrize("freeze", ["last1", "none"])
def test_suffix_trains_and_nothing_else_changes(handy: StagedEncoder, freeze: str) -> None:
    cut = handy.cut(freeze)
    before = state_digest(handy.model)
    stored = torch.from_numpy(handy.activations(two_clips(handy)[1:], cut))
    suffix, twin = handy.suffix(cut), handy.suffix(cut)
    assert suffix is not None and twin is not None
    suffix.eval()  # without dropout and dropped paths, every weight takes part
    embeddings = suffix(stored)
    target = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
    (embeddings - target).square().sum().backward()
    for name, parameter in suffix.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert torch.isfinite(parameter.grad).all()
        # The bias of keys moves all scores of a query alike, which softmax does not see.
        assert parameter.grad.any() or name.endswith(("k_proj.bias", "key.bias")), f"the gradient of {name} is 0"
    torch.optim.SGD(suffix.parameters(), lr=1e-3).step()
    suffix.train()(stored)  # moves the averages of batch normalisation, too
    assert not same_state(suffix, twin)
    assert all(parameter.grad is None for parameter in (*handy.model.parameters(), *twin.parameters()))
    fresh = handy.suffix(cut)
    assert fresh is not None and same_state(fresh, twin)
    assert state_digest(handy.model) == before


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    states = [module.state_dict() for module in (one, other)]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def test_suffix_goes_to_another_device_as_a_whole(handy: StagedEncoder) -> None:
    """Nothing that the suffix computes with is left behind, not even what it borrows from before the cut."""
    cut = handy.cut("last1")
    stored = torch.from_numpy(handy.activations(two_clips(handy), cut))
    suffix = handy.suffix(cut)
    assert suffix is not None
    elsewhere = suffix.to("meta")(stored.to("meta"))
    assert elsewhere.device.type == "meta"
    assert elsewhere.shape == (2, handy.spec.embedding_dim)


def test_paths_in_names_are_kept(names: dict[str, str]) -> None:
    """A run is told apart by the encoder's name, so the name is what the experiment file says."""
    for entry, name in names.items():
        assert ENCODERS.key(name) == entry.partition(":")[0] + ":"
        assert build(entry, names).encoder.spec.name == name
        assert Path(name.partition(":")[2]).exists()
