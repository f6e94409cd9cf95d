"""What distinguishes one MambaVision from another: sizes of the network and of the images it was made for.

Conventions: levels count from 0 to 3; levels 0 and 1 hold convolutions, levels 2 and 3 hold tokens in windows. Widths
are channels, windows are side lengths in tokens, image sizes are side lengths in pixels.

`VARIANTS` holds the six published sizes, for which trained weights exist, and `nano`, a compact one to be trained from
scratch on small images. Nothing here needs torch.

Source: Hatamizadeh and Kautz, "MambaVision: A Hybrid Mamba-Transformer Vision Backbone", arXiv 2407.08083.
"""

from __future__ import annotations

from dataclasses import dataclass

from affekt.errors import EncoderError, problems

N_LEVELS = 4
TOKEN_LEVELS = (2, 3)
IMAGE_CHANNELS = 3
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

FourInts = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class MambaVisionConfig:
    """Sizes of one MambaVision, with the image preprocessing that belongs to it.

    Attributes:
        depths: blocks in each level.
        dim: width of level 0; every later level doubles it.
        in_dim: width between the two convolutions of the stem.
        num_heads: attention heads in each level; only levels 2 and 3 have attention.
        window_sizes: side of the square windows in each level, in tokens; only levels 2 and 3 have windows.
        drop_path_rate: probability in [0, 1) of dropping the last block; it rises linearly from 0 at the first.
        layer_scale: initial value of the learnt factors on the residual branches of token blocks, or None for none.
        num_classes: outputs of the linear head; 0 leaves the head out.
        image_size: side in pixels of the square images that the variant is meant for. Others work too.
        crop_fraction: share of the resized image that the centre crop keeps (bicubic resize, ImageNet mean and std).

    Raises:
        EncoderError: the numbers do not fit together; all mistakes are listed at once.
    """

    depths: FourInts
    dim: int
    in_dim: int
    num_heads: FourInts
    window_sizes: FourInts = (8, 8, 14, 7)
    drop_path_rate: float = 0.2
    layer_scale: float | None = None
    num_classes: int = 1000
    image_size: int = 224
    crop_fraction: float = 1.0

    def __post_init__(self) -> None:
        found = _scalar_problems(self) + _level_problems(self)
        if found:
            raise EncoderError(problems("a MambaVisionConfig", found))

    @property
    def widths(self) -> FourInts:
        """Channels of levels 0 to 3."""
        return (self.dim, 2 * self.dim, 4 * self.dim, 8 * self.dim)

    @property
    def n_features(self) -> int:
        """Length of the pooled feature vector."""
        return self.widths[-1]

    def is_mamba(self, level: int, block: int) -> bool:
        """Whether a block of a token level mixes with a scan; the later half of the level uses attention instead."""
        return block < (self.depths[level] + 1) // 2

    def drop_path(self, level: int, block: int) -> float:
        """Probability of dropping one block: evenly spaced from 0 to `drop_path_rate` over all blocks."""
        last = sum(self.depths) - 1
        index = sum(self.depths[:level]) + block
        return self.drop_path_rate * index / last if last else 0.0


def _scalar_problems(config: MambaVisionConfig) -> list[str]:
    """Name every single number that is out of range."""
    found = []
    for name, least in (("dim", 2), ("in_dim", 1), ("num_classes", 0), ("image_size", 1)):
        value = getattr(config, name)
        if value < least:
            found.append(f"{name} = {value}: must be at least {least}.")
    if config.dim % 2:
        found.append(f"dim = {config.dim}: must be even, a mixer splits its channels into halves.")
    if not 0 <= config.drop_path_rate < 1:
        found.append(f"drop_path_rate = {config.drop_path_rate}: must be at least 0 and below 1.")
    if not 0 < config.crop_fraction <= 1:
        found.append(f"crop_fraction = {config.crop_fraction}: must be above 0 and at most 1.")
    return found


def _level_problems(config: MambaVisionConfig) -> list[str]:
    """Name every entry of the per-level numbers that cannot be used."""
    found = []
    for name in ("depths", "num_heads", "window_sizes"):
        values = getattr(config, name)
        if len(values) != N_LEVELS or min(values) < 1:
            found.append(f"{name} = {values}: must be {N_LEVELS} numbers, each at least 1.")
    if found:
        return found
    for level in TOKEN_LEVELS:
        width, heads = config.widths[level], config.num_heads[level]
        if width % heads:
            found.append(f"num_heads[{level}] = {heads}: must divide the level's width, {width}.")
    return found


VARIANTS: dict[str, MambaVisionConfig] = {
    "t": MambaVisionConfig(depths=(1, 3, 8, 4), dim=80, in_dim=32, num_heads=(2, 4, 8, 16)),
    "t2": MambaVisionConfig(depths=(1, 3, 11, 4), dim=80, in_dim=32, num_heads=(2, 4, 8, 16), crop_fraction=0.98),
    "s": MambaVisionConfig(depths=(3, 3, 7, 5), dim=96, in_dim=64, num_heads=(2, 4, 8, 16), crop_fraction=0.93),
    "b": MambaVisionConfig(
        depths=(3, 3, 10, 5), dim=128, in_dim=64, num_heads=(2, 4, 8, 16), drop_path_rate=0.3, layer_scale=1e-5
    ),
    "l": MambaVisionConfig(
        depths=(3, 3, 10, 5), dim=196, in_dim=64, num_heads=(4, 8, 16, 32), drop_path_rate=0.3, layer_scale=1e-5
    ),
    "l2": MambaVisionConfig(
        depths=(3, 3, 12, 5), dim=196, in_dim=64, num_heads=(4, 8, 16, 32), drop_path_rate=0.3, layer_scale=1e-5
    ),
    # At 128 x 128 the token levels see grids of 8 x 8 and 4 x 4: one window each, nothing padded.
    "nano": MambaVisionConfig(
        depths=(1, 1, 2, 2),
        dim=16,
        in_dim=16,
        num_heads=(1, 1, 2, 4),
        window_sizes=(8, 8, 8, 4),
        drop_path_rate=0.05,
        num_classes=0,
        image_size=128,
    ),
}
"""Sizes by name. All but `nano` are published with a head of 1000 classes; `replace(..., num_classes=0)` drops it."""
