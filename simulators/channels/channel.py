"""The way in: a channel by the name of its protocol."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fogline.core.errors import check_choice
from fogline.simulators.channels.base import Channel
from fogline.simulators.channels.broadcast_log import BroadcastChannel
from fogline.simulators.channels.config import ChannelConfig
from fogline.simulators.channels.mailboxes import P2PChannel
from fogline.simulators.channels.shared_files import FilesChannel

__all__ = ["PROTOCOLS", "Channel", "ChannelConfig", "make_channel"]

PROTOCOLS: Mapping[str, type[Channel]] = {"p2p": P2PChannel, "broadcast": BroadcastChannel, "files": FilesChannel}
"""The three ways to exchange text (Silo-Bench, arXiv 2603.01045, appendix A)."""


def make_channel(protocol: str, config: ChannelConfig, rng: np.random.Generator | None = None) -> Channel:
    """Open a channel; its first round is still to begin.

    Args:
        protocol: ``"p2p"``, ``"broadcast"`` or ``"files"``.
        config: The options.
        rng: Draws faults and a random topology, and nothing else; without those it is not used.

    Raises:
        ConfigurationError: For an unknown protocol; when something is to be drawn and there is no ``rng``.
    """
    check_choice("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol](config, rng)
