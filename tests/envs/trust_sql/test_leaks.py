"""Hidden state stays hidden: nothing that an agent or a public attribute shows holds the gold or a path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import GOLD, SCHEMAS, TASKS, MakeEnv, Move, confirm, explore, generate, play, propose

from fogline.agents.agent import SeatView
from fogline.agents.collector import collect_all
from fogline.agents.scripted.baselines import RandomAgent
from fogline.agents.scripted.trust_sql import HeuristicAgent
from fogline.core.jsonable import to_jsonable
from fogline.envs.trust_sql import prompts
from fogline.envs.trust_sql.env import TrustSQLEnv
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import TextToSQLDataset

OPAQUE = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type, np.random.Generator)


def strings(value: Any, seen: set[int] | None = None) -> Iterator[str]:
    """Every text reachable from ``value`` through public attributes, keys, items and elements."""
    seen = set() if seen is None else seen
    if isinstance(value, str):
        yield value
        return
    if isinstance(value, (bytes, bytearray)):
        yield bytes(value).decode("latin-1")
        return
    if value is None or isinstance(value, (int, float, *OPAQUE)) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(key, seen)
            yield from strings(item, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from strings(item, seen)
    elif not isinstance(value, np.ndarray):
        for name in dir(value):
            if not name.startswith("_"):
                yield from strings(_attribute(value, name), seen)


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except (AttributeError, NotImplementedError):
        return None


def normal(text: str) -> str:
    return " ".join(text.lower().split())


def secrets(dataset: TextToSQLDataset) -> list[str]:
    """Gold statements, and where the databases are."""
    golds = [normal(task.gold_sql) for task in dataset]
    places = [reference.url.partition("///")[2].lower() for reference in dataset.databases.values()]
    return [*golds, *places, *{str(Path(place).parent) for place in places}]


def assert_clean(shown: Any, dataset: TextToSQLDataset) -> None:
    hidden = secrets(dataset)
    for text in strings(shown):
        plain = normal(text)
        for secret in hidden:
            assert secret not in plain, f"{secret!r} can be read in {text[:300]!r}"


@pytest.fixture
def stored(shop: TextToSQLDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop as a data file in a folder of its own, its databases elsewhere."""
    monkeypatch.setenv("FOGLINE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    (folder / "databases").mkdir(parents=True)
    for name, reference in shop.databases.items():
        (folder / "databases" / f"{name}.sqlite").write_bytes(Path(reference.url.partition("///")[2]).read_bytes())
    rows = [
        {
            "task_id": task.task_id,
            "database": task.database,
            "question": task.question,
            "gold_sql": task.gold_sql,
            "evidence": task.evidence,
            "difficulty": "easy",
            "families": [],
        }
        for task in TASKS
    ]
    (folder / "shop.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "shop.jsonl"


class Watcher:
    """Plays as another agent does and keeps everything it is shown."""

    batch_size: int | None = None

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.name = agent.name
        self.shown: list[Any] = []

    def act(self, views: Sequence[SeatView]) -> Any:
        self.shown += [(view.observation, view.info, view.system_prompt, view.tools) for view in views]
        self.shown += [view for view in views if not view.turns]
        return self.agent.act(views)


class Prober:
    """Tries the moves by which a curious agent might find out: catalogue, errors, wrong names, odd payloads."""

    name = "prober"
    batch_size: int | None = None
    moves: tuple[Any, ...] = (
        explore(),
        explore("PRAGMA database_list"),
        generate("SELECT * FROM nowhere"),
        "<answer",
        propose({"moon": ["cheese"]}),
        generate("ATTACH DATABASE 'x' AS y"),
        generate("SELECT sqlite_version(), hex(randomblob(1)) IS NULL"),
        explore("SELECT file FROM pragma_database_list"),
        confirm("SELECT wrong FROM nowhere"),
    )

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        moves = [self.moves[min(len(view.turns), len(self.moves) - 1)] for view in views]
        tools = [view.tool_action for view in views]
        return [
            tool(*move) if isinstance(move, tuple) and tool else move for tool, move in zip(tools, moves, strict=True)
        ]


@pytest.mark.parametrize("agent", [RandomAgent, HeuristicAgent, Prober])
@pytest.mark.parametrize("protocol", ["off", "strict"])
def test_nothing_that_is_shown_holds_gold_or_a_path(shop: TextToSQLDataset, agent: Any, protocol: str) -> None:
    watcher = Watcher(agent())
    made: list[TrustSQLEnv] = []

    def factory() -> TrustSQLEnv:
        made.append(TrustSQLEnv(shop, protocol=protocol))  # type: ignore[arg-type]
        return made[-1]

    episodes = collect_all(factory, watcher, [(task_id, 0) for task_id in shop.tasks])
    assert {episode.status for episode in episodes} <= {"terminated", "truncated"}
    assert len(watcher.shown) > len(episodes)
    for view in [item for item in watcher.shown if isinstance(item, SeatView)]:
        assert_clean([view.info, view.memory, view.observation, view.tools], shop)
    assert_clean([item for item in watcher.shown if not isinstance(item, SeatView)], shop)
    assert_clean([to_jsonable(turn._asdict()) for episode in episodes for turn in episode.turns], shop)
    assert_clean([(episode.metrics, episode.outcome, episode.final_observation) for episode in episodes], shop)


def test_no_public_attribute_leads_to_gold_or_a_path_at_any_moment(stored: Path) -> None:
    import gymnasium

    env = gymnasium.make("fogline.envs:TrustSQL-v0", dataset=str(stored))
    from fogline.simulators.databases.loaders import load_dataset

    dataset = load_dataset(stored)
    hidden = [task for task in dataset if task.task_id == "shop-count"]
    assert hidden
    plain: TrustSQLEnv = env.unwrapped  # type: ignore[assignment]
    # The folder of the data file was named by the caller; the databases in it were not.
    only_golds = TextToSQLDataset("golds", dataset.tasks, {})
    databases = [reference.url.partition("///")[2] for reference in dataset.databases.values()]
    moments = 0
    env.reset(seed=0, options={"task_id": "shop-count"})
    for move in [
        "nonsense",
        explore(),
        propose(SCHEMAS["shop-count"]),
        generate("SELECT 1"),
        confirm("SELECT 2 FROM work"),
    ]:
        result = env.step(plain.tool_action(*move) if isinstance(move, tuple) else move)
        for place in (env, plain, result):
            assert_clean(place, only_golds)
            assert not any(path in text for path in databases for text in strings(place))
        moments += 1
    assert moments == 5
    env.close()


def test_the_walk_itself_would_find_what_is_public(shop: TextToSQLDataset) -> None:
    env = TrustSQLEnv(shop)
    env.notes = {"deep": [(TASKS[0],)]}  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="can be read"):
        assert_clean(env, shop)


def test_the_system_prompt_and_tools_depend_on_the_configuration_only(make_env: MakeEnv) -> None:
    env = make_env()
    seen = set()
    for task_id in env.task_ids:
        env.reset(options={"task_id": task_id})
        seen.add((env.system_prompt, json.dumps(env.tools)))
    others = make_env(databases=["books"])
    seen.add((others.system_prompt, json.dumps(others.tools)))
    assert len(seen) == 1
    prompt = next(iter(seen))[0].lower()
    for table, columns in (("customer", ["country"]), ("invoice", ["total"]), ("order details", ["quantity"])):
        assert table not in prompt
        assert not any(column in prompt.split() for column in columns)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_id)
