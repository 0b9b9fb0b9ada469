"""TRL: environments for ``GRPOTrainer``, as a reward function or as an ``environment_factory``.

An environment of one turn, where the model's reply is the action, is a reward function::

    GRPOTrainer(model, reward_function("MathReasoning-v0"), args, train_dataset=prompts("MathReasoning-v0"))

    >>> from fogline.trainers.bridges.trl import environment_factory, prompts, reward_function
    >>> data = prompts("MathReasoning-v0", limit=1)
    >>> data[0]["prompt"][-1]["content"]
    'What is 2 + 9?'
    >>> said = [[{"role": "assistant", "content": "<answer>11</answer>"}], [{"role": "assistant", "content": "12"}]]
    >>> reward = reward_function("MathReasoning-v0")
    >>> reward(prompts=[data[0]["prompt"]] * 2, completions=said, task_id=[data[0]["task_id"]] * 2, seed=[0, 0])
    [1.0, 0.0]

An environment of several turns is played through tool calls: its own tools become methods, which TRL shows the model ::

    GRPOTrainer(model, args=args, train_dataset=prompts("TrustSQL-v0", opening=False),
                environment_factory=environment_factory("TrustSQL-v0"))

    >>> env = environment_factory("TrustSQL-v0")()
    >>> question = env.reset(task_id="chinook-001")
    >>> env.explore_schema(sql="SELECT count(*) FROM sqlite_master WHERE type = 'table'").splitlines()[-1]
    '11'
    >>> env.get_reward()
    0.0

One without tools has the one tool ``respond(text)``. A reply without a tool call ends TRL's rollout; the reward is then
what the environment had paid by that time.

**Groups.** TRL hands ``num_generations`` copies of a row to as many instances; each takes the task's next seed, so that
a group is one task with distinct seeds. **Failures.** A rollout whose environment broke for no fault of the model has
the reward None, after the session's retries: TRL leaves such a completion out of the group's baseline and gives it no
advantage. It is never a zero.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fogline.agents.environments import environment_name
from fogline.core.errors import ConfigurationError, missing_dependency
from fogline.trainers.bridges.session import Seeds, Session, openings

if TYPE_CHECKING:
    from datasets import Dataset

EXTRA = "trl"
RESPOND = "respond"
"""Tool of environments that have none of their own."""
_RESPOND: Mapping[str, Any] = {
    "name": RESPOND,
    "description": "Answer, or say the next thing.",
    "parameters": {
        "properties": {"text": {"type": "string", "description": "What you say, in full."}},
        "required": ["text"],
    },
}
_TYPES: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict}
_RESERVED = frozenset({"reset", "get_reward", "session"})
_OVER = "The episode is over: there is nothing more to do."
_BROKEN = "The environment is out of order."


def prompts(
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    task_ids: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    opening: bool = True,
) -> Dataset:
    """The data set of prompts to train on: ``prompt, task_id, seed``.

    Args:
        env_id: The environment.
        env_kwargs: Keywords of its constructor.
        task_ids: Only these tasks; all where empty.
        limit: Only so many.
        seed: Of the first observation.
        opening: Put the first observation into the prompt, for :func:`reward_function`. False leaves the user's message
            empty, for :func:`environment_factory`, whose ``reset`` fills it.

    Raises:
        MissingDependencyError: Without TRL.
        ConfigurationError: For an unknown task or environment, or one that does not read and write text.
    """
    _trl()
    import datasets

    session = Session(env_id, env_kwargs)
    try:
        begun = openings(session, task_ids, limit, seed)
    finally:
        session.close()
    shown = begun if opening else [one._replace(observation="") for one in begun]
    rows = [{"prompt": one.messages(), "task_id": one.task_id, "seed": seed} for one in shown]
    return datasets.Dataset.from_list(rows)


def reward_function(
    env_id: str, env_kwargs: Mapping[str, Any] | None = None, *, retries: int = 2
) -> Callable[..., list[float | None]]:
    """A reward function over completions: each is the one action of an episode.

    Args:
        env_id: An environment of one turn.
        env_kwargs: Keywords of its constructor.
        retries: Further attempts at an episode after a failure that is not the policy's.

    Returns:
        A function of TRL's keywords and the columns of :func:`prompts`; it raises ConfigurationError for an environment
        that goes on after the first action, or whose first observation is not what the prompt said with another seed.

    Raises:
        MissingDependencyError: Without TRL.
        ConfigurationError: For an unknown environment, or one that does not read and write text.
    """
    _trl()
    session = Session(env_id, env_kwargs, retries=retries, agent="trl")

    def reward(
        *, prompts: Sequence[Any], completions: Sequence[Any], task_id: Sequence[str], seed: Sequence[int], **_: Any
    ) -> list[float | None]:
        rewards = []
        seeds: dict[tuple[str, int], Seeds] = {}
        for prompt, completion, task, first in zip(prompts, completions, task_id, seed, strict=True):
            drawn = seeds.setdefault((task, first), _seeds_of_process(first)).draw(task)
            rewards.append(_reward_of(session, task, drawn, prompt[-1]["content"], _text_of(completion)))
        return rewards

    reward.__name__ = environment_name(env_id)
    return reward


def environment_factory(
    env_id: str, env_kwargs: Mapping[str, Any] | None = None, *, seeds: Seeds | None = None, retries: int = 2
) -> Callable[[], Any]:
    """What ``GRPOTrainer(environment_factory=…)`` takes: it makes instances of a class whose methods are tools.

    Args:
        env_id: Any text environment.
        env_kwargs: Keywords of its constructor.
        seeds: Added to the row's ``seed``; by default 0, 1, 2, …, apart in each process of a launch.
        retries: Further attempts at an episode after a failure that is not the policy's.

    Raises:
        MissingDependencyError: Without TRL.
        ConfigurationError: For an unknown environment, or one that does not read and write text.
    """
    _trl()
    stream = seeds or _seeds_of_process()
    session = Session(env_id, env_kwargs)
    tools = session.tools
    session.close()
    methods: dict[str, Any] = {}
    for tool in tools or ({"function": _RESPOND},):
        function = tool["function"]
        name = function["name"]
        if name in _RESERVED or not name.isidentifier():
            raise ConfigurationError(f"{env_id} has a tool {name!r}, which cannot be a method of TRL's environments.")
        methods[name] = _method(function)
    kind = type(environment_name(env_id).replace("-", "_"), (_Environment,), methods)

    def make() -> Any:
        return kind(Session(env_id, env_kwargs, retries=retries, agent="trl"), stream)

    return make


class _Environment:
    """One rollout at a time; TRL resets an instance for each.

    Attributes:
        session: Plays; ``session.episode()`` is the record, for reward functions of your own.
    """

    def __init__(self, session: Session, seeds: Seeds) -> None:
        self.session = session
        self._seeds = seeds

    def reset(self, task_id: str = "", seed: int = 0, **_: Any) -> str:
        """Begin an episode of the row's task with its next seed, counted from the row's; the first observation."""
        try:
            return str(self.session.reset(task_id, seed + self._seeds.draw(task_id)))
        except ConfigurationError:
            raise
        except Exception as error:
            return self._broken(error)

    def get_reward(self) -> float | None:
        """Sum of the rewards so far; None after a failure that is not the model's."""
        return self.session.reward

    def _play(self, name: str, arguments: Mapping[str, Any]) -> str:
        if self.session.done:
            return _OVER if self.session.reward is not None else _BROKEN
        action = arguments["text"] if name == RESPOND else self.session.tool_action(name, arguments)
        try:
            reply = self.session.step(action)
        except ConfigurationError:
            raise
        except Exception as error:
            return self._broken(error)
        return str(reply.observation) or _OVER

    def _broken(self, error: Exception) -> str:
        # TRL would show the model an error of a tool and go on: the reward None is what marks the rollout.
        logging.getLogger("fogline.bridges").warning(
            "%s: an episode has no reward (%s: %s).", self.session.env_id, type(error).__name__, error
        )
        return _BROKEN


