"""Thin adapters from a batch to the pure functions of credit: gates, selection, advantages by track."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fogline.trainers import advantages
from fogline.trainers.batch import SESSION_REWARD, TURN_REWARD, Batch
from fogline.trainers.gates import soft_overlong_penalty
from fogline.trainers.horizon_shares import summed_share
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Advantage, Gate, Select
from fogline.trainers.selection import dynamic_sampling

GROUPED = frozenset({"group", "leave-one-out", "length-weighted", "pass-at-k", "gpg"})
"""Kinds of credit that compare the members of a group, and so need two."""


def session_gate(options: RecipeOptions) -> Gate | None:
    """What is taken off the session reward before credit: overlong rows, divergence placed in the reward."""
    punished = options.overlong_length is not None
    diverging = options.kl_coefficient > 0 and options.kl_placement == "reward"
    if not punished and not diverging:
        return None

    def gate(batch: Batch) -> Tensor:
        reward = batch.reward
        if options.overlong_length is not None:
            length = batch.policy_mask.sum(1).to(reward.dtype)
            reward = reward + soft_overlong_penalty(length, options.overlong_length, options.overlong_buffer)
        if diverging and batch.reference_logp is not None:
            drift = torch.where(batch.policy_mask, batch.old_logp - batch.reference_logp, 0.0).sum(1)
            reward = reward - options.kl_coefficient * drift
        return reward

    return gate


def selection(options: RecipeOptions) -> Select | None:
    """DAPO's dynamic sampling: groups whose members all earned the same teach nothing and are played anew."""
    if not options.dynamic_sampling:
        return None
    return lambda batch: dynamic_sampling(batch.reward, batch.group, batch.valid)


def session_advantage(reward: Tensor, batch: Batch, options: RecipeOptions) -> Tensor:
    """Advantage ``[N]`` of session rewards ``[N]`` by the credit that compares groups."""
    group, valid = batch.group, batch.valid
    if options.advantage == "group":
        return advantages.group_normalise(
            reward, group, valid, options.ddof, options.epsilon, options.advantage_clip, options.scale
        )
    if options.advantage == "leave-one-out":
        return advantages.leave_one_out(reward, group, valid)
    if options.advantage == "length-weighted":
        return advantages.length_weighted(reward, batch.policy_mask.sum(1).to(reward.dtype), group, valid)
    if options.advantage == "pass-at-k":
        return advantages.pass_at_k(reward, group, valid)
    return advantages.gpg(reward, group, valid)


def token_rewards(batch: Batch) -> Tensor:
    """Rewards ``[N,T]`` on the last token of the turn that was paid; what a gate changed falls on the last of all."""
    placed = advantages.on_last_tokens(batch.turn["reward"], batch.turn_index, batch.policy_mask)
    changed = batch.reward - batch.turn["reward"].sum(1)
    places = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
    last = torch.where(batch.policy_mask, places, -1).amax(1)
    rows = torch.arange(len(batch), device=batch.tokens.device)
    written = last >= 0
    placed[rows[written], last[written]] += changed[written]
    return placed


def credit(options: RecipeOptions) -> Advantage:
    """The advantage of the track ``policy``; with ``gae`` also the critic's target ``return``."""

    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        mask = batch.policy_mask & batch.valid[:, None]
        if options.advantage in GROUPED:
            found = {"policy": spread(session_advantage(batch.reward, batch, options), mask)}
        elif options.advantage == "returns":
            found = {"policy": advantages.returns_to_go(token_rewards(batch), mask, options.discount)}
        else:
            found = _generalised(batch, mask, options)
        if options.whiten:
            found["policy"] = advantages.whiten(found["policy"], mask)
        return found

    return advantage


def _generalised(batch: Batch, mask: Tensor, options: RecipeOptions) -> dict[str, Tensor]:
    assert batch.values is not None, "the learner gives a recipe the values that it needs"
    bootstrap = torch.zeros_like(batch.reward) if batch.bootstrap is None else batch.bootstrap
    advantage, returns = advantages.gae(
        token_rewards(batch), batch.values, mask, batch.terminated, bootstrap, options.discount, options.trace
    )
    return {"policy": advantage, "return": returns}


def horizons(batch: Batch) -> tuple[Tensor, Tensor]:
    """Session rewards ``[N]`` and turn rewards ``[N,K]``; where the weights are not known, all is the session's."""
    turn = batch.turn.get(TURN_REWARD)
    if turn is None:
        return batch.reward, torch.zeros_like(batch.turn["reward"])
    return batch.session[SESSION_REWARD], turn


def live_turns(batch: Batch) -> Tensor:
    """Turns that count, ``[N,K]`` bool."""
    return batch.turn_mask & batch.valid[:, None]


def summed_statistics(batch: Batch) -> Mapping[str, float]:
    """What a sum of both horizons leaves to the turns; nothing where turns pay nothing of their own."""
    session, turn = horizons(batch)
    live = live_turns(batch)
    if not (turn[live] != 0).any():
        return {}
    return summed_share(session, turn, live, batch.group, batch.valid)


def spread(row: Tensor, mask: Tensor) -> Tensor:
    """A value per row ``[N]`` on each token of ``mask``, ``[N,T]``."""
    return torch.where(mask, row[:, None], 0.0)


def track_mask(batch: Batch, name: str) -> Tensor:
    """The tokens of a track, none where the environment reports no such track."""
    mask = batch.masks.get(name)
    return torch.zeros_like(batch.policy_mask) if mask is None else mask
