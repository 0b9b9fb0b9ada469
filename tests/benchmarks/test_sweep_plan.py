"""Plans of sweeps: which cells there are, what makes another cell of them, and what is refused beforehand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from fogline.benchmarks.evaluation import sample_seeds
from fogline.benchmarks.sweeps.cells import facts_of
from fogline.benchmarks.sweeps.config import PAPER_SIZES, SweepConfig, preset
from fogline.benchmarks.sweeps.plan import plan_cells, repeated
from fogline.benchmarks.sweeps.teams import seated
from fogline.core.errors import ConfigurationError, DataError
from fogline.core.store import cell_key

SMALL: dict[str, Any] = {"tasks": ("I-01", "II-11"), "n_agents": (2, 3), "agents": ("tree",)}


def keys(**changes: Any) -> set[str]:
    return {cell.key for cell in plan_cells(SweepConfig(**(SMALL | changes)))}


def test_the_paper_preset_is_thirty_tasks_in_54_configurations() -> None:
    cells = plan_cells(SweepConfig(**preset("paper")))
    assert len(cells) == len({cell.key for cell in cells}) == 1620
    facts = [facts_of(cell.config) for cell in cells]
    assert set(Counter(fact.task for fact in facts).values()) == {54}
    assert set(Counter((fact.n_agents, fact.protocol, fact.agent) for fact in facts).values()) == {30}
    assert {fact.n_agents for fact in facts} == set(PAPER_SIZES)
    assert {fact.agent for fact in facts} == {"tree", "flood", "leader"}
    assert all(cell.key == cell_key(cell.config) for cell in cells)


def test_the_quick_preset_is_a_part_of_the_paper_preset() -> None:
    quick = {cell.key for cell in plan_cells(SweepConfig(**preset("quick")))}
    assert len(quick) == 162
    assert quick < {cell.key for cell in plan_cells(SweepConfig())}
    with pytest.raises(ConfigurationError, match=r"preset='papre' is unknown.*Did you mean 'paper'"):
        preset("papre")


def test_how_a_sweep_is_played_does_not_make_another_cell() -> None:
    how = {
        "engine": "process", "workers": 3, "concurrency": 2, "timeout_s": 5.0, "retries": 0, "store": "other.db",
        "keep": "all", "seeds": 7, "seed": 5, "max_tokens": 5, "prices": "p.json", "cache_dir": "c",
    }  # fmt: skip
    assert keys(**how) == keys()
    assert keys(n_agents=(3, 2, 3), tasks=["II-11", "I-01"]) == keys()


@pytest.mark.parametrize(
    "change",
    [
        {"env_kwargs": {"max_rounds": 50}},
        {"agents": ("flood",)},
        {"agents": ("tree+tree",)},
        {"agents": ("silo_players:Waiting",)},
        {"protocols": ("p2p",), "env_kwargs": {"delivery": "pull"}},
    ],
)
def test_another_game_or_team_is_another_cell(change: dict[str, Any]) -> None:
    assert not keys(**change) & keys()


def test_an_agents_options_are_part_of_its_own_cells_alone() -> None:
    both = {"agents": ("tree", "silo_players:Waiting")}
    changed = keys(**both, agent_options={"silo_players:Waiting": {"seconds": 0.5}}) - keys(**both)
    assert len(changed) == len(keys())


def test_instances_are_numbered_and_more_of_them_begin_with_the_fewer() -> None:
    few, many = (plan_cells(SweepConfig(**SMALL, seeds=seeds)) for seeds in (2, 150))
    for one, other in zip(few, many, strict=True):
        assert one.key == other.key
        assert one.assignments == other.assignments[:2]
        task = one.env_kwargs["task"]
        assert [item.task_id for item in one.assignments] == [f"{task}/0", f"{task}/1"]
        assert [item.seed for item in one.assignments] == list(sample_seeds(0, 2))
        assert other.env_kwargs["instances"] >= 150


def test_the_baseline_adds_one_seat_with_the_data_of_each_size() -> None:
    cells = plan_cells(SweepConfig(**SMALL, baseline=True))
    added = [cell for cell in cells if "scale" in cell.env_kwargs]
    assert len(added) == len(cells) - len(keys()) == 2 * 2
    assert {(cell.env_kwargs["n_agents"], cell.env_kwargs["scale"]) for cell in added} == {(1, 2), (1, 3)}
    facts = {facts_of(cell.config) for cell in added}
    assert {(fact.n_agents, fact.baseline) for fact in facts} == {(2, True), (3, True)}


def test_the_first_member_of_a_mixed_team_is_its_single_agent() -> None:
    changes = SMALL | {"agents": ("tree+silent", "tree"), "baseline": True}
    cells = plan_cells(SweepConfig(**changes))
    assert Counter(cell.agent for cell in cells if "scale" in cell.env_kwargs) == {"tree": 4}


def test_seats_of_a_mixed_team_take_turns() -> None:
    players: dict[str, Any] = {"a": object(), "b": object()}
    team = seated(players, ("a", "b"), 5)
    assert isinstance(team, dict)
    assert [team[f"agent_{seat}"] for seat in range(5)] == [players[name] for name in "ababa"]
    assert seated(players, ("b",), 5) is players["b"]


def test_chat_agents_play_in_text_each_with_its_own_model() -> None:
    options: dict[str, Any] = {"chat": {"temperature": 0.5}, "chat:b:8b": {"temperature": 0.7}}
    config = SweepConfig(**SMALL | {"agents": ("chat:a", "chat:b:8b", "tree"), "agent_options": options})
    told: dict[str, Any] = {}
    for cell in plan_cells(config):
        told[cell.agent] = (cell.env_kwargs.get("actions"), dict(cell.config["agent_options"]))
    assert told == {
        "chat:a": ("text", {"chat:a": {"temperature": 0.5, "model": "a"}}),
        "chat:b:8b": ("text", {"chat:b:8b": {"temperature": 0.7, "model": "b:8b"}}),
        "tree": (None, {}),
    }


def test_a_repeated_cell_has_a_key_of_its_own_and_the_same_game() -> None:
    cell = plan_cells(SweepConfig(**SMALL))[0]
    again = repeated(cell, "run-1")
    assert again.key not in (cell.key, repeated(cell, "run-2").key)
    assert (again.env_kwargs, again.assignments) == (cell.env_kwargs, cell.assignments)
    assert facts_of(again.config) == facts_of(cell.config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("I-99",)}, "'I-99' is not a task"),
        ({"agents": ("tre",)}, "agent='tre' is unknown.*Did you mean 'tree'"),
        ({"agents": ("tree+sillent",)}, "agent='sillent' is unknown"),
        ({"agents": ("chat",)}, "needs the option 'model'"),
        ({"agent_options": {"flood": {}}}, "names 'flood', who does not play"),
        ({"agent_options": {"chat": {}}}, "names 'chat', who does not play"),
        ({"agent_options": {"tree": {"colour": 1}}}, "no option 'colour'"),
        ({"env_kwargs": {"max_round": 3}}, "no keyword 'max_round'.*Did you mean 'max_rounds'"),
        ({"env_kwargs": {"drop": 2.0}}, "drop=2.0"),
        ({"env_kwargs": {"task": "I-01"}}, "names 'task', which the sweep sets itself"),
        ({"address": "auto"}, "address='auto' with engine='inline'"),
        ({"workers": 2}, "workers=2 with engine='inline'"),
        ({"max_cost": 1.0}, "max_cost=1.0 without prices"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_plays(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        keys(**change)


@pytest.mark.parametrize(
    "change", [{"n_agents": (0,)}, {"n_agents": ()}, {"agents": ()}, {"protocols": ("tcp",)}, {"seed": -1}, {"x": 1}]
)
def test_values_outside_their_range_make_no_configuration(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SweepConfig(**SMALL | change)


def test_a_stored_cell_of_something_else_is_refused() -> None:
    with pytest.raises(DataError, match="none of a Silo-Bench sweep"):
        facts_of({"env": "TrustSQL-v0", "env_kwargs": {}, "agent": "oracle"})
