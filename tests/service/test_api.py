"""The API over real HTTP: answers, refusals, and what is left of a request, which is nothing."""

from __future__ import annotations

import io
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf

from affekt.model.predictor import Model
from affekt.service.limits import STATUS

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * 16_000)


def file_of(samples: np.ndarray, rate_hz: int = 16_000, kind: str = "WAV", **tags: str) -> bytes:
    content = io.BytesIO()
    with sf.SoundFile(content, "w", rate_hz, 1 if samples.ndim == 1 else samples.shape[1], format=kind) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(samples)
    return content.getvalue()


def flac_bomb(hours: float = 5.0) -> bytes:
    """Silence that needs next to no bytes."""
    content = io.BytesIO()
    with sf.SoundFile(content, "w", 1000, 1, format="FLAC") as file:
        for _ in range(int(hours * 10)):
            file.write(np.zeros(360_000, np.int16))
    return content.getvalue()


def lying_flac() -> bytes:
    """The same, with a header that speaks of ten seconds."""
    content = bytearray(flac_bomb())
    packed = int.from_bytes(content[18:26], "big")  # rate, channels, bits, 36 bits of samples
    content[18:26] = (packed >> 36 << 36 | 10_000).to_bytes(8, "big")
    return bytes(content)


def lying_wav() -> bytes:
    content = bytearray(file_of(NOISE))
    struct.pack_into("<I", content, content.index(b"data") + 4, 2_000_000_000)
    struct.pack_into("<I", content, 4, 2_000_000_036)
    return bytes(content)


