"""The application: HTTP for programs, and the page for people on the same address.

    from affekt.service.api import create_app
    app = create_app(affekt.load_model("models/deam"))        # for any server that speaks ASGI

Every error is `{"error": {"code", "message"}}`; `limits.STATUS` lists the codes. An answer holds the numbers of
`Model.predict` on the same file.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from affekt.model.predictor import Model
from affekt.service import schema
from affekt.service.counters import CONTENT_TYPE, Counters
from affekt.service.desk import Desk
from affekt.service.hearing import Heard, Listener
from affekt.service.limits import STATUS, Limits, Refused
from affekt.service.uploads import private_copy, received

Json = dict[str, Any]
_UPLOAD_ERRORS = (400, 408, 413, 415, 422, 503)


@dataclass
class Service:
    """What the requests of one application share.

    Attributes:
        listeners: the models; programs ask the first.
        limits: what may be asked.
        desk: where requests wait.
        counters: what is counted.
    """

    listeners: tuple[Listener, ...]
    limits: Limits
    desk: Desk
    counters: Counters

    @classmethod
    def of(cls, models: tuple[Model, ...], limits: Limits) -> Service:
        """A service of these models."""
        lock, desk = threading.Lock(), Desk(limits)
        listeners = tuple(Listener(model, limits, lock) for model in models)
        return cls(listeners, limits, desk, Counters(lambda: desk.n_inside))

    async def hear(self, request: Request, curve: bool, listeners: tuple[Listener, ...]) -> list[Heard]:
        """What each listener hears in the file of a request.

        Raises:
            Refused: there is no answer.
        """
        try:
            async with self.desk, received(request, self.limits) as file:
                start = time.perf_counter()
                heard = await self.desk.answer(functools.partial(_hear_all, listeners, file, curve))
        except Refused as refused:
            self.counters.requests.labels(refused.code).inc()
            raise
        self.counters.requests.labels("done").inc()
        self.counters.seconds.observe(time.perf_counter() - start)
        self.counters.audio_s.inc(heard[0].emotion.duration_s)
        return heard


def create_app(model: Model, limits: Limits | None = None, other: Model | None = None, page: bool = True) -> FastAPI:
    """The application that serves a model.

    Args:
        model: whom to ask.
        limits: what a request may ask for.
        other: a second model, which the page compares with the first.
        page: whether there is a page for people beside the API.

    Raises:
        MissingExtraError: the page needs a package that is not installed.
    """
    models = (model,) if other is None else (model, other)
    service = Service.of(models, limits or Limits())
    app = FastAPI(
        title="affekt",
        description=f"Valence and arousal of a track, as {model.settings.name} hears it.",
        version="1",
        docs_url=None,  # its page asks a content network for its scripts
        redoc_url=None,
        lifespan=functools.partial(_alive, service),
    )
    app.state.service = service
    _refuse_in_json(app)
    _add_api(app, service)
    if page:
        from affekt.service.page import add_page

        return add_page(app, service)
    return app


def about_model(model: Model, limits: Limits) -> Json:
    """What a model is, for GET /v1/model and the page."""
    settings = model.settings
    return {
        "name": settings.name,
        "fingerprint": model.fingerprint,
        "targets": [target.model_dump(mode="json") for target in settings.targets],
        "scale": list(settings.scale),
        "coverage": settings.coverage,
        "encoder": settings.encoder,
        "licence": settings.encoder.get("licence"),
        "trained_on": settings.trained_on.model_dump(mode="json"),
        "synthetic": settings.trained_on.synthetic,
        "limits": asdict(limits),
    }


def _hear_all(listeners: tuple[Listener, ...], file: BinaryIO, curve: bool, until: float) -> list[Heard]:
    with private_copy(file) as path:
        return [listener.hear(path, curve, until) for listener in listeners]


@contextlib.asynccontextmanager
async def _alive(service: Service, app: FastAPI) -> AsyncIterator[None]:
    del app
    with contextlib.ExitStack() as stack:
        for listener in service.listeners:
            stack.enter_context(listener.model.running())
        stack.callback(service.desk.close)
        yield


def _add_api(app: FastAPI, service: Service) -> None:
    model = service.listeners[0].model
    settings = model.settings

    @app.post(
        "/v1/predict",
        summary="What a track feels like",
        responses=schema.answers(schema.predict_schema(settings), "What the model says.")
        | schema.error_answers(*_UPLOAD_ERRORS),
        openapi_extra=schema.upload_form(),
    )
    async def predict(request: Request, curve: Literal["true", "false"] = "false") -> Response:
        (heard,) = await service.hear(request, curve == "true", service.listeners[:1])
        return JSONResponse(heard.emotion.as_dict() | {"model": settings.name})

    @app.get(
        "/v1/model",
        summary="What the model is",
        responses=schema.answers(schema.model_schema(), "Settings, scores, origin and limits."),
    )
    async def about() -> Response:
        return JSONResponse(about_model(model, service.limits))

    @app.get(
        "/healthz",
        summary="Whether the service is there",
        responses=schema.answers({"type": "object", "properties": {"status": {"const": "ok"}}}, "It is."),
    )
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={200: {"description": "Text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(service.counters.text(), media_type=CONTENT_TYPE)


def _refuse_in_json(app: FastAPI) -> None:
    """All errors in one shape, without a traceback and without anything that was sent."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        wait = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
        return JSONResponse(error.as_dict(), error.status, {**wait, "Connection": "close"})

    @app.exception_handler(RequestValidationError)
    async def bad_parameter(request: Request, error: RequestValidationError) -> Response:
        places = sorted({".".join(map(str, one["loc"][1:])) for one in error.errors()})
        told = f"Not a value that {', '.join(places)} can have. /openapi.json says what is possible."
        return JSONResponse({"error": {"code": "bad_parameter", "message": told}}, 422)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        codes = {status: code for code, status in STATUS.items()}
        body = {"error": {"code": codes.get(error.status_code, "bad_request"), "message": str(error.detail)}}
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": {"code": "fault", "message": "A fault of the service; its log says more."}}, 500)
