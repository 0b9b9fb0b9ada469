"""The loop: what is played, what is remembered, what survives a kill."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import killed
import numpy as np
import pytest
import torch
from gymnasium import spaces
from identity import Identity, digits

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.vector import CategoricalPolicy, policy_for
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from fogline.trainers.config import SEEDS_PER_RUN, EvaluationConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig, TrainingDiverged
from fogline.trainers.logs import RunLog, read_log
from fogline.trainers.recipe import Recipe
from fogline.trainers.recipes import make_recipe
from fogline.trainers.rollouts import Rollouts
from fogline.trainers.setup import make_trainer
from fogline.trainers.trainer import Trainer

torch.set_num_threads(1)

CLOCK = {"play_s", "learn_s", "wall_s"}


def told(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a log without the clock's."""
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def state_of(folder: Path) -> dict[str, Any]:
    state = torch.load(checkpoints(folder / "checkpoints")[-1], weights_only=True)
    state["totals"].pop("wall_s")
    state.pop("torch_rng")  # Of the process: carried on by a resumed run, not decided by it.
    return dict(state)


# Resuming


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    killed.trainer(str(folder), 7).train()
    return folder


def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(tmp_path: Path, uninterrupted: Path) -> None:
    def stop(row: Any) -> None:
        if row["update"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed.trainer(str(tmp_path), 7, stop).train()
    assert [row["update"] for row in read_log(tmp_path)] == [1, 2, 3, 4, 5]
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["update-000002.pt", "update-000004.pt"]
    rows = killed.trainer(str(tmp_path), 7).train()
    assert [row["update"] for row in rows] == [5, 6, 7], "from the checkpoint on"
    assert told(read_log(tmp_path)) == told(read_log(uninterrupted))
    assert same(state_of(tmp_path), state_of(uninterrupted))


def test_a_run_that_was_killed_is_resumed_bit_for_bit(tmp_path: Path, uninterrupted: Path) -> None:
    """SIGKILL, which nothing can catch, in the middle of a run in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(killed.__file__).parent)}
    process = subprocess.Popen([sys.executable, killed.__file__, str(tmp_path), "7"], env=environment)
    deadline = time.monotonic() + 120
    while len(read_log(tmp_path)) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "it never got to the third update"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert checkpoints(tmp_path / "checkpoints")
    assert len(read_log(tmp_path)) < 7
    killed.trainer(str(tmp_path), 7).train()
    assert told(read_log(tmp_path)) == told(read_log(uninterrupted))
    assert same(state_of(tmp_path), state_of(uninterrupted))


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, uninterrupted: Path) -> None:
    before = told(read_log(uninterrupted))
    run = killed.trainer(str(uninterrupted), 7)
    assert run.train() == []
    assert run.update == 7
    assert told(read_log(uninterrupted)) == before


def test_a_run_that_starts_anew_forgets_the_old_one(tmp_path: Path) -> None:
    killed.trainer(str(tmp_path), 4).train()
    killed.trainer(str(tmp_path), 1, resume=False).train()
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["update-000001.pt"]
    assert [row["update"] for row in read_log(tmp_path)] == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "reinforce"}, "is of recipe 'ppo', not 'reinforce'"),
        ({"options": {"discount": 0.5}}, "was trained with discount=0.99, not 0.5"),
        ({"seed": 1}, "was trained with seed=0, not 1"),
        ({"env": "killed:digits"}, "was trained with env='identity:digits', not 'killed:digits'"),
        ({"policy": killed.PolicyConfig(hidden=(9,), normalise_observations=True)}, "is of another policy"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    uninterrupted: Path, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killed, "digits", digits, raising=False)
    with pytest.raises(ConfigurationError, match=f"{message}.*resume=False"):
        killed.trainer(str(uninterrupted), 9, **changes).train()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    killed.trainer(str(tmp_path), 2).train()
    (path,) = checkpoints(tmp_path / "checkpoints")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"update-000002.pt' is not a checkpoint"):
        killed.trainer(str(tmp_path), 4).train()
    torch.save({"weights": 1}, path)
    with pytest.raises(DataError, match="not a checkpoint of format"):
        load_checkpoint(path, "ppo", {})


def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, {"recipe": "r", "options": {}, "what": "first"})

    def half_way(state: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half_way)
    for update in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, update, {"recipe": "r", "options": {}, "what": "second"})
    (path,) = checkpoints(tmp_path)
    assert load_checkpoint(path, "r", {})["what"] == "first"


def test_old_checkpoints_go_and_named_ones_stay(tmp_path: Path) -> None:
    state = {"recipe": "r", "options": {}}
    save_checkpoint(tmp_path, 1, state, name="diverged.pt")
    for update in range(1, 6):
        save_checkpoint(tmp_path, update, state, keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "diverged.pt", "update-000003.pt", "update-000004.pt", "update-000005.pt",
    ]  # fmt: skip


# Logs


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for update in (1, 2, 3):
        log.write({"update": update, "loss": 0.5})
    log.close()
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"update": 4, "lo')
    assert [row["update"] for row in read_log(tmp_path)] == [1, 2, 3]
    again = RunLog(tmp_path, 2)
    again.write({"update": 3, "loss": 0.25})
    again.close()
    assert [json.loads(line) for line in log.path.read_text("utf-8").splitlines()] == [
        {"update": 1, "loss": 0.5}, {"update": 2, "loss": 0.5}, {"update": 3, "loss": 0.25},
    ]  # fmt: skip


def events(folder: Path) -> list[Any]:
    """Events as TensorBoard reads them: records of length, its checksum, content, its checksum."""
    from tensorboardX.crc32c import crc32c
    from tensorboardX.proto.event_pb2 import Event

    def masked(data: bytes) -> int:
        checksum = crc32c(data)
        return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF

    found = []
    for path in sorted((folder / "events").iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):
            head, check = data[place : place + 8], data[place + 8 : place + 12]
            assert struct.unpack("<I", check)[0] == masked(head)
            (length,) = struct.unpack("<Q", head)
            content = data[place + 12 : place + 12 + length]
            assert struct.unpack("<I", data[place + 12 + length : place + 16 + length])[0] == masked(content)
            found.append(Event.FromString(content))
            place += 16 + length
    return found


def test_tensorboard_reads_the_events(tmp_path: Path) -> None:
    killed.trainer(str(tmp_path), 2, tensorboard=True).train()
    rows = read_log(tmp_path)
    scalars = {
        (value.tag, event.step): value.simple_value for event in events(tmp_path) for value in event.summary.value
    }
    for row in rows:
        for name in ("loss", "train/reward", "gradient_norm", "evaluation/reward"):
            if name in row:
                assert scalars[name, row["update"]] == pytest.approx(row[name], rel=1e-6)


# What is played


class Biased(CategoricalPolicy):
    """Notes every assignment that it plays."""

    def __init__(self, world: Identity, **options: Any) -> None:
        from fogline.agents.policies.encoders import SpaceEncoder

        super().__init__(SpaceEncoder(world.observation_space, world.action_space), hidden=(4,), **options)
        self.played: list[tuple[str, tuple[int, ...], bool]] = []

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        for view in views:
            if not view.turns:
                self.played.append((view.task_id, tuple(view._entropy), self.greedy))
        return super().act(views)


class Paid(Identity):
    """Of the task's name decides the reward: ``tied``: 1 always; ``sick``: a failure; else by the seed."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.task_id.startswith("sick"):
            raise RuntimeError("sick")
        observation, _, over, cut, info = super().step(action)
        reward = 1.0 if self.task_id.startswith("tied") else float(self.np_random.random())
        return observation, reward, over, cut, info


def rollouts(tasks: Sequence[str], policy: CategoricalPolicy | None = None, seed: int = 0, **config: Any) -> Rollouts:
    def world() -> Paid:
        return Paid(spaces.Discrete(3), length=1)

    return Rollouts(world, policy or policy_for(world(), hidden=(4,)), tasks, RolloutConfig(**config), seed=seed)


DYNAMIC = make_recipe("dapo", max_generation_batches=3)


def test_every_pass_over_the_tasks_has_an_order_of_its_own() -> None:
    tasks = [f"t{number}" for number in range(6)]
    source = rollouts(tasks, tasks_per_update=6, group_size=2)
    passes = []
    for _ in range(4):
        played = source.play(make_recipe("grpo"))
        order = [played.batch.task_ids[int(task)] for task in played.batch.task[::2]]
        assert sorted(order) == tasks
        assert played.batch.group.tolist() == [group for group in range(6) for _ in range(2)]
        passes.append(order)
    assert len({tuple(order) for order in passes}) > 1
    again = rollouts(tasks, tasks_per_update=6, group_size=2)
    assert [again._task(number) for number in range(24)] == [task for order in passes for task in order]


def test_seeds_are_never_used_twice_nor_by_evaluation() -> None:
    seeds: list[int] = []
    for run in (0, 1, 7):
        source = rollouts(["a", "b"], seed=run, tasks_per_update=3, group_size=4)
        for _ in range(3):
            seeds += [episode.seed for episode in source.play(make_recipe("grpo")).episodes]
    assert len(seeds) == len(set(seeds)) == 3 * 3 * 12
    assert min(seeds) >= SEEDS_PER_RUN
    with pytest.raises(ValueError, match="seed"):
        EvaluationConfig(seed=SEEDS_PER_RUN)
    top = EvaluationConfig(seed=SEEDS_PER_RUN // 2, samples=SEEDS_PER_RUN // 2)
    assert top.seed + top.samples <= SEEDS_PER_RUN


def test_groups_without_a_signal_are_replaced() -> None:
    tasks = ["tied-0", "live-0", "tied-1", "live-1", "live-2", "tied-2"]
    source = rollouts(tasks, tasks_per_update=3, group_size=4)
    played = source.play(DYNAMIC)
    kept = [played.batch.task_ids[int(task)] for task in played.batch.task[::4]]
    assert len(kept) == 3 and all(task.startswith("live") for task in kept)
    assert len(played.batch) == 12 and played.batch.valid.all()
    assert played.generations > 1 and len(played.episodes) > 12
    assert played.kept == pytest.approx(12 / len(played.episodes)), "the share of rows that were worth it"
    assert sum(source.statistics.trials.values()) == len(played.episodes), "what was dropped is remembered too"
    assert source.cursor.episodes == len(played.episodes)


def test_refilling_ends_and_takes_what_there_is() -> None:
    source = rollouts(["tied", "live", "tied-1", "tied-2"], tasks_per_update=4, group_size=2)
    played = source.play(make_recipe("dapo", max_generation_batches=1))
    assert played.generations == 1
    assert [played.batch.task_ids[int(task)] for task in played.batch.task] == ["live", "live"]
    assert played.kept == 0.25


def test_where_all_groups_are_tied_the_last_ones_are_learned_from() -> None:
    source = rollouts(["tied", "tied-1"], tasks_per_update=2, group_size=2)
    played = source.play(DYNAMIC)
    assert played.generations == 3 and played.kept == 0.0
    assert len(played.episodes) == 12 and len(played.batch) == 4
    assert not make_recipe("dapo").advantage(played.batch)["policy"].any()


def test_prompts_are_remembered_with_trials_successes_and_rewards() -> None:
    source = rollouts(["tied", "live", "sick"], tasks_per_update=3, group_size=4, retries=0, correct_above=0.5)
    played = source.play(make_recipe("grpo"))
    statistics = source.statistics
    assert statistics.trials == {"tied": 4, "live": 4}, "failures of the world are no trials"
    assert statistics.correct["tied"] == 4 and statistics.reward["tied"] == 4.0
    rewards = [episode.reward for episode in played.episodes if episode.task_id == "live"]
    assert statistics.correct["live"] == sum((reward or 0.0) > 0.5 for reward in rewards)
    assert statistics.reward["live"] == pytest.approx(sum(reward or 0.0 for reward in rewards))


def test_failures_of_the_world_are_counted_and_left_out(tmp_path: Path) -> None:
    run = small(tmp_path, ["live", "sick"], rollout=RolloutConfig(tasks_per_update=2, group_size=3, retries=0))
    row = run.step()
    assert row["train/unscored"] == 3 and row["train/episodes"] == 3
    assert row["rows_valid"] == 0.5
    run.close()
    sick = small(tmp_path, ["sick"], rollout=RolloutConfig(tasks_per_update=1, group_size=2, retries=0))
    with pytest.raises(DataError, match="every episode failed"):
        sick.step()
    sick.close()


def test_sizes_and_tasks_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"group_size=1 is too small for recipe 'grpo'.*raise group_size"):
        small(tmp_path, ["live"], rollout=RolloutConfig(group_size=1))
    small(tmp_path, ["live"], recipe=make_recipe("reinforce"), rollout=RolloutConfig(group_size=1)).close()
    with pytest.raises(ConfigurationError, match="no tasks to train on"):
        small(tmp_path, [])


def test_an_environment_without_the_track_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = small(tmp_path, ["live"], recipe=make_recipe("dual-track-grpo"))
    run.step()
    run.step()
    run.close()
    assert [record.getMessage() for record in caplog.records if "no track 'schema'" in record.getMessage()] != []
    assert caplog.text.count("no track 'schema'") == 1


def small(folder: Path, tasks: Sequence[str], recipe: Recipe | None = None, **config: Any) -> Trainer:
    def world() -> Paid:
        return Paid(spaces.Discrete(3), length=2)

    recipe = recipe or make_recipe("grpo")
    settings: dict[str, Any] = {"rollout": RolloutConfig(tasks_per_update=2, group_size=2), "updates": 3} | config
    whole = TrainConfig(recipe=recipe.name, env="Paid-v0", out=str(folder), **settings)
    return Trainer(policy_for(world(), hidden=(4,)), recipe, whole, world, tasks)


# Measuring


def test_measuring_leaves_the_policy_and_the_run_as_they_were(tmp_path: Path) -> None:
    runs = {}
    for every in (1, 0):
        out = tmp_path / str(every)
        run = killed.trainer(str(out), 4, evaluation=EvaluationConfig(every=every, samples=3))
        rows = run.train()
        runs[every] = (state_of(out), [row for row in told(rows)])
        assert not run.policy.greedy
    assert same(runs[1][0], runs[0][0]), "bit for bit"
    plain = [{name: value for name, value in row.items() if not name.startswith("evaluation/")} for row in runs[1][1]]
    silent = [{name: value for name, value in row.items() if not name.startswith("evaluation/")} for row in runs[0][1]]
    assert plain == silent
    assert all("evaluation/reward" in row for row in runs[1][1])
    assert ["evaluation/reward" in row for row in runs[0][1]] == [False, False, False, True], "the last one always"


def test_it_is_measured_greedily_on_seeds_of_its_own(tmp_path: Path) -> None:
    world = digits(length=1)
    policy = Biased(world)
    config = TrainConfig(
        recipe="grpo",
        env="identity:digits",
        updates=1,
        rollout=RolloutConfig(tasks_per_update=1, group_size=2),
        evaluation=EvaluationConfig(samples=3, seed=50),
        out=str(tmp_path),
    )
    Trainer(policy, make_recipe("grpo"), config, lambda: digits(length=1), evaluation_tasks=("x", "y")).train()
    trained = [entry for entry in policy.played if not entry[2]]
    measured = [entry for entry in policy.played if entry[2]]
    assert [task for task, _, _ in trained] == ["", ""]
    assert sorted(task for task, _, _ in measured) == ["x"] * 3 + ["y"] * 3
    assert not {entropy for _, entropy, _ in trained} & {entropy for _, entropy, _ in measured}


# Divergence


def test_a_loss_that_is_no_number_stops_with_a_saved_state(tmp_path: Path) -> None:
    run = small(tmp_path, ["live"], learner=LearnerConfig(old_logp="sampler"))
    run.step()
    before = {name: value.clone() for name, value in run.policy.module.state_dict().items()}
    score = run.policy.score

    def broken(*parts: Any, **wanted: bool) -> Any:
        forward = score(*parts, **wanted)
        return type(forward)(forward.logp * torch.nan, None, None, forward.gather, forward.expect)

    run.policy.score = broken  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged, match=r"the loss is nan.*The state before it is in .*diverged\.pt"):
        run.train()
    saved = load_checkpoint(tmp_path / "checkpoints" / "diverged.pt", "grpo", run.recipe.options)
    assert same(saved["module"], before)
    assert saved["update"] == 1
    assert not checkpoints(tmp_path / "checkpoints"), "no run resumes from it by itself"


