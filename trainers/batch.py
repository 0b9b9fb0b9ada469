"""Episodes as tensors: one row per seat, tokens in the order they were read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import sub
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fogline.agents.policies.policy import ROW_PREFIX, Array, Policy, RowContext
from fogline.core.episode import Episode, Turn
from fogline.core.errors import ConfigurationError, DataError, check_choice
from fogline.core.rewards import RewardScheme
from fogline.trainers.critics import Judged, Judgement, critic_rows
from fogline.trainers.payments import Value, of_term, of_terms, payments, whole
from fogline.trainers.rows import CriticRows, TeacherRows, each_tensor

END_TURN = "_end_turn"
"""A metric ``NAME_end_turn`` is the last turn of the track ``NAME``, or -1: TrustSQL-v0 reports ``schema_end_turn``."""


@dataclass(frozen=True)
class Batch:
    """N rows of T tokens and K turns; groups are ragged and known by id.

    Three log-probabilities are kept apart: the sampler's, the trainer's at the rollout's weights, and (in
    :class:`~fogline.agents.policies.forward.Forward`) the current one.

    Attributes:
        tokens: ``[N,T]`` int64, padded on the right with 0.
        attention_mask: ``[N,T]`` bool, True for tokens that exist; never inferred from ids.
        policy_mask: ``[N,T]`` bool, True where the policy wrote.
        turn_index: ``[N,T]`` int64, the seat's turn that wrote the token, -1 elsewhere.
        behaviour_logp: ``[N,T]`` of the sampler.
        old_logp: ``[N,T]`` of the trainer at the rollout's weights.
        group: ``[N]`` int64; rows of one task.
        task: ``[N]`` int64, index into ``task_ids``.
        valid: ``[N]`` bool; False leaves every statistic and every sum.
        session: Named ``[N]`` values of the whole episode; ``reward`` is what is optimised, and ``session_reward``
            the part of it that no turn's own terms paid, where the environment's weights are known.
        turn: Named ``[N,K]`` values of each turn; ``reward`` is what the turn paid, and ``turn_reward`` what its own
            terms paid, where the environment's weights are known: ``session_reward`` plus all of these is ``reward``.
        turn_mask: ``[N,K]`` bool, True for turns that were played.
        masks: ``[N,T]`` bool per track: ``policy``, and one for each ``NAME_end_turn`` among the metrics.
        terminated: ``[N]`` bool, the rules ended the episode.
        truncated: ``[N]`` bool, a budget cut it.
        paid: What each turn term paid, weight times term, ``[N,K]``: every term that the environment weighs, where its
            weights are known. They add up to ``turn_reward``.
        task_ids: Names behind ``task``.
        reference_logp: ``[N,T]`` of a frozen reference, where there is one.
        values: ``[N,T]`` of the critic at the rollout's weights, where there is one.
        bootstrap: ``[N]`` critic's estimate after the last turn of a truncated row, 0 for others.
        teacher: A teacher's rows, where there is one.
        critic: What a critic of steps says of the rows, where there is one.
        context: What policies over vectors and pictures need beside tokens.
    """

    tokens: Tensor
    attention_mask: Tensor
    policy_mask: Tensor
    turn_index: Tensor
    behaviour_logp: Tensor
    old_logp: Tensor
    group: Tensor
    task: Tensor
    valid: Tensor
    session: Mapping[str, Tensor]
    turn: Mapping[str, Tensor]
    turn_mask: Tensor
    masks: Mapping[str, Tensor]
    terminated: Tensor
    truncated: Tensor
    paid: Mapping[str, Tensor] = field(default_factory=dict)
    task_ids: tuple[str, ...] = ()
    reference_logp: Tensor | None = None
    values: Tensor | None = None
    bootstrap: Tensor | None = None
    teacher: TeacherRows | None = None
    critic: CriticRows | None = None
    context: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.tokens.shape[0])

    @property
    def reward(self) -> Tensor:
        """``session["reward"]``, ``[N]``."""
        return self.session["reward"]

    def select(self, rows: Tensor) -> Batch:
        """The rows at ``rows`` (``[M]`` int64 or ``[N]`` bool), in that order."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def trimmed(self) -> Batch:
        """Without token columns that are padding in every row."""
        length = max(int(self.attention_mask.sum(1).max()), 1) if len(self) else 1
        if length == self.tokens.shape[1]:
            return self
        width = self.tokens.shape[1]

        def cut(tensor: Tensor) -> Tensor:
            return tensor[:, :length] if tensor.dim() > 1 and tensor.shape[1] == width else tensor

        per_token = {"tokens", "attention_mask", "policy_mask", "turn_index", "behaviour_logp", "old_logp"}
        changes: dict[str, Any] = {name: cut(getattr(self, name)) for name in per_token}
        for name in ("reference_logp", "values"):
            tensor = getattr(self, name)
            changes[name] = None if tensor is None else cut(tensor)
        changes["masks"] = {name: cut(mask) for name, mask in self.masks.items()}
        changes["context"] = {name: _cut_context(name, tensor, length) for name, tensor in self.context.items()}
        if self.teacher is not None:
            changes["teacher"] = each_tensor(self.teacher, cut)
        if self.critic is not None:
            changes["critic"] = replace(self.critic, token_step=cut(self.critic.token_step))
        return replace(self, **changes)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        changes: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Tensor):
                changes[item.name] = change(value)
            elif isinstance(value, TeacherRows | CriticRows):
                changes[item.name] = each_tensor(value, change)
            elif isinstance(value, Mapping):
                changes[item.name] = {name: change(tensor) for name, tensor in value.items()}
        return replace(self, **changes)


