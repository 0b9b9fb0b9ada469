"""Where weights lie: whole on every process, or in shards, one to a process, by PyTorch's ``fully_shard`` (FSDP2).

Sharded, a process keeps its part of every weight and of the optimiser's moments. For a pass the weights are gathered
whole, and the sum of all processes' gradients is scattered again. They are gathered once for a whole pass and not
layer by layer: processes pass as often as their rows ask for, and a prompt that rows share is read once, its keys and
values carrying gradient past the layers' own outputs; either would break a protocol in which every layer gathers and
scatters by itself. Accelerate starts and joins the processes; its own FSDP plugin wraps the same ``fully_shard`` around
one model's forward, and does nothing on CPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fogline.agents.policies.policy import Policy
from fogline.core.errors import ConfigurationError
from fogline.trainers.processes import Processes

Sharding = Literal["none", "fsdp"]


class Weights:
    """A policy's weights, whole on every process.

    Args:
        policy: Whose they are.
        processes: The processes that share the work.

    Attributes:
        trainable: What an optimiser steps.
    """

    def __init__(self, policy: Policy, processes: Processes) -> None:
        self._policy = policy
        self._processes = processes
        self.trainable = [weight for weight in policy.module.parameters() if weight.requires_grad]

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While it lasts, the policy acts and scores; every process enters it."""
        yield

    def add_gradients(self) -> None:
        """Give what an optimiser steps the sum of all processes' gradients."""
        self._processes.add_gradients(self.trainable)

    def clip(self, bound: float) -> Tensor:
        """Shorten the gradient to a length of at most ``bound``, and return the length that it had."""
        return torch.nn.utils.clip_grad_norm_(self.trainable, bound)

    def state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """State dictionaries of module and optimiser, the same whatever the sharding; every process asks."""
        return {"module": self._policy.module.state_dict(), "optimiser": optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> None:
        """Take up what :meth:`state` gave.

        Raises:
            RuntimeError: The module is another one.
            ValueError: The optimiser is.
        """
        self._policy.module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])

    def save(self, folder: Path) -> None:
        """Write the policy into a folder; every process asks, and one writes."""
        if self._processes.main:
            self._policy.save(folder)


