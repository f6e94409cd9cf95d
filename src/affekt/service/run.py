"""Serve models until somebody stops it: what `affekt serve` does."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from affekt.audio.silence import native_stderr_silenced
from affekt.errors import ConfigError, MissingExtraError
from affekt.model.predictor import load_model
from affekt.service.limits import Limits

if TYPE_CHECKING:
    import uvicorn

#: Addresses that only this machine reaches.
LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: What open requests get to be answered once somebody stops the service.
LAST_S = 5


def serve(
    model: str,
    other: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    limits: Limits | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a model; returns when the process is asked to end.

    Args:
        model: a folder, or a name on the hub.
        other: a second one, which the page compares with the first.
        host: address to listen at.
        port: of it; 0 for a free one.
        limits: what a request may ask for.
        ready: called with the address of the page once a browser can open it.

    Raises:
        AffektError: a model cannot be loaded, or the address cannot be had.
        MissingExtraError: the extra "web" is not installed.
        KeyboardInterrupt: on Ctrl-C.
    """
    try:
        import uvicorn

        from affekt.service.api import create_app
    except ImportError:
        raise MissingExtraError("The service", "web") from None
    # A port that is taken is told before anything slow is done. Decoders write remarks on strangers' files to the log.
    with listening(host, port) as at, native_stderr_silenced():
        app = create_app(load_model(model), limits, None if other is None else load_model(other))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=LAST_S, server_header=False)
        _server(config, lambda: ready(address(at))).run(sockets=[at])


def listening(host: str, port: int) -> socket.socket:
    """A socket at an address, before anybody is let in.

    Raises:
        ConfigError: it cannot be had.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        at = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"{host}:{port}: no such address here ({error}). Name another with --host.") from None
    try:
        at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        at.bind(place)
    except (OSError, OverflowError) as error:
        at.close()
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{host}:{port}: cannot be served from ({why}). Name another with --port or --host."
        ) from None
    return at


def _server(config: uvicorn.Config, ready: Callable[[], None]) -> uvicorn.Server:
    """A server that says when it can be asked."""
    import uvicorn

    class Telling(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    return Telling(config)


def address(at: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = at.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
