"""From a configuration to a report: which calls are played, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from fogline.benchmarks.customers.checks import (
    course_table,
    gain,
    ladder_check,
    mood_table,
    non_buyers,
    sellers_table,
    soundness,
    variety_table,
)
from fogline.benchmarks.customers.config import ValidationConfig
from fogline.benchmarks.customers.judging import Check, Measured
from fogline.benchmarks.customers.matrix import (
    SELLERS,
    Matrix,
    matrix_tables,
    run_matrix,
    trained_gain,
    transfer_checks,
)
from fogline.benchmarks.customers.probes import PROBES, probe_checks, probe_table
from fogline.benchmarks.customers.report import ValidationReport
from fogline.benchmarks.customers.sessions import Calls, assignments, play
from fogline.benchmarks.customers.starts import Started, play_starts, sessions_of, start_checks, start_table
from fogline.benchmarks.customers.talk import transitions
from fogline.benchmarks.sweeps.tables import Table
from fogline.core.errors import ConfigurationError, InfrastructureError, check_choice
from fogline.core.redaction import redact_text
from fogline.simulators.customers.personas import VARIANTS

RANDOM, SCRIPTED, TRAINED = "random-acts", "scripted", "trained"

Report = Callable[[int, int, str], None]
"""Told how many calls have been played, of how many, and by whom."""


def validate(
    config: ValidationConfig,
    *,
    progress: Report | None = None,
    command: str = "fogline.benchmarks.customers.validate",
) -> ValidationReport:
    """Validate the customer: play, check, and put it all into a report.

    Args:
        config: What is validated, and how thoroughly.
        progress: Told how far it is.
        command: That was given, for the record.

    Raises:
        ConfigurationError: For an unknown variant, domain or keyword.
        DataError: For a damaged product card or policy.
        InfrastructureError: If no call of the scripted seller could be played to its end.
    """
    from fogline.benchmarks.speed import machine
    from fogline.core.store import installed_versions
    from fogline.envs.sales_dialogue.env import SalesDialogueEnv

    _check_variants(config)
    began = perf_counter()
    played = _play(config, progress)
    return ValidationReport(
        config=config,
        simulator_version=SalesDialogueEnv.simulator_version,
        checks=_checks(config, played),
        tables=_tables(played),
        notes=_notes(config, played),
        command=redact_text(command),
        versions=installed_versions(),
        hardware=machine.hardware(),
        wall_clock_s=perf_counter() - began,
    )


class _Played(NamedTuple):
    """All that was played.

    Attributes:
        calls: By seller.
        again: Calls of the scripted seller that were played a second time.
        started: Calls by trait and level of the customer's start.
        matrix: Policies on strangers; None where they were left out.
    """

    calls: Mapping[str, Calls]
    again: Calls
    started: Started
    matrix: Matrix | None


def load_policy(config: ValidationConfig) -> Any:
    """The trained policy of a folder, which does what it finds most likely: one that chooses acts, or a language model.

    Raises:
        ConfigurationError: If nothing can be loaded from there.
        DataError: If what is there is of another architecture.
    """
    from contextlib import closing

    from fogline.agents.environments import make_environment
    from fogline.agents.policies.language import CausalLMPolicy
    from fogline.agents.policies.vector import policy_for
    from fogline.benchmarks.customers.config import ENV_ID

    folder = Path(str(config.policy))
    if (folder / "config.json").is_file():
        model = CausalLMPolicy(str(folder))
        model.greedy = True
        return model
    with closing(make_environment(ENV_ID, {"actions": "acts"})) as env:
        policy = policy_for(env)
    policy.load(folder)
    policy.greedy = True
    return policy


def _check_variants(config: ValidationConfig) -> None:
    """Refuse names that would otherwise be found wrong after a long time."""
    for variant in (config.variant, *config.matrix_variants):
        check_choice("variant", variant, VARIANTS)
    if len(set(config.matrix_variants)) < len(config.matrix_variants):
        raise ConfigurationError(f"matrix_variants={config.matrix_variants}: expected each variant once.")


def _play(config: ValidationConfig, progress: Report | None) -> _Played:
    policy = None if config.policy is None else load_policy(config)
    hall = _Hall(config, _Counter(_total(config), progress))
    calls = hall.sellers(policy)
    return _Played(calls, hall.again(), play_starts(config, hall.counter.named("how a customer starts")), hall.matrix())


def _checks(config: ValidationConfig, played: _Played) -> list[Check]:
    return [
        *start_checks(played.started),
        *non_buyers(played.calls),
        *soundness(played.calls, played.again),
        *_ladder(config, played.calls, played.matrix),
        *([] if played.matrix is None else transfer_checks(played.matrix)),
        *probe_checks(played.calls),
    ]


def _tables(played: _Played) -> list[Table]:
    calls, scripted = played.calls, played.calls[SCRIPTED]
    return [
        sellers_table(calls.values()),
        start_table(played.started),
        course_table(scripted),
        mood_table(calls.values()),
        transitions([answer.act for answer in session.answers] for session in scripted),
        variety_table(scripted),
        probe_table(calls),
        *([] if played.matrix is None else matrix_tables(played.matrix)),
    ]


def _ladder(config: ValidationConfig, calls: Mapping[str, Calls], matrix: Matrix | None) -> list[Check]:
    steps = [ladder_check(RANDOM, SCRIPTED, gain(calls[SCRIPTED], calls[RANDOM]))]
    if TRAINED in calls:
        return [*steps, ladder_check(SCRIPTED, TRAINED, gain(calls[TRAINED], calls[SCRIPTED]))]
    if matrix is None:
        return [*steps, ladder_check(SCRIPTED, TRAINED, Measured(), "no policy was trained; give one with policy")]
    gained = trained_gain(matrix, config.variant, calls[SCRIPTED])
    return [*steps, ladder_check(SCRIPTED, TRAINED, gained, "the policies of the matrix; N counts policies")]


def _notes(config: ValidationConfig, played: _Played) -> list[str]:
    calls, matrix = played.calls, played.matrix
    notes = [
        "Each call has a customer of the test split of its own, and noise of its own; all sellers call the same "
        "customers with the same noise.",
        "Probes are judged one by one, without a correction for their number, which is to the script's disadvantage.",
    ]
    if matrix is None:
        notes.append("No policies were trained (matrix_updates=0), so there is no matrix.")
    else:
        notes += [f"Not trained: {failure}" for failure in matrix.failures]
    if config.customer != "rules":
        notes.append(
            "The check of the persona was played by the rule engine, which decides for a worded customer, too."
            if config.customer == "worded"
            else "The check of the persona was played by the rule engine: it says nothing of this customer."
        )
    for seller in calls.values():
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(seller.other_failures.items()))
        if kinds:
            notes.append(f"Calls of {seller.seller} that failed for other reasons, and enter nothing: {kinds}.")
    return notes


def _total(config: ValidationConfig) -> int:
    budget = config.budget
    sellers = 2 + len(PROBES) + (config.policy is not None)
    return sellers * budget.sessions + budget.replays + sessions_of(config) + _matrix_calls(config)


def _matrix_calls(config: ValidationConfig) -> int:
    return _matrix_cells(config) * _calls_per_cell(config)


def _matrix_cells(config: ValidationConfig) -> int:
    if not config.budget.matrix_updates:
        return 0
    return len(SELLERS) + len(config.matrix_variants) * config.budget.matrix_seeds


def _calls_per_cell(config: ValidationConfig) -> int:
    return len(config.matrix_variants) * config.budget.matrix_sessions


@dataclass(slots=True)
class _Hall:
    """Where the calls are made."""

    config: ValidationConfig
    counter: _Counter

    def sellers(self, policy: Any) -> dict[str, Calls]:
        """Calls by seller, all with the same customers and the same noise."""
        config = self.config
        wanted = assignments(config, config.budget.sessions)
        calls = {
            seller: play(config, seller, wanted, self.counter.named(seller)) for seller in (SCRIPTED, RANDOM, *PROBES)
        }
        if not calls[SCRIPTED].sessions:
            failed = calls[SCRIPTED]
            kinds = {**failed.other_failures, **({"SimulatorFault": failed.faults} if failed.faults else {})}
            raise InfrastructureError(
                f"none of the {failed.planned} calls of the scripted seller could be played ({kinds}): expected a "
                "customer that answers; try fogline customers show with the same keywords."
            )
        if policy is not None:
            acts: dict[str, Any] = {} if hasattr(policy, "model") else {"actions": "acts"}
            calls[TRAINED] = play(config, policy, wanted, self.counter.named(TRAINED), **acts)
            calls[TRAINED].seller = TRAINED
        return calls

    def again(self) -> Calls:
        """Some calls of the scripted seller once more: the last one first, and fewer at a time."""
        config = self.config
        wanted = assignments(config, config.budget.replays)[::-1]
        return play(config, SCRIPTED, wanted, self.counter.named("once more"), concurrency=3)

    def matrix(self) -> Matrix | None:
        """The matrix of training and test; None where it is left out."""
        if not self.config.budget.matrix_updates:
            return None
        each, start = _calls_per_cell(self.config), self.counter.done

        def tell(done: int, total: int, note: str) -> None:
            self.counter.reach(start + done * each, "training" + (f", {note}" if note else ""))

        return run_matrix(self.config, tell)


class _Counter:
    """Tells the caller how far it is."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.done = 0
        self._total = total
        self._report = report

    def named(self, seller: str) -> Callable[[int], None]:
        """Counts calls of one seller."""
        return lambda count: self.reach(self.done + count, seller)

    def reach(self, done: int, note: str) -> None:
        """Say how many calls have been played."""
        self.done = done
        if self._report is not None:
            self._report(min(done, self._total), self._total, note)
