"""What is added to, or taken from, a session's reward before credit is given."""

from __future__ import annotations

from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.batch import SESSION_REWARD, Batch
from fogline.trainers.shapes import check_at_least, check_positive


def soft_overlong_penalty(
    length: Tensor, max_length: float, buffer: float, factor: float = 1.0, floor: float | None = -1.0
) -> Tensor:
    """DAPO's soft overlong punishment (Yu et al., 2025, arXiv 2503.14476, equation 13), ``[N]``, at most 0.

    0 up to ``max_length - buffer`` tokens, then a straight line that reaches ``-factor`` at ``max_length``.

    Args:
        length: ``[N]`` float, policy tokens of each row.
        max_length: Tokens that a row may have.
        buffer: Tokens before ``max_length`` over which the penalty grows, in ``(0, max_length]``.
        factor: The penalty at ``max_length``, at least 0.
        floor: Where it stops: -1 in the paper. None lets it fall on, as verl does.

    Raises:
        ConfigurationError: For a number out of range, or lengths that are not floats.
    """
    if not length.is_floating_point():
        raise ConfigurationError(f"length has dtype {length.dtype}: expected a float; pass length.to(reward.dtype).")
    check_positive("max_length", max_length)
    if not 0 < buffer <= max_length:
        raise ConfigurationError(f"buffer={buffer} is out of range: expected 0 < buffer <= max_length={max_length}.")
    check_at_least("factor", factor, 0)
    if floor is not None and not floor <= 0:
        raise ConfigurationError(f"floor={floor} is out of range: expected 0 or less, or None for no floor.")
    penalty = ((max_length - buffer - length) / buffer * factor).clamp(max=0)
    return penalty if floor is None else penalty.clamp(min=floor)


def gated_session(batch: Batch, reward: Tensor) -> dict[str, Tensor]:
    """The session's values under another reward; what a gate takes or gives belongs to the session, not to a turn."""
    session = {**batch.session, "reward": reward}
    if SESSION_REWARD in session:
        session[SESSION_REWARD] = session[SESSION_REWARD] + (reward - batch.reward)
    return session
