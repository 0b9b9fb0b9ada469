"""What ``fogline customers validate`` does; the command line and Python build the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ENV_ID = "SalesDialogue-v0"
DEFAULT_VARIANTS = ("default", "sceptical", "impulsive", "analytical")

_CHATS = frozenset({"model", "base_url", "chat_options"})


class Budget(BaseModel):
    """How much is played.

    Attributes:
        sessions: Per seller, each on a customer of its own.
        starts: Customers per level of a trait, in the check of the persona.
        replays: Sessions that are played twice, to see whether they are the same.
        matrix_updates: Updates of each policy of the matrix.
        matrix_seeds: Policies per variant.
        matrix_sessions: Sessions per policy and variant that it is tested on.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    sessions: int
    starts: int
    replays: int
    matrix_updates: int
    matrix_seeds: int
    matrix_sessions: int


FULL = Budget(sessions=1000, starts=500, replays=100, matrix_updates=250, matrix_seeds=5, matrix_sessions=500)
QUICK = Budget(sessions=200, starts=80, replays=80, matrix_updates=8, matrix_seeds=2, matrix_sessions=60)


class ValidationConfig(BaseModel):
    """What is validated, and how thoroughly.

    Attributes:
        variant: Which mix of customers.
        customer: ``rules``: the engine decides and words. ``worded``: it decides, a chat model words. ``model``: a chat
            model plays the customer.
        domain: Only this product; all where None.
        env_kwargs: Further keywords of SalesDialogue-v0, such as the chat model's name and server.
        sessions: Instead of the budget's: sessions per seller.
        seed: Decides all that is random.
        policy: Folder of a trained policy, the top of the ladder; where None it is the matrix's own.
        matrix_variants: Variants of the matrix of training and test.
        matrix_updates: Instead of the budget's; 0 leaves the matrix out.
        matrix_seeds: Instead of the budget's: policies per variant.
        quick: A small budget, to see that everything runs; the checks are the same, more of them cannot say.
        workers: Processes at once, for the matrix.
        concurrency: Sessions in flight at once.
        retries: Further attempts at a session after a failure of the simulator.
        out: Folder of ``customers.json`` and ``customers.md``, whose names say what differs from the default customer.
            By default ``docs/results``; of a quick run ``runs/results``, so that it replaces no full result.
        runs: Folder of the policies of the matrix.
        resume: Take over the policies that are trained.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    variant: str = "default"
    customer: Literal["rules", "worded", "model"] = "rules"
    domain: str | None = None
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    sessions: int | None = Field(default=None, ge=3)
    seed: int = Field(default=0, ge=0)
    policy: str | None = None
    matrix_variants: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = DEFAULT_VARIANTS
    matrix_updates: int | None = Field(default=None, ge=0)
    matrix_seeds: int | None = Field(default=None, ge=1)
    quick: bool = False
    workers: int = Field(default=2, ge=1)
    concurrency: int = Field(default=16, ge=1)
    retries: int = Field(default=2, ge=0)
    out: str | None = None
    runs: str = "runs/customers"
    resume: bool = True

    @property
    def budget(self) -> Budget:
        """How much is played. A customer that a chat model takes part in is no place to train: it has no matrix."""
        base = QUICK if self.quick else FULL
        updates = self.matrix_updates
        if updates is None:
            updates = base.matrix_updates if self.customer == "rules" else 0
        sessions = base.sessions if self.sessions is None else self.sessions
        return Budget(
            sessions=sessions,
            starts=min(base.starts, sessions),
            replays=min(base.replays, sessions),
            matrix_updates=updates,
            matrix_seeds=self.matrix_seeds or base.matrix_seeds,
            matrix_sessions=min(base.matrix_sessions, sessions),
        )

    @property
    def name(self) -> str:
        """Of the result's files."""
        parts = ["customers", *(part for part in (self.customer, self.variant) if part not in ("rules", "default"))]
        return "-".join([*parts, self.domain] if self.domain else parts)

    @property
    def results_folder(self) -> Path:
        """Where the result is written."""
        return Path(self.out or ("runs/results" if self.quick else "docs/results"))

    @property
    def policies_folder(self) -> Path:
        """Where the matrix keeps its policies, apart for quick and full runs."""
        return Path(self.runs) / ("matrix-quick" if self.quick else "matrix")

    def by_rules(self, variant: str) -> ValidationConfig:
        """The same with customers of the rule engine, of some variant, and nobody who needs a chat model."""
        kept = {name: value for name, value in self.env_kwargs.items() if name not in _CHATS}
        if kept.get("session") == "judge":
            del kept["session"]
        return self.model_copy(update={"variant": variant, "customer": "rules", "env_kwargs": kept})

    def keywords(self, **changes: Any) -> dict[str, Any]:
        """Keywords of SalesDialogue-v0 for sessions that measure, with some changed."""
        own = {"variant": self.variant, "customer": self.customer, "split": "test"}
        return {**own, **self.env_kwargs, **self.product, **changes}

    @property
    def product(self) -> dict[str, Any]:
        """The keyword ``domain`` of environments and scripted sellers, where not all products are sold."""
        domain = self.env_kwargs.get("domain") if self.domain is None else self.domain
        return {} if domain is None else {"domain": domain}
