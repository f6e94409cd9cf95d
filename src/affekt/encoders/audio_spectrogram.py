"""Encoders pretrained on spectrograms of sound: AST, Whisper's encoder, CLAP's audio tower. Each has its own front end.

A front end computes what transformers' feature extractor of the family does, with the values of the checkpoint's
preprocessor_config.json, in torch and for a whole batch. Clips shorter than what the model takes are filled up as that
extractor does: AST with zeros to max_length frames (10.24 s), Whisper with silence to 30 s, CLAP by repeating the clip
as often as it fits in 10 s. Longer clips are refused. Nothing is drawn at random: no dither, no random crop.

Pooling: AST and Whisper hear the filling too, but it stays out of the mean, which goes over the patches or frames of
the clip alone, and not over AST's two special tokens. To know them after any cut, a spectrogram and what leaves each
stage carry one channel more, the last one: 1 where there is sound, 0 where there is none. CLAP's mean goes over all
patches, as its own does.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from affekt.audio.spectrogram import LogMel
from affekt.encoders import windows
from affekt.encoders.pretrained import Network, Pretrained, PretrainedEncoder, transformers_for
from affekt.encoders.stages import Stage
from affekt.errors import WeightsError

# --- AST -------------------------------------------------------------------------------------------------------------


def ast(source: Pretrained) -> PretrainedEncoder:
    """Audio Spectrogram Transformer. Source: Gong, Chung & Glass 2021, arXiv 2104.01778."""
    config = source.config
    said = source.preprocessor(
        sampling_rate=16000,
        num_mel_bins=config.num_mel_bins,
        max_length=config.max_length,
        do_normalize=True,
        mean=-4.2677393,
        std=4.5689974,
    )
    _see_that_it_fits(source, "num_mel_bins", said["num_mel_bins"], config.num_mel_bins)
    _see_that_it_fits(source, "max_length", said["max_length"], config.max_length)
    mean, std = (said["mean"], said["std"]) if said["do_normalize"] else (0.0, 0.5)  # 2 * 0.5 leaves it as it is
    front_end = AstFrontEnd(said["sampling_rate"], config.num_mel_bins, config.max_length, mean, std)
    model = source.model()
    first = Stage("frontend", (model.embeddings,), _ast_frontend)
    network = _transformer(first, model.layers, model.layernorm, config.hidden_size)
    return PretrainedEncoder(source, model, network, front_end)


@dataclass(frozen=True)
class AstFrontEnd:
    """Kaldi's log filterbank: frames of 25 ms each 10 ms, not centred, natural logarithm, normalised by two constants.

    Attributes:
        sample_rate_hz: of the clips.
        n_mels: bands from 20 Hz to half the sample rate, triangles on the mel axis.
        n_frames: of every spectrogram; what a clip leaves is 0 before normalisation.
        mean, std: over the corpus of pretraining; values become (x - mean) / (2 std).
    """

    sample_rate_hz: int
    n_mels: int
    n_frames: int
    mean: float
    std: float

    #: Kaldi's defaults, in samples at 16 kHz: transformers fixes them, whatever the sample rate.
    FRAME, HOP, N_FFT = 400, 160, 512
    PREEMPHASIS = 0.97
    FLOOR = 1.192092955078125e-07

    @property
    def longest_clip(self) -> int:
        """The samples of `n_frames` whole frames, and what remains of the last hop."""
        return self.FRAME + self.n_frames * self.HOP - 1

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) -> (n_clips, n_frames, n_mels + 1), the last channel 1 where there is sound."""
        clips = functional.pad(clips, (0, max(0, self.FRAME - clips.shape[-1]))).double()
        frames = clips.unfold(-1, self.FRAME, self.HOP)  # (n_clips, frames, FRAME)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        frames = frames - self.PREEMPHASIS * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        window = torch.hann_window(self.FRAME, periodic=False, dtype=frames.dtype, device=frames.device)
        power = torch.fft.rfft(frames * window, self.N_FFT).abs().square()  # (n_clips, frames, bins)
        bands = power @ _kaldi_filters(self, power.device)
        log_mel = bands.clamp(min=self.FLOOR).log().float()  # (n_clips, frames, n_mels)
        return _filled((_padded(log_mel, self.n_frames) - self.mean) / (2 * self.std), log_mel.shape[1])