def _method(function: Mapping[str, Any]) -> Callable[..., str]:
    """A method with the signature and docstring of a tool's JSON schema, from which TRL makes the schema again."""
    name = str(function["name"])
    parameters = function.get("parameters", {})
    properties: Mapping[str, Mapping[str, Any]] = parameters.get("properties", {})
    required = set(parameters.get("required", ()))
    # Python wants what has a default last.
    order = sorted(properties, key=lambda key: key not in required)

    def method(self: _Environment, *given: Any, **named: Any) -> str:
        bound = signature.bind(self, *given, **named)
        arguments = dict(bound.arguments)
        del arguments["self"]
        return self._play(name, arguments)

    kinds = {key: _type(properties[key]) for key in order}
    hints = {key: kinds[key] if key in required else kinds[key] | None for key in order}
    keywords = [
        inspect.Parameter(
            key,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            annotation=hints[key],
            default=inspect.Parameter.empty if key in required else None,
        )
        for key in order
    ]
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([own, *keywords], return_annotation=str)
    described = [f"    {key}: {properties[key].get('description') or key.capitalize() + '.'}" for key in order]
    lines = [str(function.get("description", name)), "", *(["Args:", *described, ""] if order else [])]
    method.__name__ = name
    method.__qualname__ = name
    method.__doc__ = "\n".join([*lines, "Returns:", "    What the environment answers."])
    method.__annotations__ = {**hints, "return": str}
    vars(method)["__signature__"] = signature
    return method


def _type(schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "array":
        return list[_type(schema.get("items", {}))]  # type: ignore[misc]
    return _TYPES.get(str(kind), str)


def _reward_of(session: Session, task_id: str, seed: int, asked: str, said: str) -> float | None:
    """Play one completion; None where the environment broke."""
    try:
        opening = session.reset(task_id, seed)
        if opening != asked:
            raise ConfigurationError(
                f"{session.env_id}, task {task_id!r}: the first observation depends on the seed ({seed}), or the "
                "prompt is not that of prompts(). Use environment_factory, which shows each rollout its own."
            )
        reply = session.step(said)
    except ConfigurationError:
        raise
    except Exception as error:
        logging.getLogger("fogline.bridges").warning("%s: an episode has no reward (%s).", session.env_id, error)
        return None
    if not reply.done:
        raise ConfigurationError(
            f"{session.env_id} goes on after the first action, and a reward function sees no other: use "
            "environment_factory."
        )
    return reply.reward


def _text_of(completion: Any) -> str:
    """What the model wrote: TRL hands over a text, or the messages of a conversation."""
    return completion if isinstance(completion, str) else str(completion[0]["content"])


def _seeds_of_process(first: int = 0) -> Seeds:
    from accelerate import PartialState

    state = PartialState()
    return Seeds(first, state.process_index, state.num_processes)


def _trl() -> Any:
    try:
        import trl
    except ImportError as error:
        raise missing_dependency("trl", EXTRA) from error
    return trl
