"""MambaVision as a list of named stages.

`MambaVision.stages(height, width)` is the whole network, from the image to the pooled features, as a list of stages
that hand one tensor each to the next; `forward_features` runs them in order and does nothing else. So the network can
be cut between any two stages: store what comes out of the first part, train the second.

    images (batch, 3, height, width)
    -> "stem"                                       images at a quarter of the side lengths
    -> "level0.block0", ..., "level0.down"          residual convolutions, then half the side, twice the channels
    -> "level1.block0", ..., "level1.down"
    -> "level2.block0", ..., "level2.down"          tokens in windows: mixers with a scan, then attention
    -> "level3.block0", ...
    -> "pool"                                       features (batch, 8 * dim)

Between convolutional stages a tensor is `(batch, channels, height, width)`; between the blocks of a token level it is a
grid `(batch, height, width, channels)`. The first block of a token level pads its grid with zeros, right and bottom, to
whole windows; the padded tokens take part in all blocks of the level and are cut off at
its end. "downN" and "pool" therefore need the unpadded size, and stages are made for one image size.

Names of modules and parameters, and thereby the keys of a state dict, are those of the published weights.

Source: Hatamizadeh and Kautz, "MambaVision: A Hybrid Mamba-Transformer Vision Backbone", arXiv 2407.08083.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affekt.encoders.drawn import seeded
from affekt.encoders.mambavision.config import IMAGE_CHANNELS, N_LEVELS, TOKEN_LEVELS, MambaVisionConfig
from affekt.encoders.mambavision.scan import selective_scan
from affekt.encoders.stages import Stage
from affekt.errors import ShapeError

STATE_SIZE = 8
CONV_KERNEL = 3
MLP_RATIO = 4
_STEM_NORM_EPS = 1e-4
_NORM_EPS = 1e-5
_INIT_STD = 0.02


class Scan(Protocol):
    """A selective scan: x, delta (time, batch, channels) and the weights of `scan.selective_scan` -> like x."""

    def __call__(self, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor: ...


class MambaVision(nn.Module):
    """A MambaVision with random weights, drawn from torch's global generator; see also `build`.

    Args:
        config: sizes of the network.
    """

    def __init__(self, config: MambaVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = Stem(config.in_dim, config.dim)
        self.levels = nn.ModuleList(Level(config, level) for level in range(N_LEVELS))
        self.norm = nn.BatchNorm2d(config.n_features, eps=_NORM_EPS)
        self.head = nn.Linear(config.n_features, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(_initialise_linear)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores, or the features where the configuration has no classes.

        Args:
            images: shape (batch, 3, height, width), of any height and width, normalised as the weights expect.

        Returns:
            Shape (batch, num_classes), or (batch, 8 * dim).

        Raises:
            ShapeError: `images` has another shape.
        """
        scores: Tensor = self.head(self.forward_features(images))
        return scores

    def forward_features(self, images: Tensor) -> Tensor:
        """Pooled features, shape (batch, 8 * dim); arguments and errors as in `forward`."""
        if images.ndim != 4 or images.shape[1] != IMAGE_CHANNELS or 0 in images.shape:
            raise ShapeError(
                f"MambaVision got images of shape {tuple(images.shape)}; allowed is (batch, {IMAGE_CHANNELS}, height, "
                "width), nothing of it 0. Add a batch axis to a single image, repeat a single channel three times."
            )
        x = images
        for stage in self.stages(*images.shape[2:]):
            x = stage.run(x)
        return x  # (batch, features)

    def stages(self, height: int, width: int) -> list[Stage]:
        """The network for images of `height` x `width` pixels, from the image to the pooled features.

        The stages share their modules with this model. The linear head belongs to none of them.
        """
        size = _halved(_halved((height, width)))
        stages = [Stage("stem", (self.patch_embed,), _run_on_plain_images)]
        for index, level in enumerate(cast(Iterable[Level], self.levels)):
            stages += level.stages(f"level{index}", size)
            size = _halved(size) if level.downsample is not None else size
        return [*stages, Stage("pool", (self.norm,), partial(_pool, size=size))]


