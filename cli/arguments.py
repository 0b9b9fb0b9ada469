"""Arguments and options that commands share, and the longer ones of ``fogline eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_AGENT, _PLAYING, _KEEPING = "Who plays", "How it is played", "What is kept"
_LEARNING, _TABLES = "How it is trained", "The rest, table by table"
_PAIR = "KEY=VALUE"

Env = Annotated[str, typer.Argument(help="Environment id; see: fogline envs.", show_default=False)]
MaybeEnv = Annotated[str | None, typer.Argument(help="Environment id; see: fogline envs.", show_default=False)]
EnvKwargs = Annotated[
    list[str] | None,
    typer.Option("--set", "-k", metavar=_PAIR, help="Keyword of the environment; JSON, else text. Repeat for more."),
]
AgentOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--agent-option",
        "-o",
        metavar=_PAIR,
        help="Option of the agent; JSON, else text. Repeat for more.",
        rich_help_panel=_AGENT,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output, and nothing else there.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Decides all that is random. (default: 0)")]
Store = Annotated[str, typer.Argument(help="SQLite file or database URL.", show_default=False)]

OneAgent = Annotated[
    str | None,
    typer.Option(
        "--agent",
        "-a",
        metavar="NAME",
        help="oracle, heuristic, random, chat, or module:Class. (default: the oracle, else random)",
        rich_help_panel=_AGENT,
    ),
]
Human = Annotated[bool, typer.Option("--human", help="Play it yourself.", rich_help_panel=_AGENT)]
Agents = Annotated[
    list[str] | None,
    typer.Option(
        "--agent",
        "-a",
        metavar="NAME",
        help="oracle, heuristic, random, chat, or module:Class. Repeat to compare.",
        rich_help_panel=_AGENT,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Model of the chat agent, as its server knows it; of the agent vision, its folder or hub name.",
        rich_help_panel=_AGENT,
    ),
]
Decoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How the agent vision decodes: plain, pnd, vcd, icd, agla, sid, pai, m3id, opera or dola.",
        rich_help_panel=_AGENT,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The chat agent's server, e.g. http://localhost:8000/v1.", rich_help_panel=_AGENT),
]
Prices = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Price list of chat models, JSON or TOML.", rich_help_panel=_AGENT),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where replies of chat models are kept.", rich_help_panel=_AGENT),
]

Tasks = Annotated[list[str] | None, typer.Option("--task", metavar="ID", help="Only this task. Repeat for more.")]
Limit = Annotated[int | None, typer.Option(metavar="N", help="Only so many tasks, the first ones.")]
Samples = Annotated[
    int | None,
    typer.Option("--samples", "-n", metavar="N", help="Episodes per task, each with its own seed. (default: 1)"),
]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Configuration, JSON or TOML; options given here win over it.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take; play nothing, call nobody.")]

Concurrency = Annotated[
    int | None,
    typer.Option(metavar="N", help="Episodes in flight in one process. (default: 16)", rich_help_panel=_PLAYING),
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="NAME", help="inline, process or ray. (default: inline)", rich_help_panel=_PLAYING
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", help="Processes of the engine. (default: one per CPU)", rich_help_panel=_PLAYING),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Of a running Ray cluster, for --engine ray: HOST:PORT of its head, or auto. (default: one made here)",
        rich_help_panel=_PLAYING,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="For one attempt at an episode. (default: no limit)", rich_help_panel=_PLAYING
    ),
]
Retries = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Further attempts when the world fails, not the agent. (default: 2)", rich_help_panel=_PLAYING
    ),
]

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="STORE", help="SQLite file or database URL. (default: runs.db)", rich_help_panel=_KEEPING
    ),
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Use finished episodes of the same configuration. (default: resume)",
        rich_help_panel=_KEEPING,
    ),
]

EnvOption = Annotated[
    str | None,
    typer.Option("--env", "-e", metavar="ENV", help="Environment id, or module:function.", show_default=False),
]
TrainedModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Language model: a folder, a name on the hub, or tiny for a small one made here.",
        rich_help_panel=_LEARNING,
    ),
]
LearningRate = Annotated[
    float | None, typer.Option(metavar="RATE", help="Of AdamW. (default: 0.001)", rich_help_panel=_LEARNING)
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="cpu, cuda, … (default: cpu)", rich_help_panel=_LEARNING)
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of the weights: float32, float64, bfloat16. (default: float32)", rich_help_panel=_LEARNING
    ),
]
SaveEvery = Annotated[
    int | None,
    typer.Option(metavar="N", help="Updates between checkpoints. (default: the last only)", rich_help_panel=_KEEPING),
]
GoOn = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Go on from the last checkpoint in the folder. (default: resume)",
        rich_help_panel=_KEEPING,
    ),
]
TensorBoard = Annotated[
    bool | None,
    typer.Option(
        "--tensorboard/--no-tensorboard",
        help="Also write TensorBoard events. (default: no)",
        rich_help_panel=_KEEPING,
    ),
]
PolicyTable = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", metavar=_PAIR, help="Of who is trained: max_new_tokens, lora_rank, …", rich_help_panel=_TABLES
    ),
]
RolloutTable = Annotated[
    list[str] | None,
    typer.Option(
        "--rollout", metavar=_PAIR, help="Of what is played: concurrency, seat_reward, …", rich_help_panel=_TABLES
    ),
]
LearnerTable = Annotated[
    list[str] | None,
    typer.Option(
        "--learner", metavar=_PAIR, help="Of how weights follow: epochs, minibatches, …", rich_help_panel=_TABLES
    ),
]
EvaluationTable = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluation", metavar=_PAIR, help="Of how it is measured: every, samples, …", rich_help_panel=_TABLES
    ),
]
