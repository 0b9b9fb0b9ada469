"""Two tiny databases with questions, and players of TrustSQL-v0 over them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium

from fogline.agents.agent import SeatView
from fogline.envs.trust_sql.env import TrustSQLEnv
from fogline.simulators.databases.records import DatabaseRef, TextToSQLDataset, TextToSQLTask

Move = tuple[str, dict[str, Any]]
Step = tuple[Any, float, bool, bool, dict[str, Any]]
MakeEnv = Callable[..., TrustSQLEnv]

NOTES = ("please try again later", "Invalid format", "syntax error near FROM", "nothing")
COUNTRIES = ("Zanzibar", "Peru", "Norway")
INVOICES = 100

TASKS = (
    TextToSQLTask(
        "shop-count",
        "shop",
        "How many customers live on the spice island?",
        "SELECT COUNT(*) FROM customer WHERE country = 'Zanzibar'",
        evidence="",
        paraphrases=("Count the customers of the spice island.", "The spice island has how many customers?"),
        difficulty="easy",
    ),
    TextToSQLTask("shop-all", "shop", "What is the amount of every bill?", "SELECT total FROM invoice"),
    TextToSQLTask(
        "shop-join",
        "shop",
        "Which people have a bill above ninety?",
        "SELECT DISTINCT c.name FROM customer AS c JOIN invoice AS i ON i.customer_id = c.id WHERE i.total > 90",
        evidence="amounts are in crowns",
    ),
    TextToSQLTask("shop-none", "shop", "Who lives on Mars?", "SELECT name FROM customer WHERE country = 'Mars'"),
    TextToSQLTask("shop-parts", "shop", "What amounts were ordered?", 'SELECT quantity FROM "Order Details"'),
    TextToSQLTask("shop-notes", "shop", "What remarks are there?", "SELECT DISTINCT note FROM customer"),
    TextToSQLTask("books-old", "books", "Which works are older than 1900?", "SELECT title FROM work WHERE year < 1900"),
)

# What a perfect proposal of each task is.
SCHEMAS: dict[str, dict[str, list[str]]] = {
    "shop-count": {"customer": ["country"]},
    "shop-all": {"invoice": ["total"]},
    "shop-join": {"customer": ["id", "name"], "invoice": ["customer_id", "total"]},
    "shop-none": {"customer": ["name", "country"]},
    "shop-parts": {"Order Details": ["quantity"]},
    "shop-notes": {"customer": ["note"]},
    "books-old": {"work": ["title", "year"]},
}
GOLD = {task.task_id: task.gold_sql for task in TASKS}
LIST_SQL = "SELECT sql FROM sqlite_master"


def build(folder: Path) -> TextToSQLDataset:
    """Write both databases into ``folder`` and return the data set over them."""
    with sqlite3.connect(folder / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, country TEXT, note TEXT)")
        shop.execute(
            "CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), total REAL)"
        )
        shop.execute('CREATE TABLE "Order Details" (order_id INTEGER, quantity INTEGER)')
        rows = [(i, f"person {i}", COUNTRIES[i % 3], NOTES[i % 4]) for i in range(40)]
        shop.executemany("INSERT INTO customer VALUES (?, ?, ?, ?)", rows)
        shop.executemany("INSERT INTO invoice VALUES (?, ?, ?)", [(i, i % 40, i + 0.5) for i in range(INVOICES)])
        shop.executemany('INSERT INTO "Order Details" VALUES (?, ?)', [(i, i * 7) for i in range(5)])
    with sqlite3.connect(folder / "books.sqlite") as books:
        books.execute("CREATE TABLE work (title TEXT, year INTEGER)")
        books.executemany("INSERT INTO work VALUES (?, ?)", [("Emma", 1815), ("Ulysses", 1922), ("Dubliners", 1914)])
    shop.close()
    books.close()
    references = {name: DatabaseRef(name, f"sqlite:///{folder / name}.sqlite") for name in ("shop", "books")}
    return TextToSQLDataset("shop", {task.task_id: task for task in TASKS}, references)


def make(dataset: TextToSQLDataset, **options: Any) -> TrustSQLEnv:
    """One environment over ``dataset``; picklable with :func:`functools.partial`."""
    env = gymnasium.make("fogline.envs:TrustSQL-v0", dataset=dataset, **options)
    assert isinstance(env.unwrapped, TrustSQLEnv)
    return env.unwrapped


def explore(sql: str = LIST_SQL) -> Move:
    return "explore_schema", {"sql": sql}


def propose(columns: Mapping[str, Sequence[str]], tables: Sequence[str] | None = None) -> Move:
    return "propose_schema", {"tables": list(columns if tables is None else tables), "columns": dict(columns)}


def generate(sql: str) -> Move:
    return "generate_sql", {"sql": sql}


def confirm(sql: str) -> Move:
    return "confirm_answer", {"sql": sql}


def perfect(task_id: str, *, with_proposal: bool = True) -> list[Move]:
    """A plan that earns everything: 1.1 and schema 1."""
    proposal = [propose(SCHEMAS[task_id])] if with_proposal else []
    return [explore(), *proposal, generate(GOLD[task_id]), confirm(GOLD[task_id])]


def play(env: TrustSQLEnv, task_id: str, moves: Iterable[Any], seed: int = 0) -> list[Step]:
    """Reset to ``task_id`` and send the moves: ``(tool, arguments)`` pairs, or raw actions."""
    env.reset(seed=seed, options={"task_id": task_id})
    steps = []
    for move in moves:
        action = env.tool_action(*move) if isinstance(move, tuple) else move
        steps.append(env.step(action))
    return steps


class PlanAgent:
    """Plays a fixed plan of moves for each task."""

    name = "plan"
    batch_size: int | None = None

    def __init__(self, plans: Mapping[str, Sequence[Any]]) -> None:
        self.plans = plans

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        actions = []
        for view in views:
            move = self.plans[view.task_id][len(view.turns)]
            assert view.tool_action is not None
            actions.append(view.tool_action(*move) if isinstance(move, tuple) else move)
        return actions


class PerfectAgent(PlanAgent):
    """Earns everything on every task."""

    def __init__(self) -> None:
        super().__init__({task_id: perfect(task_id) for task_id in SCHEMAS})
