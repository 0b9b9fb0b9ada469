"""Spaces as numbers: what a policy network reads, and what a sampled index means to the environment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from fogline.agents.agent import SeatView
from fogline.core.episode import Turn
from fogline.core.errors import ConfigurationError, DataError

Vector = np.ndarray[Any, np.dtype[np.float32]]

MOST_CHOICES = 2**62
"""A joint action is one int64 token."""


@runtime_checkable
class ObservationEncoder(Protocol):
    """Turns what a seat knows into numbers, at acting and again at training, from the same record.

    Attributes:
        features: Length of the vector.
    """

    features: int

    def encode(self, turns: Sequence[Turn], observation: Any) -> Vector:
        """Features ``[features]`` float32 of a decision, given the seat's earlier turns and what it sees now."""
        ...


@runtime_checkable
class Encoder(ObservationEncoder, Protocol):
    """An observation encoder that also knows the choices.

    Attributes:
        actions: Number of discrete actions. An encoder whose action has independent parts also has ``sizes``,
            the number of choices of each; ``actions`` is then their product.
    """

    actions: int

    def action(self, view: SeatView, index: int) -> Any:
        """The environment's action for choice ``index``."""
        ...


class SpaceObservations:
    """Any fixed-size Gymnasium space as one float32 vector.

    The layout is that of :func:`gymnasium.spaces.flatten`: numbers as they are, a choice as one-hot, the parts of a
    ``Dict`` or ``Tuple`` one after the other in the space's order.

    Args:
        space: Of the observations: ``Box``, ``Discrete``, ``MultiBinary``, ``MultiDiscrete``, or ``Dict`` and
            ``Tuple`` of these.

    Raises:
        ConfigurationError: For a space without a fixed size; text belongs to a language model.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self._writers: list[_Writer] = []
        self.features = self._plan(space, (), 0)
        self._plain = isinstance(space, spaces.Box | spaces.MultiBinary)

    def encode(self, turns: Sequence[Turn], observation: Any) -> Vector:
        """Features ``[features]`` float32; earlier turns are not looked at.

        Raises:
            DataError: If the observation does not fit the space.
        """
        if self._plain:
            vector: Vector = np.asarray(observation, dtype=np.float32).reshape(-1)
            if vector.shape[0] != self.features:
                raise DataError(f"an observation of {vector.shape[0]} numbers: the space has {self.features}.")
            return vector
        vector = np.zeros(self.features, dtype=np.float32)
        for write in self._writers:
            write(vector, observation)
        return vector

    def _plan(self, space: spaces.Space[Any], path: tuple[Any, ...], start: int) -> int:
        """Plan the writers of ``space`` from column ``start`` on and return the column after it."""
        if isinstance(space, spaces.Dict):
            for key, part in space.spaces.items():
                start = self._plan(part, (*path, key), start)
            return start
        if isinstance(space, spaces.Tuple):
            for index, part in enumerate(space.spaces):
                start = self._plan(part, (*path, index), start)
            return start
        if isinstance(space, spaces.Discrete):
            self._writers.append(_write_choices(path, start, np.array([space.n]), np.array([space.start])))
            return start + int(space.n)
        if isinstance(space, spaces.MultiDiscrete):
            nvec = space.nvec.reshape(-1)
            self._writers.append(_write_choices(path, start, nvec, space.start.reshape(-1)))
            return start + int(nvec.sum())
        if isinstance(space, spaces.Box | spaces.MultiBinary):
            stop = start + math.prod(space.shape)
            self._writers.append(_write_numbers(path, start, stop))
            return stop
        raise _no_vector("observation", space)


class Choices:
    """A discrete action space as one index: the mixed-radix number of its independent parts, the first part leading.

    Args:
        space: ``Discrete``, ``MultiDiscrete``, ``MultiBinary``, or ``Tuple`` and ``Dict`` of these.

    Attributes:
        sizes: Number of choices of each part.
        actions: Number of joint choices, the product of ``sizes``.

    Raises:
        ConfigurationError: For another space, or more than 2**62 joint choices.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.sizes = tuple(_sizes(space))
        self.actions = math.prod(self.sizes)
        if self.actions > MOST_CHOICES:
            raise ConfigurationError(
                f"{space} has {self.actions} joint actions: expected at most 2**62; use fewer or coarser parts."
            )
        self._build = _builder(space)
        self._index = _indexer(space)

    def action(self, index: int) -> Any:
        """The environment's action for joint index ``index``."""
        return self._build(iter(self.digits(index)))

    def index(self, action: Any) -> int:
        """The joint index of an action: the inverse of :meth:`action`."""
        total = 0
        for size, digit in zip(self.sizes, self._index(action), strict=True):
            total = total * size + digit
        return total

    def digits(self, index: int) -> tuple[int, ...]:
        """The choice of each part in joint index ``index``."""
        if len(self.sizes) == 1:
            return (index,)
        digits = []
        for size in reversed(self.sizes):
            index, digit = divmod(index, size)
            digits.append(digit)
        return tuple(reversed(digits))


