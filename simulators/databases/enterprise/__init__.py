"""Generated enterprise-like databases whose schema has to be explored, with checked questions."""

from __future__ import annotations

from fogline.simulators.databases.enterprise.baselines import keyword_retriever, no_join_heuristic
from fogline.simulators.databases.enterprise.config import EnterpriseConfig
from fogline.simulators.databases.enterprise.dataset import cache_folder, enterprise_dataset, enterprise_names

__all__ = [
    "EnterpriseConfig",
    "cache_folder",
    "enterprise_dataset",
    "enterprise_names",
    "keyword_retriever",
    "no_join_heuristic",
]
