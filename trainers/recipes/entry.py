"""One line of the table of methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fogline.core.errors import ConfigurationError
from fogline.trainers.credit import GROUPED, credit, selection, session_gate, summed_statistics
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Advantage, Recipe, Statistics, Term
from fogline.trainers.terms import clip_of, common_terms

Assembly = tuple[Advantage, tuple[Term, ...]]

COMMON: Mapping[str, Any] = {
    "kl_coefficient": 0.0,
    "kl_estimator": "k3",
    "kl_clamp": None,
    "kl_placement": "loss",
    "entropy_coefficient": 0.0,
    "dynamic_sampling": False,
    "max_generation_batches": 4,
    "overlong_length": None,
    "overlong_buffer": 128,
    "length_normaliser": None,
}
"""Settings that every method reads."""


@dataclass(frozen=True)
class Entry:
    """A method before its settings are known.

    Attributes:
        name: As in ``fogline train NAME``.
        paper: Where it was published.
        described: What its own parts are, by role, in the words of the code.
        assemble: Settings to advantage and own terms; divergence and entropy terms are added to every method.
        own: Defaults beside :data:`COMMON`.
        statistics: Settings to what it logs of a batch; by default, what a sum of two horizons leaves to the turns.
        needs_groups: Smallest group that it compares; by default, what its settings' ``advantage`` compares.
        critic: Whether it can have a value term; with another advantage than ``gae`` it has none.
        extend: What is added to the assembled method: allocation, modulation.
    """

    name: str
    paper: str
    described: Mapping[str, str]
    assemble: Callable[[RecipeOptions], Assembly]
    own: Mapping[str, Any]
    critic: bool = False
    statistics: Callable[[RecipeOptions], Statistics] = lambda _: summed_statistics
    needs_groups: int | None = None
    extend: Callable[[Recipe, RecipeOptions], Recipe] = lambda recipe, _: recipe

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Every setting that the method reads, with its default."""
        return {**self.own, **COMMON, **self.own}

    def build(self, options: RecipeOptions) -> Recipe:
        """The method with these settings."""
        learned = options.advantage == "gae"
        if learned and not self.critic:
            raise ConfigurationError(
                f"recipe {self.name!r} has no critic, which advantage='gae' needs: use recipe 'ppo', or another "
                "advantage."
            )
        advantage, terms = self.assemble(options)
        reads = {"values"} if learned else set()
        if options.kl_coefficient > 0 and options.kl_placement == "reward":
            reads.add("reference")
        recipe = Recipe(
            name=self.name,
            paper=self.paper,
            options={name: getattr(options, name) for name in self.defaults},
            advantage=advantage,
            terms=(*terms, *common_terms(options, critic=learned)),
            clip=clip_of(options),
            gate=session_gate(options),
            select=selection(options),
            statistics=self.statistics(options),
            needs_groups=self.needs_groups or (2 if options.advantage in GROUPED else 1),
            needs=frozenset(reads),
        )
        return self.extend(recipe, options)

    def parts(self) -> dict[str, Any]:
        """Roles and parts, with what every method can have in brackets."""
        optional = {"gate": "[soft_overlong_penalty, kl in reward]", "select": "[dynamic_sampling]"}
        return {**optional, **self.described, "terms": self.described.get("terms", "policy") + " [+ kl] [+ entropy]"}


def credited(options: RecipeOptions, *terms: Term) -> Assembly:
    """The usual credit with these terms."""
    return credit(options), terms
