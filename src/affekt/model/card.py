"""The model card: `README.md` of a model, with the metadata that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from affekt.model.bundle import Settings, Target

#: Names of scores in metadata and prose, best known first.
_SCORES = {"r2": "R²", "rmse": "RMSE", "pearson": "Pearson's r", "ccc": "CCC"}


def model_card(settings: Settings) -> str:
    """The whole card, metadata first."""
    metadata = yaml.safe_dump(_metadata(settings), sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{metadata}---\n\n" + "\n\n".join(_sections(settings)) + "\n"


def _metadata(settings: Settings) -> dict[str, object]:
    data = settings.trained_on
    metrics = [
        {"type": name, "name": f"{_SCORES[name]}, {target.name}", "value": round(value, 4)}
        for target in settings.targets
        for name in _SCORES
        if (value := target.scores.get(name, (None,))[0]) is not None
    ]
    return {
        "library_name": "affekt",
        "license": "other",
        "license_name": "see-below",
        "tags": [
            "music",
            "music-emotion-recognition",
            *settings.target_names,
            *(["synthetic"] if data.synthetic else []),
        ],
        "model-index": [
            {
                "name": settings.name,
                "results": [
                    {
                        "task": {"type": "audio-regression", "name": "music emotion recognition"},
                        "dataset": {"type": data.dataset, "name": data.dataset},
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }


def _sections(settings: Settings) -> Sequence[str]:
    data, encoder = settings.trained_on, settings.encoder
    targets = " and ".join(settings.target_names)
    synthetic = (
        "> **Trained on synthetic music.** It shows how the software works and says nothing about real music.\n\n"
        if data.synthetic
        else ""
    )
    trained = "the head alone" if settings.section.freeze == "all" else f"freeze {settings.section.freeze}"
    labels = f" (labels: {data.labels})" if data.labels else ""
    return [
        f"# {settings.name}",
        f"{synthetic}Predicts {targets} of music from {settings.scale[0]:g} to {settings.scale[1]:g}, with an interval "
        "and a curve over time.",
        '```python\nimport affekt\n\nmodel = affekt.load_model("FOLDER OR OWNER/NAME")\n'
        'print(model.predict("song.mp3").as_dict())\n```',
        "## What it is\n\n"
        f"- encoder: {encoder['name']} ({encoder['input']}), weights: {encoder['weights']}\n"
        f"- licence of these weights: {encoder['licence']}\n"
        f"- head: {settings.section.head}; trained: {trained}\n"
        f"- hears {'a window of' if settings.over_time else 'clips of'} {settings.window_s:g} s",
        *([] if settings.graph is None else [_exported(settings)]),
        f"## What it learnt from\n\n{data.n_songs} songs of `{data.dataset}`{labels}, fingerprint `{data.fingerprint}`."
        + "".join(f"\n- {note}" for note in data.notes),
        "## How well it does\n\nOn songs that were not trained on, in folds, with 95 % intervals:\n\n"
        + _table(settings.targets),
        "## Intervals\n\n" + _intervals(settings),
        "## Limits\n\n"
        "- Emotion is what listeners said they heard in the music, on average; a single listener may hear another.\n"
        f"- It knows music like that of `{data.dataset}`. A track unlike it is marked `unfamiliar`, as far as that can "
        "be told, and its interval may be too narrow.\n"
        "- Words are heard as sound: what lyrics say is not understood.\n"
        "- The terms of the data and of the encoder's weights go on to apply to what is made of them.",
    ]


def _exported(settings: Settings) -> str:
    """How to run the graph without this package."""
    graph, encoder, dim = settings.graph, settings.encoder, settings.encoder["embedding_dim"]
    assert graph is not None  # it is an exported model
    rows = "".join(f"\n- {name}: at most {most:.1e}" for name, most in graph.differences.items())
    if settings.section.head == "ridge":
        song = (
            "A song's value is that of its mean embedding `e`: with `mean`, `std`, `slopes` and `intercept` of "
            f"`model.safetensors`, z = (e - mean) / std{_clipped(settings)}, value = z @ slopes + intercept."
        )
    else:
        song = "A song's value is the mean of its clips' values."
    return (
        "## Exported\n\n"
        "`model.onnx` is encoder and readout in one graph, which onnxruntime runs; torch is not needed: "
        "`pip install 'affekt[onnx]'`.\n\n"
        f"- `clips`, float32 (n_clips, {graph.n_samples}): mono, {encoder['sample_rate_hz']} Hz, full scale at 1; any "
        "number of them\n"
        f"- `values`, float32 (n_clips, {len(settings.targets)}): {', '.join(settings.target_names)}; keep them within "
        f"{settings.scale[0]:g} and {settings.scale[1]:g}\n"
        f"- `embeddings`, float32 (n_clips, {dim})\n\n"
        f"{song}\n\n"
        f"Compared with torch on {graph.n_compared} clips, largest differences:\n{rows}\n\n"
        f"The graph holds the encoder's weights ({encoder['weights']}): whoever passes it on passes them on, under "
        f"their licence ({encoder['licence']})."
    )


def _clipped(settings: Settings) -> str:
    most = settings.section.clip_embeddings
    return "" if most is None else f" within ±{most:g}"


def _table(targets: Sequence[Target]) -> str:
    head = "| target | " + " | ".join(_SCORES.values()) + " |\n|---|" + "---|" * len(_SCORES)
    rows = [
        f"| {target.name} | "
        + " | ".join(_cell(target.scores.get(name, (None, None, None))) for name in _SCORES)
        + " |"
        for target in targets
    ]
    return "\n".join([head, *rows])


def _cell(score: tuple[float | None, float | None, float | None]) -> str:
    value, low, high = score
    if value is None:
        return "not defined"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _intervals(settings: Settings) -> str:
    lines = [
        f"- {target.name}: ± {target.half_width:.2f}"
        + ("" if target.measured_coverage is None else f"; it held for {target.measured_coverage:.1%} of songs")
        for target in settings.targets
    ]
    return (
        f"Split conformal prediction at {settings.coverage:.0%}, from errors on songs that were not trained on. "
        "Measured on each fold with the errors of the others:\n\n" + "\n".join(lines)
    )
