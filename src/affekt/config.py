"""The experiment file: everything that a run needs, nothing that a run computes.

A file is YAML. It is validated whole before any work starts: all mistakes in one error, unknown keys among them, with
the nearest known key. An entry of `encoders` is a name, or a mapping that overrides `clips`, `freeze`, `layer`,
`engine`, `head`, `clip_embeddings`, `training` or `loss`, or names `weights`, for that encoder alone. The fingerprint
of a resolved experiment names its run folder.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from affekt.digest import digest
from affekt.errors import AffektError, ConfigError, problems
from affekt.registry import DATASETS, ENCODERS, did_you_mean

Head = Literal["ridge", "linear", "mlp", "seed"]
Engine = Literal["torch", "openvino-int8"]


def parse_freeze(freeze: str) -> int | None:
    """How many of the last layers are trained: 0 for "all", None (every one) for "none", N for "lastN".

    Raises:
        ConfigError: anything else.
    """
    if freeze in ("all", "none"):
        return 0 if freeze == "all" else None
    match = re.fullmatch(r"last\s?([1-9]\d*)", freeze)
    if match is None:
        raise ConfigError(f'"{freeze}" is not allowed; use "all", "none", or "last1", "last2", ...')
    return int(match.group(1))


def _mistake(check: Callable[[str], Any], value: str) -> None:
    """Run one of our checks inside pydantic, which collects ValueErrors and lets other errors escape."""
    try:
        check(value)
    except AffektError as error:
        raise ValueError(str(error)) from None


def _freeze(value: Any) -> str:
    _mistake(parse_freeze, str(value))
    return str(value).replace(" ", "")


Freeze = Annotated[str, BeforeValidator(_freeze)]


def _layer(value: Any) -> Any:
    if value in ("last", "weighted") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f'"{value}" is not allowed; use "last", "weighted", or the number of a layer, 1 or higher')


Layer = Annotated[int | str, BeforeValidator(_layer)]


class Section(BaseModel):
    """A part of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSection(Section):
    """Which songs, with which labels."""

    name: str = Field("demo", description="deam, emomusic, pmemo, folder or demo")
    root: Path | None = Field(None, description="folder of the data set; without it deam is downloaded, demo generated")
    labels: Literal["corrected", "raw", "corrected-unchecked"] = Field(
        "corrected", description="deam: exchanged labels put right, as filed, or exchanged without looking"
    )
    targets: list[str] | None = Field(None, description="columns to predict; valence and arousal by default")
    scale: tuple[float, float] | None = Field(None, description="folder: lowest and highest value; found by default")
    n_songs: int | None = Field(None, ge=10, description="demo: size of the corpus, 96 by default")
    annotations: Literal["static", "dynamic"] = Field(
        "static", description="static: one annotation for each song; dynamic: annotations over time"
    )
    parts: list[str] | None = Field(
        None, min_length=1, description="songs of these parts alone, as [2014, 2015] of deam; all by default"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        _mistake(DATASETS.key, value)
        return value

    @field_validator("parts", mode="before")
    @classmethod
    def _years(cls, value: Any) -> Any:
        """A year is the name of a part, and a number in YAML."""
        return [str(part) if type(part) is int else part for part in value] if isinstance(value, list) else value


class SplitSection(Section):
    """Who is trained on and who is scored."""

    kind: Literal["kfold", "holdout", "leave-one-out", "official-2013", "long", "seed", "cross-corpus", "file"] = Field(
        "kfold", description="who is tested; docs/method.md describes each kind"
    )
    folds: int = Field(5, ge=2, le=100, description="of kfold")
    by: str | None = Field(None, description="leave-one-out: the column whose values are left out, one a fold")
    path: Path | None = Field(None, description="file: the split.json of a run, or one split")
    group: str | None = Field("artist", description="the column whose values never stand on both sides of a fold")


class ClipsSection(Section):
    """Which seconds of a song are heard."""

    count: int = Field(6, ge=1, le=10_000, description="clips per song, evenly spaced")
    length_s: float = Field(5.0, ge=0.5, le=600, description="seconds per clip")


class FramesSection(Section):
    """Annotations over time: what is heard of a song for each moment."""

    window_s: float = Field(5.0, ge=0.5, le=600, description="seconds heard for each moment")
    hop_s: float = Field(
        0.5, gt=0, le=600, description="seconds between two moments, a multiple of the annotations' own"
    )
    causal: bool = Field(
        True,
        description="true: a window ends at its moment; false: the moment is its centre, and the future is heard",
    )


class TrainingSection(Section):
    """How suffix and heads are trained; ridge needs none of it."""

    epochs: int = Field(20, ge=1, description="how often all training songs are seen")
    batch_size: int = Field(32, ge=1, description="clips per step")
    clips_per_epoch: int | None = Field(
        None, ge=1, description="clips of each song in one epoch, drawn anew for each; null takes all"
    )
    lr: float = Field(3.0e-5, gt=0, description="lowest rate of the cycle; the rate of a constant schedule")
    max_lr: float = Field(1.0e-3, gt=0, description="highest rate of the first cycle; later peaks are halved")
    weight_decay: float = Field(1.0e-4, ge=0, description="of AdamW")
    schedule: Literal["cyclic", "constant"] = Field("cyclic", description="cyclic is CyclicLR triangular2")
    grad_clip: float = Field(1.0, ge=0, description="largest gradient norm; 0 clips nothing")
    validation: float = Field(0.1, gt=0, lt=0.5, description="share of training songs that choose the epoch")
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = Field("32-true", description="as in Lightning")
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field("auto", description="as in Lightning")
    devices: int | Literal["auto"] = Field(1, description="how many devices train together")


class LossSection(Section):
    """Weights of the penalties beside the squared error."""

    variance: float = Field(0.05, ge=0, description="for predictions that spread less than the labels")
    correlation: float = Field(0.05, ge=0, description="for targets that are coupled otherwise than `toward` says")
    toward: Literal["labels", "zero"] = Field("labels", description="zero is the founding form")


class SearchSection(Section):
    """Hyper-parameters to choose by validation songs: the same trials for every trained encoder, in every fold."""

    trials: int = Field(0, ge=0, le=1000, description="settings tried in each fold; 0 takes those of the file")
    space: dict[str, list[Any]] = Field(
        {}, description="key to values; head, or a key of training or loss, such as training.max_lr"
    )

    def draw(self, seed: int) -> list[dict[str, Any]]:
        """The settings to try, each a mapping from key to value; the same for all encoders and folds.

        They are drawn from the grid without replacement; a grid with no more points than trials is tried whole.
        """
        import random

        points = range(math.prod(map(len, self.space.values())))  # by number: a grid may be larger than the memory
        drawn = points if len(points) <= self.trials else random.Random(seed).sample(points, self.trials)
        return [self._point(number) for number in drawn]

    def _point(self, number: int) -> dict[str, Any]:
        """One point of the grid, which is counted as `itertools.product` counts: the last key changes fastest."""
        indices = {}
        for key, values in reversed(self.space.items()):
            number, indices[key] = divmod(number, len(values))
        return {key: values[indices[key]] for key, values in self.space.items()}


#: What a search may vary: nothing that changes what an encoder hears or how long it is trained.
SEARCHABLE = (
    "head",
    *(f"training.{key}" for key in ("batch_size", "lr", "max_lr", "weight_decay", "schedule", "grad_clip")),
    *(f"loss.{key}" for key in LossSection.model_fields),
)


class EncoderSection(Section):
    """One encoder, with every setting that applies to it."""

    name: str = Field(description="as `affekt encoders` lists it")
    label: str | None = Field(None, description="how reports call it; the name by default")
    weights: str = Field("pretrained", description="pretrained, random, or the path of a checkpoint")
    freeze: Freeze
    layer: Layer
    engine: Engine
    head: Head
    clip_embeddings: float | None = Field(gt=0)
    clips: ClipsSection
    training: TrainingSection
    loss: LossSection
    factors: dict[str, str] | None = Field(
        None, description="what distinguishes this encoder in a 2 x 2 design, such as {input: waveform, trunk: mamba}"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        _mistake(ENCODERS.key, value)
        return value

    def tried(self, settings: Mapping[str, Any]) -> EncoderSection:
        """This section with the settings of one trial of a search.

        Raises:
            pydantic.ValidationError: one of them is not allowed.
        """
        value = self.model_dump()
        for key, setting in settings.items():
            section, _, name = key.rpartition(".")
            (value[section] if section else value)[name] = setting
        return EncoderSection.model_validate(value)

    @property
    def title(self) -> str:
        """What reports call it: the label, or the name with a folder or file cut down to its last part."""
        kind, colon, argument = self.name.partition(":")
        local = colon and (kind == "precomputed" or Path(argument).expanduser().exists())
        return self.label or (f"{kind}:{Path(argument).name}" if local else self.name)


class Experiment(Section):
    """A whole comparison; see the fields of each section."""

    name: str = Field("comparison", pattern=r"^[\w.-]+$", description="names the run folder")
    dataset: DatasetSection = DatasetSection()
    test_dataset: DatasetSection | None = Field(
        None, description="a second data set, keys as of dataset: all of `dataset` trains, all of this one is tested"
    )
    split: SplitSection = SplitSection()
    seeds: list[int] = Field([0], min_length=1, description="one split and one training for each")
    permute_labels: bool = Field(False, description="control: shuffle labels among songs; must then score R2 <= 0")
    untrained_twins: bool = Field(False, description="add each pretrained encoder once more, with random weights")
    clips: ClipsSection = ClipsSection()
    frames: FramesSection = FramesSection()
    encoders: list[EncoderSection] = Field(min_length=1)
    freeze: Freeze = Field("all", description="all, none, or lastN: all but the last N layers are frozen and stored")
    layer: Layer = Field(
        "last", description="transformers: last, a layer counted from 1, or weighted (a learned sum of all layers)"
    )
    engine: Engine = Field(
        "torch", description="what runs frozen layers: torch, or on the CPU openvino-int8 (8 bits, see encoders.md)"
    )
    head: Head = Field("ridge", description="ridge (closed form), linear, mlp, or seed (the founding two heads)")
    clip_embeddings: float | None = Field(
        5.0, gt=0, description="frozen encoders: standardised embeddings are clipped to +-this; null for not"
    )
    training: TrainingSection = TrainingSection()
    loss: LossSection = LossSection()
    search: SearchSection = SearchSection()

    def fingerprint(self) -> str:
        """Hash of all settings that determine the result."""
        return digest(self.model_dump(mode="json"))


_QUOTE = '"'

#: Keys of the file that an entry of `encoders` inherits and may override.
INHERITED = ("freeze", "layer", "engine", "head", "clip_embeddings", "clips", "training", "loss")
_DEFAULTS: dict[str, Any] = {
    **{"freeze": "all", "layer": "last", "engine": "torch", "head": "ridge", "clip_embeddings": 5.0},
    **{"clips": {}, "training": {}, "loss": {}},
}


def load_experiment(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment file.

    Args:
        path: a YAML file.
        overrides: "key=value" with dots for nesting, as in "training.epochs=5" or "encoders.0.freeze=last1".

    Raises:
        ConfigError: the file is missing or not YAML; or all mistakes in it, one line each.
    """
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such experiment file. Examples lie in the folder experiments/.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected keys such as `dataset` and `encoders`, found {type(value).__name__}.")
    for override in overrides:
        _override(value, override)
    return parse_experiment(value, str(path))


def parse_experiment(value: Mapping[str, Any], source: str = "the experiment") -> Experiment:
    """Validate a mapping as an experiment.

    Raises:
        ConfigError: all mistakes, one line each.
    """
    try:
        return _checked(Experiment.model_validate(_inherit(_with_kind(value))), source)
    except ValidationError as error:
        raise ConfigError(problems(source, _lines(error.errors()))) from None


def _with_kind(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Two data sets leave a single kind of split, which goes without saying."""
    split = value.get("split", {})
    if value.get("test_dataset") is None or not isinstance(split, Mapping) or "kind" in split:
        return value
    return {**value, "split": {**split, "kind": "cross-corpus"}}


def _inherit(value: Mapping[str, Any]) -> dict[str, Any]:
    """Give each encoder the settings that stand beside the list, its own on top."""
    shared = {key: value[key] for key in INHERITED if key in value}
    encoders = value.get("encoders")
    if not isinstance(encoders, list):
        return dict(value)
    resolved = [_merge({**_DEFAULTS, **shared}, {"name": e} if isinstance(e, str) else e) for e in encoders]
    return {**value, "encoders": resolved}


def _merge(base: Mapping[str, Any], own: Any) -> Any:
    if not isinstance(own, Mapping):
        return own
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = {**base[key], **value} if both else value
    return merged


def _checked(experiment: Experiment, source: str) -> Experiment:
    """Mistakes that lie between keys rather than in one."""
    found = [
        *_dataset_mistakes(experiment),
        *_heard_mistakes(experiment),
        *_split_mistakes(experiment),
        *_search_mistakes(experiment),
    ]
    titles = [encoder.title for encoder in experiment.encoders]
    cells = [encoder.factors for encoder in experiment.encoders if encoder.factors]
    for index, encoder in enumerate(experiment.encoders):
        where = f"encoders[{index}]"
        if titles.count(encoder.title) > 1:
            found.append(f'{where} = "{encoder.title}": named twice. Tell them apart with `label`.')
        if encoder.factors and cells.count(encoder.factors) > 1:
            found.append(
                f"{where}.factors = {encoder.factors}: another encoder has the same; a design needs them all apart."
            )
        found += [f"{where}: {line}" for line in _section_mistakes(encoder)]
        if encoder.training.validation != experiment.training.validation:
            found.append(f"{where}.training.validation: belongs beside the list; all encoders share one split.")
    if len(set(experiment.seeds)) < len(experiment.seeds):
        found.append(f"seeds = {experiment.seeds}: one occurs twice.")
    if min(experiment.seeds) < 0:
        found.append(f"seeds = {experiment.seeds}: a seed is 0 or larger.")
    if found:
        raise ConfigError(problems(source, found))
    return experiment


def _section_mistakes(encoder: EncoderSection) -> list[str]:
    """Mistakes between the keys of one encoder: of the file, or of a trial of a search."""
    found = []
    if encoder.head == "ridge" and encoder.freeze != "all":
        found.append(f'head "ridge" is a closed form, but freeze = "{encoder.freeze}" trains layers.')
    trains_in_cycles = encoder.head != "ridge" and encoder.training.schedule == "cyclic"
    if trains_in_cycles and encoder.training.lr > encoder.training.max_lr:
        found.append(f"training.lr = {encoder.training.lr} is above max_lr = {encoder.training.max_lr}.")
    return found


#: Data sets that only their users can get, and what their root holds.
_ROOTS = {
    "folder": "metadata.csv",
    "emomusic": "emoMusic, which is not downloaded for you",
    "pmemo": "PMEmo, which is not downloaded for you",
}


def _dataset_mistakes(experiment: Experiment) -> list[str]:
    """Of the data set, and of the one to test on where there is one."""
    sections = {"dataset": experiment.dataset, "test_dataset": experiment.test_dataset}
    found = []
    for where, section in sections.items():
        if section is not None:
            found += _misplaced(section, where)
            if section.name in _ROOTS and section.root is None:
                found.append(f"{where}.root: missing; name the folder that holds {_ROOTS[section.name]}.")
    tested = experiment.test_dataset
    if tested is not None and tested.annotations != experiment.dataset.annotations:
        found.append(
            f'test_dataset.annotations = "{tested.annotations}", dataset.annotations = '
            f'"{experiment.dataset.annotations}"; they must be the same.'
        )
    return found


def _misplaced(dataset: DatasetSection, where: str) -> list[str]:
    """Keys that were set and that this data set does not know; of one that a plug-in brings, its loader tells."""
    over_time = ("deam", "emomusic", "pmemo", "demo")
    of = {"labels": ("deam", "demo"), "scale": ("folder",), "n_songs": ("demo",), "annotations": over_time}
    if dataset.name not in (*over_time, "folder"):
        return []
    set_keys = [key for key in of if getattr(dataset, key) != DatasetSection.model_fields[key].default]
    return [
        f'{where}.{key}: not for "{dataset.name}"; it belongs to {" and ".join(of[key])}.'
        for key in set_keys
        if dataset.name not in of[key]
    ]


def _heard_mistakes(experiment: Experiment) -> list[str]:
    """`frames` belongs to annotations over time, `clips` to one annotation a song."""
    dynamic = experiment.dataset.annotations == "dynamic"
    key, unset = ("clips", ClipsSection()) if dynamic else ("frames", FramesSection())
    needed = "static" if dynamic else "dynamic"
    found = [("", getattr(experiment, key))]
    if dynamic:
        found += [(f"encoders[{index}].", encoder.clips) for index, encoder in enumerate(experiment.encoders)]
        if found[0][1] != unset:
            found = found[:1]  # encoders have inherited it
    return [
        f'{where}{key}: belongs to dataset.annotations "{needed}"; these are "{experiment.dataset.annotations}".'
        for where, section in found
        if section != unset
    ]


def _split_mistakes(experiment: Experiment) -> list[str]:
    """Keys of a kind that are missing, keys of another kind, and a share of validation songs that a kind ignores."""
    split = experiment.split
    of = {
        "by": ("leave-one-out", "name the column whose values are left out one at a time, such as genre"),
        "path": ("file", "name the split.json of a run"),
    }
    found = _cross_corpus_mistakes(experiment)
    for key, (kind, hint) in of.items():
        if split.kind == kind and getattr(split, key) is None:
            found.append(f"split.{key}: missing; {hint}.")
        if split.kind != kind and getattr(split, key) is not None:
            found.append(f'split.{key}: belongs to kind "{kind}"; this split is "{split.kind}".')
    share, usual = experiment.training.validation, TrainingSection.model_fields["validation"].default
    if split.kind in ("holdout", "seed", "file") and share != usual:
        found.append(
            f'training.validation = {share}: split.kind = "{split.kind}" names its validation songs itself. Leave the '
            "key out, or use another kind, such as kfold."
        )
    return found


def _cross_corpus_mistakes(experiment: Experiment) -> list[str]:
    """A second data set names the tested songs, all of them: nothing is left to say in `split`."""
    split, unset = experiment.split, SplitSection()
    if experiment.test_dataset is None:
        lacking = split.kind == "cross-corpus"
        return ['split.kind = "cross-corpus": name the data set to test on in `test_dataset`.'] * lacking
    keys = {"folds": unset.folds, "group": unset.group, "kind": "cross-corpus"}
    return [
        f"split.{key} = {getattr(split, key)}: test_dataset names the tested songs, and artists are never shared. "
        "Leave `split` out."
        for key, value in keys.items()
        if getattr(split, key) != value
    ]


def _search_mistakes(experiment: Experiment) -> list[str]:
    """Keys that cannot be searched, values that are not allowed, trials without a space and the reverse."""
    search = experiment.search
    if bool(search.trials) != bool(search.space):
        return ["search: trials and space belong together; name both or neither."]
    found = [
        f"search.space.{key}: cannot be searched.{did_you_mean(key, list(SEARCHABLE))} "
        f"Allowed: {', '.join(SEARCHABLE)}."
        for key in search.space
        if key not in SEARCHABLE
    ]
    found += [f"search.space.{key}: no values." for key, values in search.space.items() if not values]
    if found:
        return found
    trained = [encoder for encoder in experiment.encoders if encoder.head != "ridge"]
    if search.trials and not trained:
        return ["search: every head is ridge, which chooses its own strength; there is nothing to search."]
    for key, value in ((key, value) for key, values in search.space.items() for value in values):
        if key == "head" and value == "ridge":
            found.append('search.space.head: "ridge" chooses its own strength and is never searched.')
            continue
        try:
            for encoder in trained[:1]:
                encoder.tried({key: value})
        except ValidationError as error:
            found.append(f"search.space.{_line(error.errors()[0])}")
    return found or _trial_mistakes(experiment)


def _trial_mistakes(experiment: Experiment) -> list[str]:
    """Settings of a search that are allowed one by one and not together.

    Only the trials that will be run are looked at, a thousand at most: the grid may hold millions of points. What an
    encoder does wrong without the search is told elsewhere, and what several encoders do alike is told once.
    """
    trials = experiment.search.draw(experiment.seeds[0])
    found: dict[str, str] = {}
    for index, encoder in enumerate(experiment.encoders):
        if encoder.head == "ridge":
            continue
        own = _section_mistakes(encoder)
        lines = [[line for line in _section_mistakes(encoder.tried(trial)) if line not in own] for trial in trials]
        wrong = [number for number, of_trial in enumerate(lines) if of_trial]
        if wrong:
            first = wrong[0]
            point = ", ".join(f"{key} = {value}" for key, value in trials[first].items())
            mistake = f"search.space at {point}: {' '.join(lines[first])}"
            hint = f"{len(wrong)} of {len(trials)} trials are refused, for encoders[{index}]; values must fit together."
            found.setdefault(mistake, f"{mistake} {hint}")
    return list(found.values())


def _override(value: dict[str, Any], override: str) -> None:
    """Apply one "a.b.0.c=value" in place."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f'--set {override}: expected key=value, as in "training.epochs=5".')
    *parents, last = path.strip().split(".")
    here: Any = value
    for depth, key in enumerate(parents):
        here = _step(here, key, override, [*parents[depth + 1 :], last])
    try:
        new = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value cannot be read as YAML.") from None
    if isinstance(here, list):
        here[_index(here, last, override)] = new
    else:
        here[last] = new


def _step(here: Any, key: str, override: str, rest: list[str]) -> Any:
    if isinstance(here, list):
        index = _index(here, key, override)
        if isinstance(here[index], str) and rest:  # an encoder given by name alone
            here[index] = {"name": here[index]}
        return here[index]
    if here.get(key) is None:
        here[key] = {}
    if not isinstance(here[key], dict | list):
        raise ConfigError(f"--set {override}: `{key}` is a value, not a section.")
    return here[key]


def _index(here: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(here):
        raise ConfigError(f"--set {override}: `{key}` is not an index from 0 to {len(here) - 1}.")
    return int(key)


def _lines(errors: list[Any]) -> list[str]:
    """All mistakes, one line each; a mistake that encoders only inherit is told once, where it stands."""
    shared = {error["loc"] for error in errors if error["loc"][0] != "encoders"}
    return [_line(error) for error in errors if error["loc"][0] != "encoders" or error["loc"][2:] not in shared]


def _line(error: Any) -> str:
    """One mistake as a line: where, what was found, what is allowed."""
    *parent, last = error["loc"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        near = did_you_mean(str(last), _known_keys(parent))
        return f"{path}: unknown key.{near.replace(_QUOTE, _QUOTE + path[: -len(str(last))], 1)}"
    if error["type"] == "missing":
        return f"{path}: missing."
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}"
    return f"{path} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}."


def _known_keys(parent: list[Any]) -> list[str]:
    """Keys of the section at `parent`."""
    model: type[BaseModel] = Experiment
    for part in parent:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[str(part)].annotation
        inner = [annotation, *typing.get_args(annotation)]
        model = next(a for a in inner if isinstance(a, type) and issubclass(a, BaseModel))
    return list(model.model_fields)