class ShardedWeights(Weights):
    """A policy's weights in shards.

    Raises:
        ConfigurationError: For one process, or a policy of which a part is frozen.
    """

    def __init__(self, policy: Policy, processes: Processes) -> None:
        if processes.count == 1:
            raise ConfigurationError(
                "sharding='fsdp' in one process: expected several, as `accelerate launch --num_processes N -m "
                "fogline.cli.main train …` starts them; or set sharding='none'."
            )
        frozen = sum(not weight.requires_grad for weight in policy.module.parameters())
        if frozen:
            raise ConfigurationError(
                f"sharding='fsdp', but {frozen} weights of policy {policy.name!r} are frozen: what an optimiser keeps "
                "for the others is little. Set sharding='none', or train all weights (lora_rank=None)."
            )
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        device = next(policy.module.parameters()).device.type
        self._mesh = init_device_mesh(device, (processes.count,))
        self._units: list[Any] = []
        for module in _units(policy.module):
            # Weights stay whole from pass to pass and gradients on their process, until they are asked for.
            unit: Any = fully_shard(module, mesh=self._mesh, reshard_after_forward=False)
            unit.set_requires_gradient_sync(False, recurse=False)
            unit.set_reshard_after_backward(False, recurse=False)
            self._units.append(unit)
        self._gathered: list[nn.Parameter] = []
        self._depth = 0
        super().__init__(policy, processes)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While it lasts, the policy acts and scores; every process enters it."""
        self._depth += 1
        try:
            if self._depth == 1:
                for unit in self._units:
                    unit.unshard()
                self._gathered = list(self._policy.module.parameters())
                for weight in self._gathered:
                    # What an update that failed left behind is not the next one's.
                    weight.grad = None
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                for unit in self._units:
                    unit.reshard()

    def add_gradients(self) -> None:
        """Scatter the sum of all processes' gradients; a weight that none of them reached has none, as in one."""
        from torch.distributed import reduce_scatter_tensor
        from torch.distributed.tensor import DTensor

        reached = self._processes.add(torch.tensor([float(weight.grad is not None) for weight in self._gathered]))
        places = [place for place, somewhere in enumerate(reached.tolist()) if somewhere]
        if not places:
            return
        known = [(self.trainable[place], self._gathered[place]) for place in places]
        parts = [self._parts(weight) for _, weight in known]
        sent = torch.cat([piece for rank in zip(*parts, strict=True) for piece in rank])
        mine = sent.new_empty(len(sent) // self._processes.count)
        # One exchange for all of them: on slow links it is their number that costs.
        reduce_scatter_tensor(mine, sent, group=self._mesh.get_group())
        for (shard, weight), flat in zip(known, torch.split(mine, [len(pieces[0]) for pieces in parts]), strict=True):
            held: Any = shard
            local = held.to_local()
            held.grad = DTensor.from_local(
                flat[: local.numel()].view(local.shape).to(local.dtype),
                self._mesh,
                held.placements,
                run_check=False,
                shape=held.shape,
                stride=held.stride(),
            )
            weight.grad = None

    def _parts(self, weight: nn.Parameter) -> list[Tensor]:
        """A gradient in one flat piece for each process, as its weight lies in shards; the pieces equally long."""
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        rows = -(-len(gradient) // self._processes.count)
        padded = gradient.new_zeros(rows * self._processes.count, *gradient.shape[1:])
        padded[: len(gradient)] = gradient
        return [piece.reshape(-1) for piece in torch.split(padded, rows)]

    def clip(self, bound: float) -> Tensor:
        """Shorten the gradient to a length of at most ``bound``, and return the length that it had."""
        norm: Tensor = whole_tensor(super().clip(bound))
        return norm

    def state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """State dictionaries of module and optimiser, the same whatever the sharding; every process asks."""
        state = super().state(optimiser)
        kept = {index: _each(whole_tensor, moments) for index, moments in state["optimiser"]["state"].items()}
        return {
            "module": _each(whole_tensor, state["module"]),
            "optimiser": {**state["optimiser"], "state": kept},
        }

    def restore(self, state: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> None:
        """Take up what :meth:`state` gave.

        Raises:
            RuntimeError: The module is another one.
            ValueError: The optimiser is.
        """
        own = self._policy.module.state_dict()
        module = {name: self._shard_like(own.get(name), value) for name, value in state["module"].items()}
        moments = {
            index: {name: self._shard_like(self._parameter(int(index)), value) for name, value in kept.items()}
            for index, kept in state["optimiser"]["state"].items()
        }
        super().restore({"module": module, "optimiser": {**state["optimiser"], "state": moments}}, optimiser)

    def save(self, folder: Path) -> None:
        """Write the policy into a folder; every process asks, and one writes."""
        owners = [
            (module, name, shard)
            for module in self._policy.module.modules()
            for name, shard in module._parameters.items()
            if shard is not None
        ]
        # Tied weights have several owners and one tensor.
        known: dict[int, nn.Parameter] = {}
        for _, _, shard in owners:
            if id(shard) not in known:
                gathered = whole_tensor(shard.detach())
                known[id(shard)] = nn.Parameter(gathered if self._processes.main else gathered.new_empty(0))
        try:
            for module, name, shard in owners:
                module._parameters[name] = known[id(shard)]
            super().save(folder)
        finally:
            for module, name, shard in owners:
                module._parameters[name] = shard

    def _parameter(self, index: int) -> Tensor | None:
        return self.trainable[index] if index < len(self.trainable) else None

    def _shard_like(self, shard: Tensor | None, value: Any) -> Any:
        """This process's part of a whole tensor, for a place where shards lie; anything else is left as it is."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(shard, DTensor) or not isinstance(value, Tensor) or value.shape != shard.shape:
            return value
        # Every process has read the same file: nobody needs to send anything.
        return distribute_tensor(value.to(shard.device), self._mesh, shard.placements, src_data_rank=None)


def place_weights(policy: Policy, sharding: Sharding, processes: Processes) -> Weights:
    """Lay a policy's weights as the sharding says; called before an optimiser takes them.

    Raises:
        ConfigurationError: As :class:`ShardedWeights`.
    """
    return ShardedWeights(policy, processes) if sharding == "fsdp" else Weights(policy, processes)


def whole_tensor(value: Any) -> Any:
    """A tensor of which every process has a part, whole; every process asks. Anything else is whole already."""
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at a time, the inner ones first: a model's layers, so that buffers are small, and the rest."""
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        # A mere container, which cannot be a unit.
        for child in module.children():
            yield from _units(child)
        return
    if any(True for _ in module.parameters()):
        yield from _layers(module)
        yield module


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a model lie in its outermost lists."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from (layer for layer in child if any(True for _ in layer.parameters()))
        else:
            yield from _layers(child)


def _each(function: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: function(value) for name, value in values.items()}
