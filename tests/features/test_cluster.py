"""What holds of a pool of processes whatever it is asked for."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from affekt.errors import ConfigError
from affekt.features.cluster import STILLBORN, Cluster, Ledger, _n_blocks, check_address, check_versions, cluster_of
from affekt.versions import versions


@pytest.mark.slow
def test_nothing_is_reported(ray: Any) -> None:
    usage = pytest.importorskip("ray._common.usage.usage_lib")
    assert not usage.usage_stats_enabled()
    assert ray.get(ray.remote(num_cpus=0)(usage.usage_stats_enabled).remote()) is False
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_ledger_remembers_what_an_actor_died_of() -> None:
    ledger = Ledger(n_actors=1)
    for name in "abc":
        ledger.begin(name)
    ledger.finish("b", b"answer of b")
    assert ledger.known(["a", "b", "c", "d"]) == ({"b": b"answer of b"}, {"a": 1, "c": 1})
    ledger.begin("a")
    assert ledger.known(["a", "c"]) == ({}, {"a": 2, "c": 1})
    ledger.forget(["a", "b"])
    assert ledger.known(["a", "b", "c"]) == ({}, {"c": 1})


def test_actors_that_die_before_any_song_are_not_replaced_for_ever() -> None:
    ledger = Ledger(n_actors=2)
    assert [ledger.born() for _ in range(2 + STILLBORN + 1)] == [True] * (2 + STILLBORN) + [False]
    ledger = Ledger(n_actors=2)
    for number in range(50):  # actors that die now and then, with songs finished between
        assert ledger.born()
        ledger.finish(str(number), b"answer")


def test_other_versions_are_refused() -> None:
    check_versions(versions())
    with pytest.raises(ConfigError, match=r"numpy \S+ instead of 1\.0: numbers could differ"):
        check_versions(versions() | {"numpy": "1.0"})


def test_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="nobody answers there"):
            check_address(f"127.0.0.1:{taken.getsockname()[1]}")
        taken.listen()
        check_address(f"127.0.0.1:{taken.getsockname()[1]}")
    with pytest.raises(ConfigError, match="ray job submit"):
        check_address("ray://127.0.0.1:10001")


def test_options() -> None:
    assert cluster_of("local", None, 3, 2) is None
    assert cluster_of("ray", None, None) == cluster_of("ray", None, 0, None) == Cluster(None, None, 1)
    assert cluster_of("ray", "auto", 8, 2) == Cluster("auto", 8, 2)
    with pytest.raises(ConfigError, match='Did you mean "ray"'):
        cluster_of("rai", None, 0, None)
    with pytest.raises(ConfigError, match="Add --engine ray"):
        cluster_of("local", "auto", 0, None)


def test_blocks_keep_all_actors_busy_and_parts_few() -> None:
    assert [_n_blocks(n, 2, 32) for n in (1, 5, 8, 100, 256, 257, 1_000_000)] == [1, 5, 8, 8, 8, 9, 31250]
