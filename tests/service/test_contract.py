"""What `/openapi.json` promises, asked by schemathesis: every answer is one that is declared, in its declared shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.core.failures import Failure, FailureGroup  # noqa: E402

N_EXAMPLES = 25
PREDICT = "/v1/predict"


@pytest.fixture(scope="module")
def operations(served: Any) -> dict[str, Any]:
    """Everything that the service declares, by its address."""
    schema = schemathesis.openapi.from_url(f"{served.address}/openapi.json")
    # Bytes that are no audio are a valid form with a declared refusal, 422.
    schema.config.checks.update(excluded_check_names=["positive_data_acceptance"])
    found = [one.ok() for one in schema.get_all_operations()]
    return {one.path: one for one in found}


def asked(operation: Any, mode: GenerationMode) -> set[int]:
    """The statuses that a service answers a bounded number of requests with, each seen to be as declared."""
    statuses = set()

    @settings(
        max_examples=N_EXAMPLES,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call()
        statuses.add(response.status_code)
        case.validate_response(response)

    ask()
    return statuses


def test_what_is_declared(operations: dict[str, Any]) -> None:
    assert set(operations) == {PREDICT, "/v1/model", "/healthz", "/metrics"}


@pytest.mark.slow
@pytest.mark.parametrize("address", ["/v1/model", "/healthz", "/metrics"])
def test_what_takes_nothing(operations: dict[str, Any], address: str) -> None:
    assert asked(operations[address], GenerationMode.POSITIVE) == {200}


@pytest.mark.slow
def test_forms_that_are_right_and_forms_that_are_wrong(operations: dict[str, Any]) -> None:
    assert 422 in asked(operations[PREDICT], GenerationMode.POSITIVE)
    assert asked(operations[PREDICT], GenerationMode.NEGATIVE) == {400, 422}


@pytest.mark.parametrize("curve", ["true", "false"])
def test_songs(served: Any, operations: dict[str, Any], song: Path, curve: str) -> None:
    response = requests.post(
        f"{served.address}{PREDICT}", files={"file": song.read_bytes()}, params={"curve": curve}, timeout=120
    )
    assert response.status_code == 200
    operations[PREDICT].validate_response(response)


def test_an_answer_of_another_shape_would_be_found(served: Any, operations: dict[str, Any], song: Path) -> None:
    """The tests above prove something only if what is not declared is found."""
    response = requests.post(f"{served.address}{PREDICT}", files={"file": song.read_bytes()}, timeout=120)
    response._content = response.content.replace(b'"model"', b'"nodel"')
    with pytest.raises((Failure, FailureGroup), match="model"):
        operations[PREDICT].validate_response(response)
