"""Clips to log-mel images, and masks over them while training.

Conventions: an image has its lowest frequency in row 0 and its first frame in column 0; log-mel values are in dB
(10 log10 of power); a normalised image has zero mean and unit variance, so that 0 is its mean. Frames are centred:
clip ends are padded by half a window, with zeros unless told otherwise, and n_frames = 1 + n_samples // hop_length.

The filterbank is Slaney's (Auditory Toolbox 1998: linear below 1 kHz, logarithmic above, each triangle of unit area),
as in librosa. With 256 bands at 16 kHz the HTK scale would leave some of the lowest bands without a single bin.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

_SLANEY_HZ_PER_MEL = 200 / 3  # below the break
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_LOG_STEP = math.log(6.4) / 27  # above it: 27 mel from 1 kHz to 6.4 kHz


@dataclass(frozen=True)
class LogMel:
    """Log-mel spectrograms with the founding recipe's settings as defaults.

    Attributes:
        sample_rate_hz: rate of the clips.
        n_fft: length of the transform, in samples.
        win_length: length of the Hann window, in samples.
        hop_length: step between frames, in samples.
        n_mels: bands.
        f_min_hz: lower edge of the lowest band.
        f_max_hz: upper edge of the highest band; None is half the sample rate.
        mel_scale: "slaney" or "htk".
        area_normalised: divide each triangle by its width, so that white noise is flat.
        power: exponent of the magnitude; 2 is power, 1 is magnitude.
        amin: the smallest value the logarithm sees.
        dynamic_range_db: values further below a clip's maximum are raised to this floor; without it the digital
            silence of a fade would dominate the normalisation.
        pad_mode: what lies beyond the ends of a clip, "constant" for silence or "reflect" for the clip mirrored, which
            must then be longer than n_fft // 2 samples.
    """

    sample_rate_hz: int = 16_000
    n_fft: int = 2048
    win_length: int = 2048
    hop_length: int = 512
    n_mels: int = 256
    f_min_hz: float = 0.0
    f_max_hz: float | None = 8000.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    area_normalised: bool = True
    power: float = 2.0
    amin: float = 1e-10
    dynamic_range_db: float = 80.0
    pad_mode: Literal["constant", "reflect"] = "constant"

    def image(self, clips: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Normalised log-mel images of an encoder's size.

        Args:
            clips: samples, float32, shape (n, n_samples), at `sample_rate_hz`.
            height: of the images, in pixels.
            width: of the images, in pixels.

        Returns:
            Images, shape (n, 1, height, width).
        """
        return resize(normalise(self.log_mel(clips)), height, width)

    def log_mel(self, clips: torch.Tensor) -> torch.Tensor:
        """Log-mel spectrograms in dB.

        Args:
            clips: samples, float32, shape (n, n_samples), at `sample_rate_hz`.

        Returns:
            Shape (n, n_mels, n_frames), n_frames = 1 + n_samples // hop_length.
        """
        db = 10 * torch.log10(self.mel(clips).clamp(min=self.amin))
        return db.maximum(db.amax(dim=(1, 2), keepdim=True) - self.dynamic_range_db)

    def mel(self, clips: torch.Tensor) -> torch.Tensor:
        """Mel spectrograms as they are before the logarithm, the magnitude to the `power`.

        Args:
            clips: samples, float32, shape (n, n_samples), at `sample_rate_hz`.

        Returns:
            Shape (n, n_mels, n_frames), n_frames = 1 + n_samples // hop_length.
        """
        return _filterbank(self, clips.device) @ self._spectra(clips)

    def _spectra(self, clips: torch.Tensor) -> torch.Tensor:
        spectra = torch.stft(
            clips,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window=_window(self.win_length, clips.device),
            center=True,
            pad_mode=self.pad_mode,
            return_complex=True,
        )  # (n, bin, time)
        power = spectra.real.square() + spectra.imag.square()  # a third of the time of abs() ** 2
        return power if self.power == 2 else power ** (self.power / 2)


