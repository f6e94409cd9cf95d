"""`affekt serve` as a user meets it: in a process of its own, until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

MB = 1 << 20


@contextmanager
def serving(model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address that it tells."""
    command = [sys.executable, "-m", "affekt", "serve", str(model), "--port", "0", *options]
    # An interrupt that the test runner ignores would be ignored by what it starts.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        found = re.fullmatch(r"Page: (http://127\.0\.0\.1:\d+)\n", told)
        assert found, told + process.stderr.read()
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
def test_it_tells_its_address_serves_and_ends_on_ctrl_c(model_folder: Path, song: Path) -> None:
    limits = ("--max-mb", "3", "--max-minutes", "0.5", "--at-once", "3", "--waiting", "0", "--max-seconds", "90")
    with serving(model_folder, "--compare-with", str(model_folder), *limits) as (process, address):
        told = httpx.get(f"{address}/v1/model", trust_env=False).json()["limits"]
        assert (told["upload_bytes"], told["duration_s"], told["predict_s"]) == (3_000_000, 30, 90)
        assert (told["n_at_once"], told["n_waiting"]) == (3, 0)
        with song.open("rb") as file:
            answer = httpx.post(f"{address}/v1/predict", files={"file": file}, timeout=120, trust_env=False)
        assert answer.status_code == 200
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        assert told.endswith("Stopped.\n") and "Traceback" not in told


@pytest.mark.slow
def test_mistakes_are_told_before_anything_slow(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "affekt", "serve"]
        for arguments, told in (
            ([str(tmp_path), "--port", port], "cannot be served from (Address already in use)"),
            ([str(tmp_path), "--port", "0"], "holds no model.json"),
            ([str(tmp_path), "--host", "no.such.host.invalid"], "no such address here"),
        ):
            done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_memory_stays_flat_under_fifty_uploads(model_folder: Path, song: Path) -> None:
    """A gigabyte comes in at once; what the process holds grows by a small part of it."""

    def most_bytes(process: subprocess.Popen[str]) -> int:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])

    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + song.read_bytes()
    block, headers = os.urandom(MB), {"Content-Type": "multipart/form-data; boundary=b"}

    def upload(client: httpx.Client, n_blocks: int) -> int:
        body = (part for part in (head, *[block] * n_blocks, b"\r\n--b--\r\n"))
        return client.post("/v1/predict", content=body, headers=headers).status_code

    with serving(model_folder) as (process, address):
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=address, timeout=300, trust_env=False, limits=limits) as client:
            assert upload(client, 20) in (200, 422)
            before = most_bytes(process)
            with ThreadPoolExecutor(50) as pool:
                found = list(pool.map(lambda _: upload(client, 20), range(50)))
            assert set(found) <= {200, 422, 503}
            assert most_bytes(process) - before < 150 * MB
            assert client.get("/healthz").status_code == 200
