"""One process or several under ``accelerate launch``: the few things that a trainer asks of the others."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Processes:
    """Rank, number of processes, and sums over them; alone, each of them is trivial.

    Every process holds the same weights and the same batch, works on its share of the rows, and adds up gradients:
    statistics of a group never depend on how rows were shared out.

    Attributes:
        rank: Number of this process, from 0.
        count: How many there are.
    """

    def __init__(self) -> None:
        self._accelerator: Any = None
        self.rank, self.count = 0, 1
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator()
            self.rank, self.count = int(self._accelerator.process_index), int(self._accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this one writes logs and checkpoints."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process's part of row indices ``[M]``."""
        return rows[self.rank :: self.count]

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add up the gradients of all processes, in one exchange."""
        if self.count == 1:
            return
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(item) if item.grad is None else item.grad for item in parameters]
        used = gradients[0].new_tensor([float(item.grad is not None) for item in parameters])
        flat = self.add(torch.cat([used, *(gradient.reshape(-1) for gradient in gradients)]))
        used, *parts = torch.split(flat, [len(parameters), *(item.numel() for item in parameters)])
        for parameter, part, somewhere in zip(parameters, parts, used.tolist(), strict=True):
            # None stays None where nobody had one: an optimiser leaves such weights alone, as it does in one process.
            parameter.grad = part.view_as(parameter) if somewhere else None

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.count == 1:
            return tensor
        summed: Tensor = self._accelerator.reduce(tensor.to(self._accelerator.device), "sum")
        return summed.to(tensor.device)

    def gather(self, items: list[Any]) -> list[Any]:
        """The items of all processes, in the order of their ranks."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        return list(gather_object(items))

    def wait(self) -> None:
        """Until every process is here."""
        if self._accelerator:
            self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Part from the others, before the interpreter ends.

        A process that leaves the group's threads to the interpreter's end now and then dies of them (SIGABRT).
        """
        if self._accelerator:
            self._accelerator.wait_for_everyone()
            self._accelerator.end_training()
            # The group is an object of C++ that lives as long as anything refers to it.
            self._accelerator.free_memory()
            self._accelerator = None
            gc.collect()
