"""Models of transformers as encoders: configuration and weights from a folder or repository, checked, never executed.

Safetensors are preferred, older files are read with `weights_only`, code that lies beside the weights is not run. A
family's module asks a `Pretrained` for its model and for the settings of its front end, and hands back a
`PretrainedEncoder`: front end, stages, and how to pool a layer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from affekt.digest import digest
from affekt.encoders.base import Cut, EncoderSpec
from affekt.encoders.drawn import random_source, seeded
from affekt.encoders.hub import Checkpoint, Configuration
from affekt.encoders.staged import StagedEncoder
from affekt.encoders.stages import Stage
from affekt.errors import ConfigError, EncoderError, MissingExtraError, WeightsError, problems

#: Weights that only pretraining uses; absent from many published files, never used here.
NOT_NEEDED = ("masked_spec_embed",)

#: Attention that is part of transformers. Any other name may be that of a kernel to fetch, compile or import.
OWN_ATTENTION = ("eager", "sdpa")

#: What a configuration says of the file it came from, and not of the model.
NOT_ARCHITECTURE = ("transformers_version", "architectures", "dtype", "torch_dtype", "name_or_path")


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint that was found, and what is wanted of it.

    Attributes:
        name: of the encoder, for reports and messages.
        checkpoint: where the files lie; the configuration alone is enough where weights are drawn.
        config: config.json as transformers reads it.
        published_licence: of the weights in the checkpoint.
        seed: for the untrained twin, whose weights are drawn; None for the weights in the checkpoint.
    """

    name: str
    checkpoint: Configuration
    config: Any
    published_licence: str
    seed: int | None = None

    @property
    def weights(self) -> str:
        """Where the weights come from, in words."""
        return self.checkpoint.source if self.seed is None else random_source(self.seed)

    @property
    def licence(self) -> str:
        """Of the weights."""
        return self.published_licence if self.seed is None else "none"

    def model(
        self,
        architecture: Any = None,
        config: Any = None,
        renamed: dict[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """The model, in single precision.

        Args:
            architecture: class of transformers; None for the bare model of the configuration's family.
            config: of a part of the model, where a part is wanted.
            renamed: regular expression to replacement, for keys in the file that are named after the whole model.
            options: of the class.

        Raises:
            WeightsError: a damaged or malicious file, or one that does not fit the configuration.
        """
        config = self.config if config is None else config
        if self.seed is not None:
            return random_model(config, self.seed, architecture, **options)
        return self._load(architecture or transformers_for(self.name).AutoModel, config, renamed, **options)

    def _load(self, architecture: Any, config: Any, renamed: dict[str, str] | None, **options: Any) -> Any:
        if not isinstance(self.checkpoint, Checkpoint):
            raise WeightsError(f"{self.name}: only the configuration was fetched, which is enough for random weights.")
        path = self.checkpoint.weights_path
        try:
            with seeded(0):  # what a file may lack (`NOT_NEEDED`) is drawn, and must not differ from run to run
                model, report = architecture.from_pretrained(
                    self.checkpoint.folder,
                    config=config,
                    output_loading_info=True,
                    trust_remote_code=False,
                    use_safetensors=path.suffix == ".safetensors",
                    weights_only=True,
                    key_mapping=renamed,
                    **options,
                )
        except Exception as error:  # a damaged or foreign file shows as many kinds of error
            raise WeightsError(f"{self.name}: {path.name} cannot be loaded ({first_line(error)}).") from None
        _check_loaded(self.name, report)
        return model.float()

    def preprocessor(self, **defaults: Any) -> dict[str, Any]:
        """What the feature extractor's file says, or the defaults where it says nothing or is not there.

        Newer versions of transformers write the settings into processor_config.json, under "feature_extractor".

        Args:
            defaults: key to default. A value must be of its default's type; whole numbers must be positive. Where the
                default is a tuple, its items are what is allowed, the first one being the default.

        Raises:
            WeightsError: not readable, or a value that is not allowed; all of them are named.
        """
        file, said = "processor_config.json", self._read("processor_config.json").get("feature_extractor")
        if not isinstance(said, dict):
            file, said = "preprocessor_config.json", self._read("preprocessor_config.json")
        values = {key: said.get(key) for key in defaults}
        allowed = {key: _allowed(value, defaults[key]) for key, value in values.items() if value is not None}
        found = [f"{key} = {values[key]!r}, but allowed is {words}" for key, words in allowed.items() if words]
        if found:
            raise WeightsError(problems(f"{file} of {self.name}", found))
        first = {key: value[0] if isinstance(value, tuple) else value for key, value in defaults.items()}
        return {key: first[key] if value is None else value for key, value in values.items()}

    def _read(self, file: str) -> dict[str, Any]:
        """What a file of settings holds; nothing where it is not there."""
        path = self.checkpoint.folder / file
        try:
            said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise WeightsError(f"{self.name}: no usable {path.name} ({first_line(error)}).") from None
        if not isinstance(said, dict):
            raise WeightsError(f"{self.name}: {path.name} holds a {type(said).__name__}, but allowed is an object.")
        return said


class FrontEnd(Protocol):
    """Clips (n_clips, n_samples) to a network's input; a frozen dataclass, whose fields are part of the store's key."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the clips."""
        ...

    @property
    def longest_clip(self) -> int | None:
        """In samples; None for any length."""
        ...

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) -> (n_clips, ...)."""
        ...


@dataclass(frozen=True)
class Network:
    """A model as stages.

    Attributes:
        stages: from the front end's output to (batch, dim).
        dim: width of the embedding.
        pool: from any layer's output to (batch, dim); None where layers differ in shape.
    """

    stages: Sequence[Stage]
    dim: int
    pool: Stage | None = None


class PretrainedEncoder(StagedEncoder):
    """A model of transformers that sees a spectrogram.

    Args:
        source: the checkpoint.
        model: the part of it that is used.
        network: the model as stages.
        front_end: what the first stage is given.
    """

    model: Any

    def __init__(self, source: Pretrained, model: Any, network: Network, front_end: FrontEnd) -> None:
        self.model = model
        self.network = network
        self.front_end = front_end
        self.spec = EncoderSpec(
            source.name, "spectrogram", front_end.sample_rate_hz, network.dim, source.weights, source.licence
        )

    @property
    def longest_clip_s(self) -> float | None:
        """The longest clip that is heard to its end; None for any."""
        longest = self.front_end.longest_clip
        return None if longest is None else longest / self.front_end.sample_rate_hz

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Adds every constant of the front end and the model's configuration to what the key depends on."""
        own = {"front_end": digest(self.front_end), "config": config_digest(self.model.config)}
        return {**super().settings(cut), **own}

    def preprocess(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) to spectrograms; see the front end.

        Raises:
            ConfigError: clips are longer than what the model hears; cropped, their end would be lost without a word.
        """
        length_s, longest_s = clips.shape[-1] / self.front_end.sample_rate_hz, self.longest_clip_s
        if longest_s is not None and length_s > longest_s:
            raise ConfigError(
                f"{self.spec.name}: clips of {length_s:g} s, but this model hears {longest_s:g} s at most. Set "
                f"clips.length_s to {math.floor(10 * longest_s) / 10:g} or less, for this encoder or for all."
            )
        return self.front_end(clips)

    def stages(self) -> list[Stage]:
        """The model's stages."""
        return list(self.network.stages)

    def layer_pool(self) -> Stage | None:
        """How to pool a layer, in a network whose layers are alike."""
        return self.network.pool


def open_pretrained(
    name: str, checkpoint: Configuration, families: Collection[str], licence: str, seed: int | None = None
) -> Pretrained:
    """Read a checkpoint's configuration.

    Args:
        name: of the encoder.
        checkpoint: where the files lie.
        families: values of `model_type` that are allowed.
        licence: of the weights.
        seed: to draw weights instead of loading them.

    Raises:
        WeightsError: no usable config.json, or one that asks for code from elsewhere.
        EncoderError: a model of another family.
        MissingExtraError: transformers is not installed.
    """
    transformers = transformers_for(name)
    foreign = _foreign_code(checkpoint)
    if foreign:
        raise WeightsError(
            f"{name}: config.json asks for {', '.join(foreign)}, which may fetch and run code of others. Allowed are "
            f"{' and '.join(OWN_ATTENTION)} attention, without quantisation; take those keys out of a copy of the "
            "folder."
        )
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    except Exception as error:  # whatever stands in the file decides what falls over
        raise WeightsError(f"{name}: no usable config.json ({first_line(error)}).") from None
    if config.model_type not in families:
        raise EncoderError(f'{name}: "{config.model_type}" cannot be cut. Families that work: {", ".join(families)}.')
    return Pretrained(name, checkpoint, config, licence, seed)


def _foreign_code(checkpoint: Configuration) -> list[str]:
    """Settings of a config.json, at any depth, with which transformers may run code that is not its own."""
    try:
        waiting = [json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []  # transformers says what is wrong with it
    found = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if isinstance(value, dict):
            waiting += value.values()
            asked = {key: value.get(key) for key in ("attn_implementation", "_attn_implementation")}
            found += [f"{key} = {kind!r}" for key, kind in asked.items() if kind not in (None, *OWN_ATTENTION)]
            found += ["quantization_config"] if value.get("quantization_config") else []
    return sorted(set(found))


def random_model(config: Any, seed: int, architecture: Any = None, **options: Any) -> Any:
    """A model with random weights that leaves the caller's random numbers as they were."""
    build: Callable[..., Any] = architecture or transformers_for("random weights").AutoModel.from_config
    with seeded(seed):
        return build(config, **options).float()


def config_digest(config: Any) -> str:
    """Hash of a model's configuration: the same weights compute other numbers with another number of heads, say."""
    told = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
    return digest({key: value for key, value in told.items() if key not in NOT_ARCHITECTURE})


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    text = str(error).strip() or type(error).__name__
    # torch opens with how to load an unsafe file after all; what it refused stands further down.
    _, _, refused = text.partition("WeightsUnpickler error: ")
    return (refused.partition(". ")[0] or text).splitlines()[0][:200]


def transformers_for(feature: str) -> Any:
    """The package, quiet.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(feature, "models") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _check_loaded(name: str, report: dict[str, Any]) -> None:
    """Refuse weights that would leave a part of the model random without a word."""
    missing = sorted(key for key in report["missing_keys"] if not key.endswith(NOT_NEEDED))
    wrong = sorted(str(key) for key in report.get("mismatched_keys", []))
    if missing or wrong:
        raise WeightsError(
            f"{name}: the file does not fit the architecture. Missing: {missing[:5] or 'none'} ({len(missing)}); "
            f"of another shape: {wrong[:5] or 'none'} ({len(wrong)}). Configuration and weights must belong together."
        )


def _allowed(value: Any, default: Any) -> str:
    """What is allowed, in words, where `value` is not; else ''."""
    if isinstance(default, tuple):
        return "" if value in default else " or ".join(map(repr, default))
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(value, bool):
        return "a number"
    if isinstance(default, float):
        return "" if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)) else "a number"
    return "" if isinstance(value, int) and value > 0 else "a whole number above 0"
