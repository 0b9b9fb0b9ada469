"""What ``fogline train`` does; the command line, a file and Python build the same."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fogline.trainers.learner import LearnerConfig

SEEDS_PER_RUN = 1_000_000_000
"""Seeds of training episodes are ``(run seed + 1) · this + counter``: no two runs share one, and all seeds below this
are left to evaluation."""


class PolicyConfig(BaseModel):
    """Who is trained.

    Attributes:
        model: For text: a folder or hub name of a causal language model, or ``tiny``, a small one made here whose
            tokenizer is fitted to the environment's own words. Environments of vectors need none.
        layers: Layers of ``tiny``.
        width: Its hidden size.
        heads: Its attention heads.
        vocabulary_size: Of its tokenizer, at the most.
        patch: Edge of its patches in pixels, where observations are pictures.
        hidden: Widths of a vector policy's hidden layers.
        normalise_observations: Whether a vector policy scales observations by their running mean and deviation.
        temperature: Of sampling and scoring.
        max_new_tokens: Longest turn, in tokens.
        max_context: Longest episode, in tokens; the model's own bound by default.
        stop: Strings that end a turn.
        dtype: Of the weights.
        device: Where they are.
        server: Address of a server that samples in its place, with the weights that it is sent after every update: one
            that ``fogline serve`` started with the same model.
        lora_rank: Train low-rank adapters of this rank instead of all weights; needs the extra ``lora``.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    model: str | None = None
    layers: int = Field(default=3, ge=1)
    width: int = Field(default=96, ge=8)
    heads: int = Field(default=2, ge=1)
    vocabulary_size: int = Field(default=512, ge=128)
    patch: int = Field(default=16, ge=1)
    hidden: Annotated[tuple[int, ...], Field(strict=False)] = (64, 64)
    normalise_observations: bool = False
    temperature: float = Field(default=1.0, gt=0)
    max_new_tokens: int = Field(default=256, ge=1)
    max_context: int | None = Field(default=None, ge=2)
    stop: Annotated[tuple[str, ...], Field(strict=False)] = ()
    dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    device: str = "cpu"
    server: str | None = None
    lora_rank: int | None = Field(default=None, ge=1)


class RolloutConfig(BaseModel):
    """What is played for each update.

    Attributes:
        tasks_per_update: Groups in a batch.
        group_size: Episodes of a task, each with a seed of its own.
        concurrency: Environments in flight; all of a batch by default.
        engine: Where episodes are played: ``inline`` in this process; ``process`` in several, ``ray`` on a cluster,
            whose workers are sent the weights of each update and play on their CPUs.
        workers: Processes of the engine; one per CPU by default.
        address: Of a running Ray cluster.
        chunk: Episodes that are played as one batch; by default all of them inline, and an equal share for each worker
            on another engine. The same chunk gives the same episodes, to the bit, on every engine.
        timeout_s: Wall-clock limit of one attempt at an episode, in seconds.
        retries: Further attempts after a failure that is not the policy's.
        seat_reward: A row earns what its seat was paid (``own``), or what all seats were (``team``).
        correct_above: An episode counts as correct, in the statistics of prompts, when it earned more.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    tasks_per_update: int = Field(default=8, ge=1)
    group_size: int = Field(default=8, ge=1)
    concurrency: int | None = Field(default=None, ge=1)
    engine: Literal["inline", "process", "ray"] = "inline"
    workers: int | None = Field(default=None, ge=1)
    address: str | None = None
    chunk: int | None = Field(default=None, ge=1)
    timeout_s: float | None = Field(default=None, gt=0)
    retries: int = Field(default=2, ge=0)
    seat_reward: Literal["own", "team"] = "own"
    correct_above: float = 0.0


class EvaluationConfig(BaseModel):
    """How the policy is measured while it learns.

    Attributes:
        every: Updates between evaluations; 0 evaluates at the end only.
        env_kwargs: Keywords of the environment that differ from training, such as another data set.
        tasks: Only these tasks; all where empty.
        limit: Only so many tasks, the first ones.
        samples: Episodes per task.
        seed: Base seed; shared by all runs, and never one of training's.
        greedy: Take the most likely token instead of sampling.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    every: int = Field(default=0, ge=0)
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    tasks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    limit: int | None = Field(default=None, ge=1)
    samples: int = Field(default=1, ge=1, le=SEEDS_PER_RUN // 2)
    seed: int = Field(default=10_000_000, ge=0, le=SEEDS_PER_RUN // 2)
    greedy: bool = True


class TrainConfig(BaseModel):
    """A training run.

    Attributes:
        recipe: Name of the method; see ``fogline recipes``.
        env: Registered id of the environment, or ``module:function`` that makes one (PettingZoo Parallel included).
        env_kwargs: Keywords of the environment.
        options: Settings of the method that differ from its defaults.
        tasks: Only these tasks; all where empty.
        limit: Only so many tasks, the first ones.
        updates: Batches to learn from.
        seed: Decides weights, the order of tasks, the seeds of episodes and the order of rows.
        policy: Who is trained.
        teacher: Who is listened to, for methods that distil: a folder or hub name of a model with the student's
            tokenizer, the URL of a server (``fogline teach``), or the Parquet file of a cached teacher.
        critic: Who judges single steps, for methods that listen to one: in environments of tables ``oracle``, or
            ``oracle:CHANCE``, which turns that share of its verdicts round; a folder that ``LearnedCritic.save``
            wrote; or ``URL#MODEL`` of a chat server. By default the environment's own score.
        rollout: What is played.
        learner: How weights follow.
        evaluation: How it is measured.
        out: Folder of logs and checkpoints.
        save_every: Updates between checkpoints; 0 keeps the last one only.
        keep: Checkpoints that are kept.
        resume: Go on from the last checkpoint in ``out``.
        tensorboard: Write TensorBoard events beside the JSON lines.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    recipe: str
    env: str
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    tasks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    limit: int | None = Field(default=None, ge=1)
    updates: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    policy: PolicyConfig = PolicyConfig()
    teacher: str | None = None
    critic: str | None = None
    rollout: RolloutConfig = RolloutConfig()
    learner: LearnerConfig = LearnerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    out: str = "runs/train"
    save_every: int = Field(default=0, ge=0)
    keep: int = Field(default=2, ge=1)
    resume: bool = True
    tensorboard: bool = False