def batch_of(
    episodes: Sequence[Episode],
    policy: Policy,
    *,
    seat_reward: str = "own",
    dtype: torch.dtype = torch.float32,
    groups: Sequence[object] | None = None,
    scheme: RewardScheme | None = None,
    judgements: Sequence[Judgement | None] | None = None,
) -> Batch:
    """Lay out episodes as a batch; each seat of an episode is a row.

    Args:
        episodes: Finished episodes, of any number of tasks and lengths. Unscored ones become invalid rows.
        policy: Whose rows they are; gives the context of vector observations.
        seat_reward: ``"own"``: a row earns what its seat was paid. ``"team"``: the sum over all seats.
        dtype: Of rewards and log-probabilities.
        groups: Group key of each episode; the task id by default. Seats of one episode share its group.
        scheme: The environment's weights, which tell what a turn's own terms paid from what the session paid.
        judgements: What a critic thinks of each episode of one seat; None for no critic.

    Raises:
        ConfigurationError: For no episodes, a choice that does not exist, or groups of another number than episodes.
        DataError: For an episode that cannot be laid out: tokens without log-probabilities, a term under a name that
            is taken, a ``NAME_end_turn`` that is no turn, a context that does not fit the tokens.
    """
    check_choice("seat_reward", seat_reward, ("own", "team"))
    if not episodes:
        raise ConfigurationError("no episodes to learn from: expected at least one; see tasks and group_size.")
    keys = [episode.task_id for episode in episodes] if groups is None else list(groups)
    if len(keys) != len(episodes):
        raise ConfigurationError(f"groups has {len(keys)} keys for {len(episodes)} episodes: expected one each.")
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    tasks = {task_id: number for number, task_id in enumerate(dict.fromkeys(item.task_id for item in episodes))}
    rows = [
        _Row(episode, seat, numbers[key], tasks[episode.task_id], seat_reward, policy, scheme)
        for episode, key in zip(episodes, keys, strict=True)
        for seat in episode.seats
    ]
    batch = _stack(rows, tuple(tasks), dtype)
    if judgements is None:
        return batch
    found = [Judged(*pair) for pair in zip(episodes, judgements, strict=True)]
    return replace(batch, critic=critic_rows(found, policy, batch.turn_index, batch.tokens, dtype))


SESSION_REWARD, TURN_REWARD = "session_reward", "turn_reward"
_OWN_VALUES = ("reward", "turns", SESSION_REWARD, TURN_REWARD)
_OWN_MASK = "policy"


