"""Log-mel images against librosa, and the masks over them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from affekt.audio.spectrogram import LogMel, SpecAugment, _filterbank, normalise, resize  # noqa: E402


@pytest.fixture
def clips() -> "torch.Tensor":
    """A chirp and noise that fades to digital silence, shape (2, 2 s at 16 kHz)."""
    time_s = torch.arange(32_000) / 16_000
    chirp = torch.sin(2 * torch.pi * (100 + 1500 * time_s) * time_s)
    noise = torch.randn(32_000, generator=torch.Generator().manual_seed(0)) * (1 - time_s).clamp(min=0)
    return torch.stack([chirp, noise])


# ---- against librosa ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("n_mels", [40, 256])
@pytest.mark.parametrize("f_max_hz", [None, 6000.0])
def test_the_filterbank_is_librosas(scale: str, n_mels: int, f_max_hz: float | None) -> None:
    librosa = pytest.importorskip("librosa")
    spec = LogMel(n_mels=n_mels, f_min_hz=30.0, f_max_hz=f_max_hz, mel_scale=scale)  # type: ignore[arg-type]
    theirs = librosa.filters.mel(
        sr=16_000, n_fft=2048, n_mels=n_mels, fmin=30.0, fmax=f_max_hz, htk=scale == "htk", norm="slaney"
    )
    assert np.allclose(_filterbank(spec, torch.device("cpu")), theirs, atol=1e-7)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_spectrogram_is_librosas(clips: "torch.Tensor", power: float) -> None:
    librosa = pytest.importorskip("librosa")
    ours = LogMel(power=power).log_mel(clips)
    mel = librosa.feature.melspectrogram(
        y=clips.numpy(), sr=16_000, n_fft=2048, hop_length=512, n_mels=256, fmax=8000, power=power
    )
    theirs = np.stack([librosa.power_to_db(each, top_db=80.0) for each in mel])
    assert ours.shape == (2, 256, 1 + 32_000 // 512)
    audible = theirs > theirs.max(axis=(1, 2), keepdims=True) - (79 if power == 2 else 50)  # below is rounding noise
    assert np.abs(ours.numpy() - theirs)[audible].max() < 0.05


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_what_lies_beyond_the_ends_is_as_in_librosa(clips: "torch.Tensor", pad_mode: str) -> None:
    librosa = pytest.importorskip("librosa")
    spec = LogMel(n_fft=512, win_length=512, hop_length=256, n_mels=96, pad_mode=pad_mode)  # type: ignore[arg-type]
    theirs = librosa.feature.melspectrogram(
        y=clips.numpy(), sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode=pad_mode
    )
    assert np.allclose(spec.mel(clips), theirs, rtol=1e-4, atol=1e-5 * theirs.max())


def test_beyond_the_ends_is_silence_by_default(clips: "torch.Tensor") -> None:
    plain, mirrored = LogMel().mel(clips), LogMel(pad_mode="reflect").mel(clips)
    assert torch.equal(plain[:, :, 2:-3], mirrored[:, :, 2:-3])  # away from the ends there is no difference
    assert torch.equal(plain, LogMel(pad_mode="constant").mel(clips))
    assert not torch.allclose(plain[:, :, 0], mirrored[:, :, 0], rtol=0.1)


def test_no_band_of_the_default_is_empty() -> None:
    assert (_filterbank(LogMel(), torch.device("cpu")).sum(dim=1) > 0).all()


def test_the_lowest_frequency_is_row_zero() -> None:
    time_s = torch.arange(16_000) / 16_000
    low, high = LogMel().log_mel(torch.stack([torch.sin(2 * torch.pi * hz * time_s) for hz in (100, 6000)]))
    assert low.mean(dim=1).argmax() < 20 and high.mean(dim=1).argmax() > 200


# ---- images ---------------------------------------------------------------------------------------------------------


def test_an_image_has_the_encoders_size_and_the_clips_dynamics(clips: "torch.Tensor") -> None:
    image = LogMel().image(clips, 224, 192)
    assert image.shape == (2, 1, 224, 192) and image.dtype == torch.float32
    assert image.mean(dim=(1, 2, 3)).abs().max() < 0.05
    assert (image.std(dim=(1, 2, 3)) - 1).abs().max() < 0.2


def test_an_image_does_not_depend_on_its_batch(clips: "torch.Tensor") -> None:
    together = LogMel().image(clips, 64, 64)
    alone = torch.cat([LogMel().image(clip[None], 64, 64) for clip in clips])
    assert torch.allclose(together, alone, atol=1e-4)


def test_loudness_does_not_change_an_image(clips: "torch.Tensor") -> None:
    assert torch.allclose(LogMel().image(clips, 64, 64), LogMel().image(clips / 4, 64, 64), atol=1e-3)


def test_normalise(clips: "torch.Tensor") -> None:
    x = normalise(3 + 5 * torch.randn(4, 7, 9))
    assert x.mean(dim=(1, 2)).abs().max() < 1e-6
    assert (x.var(dim=(1, 2), correction=0) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("level", [0.0, -100.0, 0.1, 1e-30])
def test_a_constant_becomes_zeros(level: float) -> None:
    assert torch.equal(normalise(torch.full((2, 33, 77), level)), torch.zeros(2, 33, 77))


def test_silence_gives_an_empty_image() -> None:
    assert torch.equal(LogMel().image(torch.zeros(1, 16_000), 32, 32), torch.zeros(1, 1, 32, 32))


def test_resizing_keeps_the_mean() -> None:
    x = torch.rand(3, 256, 157)
    assert resize(x, 128, 128).mean() == pytest.approx(float(x.mean()), abs=0.01)


# ---- SpecAugment ----------------------------------------------------------------------------------------------------


def images(n: int = 64, size: int = 40) -> "torch.Tensor":
    """Images without a single pixel at their mean."""
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1)) + 1


def hidden(augment: SpecAugment, x: "torch.Tensor") -> "torch.Tensor":
    return augment(x) != x  # (n, 1, height, width)


def test_nothing_is_hidden_when_evaluating() -> None:
    x = images()
    assert SpecAugment(probability=1.0).eval()(x) is x


def test_something_is_hidden_when_training_and_takes_the_images_mean() -> None:
    x = images()
    before = x.clone()
    y = SpecAugment(10, 5, probability=1.0).train()(x)
    where = y != x
    assert where.any() and torch.equal(x, before)
    means = x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x)
    assert torch.equal(y[where], means[where])


@pytest.mark.parametrize(("time_px", "frequency_px"), [(10, 0), (0, 5)])
def test_masks_are_whole_bands_no_wider_than_allowed_and_reach_every_width(time_px: int, frequency_px: int) -> None:
    torch.manual_seed(0)
    where = hidden(SpecAugment(time_px, frequency_px, probability=1.0), images(2000))[:, 0]  # (n, height, width)
    lines = where.all(dim=1) if time_px else where.all(dim=2)  # (n, size)
    assert torch.equal(where, lines[:, None, :].expand_as(where) if time_px else lines[:, :, None].expand_as(where))
    assert set(lines.sum(dim=1).tolist()) == set(range(max(time_px, frequency_px) + 1))
    edges = (lines[:, 1:] != lines[:, :-1]).sum(dim=1) + lines[:, 0].int() + lines[:, -1].int()
    assert set(edges.tolist()) <= {0, 2}  # one run each
    assert lines.any(dim=0).all()  # every place is reached


def test_each_mask_of_each_image_is_drawn_on_its_own() -> None:
    torch.manual_seed(0)
    where = hidden(SpecAugment(39, 39, probability=0.5), images(4000))[:, 0]
    columns, rows = where.all(dim=1).any(dim=1).float(), where.all(dim=2).any(dim=1).float()
    expected = 0.5 * 39 / 40  # a width of 0 hides nothing
    assert columns.mean() == pytest.approx(expected, abs=0.04) and rows.mean() == pytest.approx(expected, abs=0.04)
    assert (columns * rows).mean() == pytest.approx(expected**2, abs=0.04)


def test_a_seed_repeats_the_masks() -> None:
    x, augment = images(), SpecAugment()
    torch.manual_seed(7)
    first = augment(x)
    second = augment(x)
    torch.manual_seed(7)
    assert torch.equal(augment(x), first) and not torch.equal(second, first)


def test_masks_wider_than_the_image() -> None:
    torch.manual_seed(0)
    y = SpecAugment(500, 500, probability=1.0)(images(50, size=8))
    assert torch.isfinite(y).all()
