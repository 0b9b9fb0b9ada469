"""A store of a sweep with numbers that the tests choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fogline.benchmarks.sweeps.cells import Facts, facts_of
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.plan import plan_cells
from fogline.core.episode import Episode, Failure, Usage
from fogline.core.store import RunStore

Metrics = Mapping[str, Any]


def metrics(success_rate: float = 1.0, **changes: Any) -> dict[str, Any]:
    """Metrics of a game of Silo-Bench, plausible where nobody says otherwise."""
    found: dict[str, Any] = {
        "success_rate": success_rate,
        "success": success_rate == 1.0,
        "partial_correctness": success_rate,
        "success_rate_strict": success_rate,
        "partial_correctness_published": None,
        "tokens_out": 100,
        "token_consumption": 1.0,
        "token_consumption_executed": 10.0,
        "density": 0.5,
        "density_delivered": 0.5,
        "density_reads": 0.0,
        "density_writes": 0.0,
        "messages": 10,
        "fewest_messages": 5,
        "redundancy": 2.0,
        "fidelity": 0.5,
        "rounds": 4,
        "characters_sent": 300,
        "characters_delivered": 300,
        "words_sent": 60,
        "max_in_degree": 3,
        "max_characters_received": 90,
        "gini": 0.25,
        "coverage": 1.0,
        "premature": 0.0,
        "computation_error": 0.0,
        "no_submission": 0.0,
        "consensus_failure": False,
        "distinct_answers": 1,
        "parse_failures": 0,
        "malformed": 0,
        "leader": False,
        "pairs": [[0, 1, 7], [1, 0, 3]],
    }
    return found | changes


def store_sweep(config: SweepConfig, of: Callable[[Facts, int], Metrics | Failure | None]) -> str:
    """Store every episode of a sweep as ``of`` says by cell and instance: metrics, a failure, or not at all."""
    with RunStore(config.store) as store:
        run = store.begin_run("fogline sweep silo-bench", {**config.model_dump(), "sweep": "silo-bench"})
        cells = plan_cells(config)
        store.add_cells(run, [cell.config for cell in cells])
        items = []
        for cell in cells:
            facts = facts_of(cell.config)
            for number, (task_id, seed) in enumerate(cell.assignments):
                found = of(facts, number)
                if found is not None:
                    items.append((cell.key, _episode(cell.agent, task_id, seed, found)))
        store.add_episodes_of_cells(run, items)
    return run


def _episode(agent: str, task_id: str, seed: int, found: Metrics | Failure) -> Episode:
    usage = Usage(wall_s=0.6, env_s=0.4, agent_s=0.1)
    if isinstance(found, Failure):
        own = found.kind == "AgentError"
        return Episode(
            "SiloBench-v0", task_id, seed, (), "agent_error" if own else "infra_error", failure=found, agent=agent
        )
    return Episode("SiloBench-v0", task_id, seed, (), "terminated", metrics=found, usage=usage, agent=agent)
