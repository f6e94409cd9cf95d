"""A tiny model, and services that run it: a real server on a free port, in a thread of this process."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import soundfile as sf

from affekt.config import parse_experiment
from affekt.features.store import Store
from affekt.model.predictor import Model, load_model
from affekt.model.train import train_model
from affekt.service.limits import Limits

pytest.importorskip("librosa")  # of the encoder "handcrafted"
fastapi = pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")
RATE_HZ = 16_000


class Served(NamedTuple):
    """A service that runs."""

    address: str
    client: httpx.Client
    app: Any

    @property
    def service(self) -> Any:
        return self.app.state.service

    def predict(self, content: Any, name: str = "song.wav", **query: str) -> httpx.Response:
        return self.client.post("/v1/predict", files={"file": (name, content)}, params=query)


@pytest.fixture(scope="session")
def model_folder(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of valence and arousal that was trained on the 16 songs of `song_folder`."""
    root = tmp_path_factory.mktemp("model")
    experiment = parse_experiment(
        {
            "name": "tiny",
            "dataset": {"name": "folder", "root": str(song_folder)},
            "split": {"folds": 4},
            "clips": {"count": 2, "length_s": 2.0},
            "encoders": ["handcrafted"],
        }
    )
    train_model(experiment, "handcrafted", root / "tiny", root / "run", Store(root / "store"), True, 0)
    return root / "tiny"


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    return load_model(model_folder)


@pytest.fixture(scope="session")
def synthetic_model(model: Model) -> Model:
    """The same, which says that its songs were synthetic; under another name."""
    trained_on = model.settings.trained_on.model_copy(update={"synthetic": True})
    settings = model.settings.model_copy(update={"trained_on": trained_on, "name": "made-up"})
    return Model(settings, model.encoder, model.readout)


@pytest.fixture(scope="module")
def upload_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all temporary files of this process go, services' own included, during the tests of one file."""
    folder = tmp_path_factory.mktemp("uploads")
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    yield folder
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def serve(model: Model, upload_folder: Path) -> Callable[..., Any]:
    """A context manager that serves the model with some limits: `with serve(upload_bytes=1000) as served`."""

    @contextmanager
    def serving(other: Model | None = None, page: bool = False, whom: Model = model, **limits: Any) -> Iterator[Served]:
        from affekt.service.api import create_app

        app = create_app(whom, Limits(**limits), other, page)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
                yield Served(address, client, app)
        finally:
            server.should_exit = True
            thread.join()

    return serving


@pytest.fixture(scope="module")
def served(serve: Callable[..., Any]) -> Iterator[Served]:
    """The service with its own limits and its page."""
    with serve(page=True) as found:
        yield found


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven seconds in stereo at a rate that is not the model's: a tone that grows."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    time_s = np.arange(7 * 22_050) / 22_050
    tone = np.sin(2 * np.pi * 330 * time_s) * time_s / 10
    sf.write(path, np.stack([tone, tone / 2], axis=1), 22_050)
    return path


@pytest.fixture(scope="session")
def planeless_model(model: Model) -> Model:
    """The same, which calls its targets by names that have no place on the plane, one of them hostile."""
    names = ("tension", "<i>energy")
    targets = [
        target.model_copy(update={"name": name}) for target, name in zip(model.settings.targets, names, strict=True)
    ]
    return Model(model.settings.model_copy(update={"targets": targets}), model.encoder, model.readout)
