"""What the page says, as plain data: text, numbers and None, in the order in which it is said.

The template decides nothing. Its order is that of a reader's questions: which encoder is better, and is that real; how
far is it from what raters agree on; what does it cost; waveform or spectrogram, and what does pretraining add, where
the comparison can tell; where does each fail; exactly what was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from affekt.evaluation.factorial import factorial
from affekt.evaluation.metrics import valence_arousal_columns
from affekt.evaluation.words import listed
from affekt.report import provenance, tables, words
from affekt.report.excerpts import Excerpt
from affekt.report.failing import WorstSong, groups, worst_songs
from affekt.report.figures import Picture
from affekt.report.figures.cost import cost_pictures
from affekt.report.figures.courses import course_pictures, following_picture
from affekt.report.figures.factors import effects_picture, interaction_picture
from affekt.report.figures.failures import group_picture, worst_picture
from affekt.report.figures.ladder import ladder, shared_limits
from affekt.report.figures.losses import loss_picture
from affekt.report.figures.matrix import matrix
from affekt.report.figures.quadrants import confusion_picture
from affekt.report.figures.songs import scatter_picture, song_names, target_picture
from affekt.report.figures.twins import twin_picture
from affekt.report.view import View, song_name

_SHOWN_FACTS = ("input", "weights", "layer", "engine", "freeze", "head", "embedding_dim")


def page_data(view: View, excerpts: Mapping[str, Excerpt] | None = None) -> dict[str, Any]:
    """Everything the page says.

    Args:
        view: the comparison.
        excerpts: sound to embed, by song id.
    """
    data = {
        **_heading(view),
        "over_time": _over_time(view),
        "answers": _answers(view),
        "caveats": words.caveats(view)[view.synthetic :],  # the banner has said that the music is synthetic
        "comparison": tables.comparison(view),
        "matrices": _present(matrix(view, target) for target in view.targets),
        "quadrants": tables.quadrants(view),
        "pairs": tables.pairs(view) if len(view.order) > 1 else None,
        "folds": tables.fold_scores(view),
        "ceilings": tables.ceilings(view),
        "ceiling_method": view.scores.results.dataset.get("ceiling_method"),
        "costs": tables.costs(view),
        "cost_pictures": cost_pictures(view),
        "inputs": _inputs(view),
        "pretraining": _pretraining(view),
        "failing": _failing(view, excerpts or {}),
        "sections": [_encoder_section(view, label) for label in view.order],
        "colours": view.colours,
        "roles": {label: view.roles(label) for label in view.order},
        "weights": {label: tables.plain(view.described[label].get("weights")) for label in view.order},
        "run": provenance.provenance(view),
        "song_names": song_names(view),
        "targets_words": ", ".join(view.targets),
        "excerpts": _sounds(view, excerpts or {}),
    }
    return {**data, "drawings": {picture["id"]: picture["figure"] for picture in pictures_of(data)}}


def pictures_of(data: Mapping[str, Any]) -> list[Picture]:
    """All pictures of a page, in the order in which they stand on it."""
    failing = data["failing"]
    return [
        *((*data["over_time"]["following"], *data["over_time"]["courses"]) if data["over_time"] else ()),
        *(answer["picture"] for answer in data["answers"]),
        *data["matrices"],
        *data["cost_pictures"],
        *((data["inputs"]["effects"], *data["inputs"]["pictures"]) if data["inputs"] else ()),
        *(data["pretraining"] or {"pictures": []})["pictures"],
        *failing["groups"],
        failing["worst"],
        *(picture for section in data["sections"] for picture in section["pictures"]),
    ]


def heading(view: View) -> str:
    """The question that the page answers."""
    return f"Which encoder hears emotion best on {view.about}?"


def verdicts(view: View) -> list[words.Verdict]:
    """The answers: one for each target."""
    return words.verdicts(view)


def further(view: View) -> list[str]:
    """What else was found: who follows the music, the controlled 2 x 2, and what pretraining adds."""
    design, over_time = factorial(view.scores), view.scores.over_time
    return [
        *(over_time.sentences() if over_time else []),
        *(design.sentences() if design else []),
        *(twin.words for twin in view.twins),
    ]


def _heading(view: View) -> dict[str, Any]:
    scores = view.scores
    n_folds = max(len(np.unique(folds[folds >= 0])) for folds in scores.folds.values())
    facts = [
        provenance.counted(len(scores.song_ids), "song"),
        provenance.counted(len(scores.encoders), "encoder"),
        provenance.counted(n_folds, "fold"),
        provenance.counted(len(scores.results.seeds), "seed"),
        "targets: " + ", ".join(view.targets),
    ]
    return {"heading": heading(view), "name": view.name, "synthetic": view.synthetic, "facts": facts}


def _answers(view: View) -> list[dict[str, Any]]:
    limits = shared_limits([view])
    return [{**verdict._asdict(), "picture": ladder(view, verdict.target, limits)} for verdict in words.verdicts(view)]


def _over_time(view: View) -> dict[str, Any] | None:
    """How well each encoder follows a song; None where each song has one annotation."""
    found = view.scores.over_time
    if found is None:
        return None
    heard = view.experiment.get("frames") or {}
    return {
        "sentences": found.sentences(),
        "table": tables.over_time(view, found),
        "pooled": tables.over_time(view, found, pooled=True),
        "following": [following_picture(view, found, target) for target in view.targets],
        "courses": course_pictures(view, found),
        "songs": tables.songs_over_time(view, found),
        "n_left_out": max(0, len(view.songs) - tables.MOST_SONGS),
        "undefined": {label: n for label in view.order if (n := found.undefined(label))},
        "n_frames": f"{found.n_frames:,}".replace(",", "\u202f"),
        "heard": _heard_words(heard),
    }


def _heard_words(frames: Mapping[str, Any]) -> str:
    """What an encoder heard of a song for each moment, as a sentence."""
    if not frames:
        return ""
    where = "before it" if frames.get("causal") else "around it: also what comes after"
    return f"Each moment is judged by the {frames.get('window_s'):g} s {where}."


def _inputs(view: View) -> dict[str, Any] | None:
    """The controlled 2 x 2; None where the encoders form none."""
    design = factorial(view.scores)
    if design is None:
        return None
    cells = [f"{label} ({' with '.join(levels)})" for levels, label in design.design.encoders.items()]
    return {
        "factors": " and ".join(design.design.factors),
        "asks_input": "input" in design.design.factors,
        "sentences": design.sentences(),
        "cells": listed(cells),
        "pictures": [
            *(interaction_picture(view, design, target) for target in design.targets),
        ],
        "effects": effects_picture(view, design),
    }


def _pretraining(view: View) -> dict[str, Any] | None:
    """Each encoder against its untrained twin; None where none has one."""
    pictures = _present(twin_picture(view, target) for target in view.targets)
    overall = None if len(view.targets) > 1 else view.targets[0]
    sentences = [twin.words for twin in view.twins if twin.target == overall]
    return {"pictures": pictures, "sentences": sentences} if pictures else None


def _failing(view: View, excerpts: Mapping[str, Excerpt]) -> dict[str, Any]:
    found = groups(view)
    worst = worst_songs(view)
    return {
        "groups": [group_picture(view, number, kind) for number, kind in enumerate(found.values())],
        "worst": worst_picture(view, worst),
        "songs": [_worst_song(view, song, excerpts) for song in worst],
        "n_sounds": len(excerpts),
        "sound_size": f"{sum(excerpt.n_bytes for excerpt in excerpts.values()) / 1e6:.1f} MB",
    }


def _worst_song(view: View, song: WorstSong, excerpts: Mapping[str, Excerpt]) -> dict[str, Any]:
    about = view.songs[song.position]
    annotated = ", ".join(tables.decimals(value, view.places) for value in view.y_true[song.position])
    return {
        "index": song.position,
        "name": song_name(about),
        "genre": tables.plain(about.get("genre")),
        "annotated": annotated,
        "error": tables.decimals(song.error),
        "sounds": about["id"] in excerpts,
    }


def _sounds(view: View, excerpts: Mapping[str, Excerpt]) -> dict[str, str]:
    """Data URIs by the index of the song, as the page's scatters count songs."""
    return {str(i): excerpts[song].data_uri for i, song in enumerate(view.scores.song_ids) if song in excerpts}


def _encoder_section(view: View, label: str) -> dict[str, Any]:
    columns = valence_arousal_columns(view.targets)
    loss = loss_picture(view, label)
    founding = [scatter_picture(view, label, columns), confusion_picture(view, label, columns)] if columns else []
    others = [c for c in range(len(view.targets)) if columns is None or c not in columns]
    encoder = view.described[label]
    facts = [
        (key.replace("_", " "), tables.plain(encoder[key])) for key in _SHOWN_FACTS if encoder.get(key) is not None
    ]
    twin_of = [("untrained twin of", view.parent(label))] if view.parent(label) else []
    head = tables.plain(encoder.get("head"))
    return {
        "label": label,
        "facts": [*twin_of, *facts],
        "pictures": [*([loss] if loss else []), *founding, *(target_picture(view, label, c) for c in others)],
        "no_epochs": None
        if loss
        else f"There are no epochs to show: the head ({head}) is fitted in one step, in closed form.",
    }


def _present(pictures: Any) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]
