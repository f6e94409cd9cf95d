"""What `/openapi.json` promises, asked by schemathesis: every answer is one that is declared, in its declared shape."""

from __future__ import annotations

from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, Phase, settings  # noqa: E402

N_EXAMPLES = 25


@pytest.mark.slow
def test_every_answer_is_declared(served: Any) -> None:
    schema = schemathesis.openapi.from_url(f"{served.address}/openapi.json")
    # Bytes that are no audio are a valid form with a declared refusal, 422.
    schema.config.checks.update(excluded_check_names=["positive_data_acceptance"])
    operations = list(schema.get_all_operations())
    assert {one.ok().path for one in operations} == {"/v1/predict", "/v1/model", "/healthz", "/metrics"}
    for operation in operations:
        _ask(operation.ok())


def _ask(operation: Any) -> None:
    from hypothesis import given

    @settings(
        max_examples=N_EXAMPLES,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate()

    ask()
