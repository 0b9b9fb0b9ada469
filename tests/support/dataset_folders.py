"""Small data-set folders in the published layouts, with every kind of damage that validation must find."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), total REAL);
INSERT INTO customer VALUES (1, 'Ann', 'Oslo'), (2, 'Bob', 'Rome'), (3, 'Cy', 'Oslo');
INSERT INTO orders VALUES (1, 1, 10.5), (2, 1, 4.5), (3, 2, 7.0);
"""
SCHOOL = """
CREATE TABLE "Pupil" ("First Name" TEXT, grade INTEGER);
INSERT INTO "Pupil" VALUES ('Dee', 4), ('Eve', 5);
"""

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"

# (database, question, gold statement) that hold, in the order of every folder below.
GOOD = (
    ("shop", "Which customers live in Oslo?", "SELECT name FROM customer WHERE city = 'Oslo' ORDER BY name"),
    (
        "shop",
        "How much did each customer order?",
        "WITH t AS (SELECT customer_id, SUM(total) AS s FROM orders GROUP BY 1) "
        "SELECT c.name, t.s FROM t JOIN customer AS c ON c.id = t.customer_id",
    ),
    ("school", "Who is in grade 5?", 'SELECT "First Name" FROM Pupil WHERE grade = 5'),
    ("shop", "Which customers live in Paris?", "SELECT name FROM customer WHERE city = 'Paris'"),
)

# reason -> (database, gold statement)
DAMAGED = {
    "missing_database": ("nowhere", "SELECT 1"),
    "gold_error": ("shop", "SELECT nme FROM customer"),
    "gold_timeout": ("shop", ENDLESS),
    "gold_truncated": (
        "shop",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n",
    ),
    "gold_too_large": ("shop", "SELECT hex(zeroblob(300000))"),
    "forbidden": ("shop", "DELETE FROM orders"),
    "unparseable": ("shop", "PRAGMA table_info(customer)"),
}


def make_database(path: Path, script: str) -> Path:
    """Write a SQLite file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    return path


def make_databases(root: Path) -> Path:
    """Write ``{root}/{db}/{db}.sqlite`` for both databases."""
    make_database(root / "shop" / "shop.sqlite", SHOP)
    make_database(root / "school" / "school.sqlite", SCHOOL)
    return root


def write_json(path: Path, value: Any) -> Path:
    """Write one JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def write_lines(path: Path, values: list[Any]) -> Path:
    """Write one JSON document a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n", encoding="utf-8")
    return path


def bird_records(items: list[tuple[str, str, str]], **extra: Any) -> list[dict[str, Any]]:
    """Records as in BIRD's ``dev.json``."""
    return [
        {
            "question_id": number,
            "db_id": database,
            "question": question,
            "evidence": "Oslo refers to city = 'Oslo'" if number == 0 else "",
            "SQL": sql,
            "difficulty": "simple",
            **extra,
        }
        for number, (database, question, sql) in enumerate(items)
    ]


def spider_records(items: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Records as in Spider's ``dev.json``."""
    return [
        {"db_id": database, "question": question, "query": sql, "query_toks": sql.split(), "sql": {"select": []}}
        for database, question, sql in items
    ]


def spider_syn_records(items: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Records as in Spider-Syn's ``dev.json``."""
    return [
        {"db_id": database, "SpiderQuestion": question, "SpiderSynQuestion": f"{question} (reworded)", "query": sql}
        for database, question, sql in items
    ]


def trust_sql_record(
    number: int, database: str, question: str, sql: str, root: str, evidence: str = "", schema: Any = None
) -> dict[str, Any]:
    """One record of TRUST-SQL's training file."""
    block = (
        "**Task Configuration**\n\n**Database Engine:** SQLite\n"
        f"**Database:** {database}\n**External Knowledge:** {evidence}\n**User Question:** {question}?\n"
    )
    truth: dict[str, Any] = {"target": [sql, "SELECT 'never scored'"]}
    if schema is not None:
        truth["schema"] = schema
    return {
        "id": number,
        "question": question,
        "prompt": [{"role": "system", "content": "Follow the protocol."}, {"role": "user", "content": block}],
        "tools": [],
        "reward_model": {"data_source": database, "database": root, "ground_truth": truth},
    }


def damaged_items() -> list[tuple[str, str, str]]:
    """Good questions, then one for each reason of :data:`DAMAGED`."""
    return [*GOOD, *((database, f"Damaged: {reason}", sql) for reason, (database, sql) in DAMAGED.items())]
