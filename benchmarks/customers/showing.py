"""One call to listen to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fogline.agents.collector import collect_all
from fogline.agents.environments import choose_tasks
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.benchmarks.customers.config import ENV_ID
from fogline.benchmarks.customers.observed import Log, ObservedCalls
from fogline.core.episode import Usage
from fogline.simulators.customers.products import cards_of
from fogline.simulators.customers.scenarios import scenario_of


class ShowConfig(BaseModel):
    """What ``fogline customers show`` does.

    Attributes:
        variant: Which mix of customers.
        customer: ``rules``, ``worded`` or ``model``.
        domain: Only this product; all where None.
        task: Which customer; the seed decides where None.
        seed: Decides the noise of the call.
        agent: Who sells.
        env_kwargs: Further keywords of SalesDialogue-v0.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    variant: str = "default"
    customer: Literal["rules", "worded", "model"] = "rules"
    domain: str | None = None
    task: str | None = None
    seed: int = Field(default=0, ge=0)
    agent: str = "scripted"
    env_kwargs: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn of the seller and the customer's answer.

    Attributes:
        act: What the seller's words were read as; empty before the customer's first words.
        words: What the seller said.
        customer_act: What the customer did.
        reply: What it said.
        costs: The turn's terms that are not 0.
    """

    act: str
    words: str
    customer_act: str
    reply: str
    costs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was played.

    Attributes:
        task_id: Which customer.
        seed: Of the call.
        product: What was sold.
        company: Who called.
        spoken: Turn by turn; the first one is the customer's alone.
        status: How the episode ended.
        reward: Of the seller; None where the simulator broke the call.
        metrics: As the environment gives them.
        latent: Who the customer was, which no seller is told.
        usage: Time and tokens.
        failure: What broke the call; None where nothing did.
    """

    task_id: str
    seed: int
    product: str
    company: str
    spoken: tuple[Spoken, ...]
    status: str
    reward: float | None
    metrics: Mapping[str, Any]
    latent: Mapping[str, Any]
    usage: Usage
    failure: str | None

    def to_json(self, *, reveal: bool) -> dict[str, Any]:
        """JSON-ready dictionary; who the customer was is in it only if ``reveal``."""
        row = asdict(self)
        if not reveal:
            del row["latent"]
        return row


def play_call(config: ShowConfig) -> Call:
    """Play one call.

    Raises:
        ConfigurationError: For an unknown variant, product, customer, seller or keyword.
        DataError: For a damaged product card.
    """
    product = {} if config.domain is None else {"domain": config.domain}
    keywords = {"variant": config.variant, "customer": config.customer, **product, **config.env_kwargs}
    log = Log(lambda count: None)
    env = ObservedCalls(log, **keywords)
    known = env.task_ids
    task = known[config.seed % len(known)] if config.task is None else choose_tasks(known, (config.task,))[0]
    seller = make_agent(config.agent, ENV_ID, env_kwargs=keywords, **product)
    kept: list[Any] = [env]
    factory = partial(ObservedCalls, log, **keywords)
    episode = collect_all(factory, seller, [Assignment(task, config.seed)], concurrency=1, retries=0, kept=kept)[0]
    for left in kept:
        left.close()
    cards = cards_of(keywords.get("domain", "all"))
    scenario = scenario_of(
        task, variant=config.variant, cards=cards, difficulty=float(config.env_kwargs.get("difficulty", 0.0))
    )
    minutes = log.calls.get(Assignment(task, config.seed))
    failure = episode.failure
    return Call(
        task_id=task,
        seed=config.seed,
        product=scenario.card.product,
        company=scenario.card.company,
        spoken=() if minutes is None else tuple(_spoken(info) for info in minutes.infos),
        status=episode.status,
        reward=episode.reward,
        metrics=dict(episode.metrics),
        latent={"persona": scenario.persona, **asdict(scenario.start)},
        usage=episode.usage,
        failure=None if failure is None else f"{episode.status}, {failure.kind}: {failure.message}",
    )


def _spoken(info: Mapping[str, Any]) -> Spoken:
    return Spoken(
        act=str(info["phase"]),
        words=str(info["words"]),
        customer_act=str(info["customer_act"]),
        reply=str(info["reply"]),
        costs={name: value for name, value in info.get("terms", {}).items() if value},
    )
