"""The 2 x 2 of inputs and trunks: what is equal, what differs, and that each part does what it says."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from affekt.encoders import build_encoder
from affekt.encoders.controlled import (
    FACTORS,
    FRAME,
    FRONT_ENDS,
    MEL,
    MEL_STD_DB,
    SAMPLE_RATE_HZ,
    ControlledEncoder,
    Position,
    log_mel,
    whole_frames,
)
from affekt.encoders.mambavision.model import Attention, MambaMixer
from affekt.encoders.mambavision.scan import selective_scan_sequential
from affekt.errors import EncoderError, ShapeError
from affekt.registry import ENCODERS

NAMES = list(FACTORS)
N_SAMPLES = 16 * FRAME


@pytest.fixture(scope="module")
def encoders() -> dict[str, ControlledEncoder]:
    return {name: build(name) for name in NAMES}


def build(name: str, weights: str = "pretrained", seed: int = 0) -> ControlledEncoder:
    encoder = build_encoder(name, weights, seed)
    assert isinstance(encoder, ControlledEncoder)
    return encoder


def noise(n_samples: int = N_SAMPLES, n_clips: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n_clips, n_samples)).astype(np.float32)


def frames(encoder: ControlledEncoder, clips: np.ndarray) -> np.ndarray:
    """What enters the first block, (n_clips, frames, dim)."""
    return encoder.activations(clips, encoder.cut(f"last{encoder.config.n_blocks}"))


# --- the design ------------------------------------------------------------------------------------------------------


def test_factors_cross_and_are_those_of_the_models(encoders: dict[str, ControlledEncoder]) -> None:
    assert {tuple(factors.values()) for factors in FACTORS.values()} == {
        (heard, trunk) for heard in ("waveform", "log-mel") for trunk in ("transformer", "mamba")
    }
    assert [name for name in ENCODERS.names() if name.startswith(("wave-", "mel-"))] == NAMES
    for name, factors in FACTORS.items():
        encoder = encoders[name]
        assert list(factors) == ["input", "trunk"]
        assert encoder.spec.input == {"waveform": "waveform", "log-mel": "spectrogram"}[factors["input"]]
        mixer = {"transformer": Attention, "mamba": MambaMixer}[factors["trunk"]]
        assert all(isinstance(block.mixer, mixer) for block in encoder.model.blocks)
        assert len(encoder.model.blocks) == encoder.config.n_blocks


@pytest.mark.parametrize("part", ["model", "front_end", "blocks"])
def test_weights_agree_in_number(encoders: dict[str, ControlledEncoder], part: str) -> None:
    """Within 5 %, as the protocol asks; as built, within 1 %, front ends and trunks each by themselves too."""
    modules = [e.model if part == "model" else getattr(e.model, part) for e in encoders.values()]
    sizes = [sum(p.numel() for p in module.parameters()) for module in modules]
    assert max(sizes) <= 1.01 * min(sizes), dict(zip(encoders, sizes, strict=True))


def test_only_the_factors_differ(encoders: dict[str, ControlledEncoder]) -> None:
    settings = [{**vars(e.config), "heard": "", "trunk": ""} for e in encoders.values()]
    assert all(one == settings[0] for one in settings)
    assert len({e.spec.embedding_dim for e in encoders.values()}) == 1
    for one, other in combinations(NAMES, 2):
        ours, theirs = (encoders[name].model for name in (one, other))
        for factor, part in (("input", "front_end"), ("trunk", "blocks")):
            kinds = [[type(m) for m in getattr(model, part).modules()] for model in (ours, theirs)]
            shapes = [[p.shape for p in getattr(model, part).parameters()] for model in (ours, theirs)]
            same = FACTORS[one][factor] == FACTORS[other][factor]
            assert (kinds[0] == kinds[1] and shapes[0] == shapes[1]) == same


def test_nothing_is_augmented_and_no_batch_is_averaged(encoders: dict[str, ControlledEncoder]) -> None:
    for encoder in encoders.values():
        assert encoder.augment() is None
        assert not list(encoder.model.buffers()), "batch norm keeps averages"


def test_strides_make_one_frame() -> None:
    assert np.prod([conv.stride for conv in FRONT_ENDS["waveform"][1]]) == FRAME
    assert np.prod([conv.stride for conv in FRONT_ENDS["log-mel"][1]]) == 1
    assert MEL.hop_length == FRAME == 0.04 * SAMPLE_RATE_HZ
    assert {convs[-1].width for _, convs in FRONT_ENDS.values()} == {64}


# --- what is heard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [FRAME, 5 * FRAME, 5 * FRAME + 1, 6 * FRAME - 1, 8000, 40000])
def test_as_many_frames_from_either_input(encoders: dict[str, ControlledEncoder], n_samples: int) -> None:
    shapes = {frames(encoder, noise(n_samples)).shape for encoder in encoders.values()}
    assert shapes == {(2, n_samples // FRAME, 64)}


def test_input_is_stored_where_everything_is_trained(encoders: dict[str, ControlledEncoder]) -> None:
    clips = noise(N_SAMPLES + 100)
    samples = whole_frames(torch.from_numpy(clips))
    for name, encoder in encoders.items():
        stored = encoder.activations(clips, encoder.cut("none"))
        expected = samples[:, None] if FACTORS[name]["input"] == "waveform" else log_mel(samples)
        np.testing.assert_array_equal(stored, expected.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_counts_up_to_the_last_whole_frame(encoders: dict[str, ControlledEncoder], name: str) -> None:
    """Forty samples changed anywhere within whole frames change the embedding, and behind them they do not."""
    encoder = encoders[name]
    cut = encoder.cut("all")
    clips = noise(4 * FRAME + 200, n_clips=1)
    before = encoder.activations(clips, cut)
    places = [0, 300, FRAME - 20, 2 * FRAME + 100, 4 * FRAME - 40, 4 * FRAME]
    changed = np.repeat(clips, len(places), axis=0)
    for clip, place in zip(changed, places, strict=True):
        clip[place : place + 40] *= -1
    moved = np.abs(encoder.activations(changed, cut) - before).max(axis=1)
    assert (moved[:-1] > 1e-4).all()
    assert moved[-1] < 1e-5


def test_neither_hears_level_nor_offset(encoders: dict[str, ControlledEncoder]) -> None:
    clips = noise()
    for encoder in encoders.values():
        cut = encoder.cut("all")
        expected = encoder.activations(clips, cut)
        np.testing.assert_allclose(encoder.activations(0.1 * clips + 0.2, cut), expected, atol=1e-3)


def test_frames_stand_at_the_same_place(encoders: dict[str, ControlledEncoder]) -> None:
    """A click in the middle of a frame stands in that frame, and alike in its neighbours."""
    click = torch.zeros(1, 17 * FRAME)
    click[0, 8 * FRAME + FRAME // 2] = 1.0
    power = (10 ** (MEL_STD_DB / 10 * log_mel(click)[0])).sum(0)  # (frames,)
    assert int(power.argmax()) == 8
    torch.testing.assert_close(power[7], power[9])
    x: Any = click[:, None]
    for conv in (m for m in encoders["wave-mamba-nano"].model.front_end if isinstance(m, torch.nn.Conv1d)):
        ones = torch.ones(1, 1, conv.kernel_size[0])
        x = torch.nn.functional.conv1d(x, ones, stride=conv.stride, padding=conv.padding)  # where the click arrives
    assert x[0, 0].nonzero().flatten().tolist() in ([7, 8, 9], [8])


def test_silence_has_an_embedding(encoders: dict[str, ControlledEncoder]) -> None:
    for encoder in encoders.values():
        assert np.isfinite(encoder.activations(np.zeros((1, N_SAMPLES), np.float32), encoder.cut("all"))).all()


def test_clips_shorter_than_a_frame(encoders: dict[str, ControlledEncoder]) -> None:
    for encoder in encoders.values():
        with pytest.raises(ShapeError, match="639 samples; at least 640"):
            encoder.activations(noise(FRAME - 1), encoder.cut("none"))


# --- the log-mel front end -------------------------------------------------------------------------------------------


def test_log_mel_is_librosas() -> None:
    """One column for the middle of each frame, in units of 15 dB."""
    samples = whole_frames(torch.from_numpy(noise(12 * FRAME)))
    found = log_mel(samples).numpy()
    for clip, columns in zip(samples.numpy(), found, strict=True):
        padded = np.concatenate([np.zeros(FRAME // 2, np.float32), clip])
        mel = librosa.feature.melspectrogram(
            y=padded, sr=16000, n_fft=2048, win_length=1280, hop_length=640, n_mels=96, fmax=8000, pad_mode="constant"
        )
        expected = librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=80)[:, 1:] / MEL_STD_DB
        assert columns.shape == expected.shape == (96, 12)
        np.testing.assert_allclose(columns, expected, atol=1e-3)


def test_log_mel_values_suit_a_network() -> None:
    """Music-like sound, falling by 6 dB an octave, has about zero mean and unit variance."""
    falling = np.cumsum(noise(100 * FRAME), axis=1)
    values = log_mel(whole_frames(torch.from_numpy(falling)))
    assert abs(values.mean()) < 2 and 0.2 < values.std() < 3


# --- the trunks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_order_of_frames_counts(encoders: dict[str, ControlledEncoder], name: str) -> None:
    """Position comes by a convolution, in both trunks: the same frames in another order sound different."""
    encoder = encoders[name]
    clips = noise(n_clips=1)
    turned = clips.reshape(1, -1, FRAME)[:, ::-1].reshape(1, -1).copy()
    one, other = (encoder.activations(c, encoder.cut("all")) for c in (clips, turned))
    assert np.abs(one - other).max() > 1e-3


def test_position_is_a_convolution_over_its_span() -> None:
    torch.manual_seed(0)
    position = Position(4, 5)
    x = torch.zeros(1, 4, 21)
    x[..., 10] = 1
    with torch.no_grad():
        moved = (position(x) - position(torch.zeros(1, 4, 21)))[0].abs().sum(1) > 0  # (frames,)
    assert moved.nonzero().flatten().tolist() == [8, 9, 10, 11, 12]


@pytest.mark.parametrize("name", [name for name in NAMES if "mamba" in name])
def test_the_fast_scan_gives_what_the_plain_one_gives(name: str) -> None:
    encoder, plain = build(name), build(name)
    for block in plain.model.blocks:
        block.mixer.scan = selective_scan_sequential
    clips = noise()
    cut = encoder.cut("all")
    np.testing.assert_allclose(encoder.activations(clips, cut), plain.activations(clips, cut), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_learns_to_tell_sounds_apart(encoders: dict[str, ControlledEncoder], name: str) -> None:
    encoder = encoders[name]
    cut = encoder.cut("none")
    clips = noise(n_clips=4)
    clips[1::2] = np.cumsum(clips[1::2], axis=1)  # dark and bright noise
    stored = torch.from_numpy(encoder.activations(clips, cut))
    target = torch.tensor([1.0, -1.0, 1.0, -1.0])
    suffix: Any = encoder.suffix(cut)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = torch.nn.Linear(encoder.spec.embedding_dim, 1)
        optimizer = torch.optim.AdamW([*suffix.parameters(), *head.parameters()], lr=3e-3)
        losses = []
        for _ in range(15):
            loss = (head(suffix(stored))[:, 0] - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


# --- names, weights, key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_there_are_no_weights_to_load(name: str) -> None:
    with pytest.raises(EncoderError, match=rf'{name}: weights = "best.safetensors", but .* trained from scratch'):
        build_encoder(name, "best.safetensors")


def test_key_depends_on_input_and_trunk(encoders: dict[str, ControlledEncoder], monkeypatch: Any) -> None:
    assert len({e.settings()["config"] for e in encoders.values()}) == 4
    before = {name: e.settings(e.cut("none"))["config"] for name, e in encoders.items()}
    monkeypatch.setattr("affekt.encoders.controlled.MEL_STD_DB", 10.0)
    changed = {name for name, e in encoders.items() if e.settings(e.cut("none"))["config"] != before[name]}
    assert changed == {name for name in NAMES if FACTORS[name]["input"] == "log-mel"}


def test_any_block_can_be_heard(encoders: dict[str, ControlledEncoder]) -> None:
    encoder = build("mel-mamba-nano")
    last = encoder.activations(noise(), encoder.cut("all"))
    encoder.hear(1)
    first = encoder.activations(noise(), encoder.cut("all"))
    assert first.shape == last.shape and not np.allclose(first, last, atol=1e-3)
