"""Silo-Bench: thirty distributed tasks for N agents that each hold one shard of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pettingzoo import AECEnv

    from fogline.envs.silo_bench.parallel import SiloParallelEnv

__all__ = ["env", "parallel_env"]


def parallel_env(render_mode: str | None = None, **keywords: Any) -> SiloParallelEnv:
    """Silo-Bench as a PettingZoo Parallel environment: all seats act, then the round is played.

    Args:
        render_mode: ``"ansi"`` or None.
        **keywords: Fields of :class:`~fogline.envs.silo_bench.config.SiloConfig`: ``task``, ``n_agents``,
            ``protocol`` and so on.
    """
    from fogline.envs.silo_bench.parallel import SiloParallelEnv

    return SiloParallelEnv(render_mode, **keywords)


def env(render_mode: str | None = None, **keywords: Any) -> AECEnv[str, Any, Any]:
    """The same as a PettingZoo agent-environment-cycle environment: seats act one after another in a round."""
    from pettingzoo.utils import parallel_to_aec

    return parallel_to_aec(parallel_env(render_mode, **keywords))