@functools.lru_cache(maxsize=4)
def _kaldi_filters(front_end: AstFrontEnd, device: torch.device) -> Tensor:
    """Triangles over the bins of the transform, (bins, n_mels)."""
    transformers_for("AST")
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the lowest of the published 128 bands fall between two bins and are empty
        filters = mel_filter_bank(
            num_frequency_bins=front_end.N_FFT // 2 + 1,
            num_mel_filters=front_end.n_mels,
            min_frequency=20,
            max_frequency=front_end.sample_rate_hz // 2,
            sampling_rate=front_end.sample_rate_hz,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
    return torch.from_numpy(filters).to(device)


def _ast_frontend(embeddings: Any, x: Tensor) -> Tensor:
    """(batch, frames, n_mels + 1) -> patches and special tokens, (batch, 2 + patches, dim + 1)."""
    tokens = embeddings(x[..., :-1])  # (batch, 2 + patches, dim)
    n_rows, n_columns = embeddings.get_shape(embeddings.config)
    starts = x[:, :: embeddings.config.time_stride, -1][:, :n_columns]  # a patch counts if it begins within the clip
    special = starts.new_zeros(x.shape[0], tokens.shape[1] - n_rows * n_columns)
    return _with_sound(tokens, torch.cat([special, starts.repeat(1, n_rows)], dim=1))


# --- Whisper ---------------------------------------------------------------------------------------------------------


def whisper(source: Pretrained) -> PretrainedEncoder:
    """Whisper's encoder; the decoder is not loaded. Source: Radford et al. 2022, arXiv 2212.04356."""
    config = source.config
    said = source.preprocessor(
        sampling_rate=16000, feature_size=config.num_mel_bins, n_fft=400, hop_length=160, chunk_length=30
    )
    _see_that_it_fits(source, "feature_size", said["feature_size"], config.num_mel_bins)
    mel = LogMel(
        sample_rate_hz=said["sampling_rate"],
        n_fft=said["n_fft"],
        win_length=said["n_fft"],
        hop_length=said["hop_length"],
        n_mels=config.num_mel_bins,
        pad_mode="reflect",
    )
    front_end = WhisperFrontEnd(mel, said["chunk_length"])
    n_frames = front_end.longest_clip // mel.hop_length
    _see_that_it_fits(source, "frames of chunk_length", n_frames, 2 * config.max_source_positions)
    encoder = transformers_for(source.name).models.whisper.modeling_whisper.WhisperEncoder
    model = source.model(encoder, renamed={r"^(model\.)?encoder\.": ""})
    frontend = partial(_whisper_frontend, positions=model.embed_positions, dropout=model.dropout)
    first = Stage("frontend", (model.conv1, model.conv2), frontend)
    network = _transformer(first, model.layers, model.layer_norm, config.d_model)
    return PretrainedEncoder(source, model, network, front_end)


@dataclass(frozen=True)
class FixedWindow:
    """A spectrogram of a fixed length, which clips are filled up to.

    Attributes:
        mel: the spectrogram.
        length_s: its length.
    """

    mel: LogMel
    length_s: int

    @property
    def sample_rate_hz(self) -> int:
        """Of the clips."""
        return self.mel.sample_rate_hz

    @property
    def longest_clip(self) -> int:
        """In samples."""
        return self.length_s * self.sample_rate_hz


@dataclass(frozen=True)
class WhisperFrontEnd(FixedWindow):
    """Log-mel: log10, at most 8 below a clip's maximum, then (x + 4) / 4; filled up with silence."""

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) -> (n_clips, n_frames, n_mels + 1), the last channel 1 where there is sound."""
        mel = self.mel.mel(functional.pad(clips, (0, self.longest_clip - clips.shape[-1])))[..., :-1]
        log_mel = mel.clamp(min=self.mel.amin).log10()  # (n_clips, n_mels, n_frames)
        log_mel = log_mel.maximum(log_mel.amax(dim=(1, 2), keepdim=True) - 8)
        return _filled(((log_mel + 4) / 4).mT, -(-clips.shape[-1] // self.mel.hop_length))


def _whisper_frontend(conv1: nn.Module, conv2: nn.Module, x: Tensor, positions: nn.Embedding, dropout: float) -> Tensor:
    """(batch, frames, n_mels + 1) -> (batch, frames / 2, dim + 1). The table of positions is never trained."""
    hidden = functional.gelu(conv1(x[..., :-1].transpose(1, 2)))  # (batch, dim, frames)
    hidden = functional.gelu(conv2(hidden)).transpose(1, 2) + positions.weight  # (batch, frames / 2, dim)
    return _with_sound(functional.dropout(hidden, dropout, conv1.training), x[:, ::2, -1])


# --- CLAP ------------------------------------------------------------------------------------------------------------


def clap(source: Pretrained) -> PretrainedEncoder:
    """CLAP's audio tower up to its pooled output, without projection, text tower and fusion of longer clips.

    Source: Wu et al. 2023, arXiv 2211.06687; Chen et al. 2022, arXiv 2202.00874 (HTSAT).
    """
    config = getattr(source.config, "audio_config", source.config)
    config.enable_fusion = False  # clips are never longer than the model's input, so there is nothing to fuse
    front_end = _clap_front_end(source, config.num_mel_bins, config.spec_size)
    architecture = transformers_for(source.name).ClapAudioModel
    model = source.model(architecture, config, renamed={r"^audio_model\.": ""})
    tower = model.audio_encoder
    to_image = partial(_clap_frontend, side=config.spec_size, n_bands=config.num_mel_bins)
    stages = [
        Stage("frontend", (tower.batch_norm, tower.patch_embed), to_image),
        *windows.levels(tower.layers, tower.patch_embed.grid_size),
        Stage("pool", (tower.norm,), windows.mean_over_patches),
    ]
    return PretrainedEncoder(source, model, Network(stages, tower.num_features), front_end)


def _clap_front_end(source: Pretrained, n_mels: int, side: int) -> ClapFrontEnd:
    said = source.preprocessor(
        sampling_rate=48000,
        feature_size=n_mels,
        fft_window_size=1024,
        hop_length=480,
        max_length_s=10,
        frequency_min=0.0,
        frequency_max=14000.0,
        padding=("repeatpad", "repeat", "pad"),
        truncation=("fusion", "rand_trunc"),
    )
    _see_that_it_fits(source, "feature_size", said["feature_size"], n_mels)
    slaney = said["truncation"] != "fusion"  # models with fusion were trained on the other kind of filters
    mel = LogMel(
        sample_rate_hz=said["sampling_rate"],
        n_fft=said["fft_window_size"],
        win_length=said["fft_window_size"],
        hop_length=said["hop_length"],
        n_mels=n_mels,
        f_min_hz=said["frequency_min"],
        f_max_hz=said["frequency_max"],
        mel_scale="slaney" if slaney else "htk",
        area_normalised=slaney,
        pad_mode="reflect",
    )
    front_end = ClapFrontEnd(mel, said["max_length_s"], said["padding"])
    n_frames, room = 1 + front_end.longest_clip // mel.hop_length, side * (side // n_mels)
    if n_frames > room:
        _see_that_it_fits(source, "frames of max_length_s", n_frames, room)
    return front_end


@dataclass(frozen=True)
class ClapFrontEnd(FixedWindow):
    """Log-mel in dB.

    Attributes:
        padding: "repeatpad" repeats the clip as often as it fits in whole and fills up with zeros, "repeat" goes on
            repeating to the end, "pad" fills up with zeros alone.
    """

    padding: str

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) -> (n_clips, 1, n_frames, n_mels)."""
        fits = self.longest_clip // clips.shape[-1]
        times = {"repeatpad": fits, "repeat": fits + 1, "pad": 1}[self.padding]
        filled = clips.repeat(1, times)[:, : self.longest_clip]
        mel = self.mel.mel(_padded(filled, self.longest_clip))
        return 10 * mel.clamp(min=self.mel.amin).log10().mT[:, None]


