"""Agents by name: ``make_agent("oracle", "TrustSQL-v0")``, or your own as ``"package.module:Class"``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fogline.agents.agent import Agent
from fogline.core.errors import ConfigurationError, suggestion

if TYPE_CHECKING:
    from fogline.core.chat.prices import Price

SEEING = "vision"
GENERAL: Mapping[str, str] = {
    "random": "fogline.agents.scripted.baselines:RandomAgent",
    "human": "fogline.agents.human:HumanAgent",
    "chat": "fogline.agents.chat:ChatAgent",
    SEEING: "fogline.agents.vision:vision_agent",
}
"""Agents that play any environment (``chat``: any that reads and writes text; ``vision``: any with a picture)."""

SCRIPTED: Mapping[str, Mapping[str, str]] = {
    "TrustSQL-v0": {
        "oracle": "fogline.agents.scripted.trust_sql:OracleAgent",
        "heuristic": "fogline.agents.scripted.trust_sql:HeuristicAgent",
    },
    "SiloBench-v0": {
        "tree": "fogline.agents.scripted.silo_bench.oracle:tree",
        "flood": "fogline.agents.scripted.silo_bench.oracle:flood",
        "leader": "fogline.agents.scripted.silo_bench.oracle:leader",
        "star": "fogline.agents.scripted.silo_bench.stars:StarReduce",
        "dissemination": "fogline.agents.scripted.silo_bench.gathers:Dissemination",
        "chain": "fogline.agents.scripted.silo_bench.scans:ChainSweep",
        "ring": "fogline.agents.scripted.silo_bench.gathers:RingAllgather",
        "scan": "fogline.agents.scripted.silo_bench.scans:ChainScan",
        "hillis-steele": "fogline.agents.scripted.silo_bench.scans:HillisSteele",
        "halo": "fogline.agents.scripted.silo_bench.scans:HaloExchange",
        "sample-sort": "fogline.agents.scripted.silo_bench.sample_sort:SampleSort",
        "broadcast-once": "fogline.agents.scripted.silo_bench.gathers:BroadcastOnce",
        "write-read": "fogline.agents.scripted.silo_bench.gathers:WriteRead",
        "leader-files": "fogline.agents.scripted.silo_bench.stars:LeaderFiles",
        "silent": "fogline.agents.scripted.silo_bench.references:SilentLocal",
        "gossip": "fogline.agents.scripted.silo_bench.references:RandomGossip",
        "premature": "fogline.agents.scripted.silo_bench.references:Premature",
    },
    "SalesDialogue-v0": {
        "scripted": "fogline.agents.scripted.sales_dialogue:ScriptedSeller",
        "random-acts": "fogline.agents.scripted.sales_dialogue:RandomActs",
        "always-repeat": "fogline.agents.scripted.sales_dialogue:AlwaysRepeat",
        "always-close": "fogline.agents.scripted.sales_dialogue:AlwaysClose",
        "never-close": "fogline.agents.scripted.sales_dialogue:NeverClose",
        "silent": "fogline.agents.scripted.sales_dialogue:Silent",
        "wordy": "fogline.agents.scripted.sales_dialogue:Wordy",
        "false-denial": "fogline.agents.scripted.sales_dialogue:FalseDenial",
    },
    "MerchantStrategy-v0": {
        "usual": "fogline.agents.scripted.merchant_strategy:Usual",
        "constant": "fogline.agents.scripted.merchant_strategy:Constant",
        "ranked": "fogline.agents.scripted.merchant_strategy:Ranked",
    },
    "MathReasoning-v0": {
        "oracle": "fogline.agents.scripted.math_reasoning:OracleAgent",
        "calculator": "fogline.agents.scripted.math_reasoning:CalculatorAgent",
        "noisy": "fogline.agents.scripted.math_reasoning:NoisyAgent",
        "countdown": "fogline.agents.scripted.countdown:CountdownAgent",
        "guess": "fogline.agents.scripted.math_reasoning:GuessAgent",
    },
    "VisualTable-v0": {
        "oracle": "fogline.agents.scripted.visual_table:OracleAgent",
        "hallucinator": "fogline.agents.scripted.visual_table:HallucinatorAgent",
        "guesser": "fogline.agents.scripted.visual_table:GuesserAgent",
        "slippery": "fogline.agents.scripted.visual_table:SlipperyAgent",
    },
    "ObjectPresence-v0": {
        "oracle": "fogline.agents.scripted.object_presence:OracleAgent",
        "always-yes": "fogline.agents.scripted.object_presence:AlwaysYesAgent",
        "always-no": "fogline.agents.scripted.object_presence:AlwaysNoAgent",
        "prior": "fogline.agents.scripted.object_presence:PriorAgent",
        "guess": "fogline.agents.scripted.object_presence:GuessAgent",
    },
}
"""Agents of one environment."""

_DATASETS: Mapping[str, str] = {
    "TrustSQL-v0": "fogline.envs.trust_sql.sources:load_tasks",
    "MathReasoning-v0": "fogline.envs.math_reasoning.sources:load_problems",
    "VisualTable-v0": "fogline.simulators.tables.sources:load_tables",
    "ObjectPresence-v0": "fogline.simulators.scenes.sources:load_scenes",
}
_CHAT_MODEL = "fogline.core.chat:OpenAIChatModel"


def agent_names(env_id: str) -> tuple[str, ...]:
    """Names that :func:`make_agent` knows for an environment."""
    return (*SCRIPTED.get(env_id, {}), *GENERAL)


def make_agent(
    name: str,
    env_id: str,
    *,
    dataset: Any = None,
    env_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Agent:
    """Build an agent.

    Args:
        name: One of :func:`agent_names`, or ``"module:Class"`` for an agent of your own.
        env_id: Registered id of the environment that it will play.
        dataset: For agents that know the gold (oracles): the data set that the environment plays. By default
            it is loaded as the environment loads it.
        env_kwargs: The environment's keywords, which say what that data set is.
        options: Keywords of the agent. ``chat`` takes those of ``ChatAgent`` and of ``OpenAIChatModel``
            together, ``model`` being the model's name, and ``prices``, the path of a price list.

    Raises:
        ConfigurationError: For an unknown agent or option, or an object that is no agent.
        DataError: For a damaged data set or price list.
    """
    target = _target(name, env_id)
    if name == "chat":
        return _chat(target, options)
    parameters = inspect.signature(target).parameters
    if "dataset" in parameters and env_id in _DATASETS and "dataset" not in options:
        options["dataset"] = load_dataset(env_id, env_kwargs) if dataset is None else dataset
    return _construct(name, target, options)


def check_agent(name: str, env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse an unknown agent or option without building anything.

    Raises:
        ConfigurationError: As :func:`make_agent`.
    """
    target = _target(name, env_id)
    if name == "chat":
        _split_chat(target, options)
        return
    _check_options(name, target, options)
    if name == SEEING:
        from fogline.agents.vision import check_vision

        check_vision(options)