def normalise(x: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance per sample, over all axes but the first; a constant sample becomes zeros.

    Args:
        x: shape (n, ...).

    Returns:
        The same shape.
    """
    dims = tuple(range(1, x.ndim))
    centred = x - x.mean(dim=dims, keepdim=True)
    deviation = centred.square().mean(dim=dims, keepdim=True).sqrt()
    # what rounding leaves of a constant is noise of 1e-7 of its level, and must not be blown up to unit variance
    level = x.abs().amax(dim=dims, keepdim=True)
    return torch.where(deviation > 1e-6 * level, centred / deviation.clamp(min=1e-12), torch.zeros_like(centred))


def resize(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Spectrograms to images of one size, bilinear with antialiasing.

    Args:
        x: shape (n, n_mels, n_frames).
        height: of the images, in pixels.
        width: of the images, in pixels.

    Returns:
        Shape (n, 1, height, width).
    """
    return functional.interpolate(x[:, None], size=(height, width), mode="bilinear", antialias=True)


class SpecAugment(nn.Module):
    """Hide a band of time and a band of frequency, in training mode only.

    Each image draws its own masks: with `probability` a run of columns, and independently with `probability` a run of
    rows, each of a width uniform over 0 to its maximum, at a place uniform over where it fits. Hidden pixels take the
    image's mean. Draws come from torch's global generator on the CPU, so a seeded run repeats on any device.

    Args:
        time_mask_px: greatest number of hidden columns; the founding recipe has 30.
        frequency_mask_px: greatest number of hidden rows; the founding recipe has 15.
        probability: of each mask.

    Source: Park et al. (2019), Interspeech, "SpecAugment".
    """

    def __init__(self, time_mask_px: int = 30, frequency_mask_px: int = 15, probability: float = 0.5) -> None:
        super().__init__()
        self.time_mask_px = time_mask_px
        self.frequency_mask_px = frequency_mask_px
        self.probability = probability

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mask images of shape (n, channels, height, width); returns the same shape, the input untouched."""
        if not self.training:
            return images
        n, _, height, width = images.shape
        hidden_columns = self._mask(n, width, self.time_mask_px).to(images.device)  # (n, width)
        hidden_rows = self._mask(n, height, self.frequency_mask_px).to(images.device)  # (n, height)
        hidden = hidden_columns[:, None, None, :] | hidden_rows[:, None, :, None]  # (n, 1, height, width)
        return torch.where(hidden, images.mean(dim=(1, 2, 3), keepdim=True), images)

    def extra_repr(self) -> str:
        """The settings, for printing a model."""
        return f"time_mask_px={self.time_mask_px}, frequency_mask_px={self.frequency_mask_px}, p={self.probability}"

    def _mask(self, n: int, size: int, widest: int) -> torch.Tensor:
        """Shape (n, size), True where hidden."""
        drawn, width, place = torch.rand(3, n, 1)
        n_hidden = (width * (min(widest, size) + 1)).floor() * (drawn < self.probability)  # (n, 1)
        first = (place * (size - n_hidden + 1)).floor()  # (n, 1)
        at = torch.arange(size)  # (size,)
        return (at >= first) & (at < first + n_hidden)


@functools.lru_cache(maxsize=16)
def _window(win_length: int, device: torch.device) -> torch.Tensor:
    return torch.hann_window(win_length, periodic=True, device=device)


@functools.lru_cache(maxsize=16)
def _filterbank(spec: LogMel, device: torch.device) -> torch.Tensor:
    """Triangles over the bins of the transform, shape (n_mels, 1 + n_fft // 2)."""
    f_max_hz = spec.sample_rate_hz / 2 if spec.f_max_hz is None else spec.f_max_hz
    lowest, highest = _to_mel(torch.tensor([spec.f_min_hz, f_max_hz], dtype=torch.float64), spec.mel_scale)
    steps = torch.linspace(0, 1, spec.n_mels + 2, dtype=torch.float64)
    edges_hz = _to_hz(lowest + (highest - lowest) * steps, spec.mel_scale)  # (mel + 2,)
    bins_hz = torch.linspace(0, spec.sample_rate_hz / 2, 1 + spec.n_fft // 2, dtype=torch.float64)
    left, centre, right = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - left) / (centre - left), (right - bins_hz) / (right - centre)
    triangles = rising.minimum(falling).clamp(min=0)  # (mel, bin)
    if spec.area_normalised:
        triangles = triangles * 2 / (right - left)
    return triangles.to(device=device, dtype=torch.float32)


def _to_mel(hz: torch.Tensor, scale: str) -> torch.Tensor:
    if scale == "htk":
        return 2595 * torch.log10(1 + hz / 700)
    above = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL + torch.log(hz.clamp(min=1e-9) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    return torch.where(hz < _SLANEY_BREAK_HZ, hz / _SLANEY_HZ_PER_MEL, above)


def _to_hz(mel: torch.Tensor, scale: str) -> torch.Tensor:
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_BREAK_HZ * torch.exp((mel - break_mel) * _SLANEY_LOG_STEP)
    return torch.where(mel < break_mel, mel * _SLANEY_HZ_PER_MEL, above)
