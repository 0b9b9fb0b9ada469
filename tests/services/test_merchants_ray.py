"""What-if through Ray: the same answers, to the bit."""

from __future__ import annotations

import importlib.util

import pandas as pd
import pytest
from requirement import unavailable

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


def test_ray_answers_as_this_process_does() -> None:
    if importlib.util.find_spec("ray") is None:
        unavailable("ray", "Ray is not installed (pip install 'fogline[scale]')")
    from fogline.core.engine import make_engine
    from fogline.simulators.merchants.config import PGHSConfig
    from fogline.simulators.merchants.logs import check_log
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.strategies import Intervention, Strategy
    from fogline.simulators.merchants.world import WorldConfig, make_world

    log = check_log(make_world(WorldConfig(n_merchants=150, n_trajectories=30_000), 1).table())
    model = PGHS.fit(log, PGHSConfig(replicates=5))
    asked = [Strategy(f"{share:.0%} off", (Intervention("discount", "set", share),)) for share in (0.05, 0.1, 0.3)]
    here = model.what_if(asked, window="all")
    with make_engine("ray", 2) as engine:
        there = model.what_if(asked, window="all", engine=engine)
    pd.testing.assert_frame_equal(here.table, there.table, check_exact=True)
    pd.testing.assert_frame_equal(here.totals(), there.totals(), rtol=1e-12)
