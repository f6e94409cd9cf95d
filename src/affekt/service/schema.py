"""The answers of the API as JSON Schema, for `/openapi.json`: what each answer holds depends on the model's targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from affekt.model.bundle import Settings
from affekt.service.limits import STATUS

Schema = dict[str, Any]

_NUMBER: Schema = {"type": "number"}
_TEXT: Schema = {"type": "string"}
_MEANINGS = {
    400: "The form is damaged or has no file.",
    404: "There is nothing at this address.",
    405: "This address does not answer to this method.",
    408: "The file came in too slowly.",
    413: "The file is too large, or the track too long.",
    415: "The request is no form.",
    422: "The file is not audio that can be read, or a parameter has a value that it cannot have.",
    503: "Too many others ask, or the answer took too long.",
}


def predict_schema(settings: Settings) -> Schema:
    """An answer of POST /v1/predict."""
    targets = settings.target_names
    values = {target: _record(value=_NUMBER, low=_NUMBER, high=_NUMBER, unit=_NUMBER) for target in targets}
    curve = _record(times_s=_many(_NUMBER), **{target: _many(_NUMBER) for target in targets})
    return _record(
        optional=("curve",),
        **values,
        quadrant={"type": ["string", "null"]},
        coverage=_NUMBER,
        scale={"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
        duration_s=_NUMBER,
        warnings=_many(_record(code=_TEXT, text=_TEXT)),
        curve=curve,
        model=_TEXT,
    )


def model_schema() -> Schema:
    """An answer of GET /v1/model."""
    score = {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 3, "maxItems": 3}
    target = _record(
        name=_TEXT,
        half_width=_NUMBER,
        measured_coverage={"type": ["number", "null"]},
        scores={"type": "object", "additionalProperties": score},
    )
    return _record(
        name=_TEXT,
        fingerprint=_TEXT,
        targets=_many(target),
        scale={"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
        coverage=_NUMBER,
        encoder={"type": "object"},
        licence={"type": ["string", "null"]},
        trained_on={"type": "object"},
        synthetic={"type": "boolean"},
        limits={"type": "object", "additionalProperties": _NUMBER},
    )


def error_answers(*statuses: int) -> dict[int | str, Schema]:
    """The answers of these statuses, as FastAPI takes them."""
    return {status: _error(status) for status in statuses}


def answers(schema: Schema, description: str) -> dict[int | str, Schema]:
    """The answer where all goes well, as FastAPI takes it."""
    return {200: {"description": description, "content": {"application/json": {"schema": schema}}}}


def upload_form() -> Schema:
    """The body of a request to predict."""
    form = _record(file={"type": "string", "format": "binary", "description": "The audio, in any readable format."})
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


def _error(status: int) -> Schema:
    codes = [code for code, at in STATUS.items() if at == status] + (["bad_parameter"] if status == 422 else [])
    error = _record(code={"type": "string", "enum": codes}, message=_TEXT)
    found: Schema = {
        "description": _MEANINGS[status],
        "content": {"application/json": {"schema": _record(error=error)}},
    }
    if status == 503:
        found["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}}}
    return found


def _record(optional: Iterable[str] = (), **fields: Schema) -> Schema:
    required = [name for name in fields if name not in tuple(optional)]
    return {"type": "object", "properties": fields, "required": required}


def _many(items: Schema) -> Schema:
    return {"type": "array", "items": items}