# From a configuration


def test_a_configuration_is_all_it_takes(tmp_path: Path) -> None:
    config = killed.config(str(tmp_path), 1)
    seen: list[int] = []
    run = make_trainer(config, on_update=lambda row: seen.append(row["update"]))
    (row,) = run.train()
    assert seen == [1]
    assert (
        row["env_steps"]
        == row["policy_tokens"]
        == sum(
            len(np.zeros(2 if task == "short" else 4)) * 3 for task in [run.rollouts._task(0), run.rollouts._task(1)]
        )
    )
    assert (tmp_path / "policy").is_dir()
    with pytest.raises(ConfigurationError, match=r"actions of Identity-v0 are no text: leave model out"):
        make_trainer(killed.config(str(tmp_path), 1, policy=killed.PolicyConfig(model="tiny")))
    with pytest.raises(ConfigurationError, match=r"task 'shirt' is not one of.*Did you mean 'short'"):
        make_trainer(killed.config(str(tmp_path), 1, tasks=("shirt",)))


def test_weights_in_shards_are_not_sent_to_workers(tmp_path: Path) -> None:
    sharded = LearnerConfig(sharding="fsdp")
    with pytest.raises(ConfigurationError, match="cannot be sent to workers"):
        killed.trainer(str(tmp_path), 1, learner=sharded, rollout=RolloutConfig(engine="process"))
