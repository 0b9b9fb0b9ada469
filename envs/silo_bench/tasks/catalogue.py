"""The thirty tasks by id."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fogline.core.errors import check_choice
from fogline.envs.silo_bench.tasks.i_01_global_maximum import GlobalMaximum
from fogline.envs.silo_bench.tasks.i_02_word_frequency import WordFrequency
from fogline.envs.silo_bench.tasks.i_03_distributed_vote import DistributedVote
from fogline.envs.silo_bench.tasks.i_04_any_match import AnyMatch
from fogline.envs.silo_bench.tasks.i_05_range_count import RangeCount
from fogline.envs.silo_bench.tasks.i_06_checksum import Checksum
from fogline.envs.silo_bench.tasks.i_07_average_value import AverageValue
from fogline.envs.silo_bench.tasks.i_08_set_union_size import SetUnionSize
from fogline.envs.silo_bench.tasks.i_09_top_k_selection import TopKSelection
from fogline.envs.silo_bench.tasks.i_10_standard_deviation import StandardDeviation
from fogline.envs.silo_bench.tasks.ii_11_prefix_sum import PrefixSum
from fogline.envs.silo_bench.tasks.ii_12_moving_average import MovingAverage
from fogline.envs.silo_bench.tasks.ii_13_longest_palindrome import LongestPalindrome
from fogline.envs.silo_bench.tasks.ii_14_life_game import LifeGame
from fogline.envs.silo_bench.tasks.ii_15_pattern_search import PatternSearch
from fogline.envs.silo_bench.tasks.ii_16_trapping_rain import TrappingRain
from fogline.envs.silo_bench.tasks.ii_17_diff_array import DiffArray
from fogline.envs.silo_bench.tasks.ii_18_list_ranking import ListRanking
from fogline.envs.silo_bench.tasks.ii_19_merge_neighbors import MergeNeighbors
from fogline.envs.silo_bench.tasks.ii_20_pipeline_hash import PipelineHash
from fogline.envs.silo_bench.tasks.iii_21_distributed_sort import DistributedSort
from fogline.envs.silo_bench.tasks.iii_22_median import MedianOfMedians
from fogline.envs.silo_bench.tasks.iii_23_graph_components import GraphComponents
from fogline.envs.silo_bench.tasks.iii_24_bfs_distance import BFSDistance
from fogline.envs.silo_bench.tasks.iii_25_k_means import KMeansIteration
from fogline.envs.silo_bench.tasks.iii_26_global_distinct import GlobalDistinct
from fogline.envs.silo_bench.tasks.iii_27_collaborative_filtering import CollaborativeFiltering
from fogline.envs.silo_bench.tasks.iii_28_pagerank_step import PageRankStep
from fogline.envs.silo_bench.tasks.iii_29_load_balance import LoadBalance
from fogline.envs.silo_bench.tasks.iii_30_matrix_multiply import MatrixMultiply
from fogline.envs.silo_bench.tasks.task import SiloTask

_LEVEL_ONE: tuple[SiloTask, ...] = (
    GlobalMaximum(),
    WordFrequency(),
    DistributedVote(),
    AnyMatch(),
    RangeCount(),
    Checksum(),
    AverageValue(),
    SetUnionSize(),
    TopKSelection(),
    StandardDeviation(),
)
_LEVEL_TWO: tuple[SiloTask, ...] = (
    PrefixSum(),
    MovingAverage(),
    LongestPalindrome(),
    LifeGame(),
    PatternSearch(),
    TrappingRain(),
    DiffArray(),
    ListRanking(),
    MergeNeighbors(),
    PipelineHash(),
)
_LEVEL_THREE: tuple[SiloTask, ...] = (
    DistributedSort(),
    MedianOfMedians(),
    GraphComponents(),
    BFSDistance(),
    KMeansIteration(),
    GlobalDistinct(),
    CollaborativeFiltering(),
    PageRankStep(),
    LoadBalance(),
    MatrixMultiply(),
)

TASKS: Mapping[str, SiloTask] = MappingProxyType(
    {task.task_id: task for task in (*_LEVEL_ONE, *_LEVEL_TWO, *_LEVEL_THREE)}
)
"""Every task by id, from ``"I-01"`` to ``"III-30"``, with default parameters."""


def silo_task(task_id: str) -> SiloTask:
    """Look up a task.

    Args:
        task_id: ``"I-01"`` to ``"III-30"``.

    Raises:
        ConfigurationError: There is no such task; the message names the closest id.
    """
    check_choice("task", task_id, TASKS)
    return TASKS[task_id]
