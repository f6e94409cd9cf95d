"""Who takes part in a comparison: every encoder of the experiment, built and cut, and the untrained twins."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field

from affekt.audio.clips import ClipPlan
from affekt.audio.frames import FramePlan
from affekt.config import EncoderSection, Experiment
from affekt.data import Dataset
from affekt.encoders import Cut, Encoder, build_section
from affekt.errors import AffektError, ConfigError, MissingExtraError, problems
from affekt.features.extract import Features
from affekt.features.keys import Plan
from affekt.progress import bar


@dataclass
class Contender:
    """One encoder on its way through a comparison.

    Attributes:
        section: its settings.
        plan: which clips or windows of a song it hears.
        cut: where its suffix begins.
        encoders: seed to encoder; the same one for all seeds, unless its weights are drawn.
        features: seed to activations, as `listen` finds them.
        twin_of: title of the encoder whose untrained twin this is.
    """

    section: EncoderSection
    plan: Plan
    cut: Cut
    encoders: dict[int, Encoder]
    features: dict[int, Features] = field(default_factory=dict)
    twin_of: str | None = None

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.section.title

    @property
    def encoder(self) -> Encoder:
        """The encoder of the first seed."""
        return next(iter(self.encoders.values()))

    @property
    def closed_form(self) -> bool:
        """Whether the head is ridge; always so for an encoder that hears nothing."""
        return self.section.head == "ridge" or self.encoder.spec.embedding_dim == 0

    @property
    def distinct_features(self) -> list[Features]:
        """Activations, those that seeds share once."""
        return list({id(features): features for features in self.features.values()}.values())


def enter(experiment: Experiment, dataset: Dataset, quiet: bool = False) -> list[Contender]:
    """Build every encoder and find its cut, collecting all mistakes before any work starts."""
    contenders: list[Contender] = []
    found = []
    with bar("loading encoders", len(experiment.encoders), quiet) as advance:
        for section in experiment.encoders:
            advance(0, section.title)
            try:
                contender = _entered(section, experiment)
                contenders.append(contender)
                if experiment.untrained_twins and _was_trained(contender.encoder):
                    contenders.append(_twin(contender, experiment))
            except AffektError as error:
                found.append(f"{section.title}: {error}")
            advance()
    found += _repeated([contender.title for contender in contenders])
    if any(c.encoder.needs_audio for c in contenders) and not dataset.with_audio:
        found.append(f"{dataset.name}: no audio file was found, and at least one encoder needs audio.")
    if found:
        raise ConfigError(found[0] if len(found) == 1 else problems(f"experiment {experiment.name}", found))
    return contenders


def _entered(section: EncoderSection, experiment: Experiment) -> Contender:
    """One encoder for each seed: the same for all, unless its weights are drawn at random."""
    seeds, plan = experiment.seeds, _plan(section, experiment)
    first, cut = build_section(section, seeds[0])
    encoders = {seeds[0]: first}
    for seed in seeds[1:]:
        encoders[seed] = build_section(section, seed)[0] if first.drawn else first
    longest_s = first.longest_clip_s
    if longest_s is not None and plan.length_s > longest_s:
        key = "frames.window_s" if isinstance(plan, FramePlan) else "clips.length_s"
        raise ConfigError(f"{key} is {plan.length_s:g}; this encoder takes up to {longest_s:g} s.")
    if section.head == "ridge" and not cut.frozen:
        raise ConfigError(f'head "ridge" is a closed form, but "{cut.name}" is to be trained. Use head: linear.')
    if section.head != "ridge" and importlib.util.find_spec("lightning") is None:
        raise MissingExtraError(f'head "{section.head}"', "models")
    return Contender(section, plan, cut, encoders)


def _plan(section: EncoderSection, experiment: Experiment) -> Plan:
    if experiment.dataset.annotations == "dynamic":
        return FramePlan(experiment.frames.window_s, experiment.frames.causal)
    return ClipPlan(section.clips.count, section.clips.length_s)


def _was_trained(encoder: Encoder) -> bool:
    return encoder.n_parameters() > 0 and not encoder.drawn


def _twin(contender: Contender, experiment: Experiment) -> Contender:
    """The same architecture with random weights: what is missing from its score is what pretraining adds."""
    update = {"weights": "random", "label": f"{contender.title} (untrained)"}
    twin = _entered(contender.section.model_copy(update=update), experiment)
    twin.twin_of = contender.title
    return twin


def _repeated(titles: Sequence[str]) -> list[str]:
    twice = sorted({title for title in titles if titles.count(title) > 1})
    return [f"{title}: named twice. Tell them apart with `label`." for title in twice]