def mp3_of(samples: np.ndarray) -> bytes:
    return file_of(samples, 16_000, "MP3")


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "hours of silence in a few kilobytes": (flac_bomb, "too_long"),
    "a header that promises 2 GB": (lying_wav, "not_audio"),
    "sixty-four channels": (lambda: file_of(np.zeros((16_000, 64))), "not_audio"),
    "255 channels of Vorbis": (lambda: file_of(np.zeros((40_000, 255)), kind="OGG"), "not_audio"),
    "a tenth of a second": (lambda: file_of(NOISE[:1600]), "not_audio"),
    "no samples": (lambda: file_of(NOISE[:0]), "not_audio"),
    "nothing": (lambda: b"", "not_audio"),
    "a text": (lambda: b"<script>alert(1)</script>" * 100, "not_audio"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "not_audio"),
    "half a FLAC": (lambda: file_of(NOISE, kind="FLAC")[:20_000], "not_audio"),
    "half an Ogg": (lambda: file_of(NOISE, kind="OGG")[:9_000], "not_audio"),
    "half an MP3": (lambda: (lambda content: content[: len(content) // 2])(mp3_of(NOISE)), "not_audio"),
    "half a WAV": (lambda: file_of(NOISE)[:50_000], "not_audio"),
    "noise that is not a number": (lambda: not_a_number(), "not_audio"),
}


def not_a_number() -> bytes:
    content = io.BytesIO()
    sf.write(content, np.full(16_000, np.nan, np.float32), 16_000, format="WAV", subtype="FLOAT")
    return content.getvalue()


def told(answer: httpx.Response, status: int, code: str) -> str:
    """The message of an error, which has the shape of all errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"} and set(answer.json()["error"]) == {"code", "message"}
    assert answer.json()["error"]["code"] == code
    message: str = answer.json()["error"]["message"]
    assert "Traceback" not in message and "affekt-serve" not in message
    return message


@pytest.fixture(autouse=True)
def nothing_is_left(upload_folder: Path) -> Iterator[None]:
    yield
    found = [path for path in upload_folder.rglob("*") if path.is_file() or path.name.startswith("affekt")]
    assert found == []


@pytest.mark.parametrize("curve", [False, True])
def test_answers_are_those_of_the_model(served: Any, model: Model, song: Path, curve: bool) -> None:
    answer = served.predict(song.read_bytes(), curve=str(curve).lower())
    assert answer.status_code == 200
    assert answer.json() == model.predict(song, curve).as_dict() | {"model": "tiny-handcrafted"}
    assert ("curve" in answer.json()) == curve


def test_many_at_once_get_the_same_answers(serve: Any, model: Model) -> None:
    songs = [file_of(NOISE * level) for level in (0.1, 0.5, 1.0)]
    expected = [model.predict(io.BytesIO(content), curve=False).as_dict() for content in songs]
    with serve(n_waiting=20) as served, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda place: served.predict(songs[place % 3]).json(), range(12)))
    for place, answer in enumerate(answers):
        assert answer == expected[place % 3] | {"model": "tiny-handcrafted"}


def test_the_model_is_described(served: Any, model: Model) -> None:
    about = served.client.get("/v1/model").json()
    assert about["name"] == "tiny-handcrafted" and about["scale"] == [1, 9] and about["synthetic"] is False
    assert [target["name"] for target in about["targets"]] == ["valence", "arousal"]
    assert about["trained_on"]["n_songs"] == 16 and about["licence"] == model.encoder.spec.licence
    assert about["limits"]["upload_bytes"] == 100_000_000


def test_counters_count(served: Any, song: Path) -> None:
    def count(outcome: str) -> float:
        text = served.client.get("/metrics").text
        found = re.search(rf'^affekt_predictions_total{{outcome="{outcome}"}} (\S+)$', text, re.M)
        return float(found[1]) if found else 0.0

    done, failed = count("done"), count("not_audio")
    served.predict(song.read_bytes())
    served.predict(b"no audio")
    assert (count("done"), count("not_audio")) == (done + 1, failed + 1)
    assert served.client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(served: Any, name: str) -> None:
    make, code = HOSTILE[name]
    told(served.predict(make(), curve="true"), STATUS[code], code)


def test_hours_behind_a_header_that_hides_them_are_not_heard(served: Any) -> None:
    """The decoder stops where the header says; were it to go on, `hearing.BoundedStream` would stop it."""
    answer = served.predict(lying_flac(), curve="true")
    assert answer.status_code == 200 and answer.json()["duration_s"] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "a\x00b.wav", "<script>.wav", "C:\\x.wav", "ü" * 3000, ""]
)
def test_names_of_files_mean_nothing(served: Any, song: Path, name: str, tmp_path: Path) -> None:
    boundary, escaped = "b0", name.replace('"', "%22")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{escaped}"\r\n\r\n'
    body = head.encode() + song.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = served.client.post("/v1/predict", content=body, headers=headers)
    assert answer.status_code == 200 or told(answer, 400, "bad_request")  # a name of six kilobytes is refused
    assert "script" not in answer.text


def test_tags_are_not_repeated(served: Any) -> None:
    tag = "<img src=x onerror=alert(1)>"
    content = file_of(NOISE, kind="FLAC", title=tag, artist=tag)
    assert tag.encode() in content
    for address in ("/v1/predict", "/page/song"):
        answer = served.client.post(address, files={"file": (tag, content)})
        assert answer.status_code == 200 and "onerror" not in answer.text


def test_longer_tracks_are_refused(serve: Any) -> None:
    with serve(duration_s=3.0) as served:
        assert served.predict(file_of(NOISE[:40_000])).status_code == 200
        assert "longer than 0.05 min" in told(served.predict(file_of(NOISE)), 413, "too_long")


@pytest.mark.parametrize("honest", [True, False])
def test_large_files_are_refused(serve: Any, honest: bool) -> None:
    content = file_of(np.tile(NOISE, 20))
    form = httpx.Request("POST", "http://x", files={"file": ("a.wav", content)})
    body, kind = form.read(), form.headers["content-type"]
    with serve(upload_bytes=1_000_000) as served:
        sent: Any = body if honest else (body[at : at + 65_536] for at in range(0, len(body), 65_536))
        answer = served.client.post("/v1/predict", content=sent, headers={"Content-Type": kind})
        assert "1 MB" in told(answer, 413, "too_large")
        assert served.predict(content[:900_000] + b"").status_code == 422  # heard, and found to be cut short


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"json": {"file": "x"}}, 415, "not_a_form"),
        ({"files": {"audio": b"x"}}, 400, "bad_request"),
        ({"files": [("file", b"x"), ("file", b"y")]}, 400, "bad_request"),
        ({"data": {"file": "x"}, "files": {"other": b"x"}}, 400, "bad_request"),
        ({"content": b"--b", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400, "bad_request"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_request"),
        ({"files": {"file": b"x"}, "params": {"curve": "maybe"}}, 422, "bad_parameter"),
    ],
)
def test_other_requests_are_refused(served: Any, form: dict[str, Any], status: int, code: str) -> None:
    told(served.client.post("/v1/predict", **form), status, code)


def test_wrong_addresses_and_methods_are_refused(served: Any) -> None:
    told(served.client.get("/v1/nothing"), 404, "not_found")
    answer = served.client.put("/v1/predict")
    told(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def raw(served: Any, body: bytes, length: int) -> socket.socket:
    """A connection that has sent this much of a form of that length."""
    host, port = served.address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
    connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode() + body)
    return connection


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + bytes(600_000)


def test_senders_that_go_away_leave_nothing(served: Any, song: Path) -> None:
    raw(served, PART, 2_000_000).close()
    while served.service.desk.n_uploads:
        time.sleep(0.01)
    assert served.predict(song.read_bytes()).status_code == 200


def test_senders_that_never_end_are_sent_away(serve: Any) -> None:
    with serve(upload_s=0.2) as served, raw(served, PART, 2_000_000) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_who_comes_when_all_is_full_is_told_to_come_again(serve: Any, song: Path) -> None:
    with serve(n_at_once=1, n_waiting=1) as served, ThreadPoolExecutor(2) as pool:
        lock: threading.Lock = served.service.listeners[0]._lock
        with lock:  # nobody is answered for now
            waiting = [pool.submit(served.predict, song.read_bytes()) for _ in range(2)]
            while served.service.desk.n_inside < 2:
                time.sleep(0.01)
            answer = served.predict(song.read_bytes())
            told(answer, 503, "busy")
            assert answer.headers["retry-after"] == "5"
        assert [one.result().status_code for one in waiting] == [200, 200]
        assert served.predict(song.read_bytes()).status_code == 200


def test_who_waits_too_long_is_told_so(serve: Any, song: Path) -> None:
    with serve(predict_s=0.2) as served:
        with served.service.listeners[0]._lock:
            told(served.predict(song.read_bytes()), 503, "too_slow")
        while served.service.desk.n_inside:
            time.sleep(0.01)


def test_a_prediction_that_cannot_be_stopped_keeps_its_place(serve: Any, song: Path, monkeypatch: Any) -> None:
    """The asker is told in time; the thread ends when it can, and only then is there room again."""
    with serve(n_at_once=1, n_waiting=0, predict_s=0.2) as served:
        listener, gate = served.service.listeners[0], threading.Event()
        read = listener.model.read
        monkeypatch.setattr(listener.model, "read", lambda *arguments: gate.wait() and read(*arguments))
        told(served.predict(song.read_bytes()), 503, "too_slow")
        told(served.predict(song.read_bytes()), 503, "busy")
        gate.set()
        while served.service.desk.n_inside:
            time.sleep(0.01)


@pytest.mark.parametrize(
    "address",
    [
        *("/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd", "/gradio_api/info"),
        *("/gradio_api/proxy=http://127.0.0.1/", "/gradio_api/queue/join", "/gradio_api/run/predict", "/monitoring"),
        *("/gradio_api/process_recording", "/gradio_api/vibe-code", "/gradio_api/runs", "/docs", "/redoc", "/login"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_is_open(served: Any, address: str, method: str) -> None:
    told(served.client.request(method, address), 404, "not_found")


@pytest.mark.parametrize("folder", ["static", "assets"])
def test_files_of_the_page_are_its_own(served: Any, folder: str) -> None:
    answer = served.client.get(f"/{folder}/" + "..%2f" * 12 + "etc%2fpasswd")
    assert answer.status_code in (403, 404) and "root" not in answer.text


def test_the_page_may_ask_no_other_host(served: Any) -> None:
    answer = served.client.get("/")
    assert answer.status_code == 200 and "default-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.https?:", answer.text)