class _Row:
    """One seat's episode as flat lists; a row that is not valid earns nothing."""

    def __init__(
        self,
        episode: Episode,
        seat: str,
        group: int,
        task: int,
        seat_reward: str,
        policy: Policy,
        scheme: RewardScheme | None,
    ) -> None:
        turns = [turn for turn in episode.turns if turn.seat == seat]
        self.group, self.task = group, task
        self.valid = episode.scored and any(turn.action_token_ids for turn in turns)
        self.terminated = episode.status == "terminated"
        self.truncated = episode.status == "truncated"
        self.tokens: list[int] = []
        self.turn_index: list[int] = []
        self.logps: list[float] = []
        for index, turn in enumerate(turns):
            self._append(index, turn, episode)

        def paid(value: Value) -> list[float]:
            return payments(episode, turns, seat, seat_reward, value) if self.valid else [0.0] * len(turns)

        self.turn_rewards = paid(whole)
        self.turn_terms = _terms(episode, turns) if self.valid else {}
        self.session = {"reward": float(sum(self.turn_rewards)), "turns": float(len(turns))}
        if self.valid:
            self.session |= {name: float(value) for name, value in _untaken("outcome", episode, episode.outcome)}
        self.paid: dict[str, list[float]] = {}
        if scheme is not None:
            own = paid(of_terms(scheme))
            self.paid = {name: paid(of_term(name, weight)) for name, weight in scheme.turn.items() if weight != 0}
            self.turn_terms[TURN_REWARD] = own
            # Turn by turn, so that a turn that paid for its terms alone leaves exactly nothing to the session.
            self.session[SESSION_REWARD] = float(sum(map(sub, self.turn_rewards, own)))
        self.ends = _track_ends(episode)
        self.context = policy.context(turns, _final(episode, seat)) if self.valid else RowContext()
        for name, array in self.context.per_token.items():
            if len(array) != len(self.tokens):
                raise DataError(
                    f"context {name!r} of {policy.name} has {len(array)} entries for {len(self.tokens)} tokens: "
                    "expected one each."
                )

    def _append(self, index: int, turn: Turn, episode: Episode) -> None:
        read, written = turn.context_token_ids, turn.action_token_ids
        if len(turn.logps) != len(written):
            raise DataError(
                f"turn {index} of {turn.seat!r} in task {episode.task_id!r}, seed {episode.seed}, has {len(written)} "
                f"tokens and {len(turn.logps)} log-probabilities: expected one each, as a policy's act gives them."
            )
        self.tokens += [*read, *written]
        self.turn_index += [-1] * len(read) + [index] * len(written)
        self.logps += [0.0] * len(read) + list(turn.logps)


def _terms(episode: Episode, turns: Sequence[Turn]) -> dict[str, list[float]]:
    """Named terms of each turn, 0 where a turn does not have one."""
    terms: dict[str, list[float]] = {}
    for index, turn in enumerate(turns):
        for name, value in _untaken("turn", episode, turn.terms):
            terms.setdefault(name, [0.0] * len(turns))[index] = float(value)
    return terms