def test_the_first_observation_is_the_template_of_public_fields(make_env: MakeEnv, task: Any) -> None:
    env = make_env()
    observation, info = env.reset(seed=5, options={"task_id": task.task_id})
    assert observation == prompts.task_block(
        engine="sqlite", database=task.database, question=task.question, evidence=task.evidence
    )
    assert set(info) == {"task_id", "phase", "database"}


MOVES: dict[str, Any] = {
    "list": explore(),
    "describe": explore("PRAGMA table_info(customer)"),
    "rows": explore("SELECT name FROM customer"),
    "right schema": propose(SCHEMAS["shop-count"]),
    "other schema": propose(SCHEMAS["shop-join"]),
    "query": generate("SELECT COUNT(*) FROM customer"),
    "error": generate("SELECT x FROM customer"),
    "unreadable": "what?",
}


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=7), st.sampled_from(["off", "soft", "strict"]))
def test_until_the_end_nothing_depends_on_the_gold(shop: TextToSQLDataset, names: list[str], protocol: str) -> None:
    """Two tasks of one database that differ in gold alone give the same observations, infos and rewards."""
    from dataclasses import replace

    public = {"question": "?", "evidence": ""}
    tasks = {name: replace(shop.tasks[name], **public) for name in ("shop-count", "shop-join", "shop-parts")}
    env = TrustSQLEnv(TextToSQLDataset("twins", tasks, shop.databases), protocol=protocol)  # type: ignore[arg-type]
    runs = [play(env, name, [MOVES[move] for move in names]) for name in tasks]
    env.close()
    assert runs[0] == runs[1] == runs[2]


def test_databases_are_unchanged_after_everything_an_agent_may_try(shop: TextToSQLDataset) -> None:
    attacks: list[Move | str] = [
        generate("DROP TABLE customer"),
        generate("INSERT INTO customer (name) VALUES ('x')"),
        generate("UPDATE customer SET name = 'x'"),
        generate("PRAGMA user_version = 7"),
        generate("PRAGMA journal_mode = WAL"),
        explore("CREATE TABLE t (a)"),
        generate("WITH x AS (SELECT 1) DELETE FROM customer"),
        generate("VACUUM"),
        generate("ATTACH DATABASE 'new.sqlite' AS n"),
        confirm("DELETE FROM invoice"),
    ]
    files = [Path(reference.url.partition("///")[2]) for reference in shop.databases.values()]
    folder = sorted(files[0].parent.iterdir())
    before = [file.read_bytes() for file in files]
    prints = [Database(reference).fingerprint() for reference in shop.databases.values()]
    env = TrustSQLEnv(shop, protocol="off", max_turns=30)
    steps = play(env, "shop-count", attacks)
    env.close()
    assert all(step[4]["status"] in ("forbidden", "error") for step in steps)
    collect_all(lambda: TrustSQLEnv(shop), HeuristicAgent(), [(task_id, 0) for task_id in GOLD])
    assert [file.read_bytes() for file in files] == before
    assert [Database(reference).fingerprint() for reference in shop.databases.values()] == prints
    assert sorted(files[0].parent.iterdir()) == folder


def test_the_spec_of_an_environment_names_a_loaded_data_set_and_does_not_hold_it(shop: TextToSQLDataset) -> None:
    env = gymnasium.make("TrustSQL-v0", dataset=shop)
    try:
        assert env.spec is not None
        assert env.spec.kwargs["dataset"] == shop.name
        assert not [task for task in shop if task.gold_sql in repr(env.spec)]
    finally:
        env.close()
