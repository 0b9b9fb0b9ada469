"""The plans of the reproductions in arithmetic, cut down to a few seconds."""

from __future__ import annotations

from typing import Any

MICRO: dict[str, Any] = {
    "levels": (1, 2),
    "error": 0.2,
    "layers": 1,
    "width": 32,
    "shown_problems": 60,
    "shown_samples": 4,
    "shown_epochs": 8,
    "shown_rows": 32,
    "problems": 8,
    "tasks_per_update": 4,
    "group_size": 4,
    "updates": 2,
    "epochs": 2,
    "minibatches": 2,
    "warmup": 0,
    "test_problems": 6,
    "test_samples": 3,
    "evaluations": 2,
    "seeds": (0,),
    "tuning_seeds": (0,),
    "learning_rates": (1e-3,),
}
"""Budgets of a few seconds, of every plan in this world."""