def _untaken(what: str, episode: Episode, terms: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    for name in terms:
        if name in _OWN_VALUES:
            raise DataError(
                f"{episode.env_id} has a {what} term {name!r}: the name is taken in a batch; rename it in the "
                "environment."
            )
    return terms.items()


def _track_ends(episode: Episode) -> dict[str, int]:
    """The last turn of each track among the metrics."""
    ends = {}
    for metric, value in episode.metrics.items():
        if not metric.endswith(END_TURN):
            continue
        name = metric.removesuffix(END_TURN)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or name == _OWN_MASK:
            raise DataError(
                f"metric {metric}={value!r} of {episode.env_id}: expected the index of a turn, or -1, and a track of "
                f"another name than {_OWN_MASK!r}."
            )
        ends[name] = int(value)
    return ends


def _final(episode: Episode, seat: str) -> Any:
    """What the seat saw last, or None where the episode does not say.

    The final observation of a Parallel environment is by seat, and without the seats that had ended before.
    """
    final = episode.final_observation
    if isinstance(final, Mapping) and (len(episode.seats) > 1 or set(final) == set(episode.seats)):
        return final.get(seat)
    return final


def _stack(rows: Sequence[_Row], task_ids: tuple[str, ...], dtype: torch.dtype) -> Batch:
    length = max([len(row.tokens) for row in rows] + [1])
    turns = max([len(row.turn_rewards) for row in rows] + [1])
    turn_index = _padded([row.turn_index for row in rows], length, -1)
    policy_mask = turn_index >= 0
    logp = _padded([row.logps for row in rows], length, 0.0).to(dtype)
    masks = {"policy": policy_mask}
    for name in dict.fromkeys(name for row in rows for name in row.ends):
        ends = torch.tensor([row.ends.get(name, -1) for row in rows])[:, None]
        masks[name] = policy_mask & (turn_index <= ends)
    nothing: list[float] = []
    terms = dict.fromkeys(name for row in rows for name in row.turn_terms)
    turn = {name: _padded([row.turn_terms.get(name, nothing) for row in rows], turns, 0.0) for name in terms}
    turn["reward"] = _padded([row.turn_rewards for row in rows], turns, 0.0)
    session = dict.fromkeys(name for row in rows for name in row.session)
    return Batch(
        tokens=_padded([row.tokens for row in rows], length, 0),
        attention_mask=_leading([len(row.tokens) for row in rows], length),
        policy_mask=policy_mask,
        turn_index=turn_index,
        behaviour_logp=logp,
        old_logp=logp,
        group=torch.tensor([row.group for row in rows]),
        task=torch.tensor([row.task for row in rows]),
        valid=torch.tensor([row.valid for row in rows]),
        session={name: torch.tensor([row.session.get(name, 0.0) for row in rows], dtype=dtype) for name in session},
        turn={name: values.to(dtype) for name, values in turn.items()},
        paid={name: _padded([row.paid[name] for row in rows], turns, 0.0).to(dtype) for name in rows[0].paid},
        turn_mask=_leading([len(row.turn_rewards) for row in rows], turns),
        masks=masks,
        terminated=torch.tensor([row.terminated for row in rows]),
        truncated=torch.tensor([row.truncated for row in rows]),
        task_ids=task_ids,
        context=_stack_context([row.context for row in rows], length),
    )


def _padded(lists: Sequence[Sequence[float]], width: int, fill: float) -> Tensor:
    """Ragged lists as ``[N,width]``, int64 or float64 as ``fill`` is."""
    full = np.full((len(lists), width), fill)
    for row, values in enumerate(lists):
        full[row, : len(values)] = values
    return torch.from_numpy(full)


def _leading(lengths: Sequence[int], width: int) -> Tensor:
    """``[N,width]`` bool, True in the first places of each row."""
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def _stack_context(contexts: Sequence[RowContext], length: int) -> dict[str, Tensor]:
    """Padded arrays per token, and arrays per row under a prefixed name; what a row does not have is zeros."""
    stacked: dict[str, Tensor] = {}
    for name, model in {name: array for row in contexts for name, array in row.per_token.items()}.items():
        full = np.zeros((len(contexts), length, *model.shape[1:]), model.dtype)
        for row, context in enumerate(contexts):
            if name in context.per_token:
                full[row, : len(context.per_token[name])] = context.per_token[name]
        stacked[name] = torch.from_numpy(full)
    for name in dict.fromkeys(name for row in contexts for name in row.per_row):
        stacked[ROW_PREFIX + name] = _stack_rows(name, [row.per_row.get(name) for row in contexts])
    return stacked


def _stack_rows(name: str, arrays: Sequence[Array | None]) -> Tensor:
    """Arrays ``[m,…]`` as one ``[N,M,…]``, padded with zeros along their first axis; None is all zeros."""
    shapes = {array.shape for array in arrays if array is not None}
    if len({shape[1:] for shape in shapes}) > 1:
        raise DataError(
            f"context {name!r} has shapes {sorted(shapes)}: expected rows that differ in their first axis at most."
        )
    full = np.zeros((len(arrays), *max(shapes)), next(array.dtype for array in arrays if array is not None))
    for row, array in enumerate(arrays):
        if array is not None:
            inside: tuple[int | slice, ...] = (row, *map(slice, array.shape))
            full[inside] = array
    return torch.from_numpy(full)


def _cut_context(name: str, tensor: Tensor, length: int) -> Tensor:
    return tensor if name.startswith(ROW_PREFIX) else tensor[:, :length]
