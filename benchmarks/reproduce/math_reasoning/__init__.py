"""A small world for policy optimisers: problems that a tiny model half knows, and how it learns more of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Progress
from fogline.benchmarks.reproduce.experiment import Begin, Experiment, Method
from fogline.benchmarks.reproduce.math_reasoning.plan import MathPlan
from fogline.benchmarks.reproduce.math_reasoning.training import MakeTeacher, Measure, train_method
from fogline.benchmarks.reproduce.math_reasoning.warm_start import warm_start


def math_experiment(
    plan: MathPlan,
    methods: Mapping[str, Method],
    config: ReproduceConfig,
    progress: Progress,
    *,
    place: str = "",
    teacher: MakeTeacher | None = None,
    more: Measure | None = None,
    begin: Begin = warm_start,
) -> Experiment:
    """The stages of an experiment in this world.

    Args:
        plan: Budgets.
        methods: By name.
        config: Folders, processes.
        progress: Told how far a stage is.
        place: Folder of its stages within the reproduction's, where there are several experiments.
        teacher: Of methods that distil.
        more: What else is measured of a trained policy.
        begin: Makes a warm start.
    """
    learn = partial(train_method, teacher=teacher, more=more)
    return Experiment(plan, methods, config, progress, begin=begin, learn=learn, place=place)
