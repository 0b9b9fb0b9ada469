"""Metrics of a game: success, tokens, density, redundancy, fidelity, and what counts alone hide (section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.envs.silo_bench.failures import find_failures
from fogline.envs.silo_bench.game import Game
from fogline.envs.silo_bench.optimum import fewest_messages, topological_fidelity

_LEADER = 1.5
"""An agent that receives more than so many times the mean number of messages is a leader (table 17)."""


def game_metrics(game: Game) -> dict[str, Any]:
    """Everything that is measured of a game that is over.

    Args:
        game: A game whose rounds are played.

    Returns:
        - ``success_rate`` S, ``success`` (S = 1), ``partial_correctness`` P, with canonical answers and the task's
          tolerance; ``success_rate_strict`` and ``partial_correctness_published`` as the published code scores
          (None where it would crash);
        - ``tokens_out``, four characters as one; ``token_consumption`` C, per configured round, as the paper's
          magnitudes have it, ``token_consumption_executed`` per played round;
        - ``messages``: sent messages, broadcasts, or reads of others' files; ``density`` D = messages / N(N-1), 0 for
          one agent; ``density_delivered`` counts receptions, ``density_reads`` and ``density_writes`` files;
        - ``fewest_messages``, ``redundancy`` CRR = messages / fewest, 1 for one agent; ``fidelity`` TF;
        - ``rounds`` played, ``characters_sent``, ``characters_delivered``, ``words_sent``, ``max_in_degree``,
          ``max_characters_received`` (most in one round), ``gini`` of messages by agent, ``leader``;
        - ``coverage``: mean share of the shards that can have reached a seat; ``premature``, ``computation_error``,
          ``no_submission`` as shares of seats, ``consensus_failure``, ``distinct_answers``;
        - ``parse_failures``, ``malformed`` rounds, ``pairs`` as ``[sender, receiver, messages]``.
    """
    scores = game.scores()
    return {
        "success_rate": scores.success_rate,
        "success": scores.success_rate == 1.0,
        "partial_correctness": scores.partial_correctness,
        "success_rate_strict": scores.strict_success_rate,
        "partial_correctness_published": scores.published_partial_correctness,
        **_written(game),
        **_traffic(game),
        **_failures(game, scores.correct),
        "parse_failures": scores.parse_failures,
        "malformed": sum(seat.malformed for seat in game.seats),
    }


def outcome_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The session-level terms among the metrics."""
    return {name: float(metrics[name]) for name in ("success_rate", "partial_correctness", "success")}


def gini(values: Sequence[float]) -> float:
    """Gini coefficient of non-negative values: 0 where all are equal, towards 1 where one has everything."""
    total, count = sum(values), len(values)
    if total == 0:
        return 0.0
    weighted = sum(rank * value for rank, value in enumerate(sorted(values), start=1))
    return 2 * weighted / (count * total) - (count + 1) / count


def _written(game: Game) -> dict[str, Any]:
    tokens = sum(-(-seat.characters // 4) for seat in game.seats)
    return {
        "tokens_out": tokens,
        "token_consumption": tokens / game.config.max_rounds,
        "token_consumption_executed": tokens / (game.round - 1),
        "rounds": game.round - 1,
    }


def _traffic(game: Game) -> dict[str, Any]:
    traffic, count = game.channel.traffic, game.config.n_agents
    files = game.config.protocol == "files"
    by_agent = traffic.cross_reads if files else traffic.sent
    messages = sum(by_agent)
    fewest = fewest_messages(game.task, count, game.config.protocol)
    possible = count * (count - 1)

    def density(number: int) -> float:
        return number / possible if possible else 0.0

    pairs = traffic.pairs
    received = traffic.delivered
    return {
        "messages": messages,
        "fewest_messages": fewest,
        "density": density(messages),
        "density_delivered": density(sum(received)),
        "density_reads": density(sum(traffic.cross_reads)),
        "density_writes": density(sum(traffic.writes)),
        "redundancy": messages / fewest if fewest else 1.0,
        "fidelity": topological_fidelity(game.task.topology, pairs, count),
        "characters_sent": sum(traffic.characters_sent),
        "characters_delivered": sum(traffic.characters_delivered),
        "words_sent": sum(seat.words for seat in game.seats),
        "max_in_degree": traffic.max_in_degree,
        "max_characters_received": traffic.max_characters_received,
        "gini": gini(by_agent),
        "leader": max(received) > _LEADER * sum(received) / count,
        "dropped": traffic.dropped,
        "delayed": traffic.delayed,
        "duplicated": traffic.duplicated,
        "pairs": [[sender, receiver, number] for (sender, receiver), number in pairs.items()],
    }


def _failures(game: Game, correct: Sequence[bool]) -> dict[str, Any]:
    seats, count = game.seats, game.config.n_agents
    found = find_failures(
        game.task,
        game.problem,
        [seat.submitted for seat in seats],
        [seat.answer for seat in seats],
        [seat.known for seat in seats],
        correct,
    )
    return {
        "coverage": sum(seat.known.bit_count() for seat in seats) / (count * count),
        "premature": len(found.premature) / count,
        "computation_error": len(found.computation_error) / count,
        "no_submission": len(found.no_submission) / count,
        "consensus_failure": found.consensus_failure,
        "distinct_answers": found.distinct_answers,
    }
