"""Credit: from rewards to detached advantages, of a row ``[N]`` or of its tokens ``[N,T]``.

Rows are compared inside ragged groups (``group``: ``[N]`` integer ids). Rows with ``valid=False`` get 0 and enter no
statistic; a group with a single valid row has nothing to be compared with, and gets 0. Along tokens, only those that
the policy wrote count: rewards are discounted over the sequence that is left when all others are taken out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError, check_choice
from fogline.trainers.groups import Groups
from fogline.trainers.hian import hian as hian  # the one credit with two horizons
from fogline.trainers.shapes import (
    check_at_least,
    check_mask,
    check_per_row,
    check_positive,
    check_rows,
    check_shapes,
    check_token_rewards,
    check_unit,
)


@torch.no_grad()
def group_normalise(
    reward: Tensor,
    group: Tensor,
    valid: Tensor,
    ddof: int = 1,
    epsilon: float = 1e-6,
    clip: float | None = None,
    scale: str = "group",
) -> Tensor:
    """Reward minus the mean of its group, over a standard deviation: (R - mean) / (std + epsilon).

    GRPO (Shao et al., 2024, arXiv 2402.03300). ``scale="none"`` is Dr. GRPO (Liu et al., 2025, arXiv 2503.20783).

    Args:
        reward: ``[N]``.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.
        ddof: 1 for the unbiased deviation, 0 for the population's.
        epsilon: Added to the deviation.
        clip: The result is bounded to ``[-clip, clip]``; None for no bound.
        scale: Deviation of the ``"group"``, of all valid rows of the ``"batch"`` around their common mean, or
            ``"none"`` (divided by nothing, and ``epsilon`` unused).

    Raises:
        ConfigurationError: For an option out of range, or shapes that differ.
        DataError: For a reward of a valid row that is not finite.
    """
    check_choice("scale", scale, ("group", "batch", "none"))
    if ddof not in (0, 1):
        raise ConfigurationError(f"ddof={ddof} is unknown: expected 0 (population) or 1 (unbiased).")
    check_at_least("epsilon", epsilon, 0)
    if clip is not None:
        check_positive("clip", clip)
    check_rows(reward, group, valid)
    groups = Groups.of(group, valid)
    advantage = groups.centred(reward)
    if scale != "none":
        whole = groups if scale == "group" else Groups.of(torch.zeros_like(group), valid)
        deviation = whole.deviation(reward, ddof)
        # Where all rewards are equal, epsilon=0 must give 0 and not 0/0.
        advantage = torch.where(deviation > 0, advantage / (deviation + epsilon), torch.zeros_like(advantage))
    return advantage if clip is None else advantage.clamp(-clip, clip)


@torch.no_grad()
def leave_one_out(reward: Tensor, group: Tensor, valid: Tensor) -> Tensor:
    """Reward minus the mean of the other rows of its group, ``[N]``: RLOO (Ahmadian et al., 2024, arXiv 2402.14740).

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For a reward of a valid row that is not finite.
    """
    check_rows(reward, group, valid)
    groups = Groups.of(group, valid)
    count = groups.count(reward)
    return groups.centred(reward) * count / (count - 1).clamp(min=1)


@torch.no_grad()
def length_weighted(reward: Tensor, length: Tensor, group: Tensor, valid: Tensor) -> Tensor:
    """Reward minus its group's mean weighted by length, ``[N]``: OPO (Hao et al., 2025, arXiv 2505.23585).

    Args:
        reward: ``[N]``.
        length: ``[N]``, policy tokens of each row; positive where valid.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For a reward that is not finite, or a length that is not positive, in a valid row.
    """
    check_rows(reward, group, valid)
    check_shapes(reward=reward, length=length)
    without = (valid & ~(length > 0)).nonzero().flatten().tolist()
    if without:
        raise DataError(f"length is not positive in rows {without}: set valid=False for rows without policy tokens.")
    groups = Groups.of(group, valid)
    weight = length.to(reward.dtype)
    centred = groups.centred(reward)
    baseline = groups.total(weight * centred) / torch.where(valid, groups.total(weight), torch.ones_like(reward))
    return torch.where(valid, centred - baseline, torch.zeros_like(reward))


@torch.no_grad()
def pass_at_k(reward: Tensor, group: Tensor, valid: Tensor) -> Tensor:
    """Only the best row of a group earns, by how much it beats the second: pass@k training (arXiv 2503.19595).

    A shared first place beats nobody: the whole group gets 0.

    Returns:
        ``[N]``.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: For a reward of a valid row that is not finite.
    """
    check_rows(reward, group, valid)
    groups = Groups.of(group, valid)
    best = valid & (reward == groups.largest(reward))
    alone = best & (groups.total(best.to(reward.dtype)) == 1)
    second = Groups(groups.index, valid & ~best, groups.number).largest(reward)
    return torch.where(alone & second.isfinite(), reward - second, torch.zeros_like(reward))


@torch.no_grad()
def gpg(reward: Tensor, group: Tensor, valid: Tensor, *, count: str = "reward") -> Tensor:
    """Centred reward times α = rows / rows with a signal, ``[N]``: GPG (Chu et al., 2025, arXiv 2504.02546).

    α makes up for rows that carry no gradient.

    Args:
        reward: ``[N]``.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool.
        count: What has a signal: a row whose ``"reward"`` is not 0 (verl's reading), or whose ``"advantage"`` is not
            (the paper's: rows of groups that are neither all right nor all wrong).

    Raises:
        ConfigurationError: For an unknown option, or shapes that differ.
        DataError: For a reward of a valid row that is not finite.
    """
    check_choice("count", count, ("reward", "advantage"))
    check_rows(reward, group, valid)
    advantage = Groups.of(group, valid).centred(reward)
    signal = reward if count == "reward" else advantage
    rows = valid.sum().to(reward.dtype)
    return advantage * rows / (valid & (signal != 0)).sum().clamp(min=1)


def dual_track(
    full: Tensor,
    schema: Tensor,
    group: Tensor,
    valid: Tensor,
    ddof: int = 0,
    epsilon: float = 1e-6,
    clip: float | None = 10.0,
) -> dict[str, Tensor]:
    """Each track normalised on its own: Dual-Track GRPO (TRUST-SQL).

    Scaling the schema reward changes nothing here: the coefficient of that track acts on its loss.

    Args:
        full: Rewards of the whole episode, ``[N]``.
        schema: Rewards of what was proposed about the schema, ``[N]``.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool, False for aborted episodes.
        ddof: As in :func:`group_normalise`.
        epsilon: As in :func:`group_normalise`.
        clip: As in :func:`group_normalise`.

    Returns:
        ``{"full": [N], "schema": [N]}``.
    """
    check_shapes(full=full, schema=schema)
    return {
        "full": group_normalise(full, group, valid, ddof, epsilon, clip),
        "schema": group_normalise(schema, group, valid, ddof, epsilon, clip),
    }


@torch.no_grad()
def on_last_tokens(turn_reward: Tensor, turn_index: Tensor, policy_mask: Tensor) -> Tensor:
    """Each turn's reward on the last token that the policy wrote in it, 0 elsewhere.

    Args:
        turn_reward: ``[N,K]``, 0 for turns that were not played.
        turn_index: ``[N,T]`` int64, the turn of each token.
        policy_mask: ``[N,T]`` bool.

    Returns:
        ``[N,T]``; every row sums to the row of ``turn_reward``.

    Raises:
        ConfigurationError: For shapes that differ.
        DataError: Where a turn pays but wrote nothing, in a row that wrote something: its reward would be lost.
    """
    check_shapes(turn_index=turn_index, policy_mask=policy_mask)
    check_mask(policy_mask=policy_mask)
    if turn_reward.dim() != 2 or len(turn_reward) != len(turn_index):
        raise ConfigurationError(
            f"turn_reward has shape {list(turn_reward.shape)}: expected [{len(turn_index)}, turns], one row for each "
            "row of turn_index."
        )
    position = torch.arange(turn_index.shape[1], device=turn_index.device).expand_as(turn_index)
    turn = turn_index.clamp(min=0)
    last = torch.full(turn_reward.shape, -1, dtype=torch.int64, device=turn_index.device)
    last = last.scatter_reduce(1, turn, torch.where(policy_mask, position, -1), "amax")
    lost = (last < 0) & (turn_reward != 0) & policy_mask.any(1, keepdim=True)
    if lost.any():
        raise DataError(
            f"turns {lost.nonzero().tolist()} (row, turn) pay but have no policy token: their reward would be lost. "
            "Set valid=False for these rows and leave them out, or pay a turn that wrote."
        )
    paid = torch.zeros(turn_index.shape, dtype=turn_reward.dtype, device=turn_reward.device)
    return paid.scatter_add(1, last.clamp(min=0), torch.where(last < 0, torch.zeros_like(turn_reward), turn_reward))


@torch.no_grad()
def returns_to_go(reward: Tensor, policy_mask: Tensor, discount: float) -> Tensor:
    """Discounted sum of rewards from each policy token on, ``[N,T]``; 0 elsewhere.

    Args:
        reward: ``[N,T]``; what lies off the mask is not read.
        policy_mask: ``[N,T]`` bool. Tokens between its parts do not discount.
        discount: Of one policy token, in ``[0, 1]``.

    Raises:
        ConfigurationError: For shapes that differ, or a discount out of range.
        DataError: For a reward under the mask that is not finite.
    """
    check_unit("discount", discount)
    check_shapes(reward=reward, policy_mask=policy_mask)
    check_mask(policy_mask=policy_mask)
    check_token_rewards(reward, policy_mask)
    order, present = _compressed(policy_mask)
    steps = torch.where(present, reward.gather(1, order), torch.zeros((), dtype=reward.dtype, device=reward.device))
    return _spread(_discounted(steps, discount), order, present, policy_mask)


@torch.no_grad()
def whiten(values: Tensor, mask: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Values under the mask with mean 0 and variance 1 over the whole batch, ``[N,T]``; 0 elsewhere.

    REINFORCE++ (Hu, 2025, arXiv 2501.03262): (x - mean) / sqrt(var + epsilon), with the unbiased variance.

    Args:
        values: ``[N,T]``, or ``[N]`` with a mask of that shape.
        mask: bool. A single value under it becomes 0.
        epsilon: Added to the variance.

    Raises:
        ConfigurationError: For shapes that differ, or a negative ``epsilon``.
    """
    check_at_least("epsilon", epsilon, 0)
    check_shapes(values=values, mask=mask)
    check_mask(mask=mask)
    everything = Groups(torch.zeros(mask.numel(), dtype=torch.int64, device=mask.device), mask.flatten(), 1)
    centred = everything.centred(values.flatten())
    variance = everything.deviation(values.flatten(), ddof=1) ** 2
    white = torch.where(centred != 0, centred * (variance + epsilon).rsqrt(), torch.zeros_like(centred))
    return white.view_as(values)


@torch.no_grad()
def gae(
    reward: Tensor,
    values: Tensor,
    policy_mask: Tensor,
    terminated: Tensor,
    bootstrap: Tensor,
    discount: float,
    trace: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al., 2016, arXiv 1506.02438) over each row's policy tokens.

    With δ_k = r_k + γ V_{k+1} - V_k over the sequence of policy tokens: A_k = δ_k + γλ A_{k+1}. After the last token,
    V is 0 where the rules ended the episode and ``bootstrap`` where something else cut it.

    Args:
        reward: ``[N,T]``; what lies off the mask is not read.
        values: ``[N,T]``, the critic's estimate before each token; what lies off the mask is not read.
        policy_mask: ``[N,T]`` bool. Tokens between its parts neither discount nor decay the trace.
        terminated: ``[N]`` bool.
        bootstrap: ``[N]``, the critic's estimate after the last token; not read where ``terminated``.
        discount: γ of one policy token, in ``[0, 1]``.
        trace: λ, in ``[0, 1]``.

    Returns:
        Advantages and returns (advantage + value, the critic's target), both ``[N,T]`` and 0 off the mask.

    Raises:
        ConfigurationError: For shapes that differ, or a number out of range.
        DataError: For a reward under the mask that is not finite.
    """
    check_unit("discount", discount)
    check_unit("trace", trace)
    check_shapes(reward=reward, values=values, policy_mask=policy_mask)
    check_per_row(len(policy_mask), terminated=terminated, bootstrap=bootstrap)
    check_mask(policy_mask=policy_mask, terminated=terminated)
    check_token_rewards(reward, policy_mask)
    order, present = _compressed(policy_mask)
    zero = torch.zeros((), dtype=values.dtype, device=values.device)
    value = torch.where(present, values.gather(1, order), zero)
    after = torch.where(terminated, zero, bootstrap.to(values.dtype))[:, None]
    # Every row's next value: its next policy token's, and after the last one the bootstrap.
    following = torch.cat([value[:, 1:], zero.expand(len(value), 1)], 1)
    last = present & ~torch.cat([present[:, 1:], present.new_zeros(len(present), 1)], 1)
    following = torch.where(last, after, following)
    error = torch.where(present, reward.gather(1, order) + discount * following - value, zero)
    advantage = _discounted(error, discount * trace)
    return (
        _spread(advantage, order, present, policy_mask),
        _spread(advantage + value, order, present, policy_mask),
    )


def _compressed(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of each row's masked tokens, moved to the left: ``[N,L]`` positions, and which of them exist."""
    longest = int(mask.sum(1).max()) if mask.numel() else 0
    order = torch.argsort(~mask, dim=1, stable=True)[:, :longest]
    return order, mask.gather(1, order)


def _spread(compressed: Tensor, order: Tensor, present: Tensor, mask: Tensor) -> Tensor:
    """The inverse of :func:`_compressed`, 0 off the mask."""
    kept = torch.where(present, compressed, torch.zeros_like(compressed))
    return torch.zeros(mask.shape, dtype=compressed.dtype, device=mask.device).scatter(1, order, kept)


def _discounted(steps: Tensor, discount: float) -> Tensor:
    """``out[:, k] = steps[:, k] + discount * out[:, k + 1]``."""
    carried = torch.zeros_like(steps[:, 0]) if steps.shape[1] else steps.new_zeros(len(steps))
    columns: list[Tensor] = []
    for column in reversed(steps.unbind(1)):
        carried = column + discount * carried
        columns.append(carried)
    return torch.stack(columns[::-1], 1) if columns else steps
