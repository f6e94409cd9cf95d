"""The page for people: a gradio Blocks page that a service shows beside its API.

Songs do not take gradio's own way of uploading, which keeps files under their sender's names. The page's script sends
each to `/page/song`, which takes it in as `/v1/predict` does, with the same limits, and answers with numbers, words and
pictures. What was found stays in the browser, and the song itself is played from there. Of gradio's own addresses only
those are open that the page asks for, and a content policy keeps the browser from asking any other host.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affekt.errors import MissingExtraError
from affekt.model.batch import Answer
from affekt.model.predictor import Model
from affekt.model.rows import columns, row_of
from affekt.service import pictures, words
from affekt.service.hearing import Heard, Listener

if TYPE_CHECKING:
    from affekt.service.api import Service

#: What the page needs of gradio: nothing that takes files in, gives files out or fetches from elsewhere.
OPEN = ("/", "/config", "/theme.css", "/manifest.json", "/favicon.ico", "/robots.txt")
OPEN_BELOW = ("/assets/", "/static/", "/gradio_api/heartbeat/", "/gradio_api/startup-events", "/gradio_api/app_id")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def add_page(app: FastAPI, service: Service) -> FastAPI:
    """Put the page at `/`, behind everything else that the application answers to.

    Raises:
        MissingExtraError: gradio is not installed.
    """
    gradio = _gradio()

    @app.post("/page/song", include_in_schema=False)
    async def song(request: Request) -> Response:
        heard = await service.hear(request, True, service.listeners)
        return JSONResponse(song_record([listener.model for listener in service.listeners], heard))

    with gradio.Blocks(title="affekt", analytics_enabled=False, fill_width=True) as blocks:
        gradio.HTML(
            _body(service.listeners, service), padding=False, apply_default_css=False, js_on_load=_asset("page.js")
        )
    theme = gradio.themes.Base(font=list(_SANS), font_mono=list(_MONO))
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        show_error=False,
        mcp_server=False,
        theme=theme,
        css=_asset("page.css"),
    )
    mounted = app.router.routes[-1]
    mounted.app = Guard(mounted.app, _methods(app))  # type: ignore[attr-defined]
    return app


def song_record(models: Sequence[Model], heard: Sequence[Heard]) -> dict[str, Any]:
    """What the page shows of a song: for each model numbers, words and a row of a table; and their pictures.

    It is JSON but for values of `mark`, `trails` and `course`, which are SVG of ours.
    """
    emotions = [one.emotion for one in heard]
    return {
        "answers": [_answer(model, one) for model, one in zip(models, heard, strict=True)],
        "duration_s": emotions[0].duration_s,
        "mark": pictures.mark(emotions),
        "trails": [pictures.trail(emotion) for emotion in emotions],
        "course": pictures.course(emotions, heard[0].bars),
        "legend": pictures.course_legend(emotions[0]),
    }


def _answer(model: Model, heard: Heard) -> dict[str, Any]:
    emotion = heard.emotion
    places = words.plane_targets(emotion.targets)
    return {
        "model": model.settings.name,
        "headline": words.headline(emotion),
        "mood": words.mood(emotion),
        "mood_line": words.mood_line(emotion),
        "targets": words.target_words(emotion),
        "scale": words.scale_words(emotion),
        "plane": [emotion.targets[place] for place in places] if places else None,
        "result": emotion.as_dict() | {"model": model.settings.name},
        "row": row_of(Answer(Path("song"), emotion, None), emotion.targets, model.fingerprint),
        "columns": columns(emotion.targets),
    }


class Guard:
    """Stands before gradio: opens the few addresses that the page needs, and tells the browser to ask nobody else.

    Args:
        app: gradio's application.
        methods: of our own addresses, which get here with a method that they do not answer to.
    """

    def __init__(self, app: ASGIApp, methods: dict[str, str]) -> None:
        self._app, self._methods = app, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As of ASGI."""
        if scope["type"] != "http":
            raise HTTPException(404)
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        if path in self._methods:
            raise HTTPException(405, headers={"Allow": self._methods[path]})
        if not (path in OPEN or path.startswith(OPEN_BELOW)):
            raise HTTPException(404)
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_CAREFUL]
            await send(message)

        await self._app(scope, receive, careful)


_CAREFUL = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


def _gradio() -> Any:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    try:
        import gradio
    except ImportError:
        raise MissingExtraError("The page", "web") from None
    return gradio


def _methods(app: FastAPI) -> dict[str, str]:
    """The methods of each address of ours."""
    found: dict[str, set[str]] = {}
    for route in app.router.routes:
        if methods := getattr(route, "methods", None):
            found.setdefault(route.path, set()).update(methods)  # type: ignore[attr-defined]
    return {path: ", ".join(sorted(methods)) for path, methods in found.items()}


def _body(listeners: Sequence[Listener], service: Service) -> str:
    import jinja2

    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        _asset("page.html.j2")
    )
    models = [listener.model.settings for listener in listeners]
    return template.render(
        models=models,
        synthetic=[model for model in models if model.trained_on.synthetic],
        limits=service.limits,
        has_plane=all(words.plane_targets(model.target_names) for model in models),
        plane=pictures.plane(),
        scores=[row for model in models for row in _score_rows(model)],
    )


def _score_rows(model: Any) -> list[dict[str, Any]]:
    return [{"model": model.name, **row} for row in model.score_rows()]


def _asset(name: str) -> str:
    return files("affekt.service").joinpath("assets", name).read_text(encoding="utf-8")