def build(config: MambaVisionConfig, seed: int) -> MambaVision:
    """Make a MambaVision with random weights on the CPU that depend on `config` and `seed` alone.

    The caller's random numbers are neither used nor disturbed.
    """
    with seeded(seed):
        return MambaVision(config)


class Stem(nn.Module):
    """Two convolutions that quarter the side lengths: (batch, 3, h, w) -> (batch, dim, h / 4, w / 4), rounded up."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.conv_down = nn.Sequential(
            nn.Conv2d(IMAGE_CHANNELS, in_dim, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(in_dim, eps=_STEM_NORM_EPS),
            nn.ReLU(),
            nn.Conv2d(in_dim, dim, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(dim, eps=_STEM_NORM_EPS),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        x: Tensor = self.conv_down(images)
        return x


class Level(nn.Module):
    """The blocks of one resolution and the step down to the next; `stages` says how they follow each other."""

    def __init__(self, config: MambaVisionConfig, level: int) -> None:
        super().__init__()
        self.window_size = config.window_sizes[level] if level in TOKEN_LEVELS else None
        make_block = _token_block if level in TOKEN_LEVELS else _conv_block
        self.blocks = nn.ModuleList(make_block(config, level, block) for block in range(config.depths[level]))
        self.downsample = Downsample(config.widths[level]) if level < N_LEVELS - 1 else None

    def stages(self, prefix: str, size: tuple[int, int]) -> list[Stage]:
        """The stages of this level for inputs of `size` (height, width); `prefix` opens their names."""
        enter: Callable[..., Tensor] = _run_on_images
        stay: Callable[..., Tensor] = _run_on_images
        leave: Callable[..., Tensor] = _run_on_images
        if self.window_size is not None:
            enter, stay = partial(_run_on_new_grid, window_size=self.window_size), _run_on_grid
            leave = partial(_leave_grid, size=size)
        stages = [
            Stage(f"{prefix}.block{i}", (block,), stay if i else enter, is_layer=True)
            for i, block in enumerate(self.blocks)
        ]
        if self.downsample is not None:
            stages.append(Stage(f"{prefix}.down", (self.downsample,), leave))
        return stages


class Downsample(nn.Module):
    """Half the side lengths, rounded up, and twice the channels: (batch, c, h, w) -> (batch, 2c, h / 2, w / 2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Sequential(nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.reduction(x)
        return halved


class ConvBlock(nn.Module):
    """Two convolutions beside an identity: (batch, dim, h, w) -> the same shape."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(dim, eps=_NORM_EPS)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(dim, eps=_NORM_EPS)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.norm1(self.conv1(x)), approximate="tanh")
        y = self.norm2(self.conv2(y))
        x = x + self.drop_path(y)  # (batch, dim, h, w)
        return x


class TokenBlock(nn.Module):
    """A mixer within windows and an MLP per token, each beside an identity: (batch, h, w, dim) -> the same shape.

    Args:
        dim: channels.
        mixer: module that takes (batch * windows, window_size ** 2, dim) to the same shape.
        window_size: side of a window; h and w must be multiples of it.
        drop_path: probability of dropping a branch for a whole image.
        layer_scale: initial factor on both branches, or None for a fixed factor of 1.
    """

    def __init__(
        self, dim: int, mixer: nn.Module, window_size: int, drop_path: float, layer_scale: float | None
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.mlp = Mlp(dim)
        self.drop_path = DropPath(drop_path)
        self.gamma_1 = _factors(dim, layer_scale)
        self.gamma_2 = _factors(dim, layer_scale)

    def forward(self, grid: Tensor) -> Tensor:
        mixed = self.mixer(to_windows(self.norm1(grid), self.window_size))  # (batch * windows, tokens, dim)
        mixed = from_windows(mixed, self.window_size, grid.shape)  # (batch, h, w, dim)
        grid = grid + self.drop_path(_scaled(mixed, self.gamma_1))  # (batch, h, w, dim)
        refined = self.mlp(self.norm2(grid))  # (batch, h, w, dim)
        grid = grid + self.drop_path(_scaled(refined, self.gamma_2))  # (batch, h, w, dim)
        return grid


class MambaMixer(nn.Module):
    """Mix tokens with a selective scan over half of the channels: (batch, time, dim) -> the same shape.

    The other half passes a short convolution only and joins the result of the scan; it does not gate it. Neither of
    the convolutions is causal. `scan` may be replaced by another implementation of the same recurrence.
    """

    scan: Scan

    def __init__(self, dim: int) -> None:
        super().__init__()
        half, rank = dim // 2, -(-dim // 16)
        self.in_proj = nn.Linear(dim, dim, bias=False)
        self.conv1d_x = nn.Conv1d(half, half, CONV_KERNEL, padding="same", groups=half, bias=False)
        self.conv1d_z = nn.Conv1d(half, half, CONV_KERNEL, padding="same", groups=half, bias=False)
        self.x_proj = nn.Linear(half, rank + 2 * STATE_SIZE, bias=False)
        self.dt_proj = nn.Linear(rank, half)
        self.A_log = nn.Parameter(torch.arange(1.0, STATE_SIZE + 1).log().repeat(half, 1))  # (half, state)
        self.D = nn.Parameter(torch.ones(half))
        self.out_proj = nn.Linear(dim, dim, bias=False)
        self.scan = selective_scan

    def forward(self, tokens: Tensor) -> Tensor:
        x, z = self.in_proj(tokens).mT.chunk(2, dim=1)  # 2 x (batch, half, time)
        x = F.silu(self.conv1d_x(x)).permute(2, 0, 1).contiguous()  # (time, batch, half)
        z = F.silu(self.conv1d_z(z)).mT  # (batch, time, half)
        y = self._scanned(x).transpose(0, 1)  # (batch, time, half)
        mixed: Tensor = self.out_proj(torch.cat([y, z], dim=-1))  # (batch, time, dim)
        return mixed

    def _scanned(self, x: Tensor) -> Tensor:
        """Derive step sizes and weights from `x` (time, batch, half) and run the scan over it."""
        rank = self.dt_proj.in_features
        dt, b, c = self.x_proj(x).split([rank, STATE_SIZE, STATE_SIZE], dim=-1)  # (time, batch, rank | state | state)
        # The bias counts twice. It looks like a slip, but the published weights were trained with it.
        delta = F.softplus(self.dt_proj(dt) + self.dt_proj.bias)  # (time, batch, half)
        return self.scan(x, delta, -torch.exp(self.A_log), b, c, self.D)


class Attention(nn.Module):
    """Multi-head self-attention among all tokens of a window: (batch, time, dim) -> the same shape."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, time, dim = tokens.shape
        qkv = self.qkv(tokens).view(batch, time, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # 3 x (batch, heads, time, dim / heads)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (batch, heads, time, dim / heads)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, time, dim))  # (batch, time, dim)
        return projected


class Mlp(nn.Module):
    """Two linear layers on each token: (..., dim) -> the same shape."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class DropPath(nn.Module):
    """In training, replace all values of a sample by 0 with probability `rate`, and scale up the others.

    Source: Huang et al. (2016), "Deep Networks with Stochastic Depth", arXiv 1603.09382.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty((len(x),) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.rate)  # (batch, 1, ...)
        return x * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3g}"


def to_windows(grid: Tensor, window_size: int) -> Tensor:
    """Cut a grid into windows, each read row by row.

    Args:
        grid: shape (batch, h, w, channels), h and w multiples of `window_size`.
        window_size: side of a window.

    Returns:
        Shape (batch * windows, window_size ** 2, channels); the windows of an image row by row too. No copy is made
        where there is one window.
    """
    batch, height, width, channels = grid.shape
    rows, columns = height // window_size, width // window_size
    tiles = grid.reshape(batch, rows, window_size, columns, window_size, channels)
    return tiles.transpose(2, 3).reshape(batch * rows * columns, window_size**2, channels)


def from_windows(windows: Tensor, window_size: int, shape: torch.Size) -> Tensor:
    """Undo `to_windows` for a grid of the given `shape` (batch, h, w, channels)."""
    batch, height, width, channels = shape
    rows, columns = height // window_size, width // window_size
    tiles = windows.reshape(batch, rows, columns, window_size, window_size, channels)
    return tiles.transpose(2, 3).reshape(shape)


def to_grid(x: Tensor, window_size: int) -> Tensor:
    """Put channels last and pad right and bottom with zeros: (batch, c, h, w) -> (batch, H, W, c), whole windows."""
    height, width = x.shape[2:]
    grid = x.permute(0, 2, 3, 1)  # (batch, h, w, c)
    grid = F.pad(grid, (0, 0, 0, -width % window_size, 0, -height % window_size))  # (batch, H, W, c)
    return grid.contiguous()


def from_grid(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo `to_grid`: cut off the padding and put channels first again."""
    height, width = size
    return grid[:, :height, :width].permute(0, 3, 1, 2)  # (batch, c, h, w)


def _run_on_images(module: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = module(x)
    return y  # (batch, c, h, w)


def _run_on_plain_images(module: nn.Module, x: Tensor) -> Tensor:
    # Plain memory order, unless the module's weights have another: channels-last is a few per cent faster, but rounds
    # differently, and the published activations are then missed by 1.4e-4 where they reach 150, instead of by 6e-5.
    return _run_on_images(module, x.contiguous())


def _run_on_new_grid(block: nn.Module, x: Tensor, *, window_size: int) -> Tensor:
    return _run_on_grid(block, to_grid(x, window_size))


def _run_on_grid(block: nn.Module, grid: Tensor) -> Tensor:
    y: Tensor = block(grid)
    return y  # (batch, H, W, c)


def _leave_grid(module: nn.Module, grid: Tensor, *, size: tuple[int, int]) -> Tensor:
    return _run_on_plain_images(module, from_grid(grid, size))


def _pool(norm: nn.Module, grid: Tensor, *, size: tuple[int, int]) -> Tensor:
    y: Tensor = norm(from_grid(grid, size))  # (batch, features, h, w)
    return y.mean((2, 3))  # (batch, features)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    """Side lengths after a 3 x 3 convolution of stride 2 with padding 1."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def _factors(dim: int, layer_scale: float | None) -> nn.Parameter | None:
    """Learnt factors for the channels of a residual branch, if the variant has them."""
    return None if layer_scale is None else nn.Parameter(torch.full((dim,), layer_scale))


def _scaled(x: Tensor, gamma: Tensor | None) -> Tensor:
    """Multiply the channels by learnt factors, if there are any."""
    return x if gamma is None else x * gamma


def _conv_block(config: MambaVisionConfig, level: int, block: int) -> ConvBlock:
    return ConvBlock(config.widths[level], config.drop_path(level, block))


def _token_block(config: MambaVisionConfig, level: int, block: int) -> TokenBlock:
    dim = config.widths[level]
    mixer = MambaMixer(dim) if config.is_mamba(level, block) else Attention(dim, config.num_heads[level])
    return TokenBlock(
        dim, mixer, config.window_sizes[level], config.drop_path(level, block), layer_scale=config.layer_scale
    )


def _initialise_linear(module: nn.Module) -> None:
    """Small weights and no bias for every linear layer, that of the step sizes included."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=_INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
