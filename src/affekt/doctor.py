"""What works on this machine, and how to mend what does not. Each check really tries; none guesses from a version."""

from __future__ import annotations

import importlib
import operator
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from affekt.paths import cache_home

OK, MISSING, BROKEN = "ok", "missing", "broken"


def examine() -> list[dict[str, Any]]:
    """Run all checks.

    Returns:
        rows with check, state ("ok", "missing" for an extra that is not installed, "broken"), found, mend.
    """
    return [_run(name, check) for name, check in CHECKS]


def _run(name: str, check: Callable[[], tuple[str, str, str]]) -> dict[str, Any]:
    try:
        state, found, mend = check()
    except Exception as error:  # a check that falls over has found something broken
        state, found, mend = BROKEN, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", ""
    return {"check": name, "state": state, "found": found, "mend": mend}


def _python() -> tuple[str, str, str]:
    import platform

    return OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}", ""


def _decoding() -> tuple[str, str, str]:
    """Write and read back a short tone in every format that music comes in."""
    import soundfile

    from affekt.audio.decode import decode

    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)).astype(np.float32)
    good: list[str] = []
    bad: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("wav", "flac", "ogg", "mp3"):
            path = Path(folder) / f"tone.{suffix}"
            try:
                soundfile.write(path, tone, 22050)
                found = decode(path, 16000)
                (good if np.sqrt(np.mean(found**2)) > 0.3 else bad).append(suffix)
            except Exception:
                bad.append(suffix)
    state = BROKEN if bad else OK
    mend = f"no {', '.join(bad)}: pip install --upgrade soundfile (libsndfile 1.1 or newer)" if bad else ""
    return state, f"{', '.join(good)}; libsndfile {soundfile.__libsndfile_version__}", mend


def _store() -> tuple[str, str, str]:
    """Write, read and delete a value where activations are kept."""
    import shutil

    from affekt.features.store import Store

    home = cache_home()
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        store = Store(Path(folder))
        store.put("0" * 32, np.ones(3, np.float16), {})
        assert store.get("0" * 32).sum() == 3
    free_gb = shutil.disk_usage(home).free / 1e9
    mend = "free some space, or set AFFEKT_HOME to a folder on another disk" if free_gb < 2 else ""
    return (OK if free_gb > 0.2 else BROKEN), f"{home}, {free_gb:.1f} GB free", mend


def _models() -> tuple[str, str, str]:
    """Build a nano encoder of each kind and run it."""
    try:
        import torch
    except ImportError:
        return MISSING, "torch is not installed", "pip install 'affekt[models]' (only neural encoders need it)"
    from affekt.encoders import build_encoder

    clips = np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32)
    for name in ("wav2vec2-nano", "mambavision-nano"):
        encoder = build_encoder(name)
        assert np.isfinite(encoder.activations(clips, encoder.cut("all"))).all()
    return OK, f"torch {torch.__version__}, {torch.get_num_threads()} threads", ""


def _engines() -> tuple[str, str, str]:
    """Quantise two layers and run them; a whole encoder would take seconds."""
    try:
        import torch

        from affekt.encoders.engines import PACKAGES, compiled, imported
        from affekt.encoders.stages import Stage, run_stages

        packages = [imported(name) for name in PACKAGES]
    except ImportError:
        mend = "pip install 'affekt[openvino]' (only the engine openvino-int8 needs it)"
        return MISSING, "no openvino, nncf or torch: frozen layers cannot be quantised", mend
    stages = [Stage(name, (torch.nn.Linear(64, 64),), operator.call) for name in ("first", "second")]
    inputs = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 8, 64)).astype(np.float32))
    with torch.no_grad():
        assert torch.allclose(compiled(stages, inputs)(inputs), run_stages(stages, inputs), atol=0.1)
    return OK, ", ".join(f"{package.__name__} {package.__version__}" for package in packages), ""


def _ffmpeg() -> tuple[str, str, str]:
    """Have ffmpeg encode a tone into a format that libsndfile does not know, and decode it."""
    from affekt.audio.decode import decode
    from affekt.audio.ffmpeg import program

    ffmpeg = program()
    if ffmpeg is None:
        return MISSING, "no ffmpeg: m4a, wma and the like cannot be read", "install the program ffmpeg"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tone.m4a"
        tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.5", "-c:a", "aac", str(path)]
        subprocess.run([ffmpeg, "-nostdin", "-v", "error", *tone], check=True, capture_output=True)
        assert np.sqrt(np.mean(decode(path, 16000) ** 2)) > 0.01
    return OK, f"{ffmpeg}: m4a and more", ""


def _accelerator() -> tuple[str, str, str]:
    try:
        import torch
    except ImportError:
        return MISSING, "not looked for without torch", ""

    if torch.cuda.is_available():
        return OK, ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())), ""
    if torch.backends.mps.is_available():
        return OK, "Apple GPU (mps)", ""
    return OK, "none; everything runs on the CPU", ""


def _extra(package: str, extra: str, gives: str) -> Callable[[], tuple[str, str, str]]:
    def check() -> tuple[str, str, str]:
        try:
            module = importlib.import_module(package)
        except ImportError:
            return MISSING, f"no {package}: {gives} not available", f"pip install 'affekt[{extra}]'"
        return OK, f"{package} {getattr(module, '__version__', '')}".strip(), ""

    return check


CHECKS: list[tuple[str, Callable[[], tuple[str, str, str]]]] = [
    ("python", _python),
    ("decoding", _decoding),
    ("more formats", _ffmpeg),
    ("store", _store),
    ("neural encoders", _models),
    ("accelerator", _accelerator),
    ("hub models", _extra("transformers", "models", "wav2vec2 and hf: models")),
    ("handcrafted", _extra("librosa", "handcrafted", "the handcrafted encoder")),
    ("engines", _engines),
    ("exported models", _extra("onnxruntime", "onnx", "models that `affekt export` wrote are")),
    ("exporting models", _extra("onnxscript", "export", "`affekt export` is")),
    ("page and API", _extra("gradio", "web", "`affekt serve` is")),
    ("Parquet tables", _extra("pyarrow", "parquet", "tables that end in .parquet are")),
    ("many machines", _extra("ray", "ray", "`--engine ray` is")),
    ("beets", _extra("beets", "beets", "the plug-in for beets is")),
    ("DEAM download", _extra("kagglehub", "kaggle", "the download of DEAM")),
]