class SpaceEncoder(SpaceObservations):
    """An environment's own spaces: the observation as a vector, the action as an index.

    Args:
        observation_space: See :class:`SpaceObservations`.
        action_space: See :class:`Choices`.
        joint: Show all parts as one choice, so that a policy can make them depend on each other.

    Attributes:
        sizes: Number of choices of each independent part of an action.
        actions: Number of joint actions.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], *, joint: bool = False
    ) -> None:
        super().__init__(observation_space)
        self.choices = Choices(action_space)
        self._single = int(action_space.start) if isinstance(action_space, spaces.Discrete) else None
        self.actions = self.choices.actions
        self.sizes = (self.actions,) if joint else self.choices.sizes

    def action(self, view: SeatView, index: int) -> Any:
        """The space's action for joint index ``index``."""
        return self.choices.action(index) if self._single is None else index + self._single

    def index(self, action: Any) -> int:
        """The joint index of an action, whoever chose it: the inverse of :meth:`action`."""
        return self.choices.index(action) if self._single is None else int(action) - self._single


_Writer = Callable[[Vector, Any], None]
_Digits = Callable[[Any], list[int]]


def _write_numbers(path: tuple[Any, ...], start: int, stop: int) -> _Writer:
    def write(vector: Vector, observation: Any) -> None:
        for key in path:
            observation = observation[key]
        vector[start:stop] = np.asarray(observation).reshape(-1)

    return write


def _write_choices(path: tuple[Any, ...], start: int, sizes: Any, first: Any) -> _Writer:
    offsets = start + np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def write(vector: Vector, observation: Any) -> None:
        for key in path:
            observation = observation[key]
        chosen = np.asarray(observation).reshape(-1) - first
        if (chosen < 0).any() or (chosen >= sizes).any():
            raise DataError(f"observation {observation!r} at {path} is outside its space of sizes {sizes.tolist()}.")
        vector[offsets + chosen] = 1.0

    return write


def _sizes(space: spaces.Space[Any]) -> list[int]:
    """Number of choices of each part, in the space's order."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(size) for size in space.nvec.reshape(-1)]
    if isinstance(space, spaces.MultiBinary):
        return [2] * math.prod(space.shape)
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return [size for part in _parts(space) for size in _sizes(part)]
    raise _no_vector("action", space)


def _builder(space: spaces.Space[Any]) -> Callable[[Any], Any]:
    """A function from an iterator of digits to an action; it takes as many as it needs."""
    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        return lambda digits: next(digits) + first
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        shape, dtype, count = space.shape, space.dtype, math.prod(space.shape)
        start = space.start if isinstance(space, spaces.MultiDiscrete) else np.zeros(shape, dtype)
        return lambda digits: np.array([next(digits) for _ in range(count)], dtype).reshape(shape) + start
    builders = [_builder(part) for part in _parts(space)]
    if isinstance(space, spaces.Tuple):
        return lambda digits: tuple([build(digits) for build in builders])
    keys = list(space.spaces) if isinstance(space, spaces.Dict) else []
    return lambda digits: {key: build(digits) for key, build in zip(keys, builders, strict=True)}


def _indexer(space: spaces.Space[Any]) -> _Digits:
    """A function from an action to its digits."""
    if isinstance(space, spaces.Discrete):
        return lambda action: [int(action) - int(space.start)]
    if isinstance(space, spaces.MultiDiscrete):
        return lambda action: [int(digit) for digit in (np.asarray(action) - space.start).reshape(-1)]
    if isinstance(space, spaces.MultiBinary):
        return lambda action: [int(digit) for digit in np.asarray(action).reshape(-1)]
    indexers = [_indexer(part) for part in _parts(space)]
    keys: list[Any] = list(space.spaces) if isinstance(space, spaces.Dict) else list(range(len(indexers)))
    return lambda action: [digit for key, one in zip(keys, indexers, strict=True) for digit in one(action[key])]


def _parts(space: spaces.Space[Any]) -> list[spaces.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return list(space.spaces.values())
    return list(space.spaces) if isinstance(space, spaces.Tuple) else []


def _no_vector(what: str, space: spaces.Space[Any]) -> ConfigurationError:
    if isinstance(space, spaces.Text):
        return ConfigurationError(f"the {what} space {space} is text: use CausalLMPolicy, which reads and writes it.")
    legal = "Discrete, MultiDiscrete, MultiBinary, or Dict and Tuple of these"
    return ConfigurationError(
        f"the {what} space {space} has no fixed vector: expected {'Box, ' if what == 'observation' else ''}{legal}."
    )
