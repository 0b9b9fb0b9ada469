"""Where the customers of an environment come from: the synthetic market itself, or a model fitted on a log of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.merchants.profiles import Profiles
from fogline.simulators.merchants.responses import Response, true_response
from fogline.simulators.merchants.world import World, WorldConfig, make_world

if TYPE_CHECKING:
    from fogline.simulators.merchants.fitted_responses import FittedResponses
    from fogline.simulators.merchants.pghs import PGHS

SIMULATORS = ("world", "hybrid", "reasoning", "fitting")
Simulator = Literal["world", "hybrid", "reasoning", "fitting"]


class Customers(NamedTuple):
    """Whom the shops serve.

    Attributes:
        profiles: The merchants, as anybody can see them.
        response: Who answers for the customers.
        branches: All that a fitted simulator can say; None in the true market.
    """

    profiles: Profiles
    response: Response
    branches: FittedResponses | None


def customers(
    simulator: Simulator,
    world: WorldConfig | Mapping[str, Any] | None,
    world_seed: int,
    model: PGHS | FittedResponses | str | Path | None,
) -> Customers:
    """Find them.

    Args:
        simulator: ``world``, or a part of a fitted model.
        world: The market, or the knobs in which it differs from the reference market.
        world_seed: Of the market.
        model: A fitted model, the folder of one, or its responses; None fits one on the market's own log.

    Raises:
        ConfigurationError: For an unknown simulator, or a model where the true market is asked for.
        MissingDependencyError: For a fitted simulator without the packages that fit.
    """
    check_choice("simulator", simulator, SIMULATORS)
    config = world if isinstance(world, WorldConfig) else WorldConfig(**(world or {}))
    if simulator == "world":
        if model is not None:
            raise ConfigurationError(
                "simulator='world' is the true market, which no model answers for: leave model out, or say which part "
                "of the model plays: 'hybrid', 'reasoning' or 'fitting'."
            )
        return _true_customers(config, world_seed)
    responses = _responses(config, world_seed, model)
    return Customers(responses.profiles, responses.of(simulator), responses)


# A market is drawn, and a model fitted, once per process: each is a pure function of its arguments.


@lru_cache(maxsize=4)
def _market(config: WorldConfig, seed: int) -> World:
    return make_world(config, seed)


@lru_cache(maxsize=4)
def _true_customers(config: WorldConfig, seed: int) -> Customers:
    world = _market(config, seed)
    profiles = Profiles.of(world.columns)
    return Customers(profiles, true_response(world.truth, profiles.price), None)


@lru_cache(maxsize=4)
def _fitted_on(config: WorldConfig, seed: int) -> FittedResponses:
    from fogline.simulators.merchants.config import PGHSConfig
    from fogline.simulators.merchants.fitted_responses import FittedResponses
    from fogline.simulators.merchants.logs import check_log
    from fogline.simulators.merchants.pghs import PGHS

    # Play needs no intervals, so nothing is refitted for them.
    log = check_log(_market(config, seed).table())
    return FittedResponses.of_model(PGHS.fit(log, PGHSConfig(replicates=0)))


def _responses(config: WorldConfig, seed: int, model: PGHS | FittedResponses | str | Path | None) -> FittedResponses:
    if model is None:
        return _fitted_on(config, seed)
    from fogline.simulators.merchants.fitted_responses import FittedResponses
    from fogline.simulators.merchants.pghs import PGHS

    if isinstance(model, FittedResponses):
        return model
    fitted = model if isinstance(model, PGHS) else PGHS.load(model)
    return FittedResponses.of_model(fitted)