def load_dataset(env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> Any:
    """Load the data set that an environment plays, from the environment's own keywords.

    Raises:
        ConfigurationError: If the environment has none, or the keywords name an unknown one.
        DataError: If it is damaged.
    """
    if env_id not in _DATASETS:
        raise ConfigurationError(f"{env_id!r} plays no data set: expected one of {sorted(_DATASETS)}.")
    load = _imported(_DATASETS[env_id])
    parameters = inspect.signature(load).parameters
    keywords = {key: value for key, value in (env_kwargs or {}).items() if key in parameters}
    if "dataset" in parameters:
        keywords.setdefault("dataset", "bundled")
    return load(**keywords)


def _target(name: str, env_id: str) -> Callable[..., Any]:
    scripted = SCRIPTED.get(env_id, {})
    path = scripted.get(name) or GENERAL.get(name) or (name if ":" in name else None)
    if path is None:
        known = agent_names(env_id)
        raise ConfigurationError(
            f"agent={name!r} is unknown for {env_id}: expected {', '.join(map(repr, known))}, or 'module:Class' for "
            f"an agent of your own.{suggestion(name, known)}"
        )
    return _imported(path)


def _imported(path: str) -> Callable[..., Any]:
    module_name, _, attribute = path.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        # A package that the module itself misses is another matter, which its own message explains.
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise ConfigurationError(
            f"agent={path!r}: there is no module {module_name!r}. Expected 'module:Class', importable from here."
        ) from error
    target = getattr(module, attribute, None)
    if not callable(target):
        raise ConfigurationError(
            f"agent={path!r}: {module_name!r} has no class {attribute!r}.{suggestion(attribute, vars(module))}"
        )
    return cast("Callable[..., Any]", target)


def _construct(name: str, target: Callable[..., Any], options: Mapping[str, Any]) -> Agent:
    _check_options(name, target, options)
    try:
        inspect.signature(target).bind(**options)
    except TypeError as error:
        raise ConfigurationError(f"agent={name!r}: {error}; give it as an agent option.") from error
    agent = target(**options)
    if not isinstance(agent, Agent):
        raise ConfigurationError(
            f"agent={name!r} made a {type(agent).__name__}, which is no agent: expected 'name', 'batch_size' and 'act'."
        )
    return agent


def _check_options(name: str, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    _refuse_unknown(name, options, list(parameters))


def _refuse_unknown(name: str, options: Mapping[str, Any], known: list[str]) -> None:
    for option in options:
        if option not in known:
            expected = ", ".join(known) if known else "no option"
            raise ConfigurationError(
                f"agent={name!r} has no option {option!r}: expected {expected}.{suggestion(option, known)}"
            )


def _chat(target: Callable[..., Any], options: Mapping[str, Any]) -> Agent:
    of_model, of_agent = _split_chat(target, options)
    if "prices" in of_model:
        of_model["price"] = price_of(of_model["model"], of_model.pop("prices"))
    return _construct("chat", target, {**of_agent, "model": _imported(_CHAT_MODEL)(**of_model)})


def price_of(model: str, prices: str | Path) -> Price:
    """Look a model's price up in a price list.

    Raises:
        ConfigurationError: If the list does not have the model, or cannot be read.
        DataError: If it is no price list.
    """
    from fogline.core.chat.prices import load_prices

    try:
        known = load_prices(prices)
    except OSError as error:
        raise ConfigurationError(f"prices={str(prices)!r} cannot be read ({error.strerror}).") from error
    if model not in known:
        raise ConfigurationError(
            f"prices={str(prices)!r} has no price for model={model!r}: it has {sorted(known)}."
            f"{suggestion(model, known)}"
        )
    return known[model]


def _split_chat(target: Callable[..., Any], options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the client, and those of the agent."""
    client = [*inspect.signature(_imported(_CHAT_MODEL)).parameters, "prices"]
    agent = list(inspect.signature(target).parameters)
    _refuse_unknown("chat", options, sorted({*client, *agent}))
    if "model" not in options:
        raise ConfigurationError("agent='chat' needs the option 'model': the model's name, as the server knows it.")
    of_model = {key: value for key, value in options.items() if key in client}
    return of_model, {key: value for key, value in options.items() if key not in client}
