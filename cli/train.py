"""``fogline train``: a policy learns in an environment, by a published method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_json, quiet_libraries

if TYPE_CHECKING:
    from fogline.trainers.config import TrainConfig
    from fogline.trainers.processes import Processes
    from fogline.trainers.runs import RunReport, TrainPlan


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="Method; see: fogline recipes.", show_default=False, metavar="RECIPE")
    ] = None,
    env: arguments.EnvOption = None,
    env_kwargs: arguments.EnvKwargs = None,
    model: arguments.TrainedModel = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Of methods that distil: a model, the URL of fogline teach, a .parquet."),
    ] = None,
    critic: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Of pgpo: oracle[:CHANCE], a folder or URL#MODEL. (default: the environment)"
        ),
    ] = None,
    updates: Annotated[int | None, typer.Option(metavar="N", help="Batches to learn from. (default: 100)")] = None,
    learning_rate: arguments.LearningRate = None,
    tasks_per_update: Annotated[
        int | None, typer.Option(metavar="N", help="Groups of episodes in a batch. (default: 8)")
    ] = None,
    group_size: Annotated[int | None, typer.Option(metavar="N", help="Episodes of a task. (default: 8)")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-p",
            metavar="KEY=VALUE",
            help="Setting of the method that differs from: fogline recipes. Repeat for more.",
        ),
    ] = None,
    task: arguments.Tasks = None,
    limit: arguments.Limit = None,
    seed: arguments.Seed = None,
    device: arguments.Device = None,
    dtype: arguments.Dtype = None,
    policy: arguments.PolicyTable = None,
    engine: arguments.EngineName = None,
    workers: arguments.Workers = None,
    address: arguments.Address = None,
    rollout: arguments.RolloutTable = None,
    sharding: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Of weights over processes: none or fsdp. (default: none)",
            rich_help_panel="How it is trained",
        ),
    ] = None,
    learner: arguments.LearnerTable = None,
    evaluation: arguments.EvaluationTable = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Log, checkpoints and policy. (default: runs/train)")
    ] = None,
    save_every: arguments.SaveEvery = None,
    resume: arguments.GoOn = None,
    tensorboard: arguments.TensorBoard = None,
    config: arguments.ConfigFile = None,
    dry_run: arguments.DryRun = False,
    as_json: arguments.Json = False,
) -> None:
    """Train a policy: any method, any environment, text or vectors, one seat or several.

    A run that was stopped goes on from its last checkpoint: give the same command again. On several processes:
    accelerate launch -m fogline.cli.main train …, with --sharding fsdp where one cannot hold it all.

    Example: fogline train ppo --env CartPole-v1 --updates 60 --learner epochs=4 --learner minibatches=4
    """
    quiet_libraries()
    from fogline.cli.options import build_config, key_values, read_config_file, table_of
    from fogline.trainers.config import TrainConfig
    from fogline.trainers.processes import Processes

    flags: dict[str, Any] = {
        "recipe": recipe, "env": env, "env_kwargs": key_values(env_kwargs, "--set"), "teacher": teacher,
        "critic": critic, "options": key_values(option, "--option"), "tasks": tuple(task or ()), "limit": limit,
        "updates": updates, "seed": seed,
        "policy": table_of(policy, "--policy", model=model, device=device, dtype=dtype),
        "rollout": table_of(
            rollout, "--rollout", tasks_per_update=tasks_per_update, group_size=group_size, engine=engine,
            workers=workers, address=address,
        ),
        "learner": table_of(learner, "--learner", learning_rate=learning_rate, sharding=sharding),
        "evaluation": key_values(evaluation, "--evaluation"), "out": None if out is None else str(out),
        "save_every": save_every, "resume": resume, "tensorboard": tensorboard,
    }  # fmt: skip
    settings = build_config(TrainConfig, read_config_file(config), flags)
    processes = Processes()
    if dry_run:
        _estimate(settings, processes, as_json)
        processes.close()
        return
    report = _run(settings, processes)
    main = processes.main
    processes.close()
    if main:
        _show(settings, report, as_json)


def _run(settings: TrainConfig, processes: Processes) -> RunReport:
    from fogline.cli.interrupts import Interrupts
    from fogline.cli.progress import ProgressBar
    from fogline.cli.training import tell_stopped
    from fogline.trainers.runs import run_training

    if processes.count > 1 and not processes.main:
        return run_training(settings, processes=processes)
    evaluated = ""
    with ProgressBar("updates") as bar:

        def tell(row: Mapping[str, Any]) -> None:
            nonlocal evaluated
            if "evaluation/reward" in row:
                evaluated = f", evaluation {row['evaluation/reward']:.3g}"
            reward = f"reward {row['train/reward']:.3g}" if "train/reward" in row else "nothing scored"
            bar.update(row["update"], settings.updates, reward + evaluated)

        if processes.count > 1:
            return run_training(settings, on_update=tell, processes=processes)
        with Interrupts("update") as interrupts:
            report = run_training(settings, on_update=tell, stop=interrupts.asked, processes=processes)
    if not report.finished:
        tell_stopped(report, settings.updates, "updates", settings.resume)
    return report


def _estimate(settings: TrainConfig, processes: Processes, as_json: bool) -> None:
    from dataclasses import asdict

    from fogline.trainers.runs import plan_training

    plan = plan_training(settings)
    if not processes.main:
        return
    if as_json:
        print_json(asdict(plan))
        return
    _show_plan(settings, plan)


def _show_plan(settings: TrainConfig, plan: TrainPlan) -> None:
    from fogline.cli.tables import table
    from fogline.cli.training import parameter_count, show_config

    out = console()
    out.print(table(f"{settings.recipe} · {plan.paper}", ["Part", "What it is"], plan.parts.items()))
    out.print(table("", ["Setting", "Value"], plan.settings.items()))
    show_config(plan.config)
    refilled = f", up to {plan.most_episodes} with refills" if plan.most_episodes > plan.episodes else ""
    lines = [
        f"{settings.updates} updates on {plan.tasks} tasks: {plan.groups} groups, {plan.episodes} episodes{refilled}, "
        f"{plan.optimiser_steps} optimiser steps.",
        f"{plan.evaluations} evaluations: {plan.evaluation_episodes} episodes.",
        f"Trainable parameters: {parameter_count(plan.trainable_parameters, plan.exact)}.",
    ]
    for line in lines:
        out.print(line, soft_wrap=True)


def _show(settings: TrainConfig, report: RunReport, as_json: bool) -> None:
    from dataclasses import asdict

    from fogline.cli.training import progress_table, show_places

    if as_json:
        print_json({"recipe": settings.recipe, "env": settings.env, **asdict(report)})
        return
    out = console()
    out.print(progress_table(f"{settings.recipe} · {settings.env} · seed {settings.seed}", report))
    last = report.last
    out.print(
        clean(
            f"{report.updates} updates, {last['episodes']:,.0f} episodes, {last['env_steps']:,.0f} environment steps, "
            f"{last['policy_tokens']:,.0f} policy tokens."
        ),
        soft_wrap=True,
    )
    show_places(report, last["wall_s"])
