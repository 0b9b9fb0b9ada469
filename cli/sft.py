"""``fogline sft``: a language model learns from demonstrations."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_json, quiet_libraries

if TYPE_CHECKING:
    from fogline.trainers.sft import SftConfig
    from fogline.trainers.sft_run import SftReport


def sft(
    env: arguments.EnvOption = None,
    env_kwargs: arguments.EnvKwargs = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", "-a", metavar="NAME", help="Who demonstrates, or module:Class. (default: oracle)"),
    ] = None,
    agent_options: arguments.AgentOptions = None,
    model: arguments.TrainedModel = None,
    task: arguments.Tasks = None,
    limit: arguments.Limit = None,
    samples: Annotated[
        int | None, typer.Option("--samples", "-n", metavar="N", help="Demonstrations per task. (default: 1)")
    ] = None,
    least_reward: Annotated[
        float | None, typer.Option(metavar="REWARD", help="Leave out what earned less. (default: 1.0)")
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over what is kept. (default: 2)")] = None,
    rows: Annotated[int | None, typer.Option(metavar="N", help="Demonstrations per step. (default: 16)")] = None,
    learning_rate: arguments.LearningRate = None,
    seed: arguments.Seed = None,
    device: arguments.Device = None,
    dtype: arguments.Dtype = None,
    policy: arguments.PolicyTable = None,
    learner: arguments.LearnerTable = None,
    evaluation: arguments.EvaluationTable = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Log, checkpoints and policy. (default: runs/sft)")
    ] = None,
    save_every: arguments.SaveEvery = None,
    resume: arguments.GoOn = None,
    tensorboard: arguments.TensorBoard = None,
    config: arguments.ConfigFile = None,
    dry_run: arguments.DryRun = False,
    as_json: arguments.Json = False,
) -> None:
    """Teach a language model what a demonstrator writes; what the environment says is read and never learned.

    The policy's folder is a model like any other: train it on, evaluate it, or serve it.

    Example: fogline sft --env TrustSQL-v0 --agent oracle --model tiny --policy max_context=4096 --epochs 4
    """
    quiet_libraries()
    from fogline.cli.options import build_config, key_values, read_config_file, table_of
    from fogline.trainers.sft import SftConfig

    flags: dict[str, Any] = {
        "env": env, "env_kwargs": key_values(env_kwargs, "--set"), "agent": agent,
        "agent_options": key_values(agent_options, "--agent-option"), "tasks": tuple(task or ()), "limit": limit,
        "samples": samples, "least_reward": least_reward, "epochs": epochs, "rows": rows, "seed": seed,
        "policy": table_of(policy, "--policy", model=model, device=device, dtype=dtype),
        "learner": table_of(learner, "--learner", learning_rate=learning_rate),
        "evaluation": key_values(evaluation, "--evaluation"), "out": None if out is None else str(out),
        "save_every": save_every, "resume": resume, "tensorboard": tensorboard,
    }  # fmt: skip
    settings = build_config(SftConfig, _with_tiny(read_config_file(config)), flags)
    if dry_run:
        _estimate(settings, as_json)
        return
    _show(settings, _run(settings), as_json)


def _with_tiny(file: dict[str, Any]) -> dict[str, Any]:
    """A policy table that names no model means the default one, as no table at all does."""
    policy = file.get("policy", {})
    return {**file, "policy": {"model": "tiny", **policy}} if isinstance(policy, dict) else file


def _run(settings: SftConfig) -> SftReport:
    from fogline.cli.interrupts import Interrupts
    from fogline.cli.progress import ProgressBar
    from fogline.cli.training import tell_stopped
    from fogline.trainers.sft_run import run_sft

    steps: int | None = None
    with ProgressBar("steps") as bar, Interrupts("step") as interrupts:

        def tell(row: Mapping[str, Any]) -> None:
            nonlocal steps
            steps = row["updates"]
            bar.update(row["update"], row["updates"], f"loss {row['loss']:.3g}")

        report = run_sft(settings, on_update=tell, stop=interrupts.asked)
    if not report.finished:
        tell_stopped(report, steps, "steps", settings.resume)
    return report


def _estimate(settings: SftConfig, as_json: bool) -> None:
    from dataclasses import asdict

    from fogline.cli.training import parameter_count, show_config
    from fogline.trainers.sft_run import plan_sft

    plan = plan_sft(settings)
    if as_json:
        print_json(asdict(plan))
        return
    show_config(plan.config)
    out = console()
    out.print(
        f"{plan.demonstrations} demonstrations of {plan.tasks} tasks by {clean(settings.agent)}, at most "
        f"{plan.most_steps} optimiser steps, then {plan.evaluation_episodes} episodes to measure.",
        soft_wrap=True,
    )
    out.print(f"Trainable parameters: {parameter_count(plan.trainable_parameters, plan.exact)}.", soft_wrap=True)


def _show(settings: SftConfig, report: SftReport, as_json: bool) -> None:
    from dataclasses import asdict

    from fogline.cli.tables import table
    from fogline.cli.training import show_places

    if as_json:
        print_json({"env": settings.env, "agent": settings.agent, **asdict(report)})
        return
    out = console()
    out.print(
        f"{report.kept} of {report.demonstrations} demonstrations kept; {report.updates} steps, loss "
        f"{report.first['loss']:.3g} → {report.last['loss']:.3g}.",
        soft_wrap=True,
    )
    figures = [(name, f"{value:.4g}") for name, value in report.evaluation.items()]
    out.print(table(f"{settings.env} · taught by {settings.agent}", ["Measure", "Evaluation"], figures))
    show_places(report)
    model = shlex.quote(str(report.policy))
    out.print(f"Train it on: fogline train grpo --env {settings.env} --model {model}", soft_wrap=True)