def _clap_frontend(batch_norm: nn.Module, patch_embed: nn.Module, x: Tensor, side: int, n_bands: int) -> Tensor:
    """(batch, 1, frames, n_bands) -> patches of a square image, (batch, patches, dim).

    The spectrogram is stretched in time, cut into `side / n_bands` pieces, and the pieces are stacked over each other.
    """
    # One mean and variance for each band. With frames as an axis of their own torch 2.13 gives the weights wrong
    # gradients on the CPU wherever the input and the gradient of the output lie differently in memory.
    x = batch_norm(x.reshape(-1, n_bands, 1, 1)).reshape(x.shape)
    n_pieces = side // n_bands
    x = functional.interpolate(x, (side * n_pieces, side // n_pieces), mode="bicubic", align_corners=True)
    pieces = x.reshape(x.shape[0], n_pieces, side, side // n_pieces)  # (batch, piece, frame, band)
    patches: Tensor = patch_embed(pieces.transpose(2, 3).reshape(x.shape[0], 1, -1, side))
    return patches


# --- what they share -------------------------------------------------------------------------------------------------


def _transformer(first: Stage, layers: Iterable[nn.Module], norm: nn.Module, dim: int) -> Network:
    """Front end, one stage per layer, norm and mean over what holds sound."""
    middle = [Stage(f"layer{i}", (layer,), _layer, is_layer=True) for i, layer in enumerate(layers, start=1)]
    return Network([first, *middle, Stage("pool", (norm,), _pool)], dim, pool=Stage("pool", (), _pool))


def _layer(layer: nn.Module, x: Tensor) -> Tensor:
    """One transformer layer, (batch, tokens, dim + 1) -> the same."""
    return _with_sound(layer(x[..., :-1], None), x[..., -1])


def _pool(*norm_and_x: Any) -> Tensor:
    """Mean over the tokens that hold sound, (batch, tokens, dim + 1) -> (batch, dim)."""
    *norm, x = norm_and_x
    hidden, sound = x[..., :-1], x[..., -1:]
    hidden = norm[0](hidden) if norm else hidden
    return (hidden * sound).sum(dim=1) / sound.sum(dim=1)


def _filled(spectrogram: Tensor, n_frames: int) -> Tensor:
    """Append to (batch, frames, bands) the channel that says which frames hold sound: the first `n_frames`."""
    sound = torch.arange(spectrogram.shape[1], device=spectrogram.device) < n_frames
    return _with_sound(spectrogram, sound.expand(spectrogram.shape[0], -1))


def _with_sound(x: Tensor, sound: Tensor) -> Tensor:
    """(batch, tokens, dim) and (batch, tokens) -> (batch, tokens, dim + 1)."""
    return torch.cat([x, sound[..., None].to(x.dtype)], dim=-1)


def _padded(x: Tensor, length: int) -> Tensor:
    """Zeros at the end of the second axis, up to `length`."""
    missing = length - x.shape[1]
    return functional.pad(x, (0, 0) * (x.ndim - 2) + (0, missing))


def _see_that_it_fits(source: Pretrained, what: str, found: int, needed: int) -> None:
    if found != needed:
        raise WeightsError(
            f"{source.name}: the feature extractor's file says {what} = {found}, but the model in config.json takes "
            f"{needed}. Both must come from the same model."
        )
