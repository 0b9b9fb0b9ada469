"""A customer on the phone, as the environment knows one: it opens, it hears, it replies. Its mind stays its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from fogline.core.episode import Usage
from fogline.core.errors import InfrastructureError
from fogline.simulators.customers.speech import Heard

Status = Literal["continue", "converted", "ended", "hung_up"]


class SimulatorFault(InfrastructureError):
    """The simulated customer broke its role or its format too often: retried, counted, never scored."""


class SamplingIgnored(SimulatorFault):
    """The server does not honour the sampling arguments, so its customers are not the ones that were asked for."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a customer says, and what everybody can see of it.

    Attributes:
        text: The words.
        act: One of :data:`~fogline.simulators.customers.acts.CUSTOMER_ACTS`.
        topic: What is brought up, one of :data:`~fogline.simulators.customers.acts.TOPICS`; empty for nothing.
        stage: Index into :data:`~fogline.simulators.customers.acts.STAGES`, as the conversation shows it.
        step: Steps of the operation that the customer has reported as done.
        asks_repeat: The customer asked to hear it again: saying it again is no repetition.
        status: ``converted``: the customer's state says that the operation is complete. ``ended``: the call ended
            without it. ``hung_up``: the customer broke it off.
    """

    text: str
    act: str
    topic: str = ""
    stage: int = 0
    step: int = 0
    asks_repeat: bool = False
    status: Status = "continue"


@runtime_checkable
class Customer(Protocol):
    """One customer in one call. Its latent state is reachable through no public attribute."""

    def open(self) -> Reply:
        """Pick up the phone."""
        ...

    def hear(self, heard: Heard) -> Reply:
        """Answer a turn of the seller. Not called after a reply whose status is not ``continue``.

        Raises:
            SimulatorFault: Where a model does not keep to its part.
            ChatError: Where the way to a model broke.
        """
        ...


@runtime_checkable
class AsyncCustomer(Protocol):
    """A customer that waits for a server."""

    async def open_async(self) -> Reply:
        """As :meth:`Customer.open`."""
        ...

    async def hear_async(self, heard: Heard) -> Reply:
        """As :meth:`Customer.hear`."""
        ...

    def usage(self) -> Usage:
        """Tokens and calls so far."""
        ...
