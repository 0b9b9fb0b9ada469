"""What SQLite must refuse or stop: groups of the statuses that are right, and statements."""

from __future__ import annotations

FORBIDDEN = ("forbidden",)
REFUSED = ("forbidden", "error")
ERROR = ("error",)
TIMEOUT = ("timeout",)
TOO_LARGE = ("too_large",)
STOPPED = ("timeout", "too_large", "error")
"""Which limit is met first depends on the machine."""

Group = tuple[tuple[str, ...], tuple[str, ...]]

SQLITE: tuple[Group, ...] = (
    (
        FORBIDDEN,  # Writing rows.
        (
            "INSERT INTO item VALUES (9999, 'x', 1.0)",
            "INSERT INTO item SELECT id + 5000, name, amount FROM item",
            "INSERT INTO item VALUES (1, 'x', 1) ON CONFLICT (id) DO UPDATE SET amount = 0",
            "INSERT INTO item VALUES (9999, 'x', 1.0) RETURNING *",
            "REPLACE INTO item VALUES (1, 'x', 1.0)",
            "UPDATE item SET amount = 0",
            "UPDATE item SET amount = 0 WHERE id = 1 RETURNING amount",
            "UPDATE OR REPLACE item SET id = 1 WHERE id = 2",
            "DELETE FROM item",
            "WITH x AS (SELECT 1) DELETE FROM item WHERE id IN (SELECT * FROM x)",
            "EXPLAIN DELETE FROM item",
            "EXPLAIN QUERY PLAN UPDATE item SET amount = 0",
        ),
    ),
    (
        FORBIDDEN,  # Changing the schema, the temporary one too.
        (
            "DROP TABLE item",
            "DROP VIEW dear",
            "DROP INDEX item_name",
            "ALTER TABLE item ADD COLUMN extra TEXT",
            "ALTER TABLE item RENAME TO things",
            "ALTER TABLE item DROP COLUMN amount",
            "CREATE TABLE other (a)",
            "CREATE TABLE other AS SELECT * FROM item",
            "CREATE TEMP TABLE other (a)",
            "CREATE TEMP TABLE item AS SELECT 1 AS id, 'fake' AS name, 0 AS amount",
            "CREATE VIEW other AS SELECT 1",
            "CREATE TEMP VIEW item AS SELECT 1 AS id, 'fake' AS name, 0 AS amount",
            "CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END",
            "CREATE TEMP TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END",
            "CREATE INDEX other ON item (amount)",
            "CREATE UNIQUE INDEX IF NOT EXISTS other ON item (amount)",
            "CREATE VIRTUAL TABLE search USING fts5(body)",
            "CREATE VIRTUAL TABLE temp.pages USING dbstat",
            "REINDEX",
            "ANALYZE",
            "VACUUM",
        ),
    ),
    (
        REFUSED,  # Writing the schema table itself.
        (
            "UPDATE sqlite_master SET sql = ''",
            "UPDATE sqlite_master SET rootpage = 1 WHERE name = 'item' AND "
            "(SELECT count(*) FROM pragma_table_info('item'))",
            "DELETE FROM sqlite_master",
            "INSERT INTO sqlite_master VALUES ('table', 't', 't', 2, 'CREATE TABLE t (a)')",
            "INSERT INTO sqlite_temp_master VALUES ('table', 't', 't', 2, 'CREATE TABLE t (a)')",
            "UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 1",
        ),
    ),
    (
        FORBIDDEN,  # Other files, and the session.
        (
            "VACUUM INTO '{folder}/copy.sqlite'",
            "ATTACH '{folder}/new.sqlite' AS other",
            "ATTACH 'file:{folder}/new.sqlite?mode=rwc' AS other",
            "ATTACH ':memory:' AS other",
            "ATTACH '' AS other",
            "DETACH main",
            "BEGIN",
            "BEGIN EXCLUSIVE",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT s",
            "RELEASE s",
            "PRAGMA journal_mode = WAL",
            "PRAGMA user_version = 7",
            "PRAGMA application_id(7)",
            "PRAGMA schema_version = 7",
            "PRAGMA encoding = 'UTF-16'",
            "PRAGMA page_size = 512",
            "PRAGMA writable_schema = ON",
            "PRAGMA query_only = OFF",
            "PRAGMA trusted_schema = ON",
            "PRAGMA temp_store = FILE",
            "PRAGMA temp_store_directory = '{folder}'",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA optimize",
            "PRAGMA incremental_vacuum",
            "PRAGMA hard_heap_limit = 0",
            "PRAGMA cache_size = -100000000",
            "PRAGMA mmap_size = 100000000000",
            "PRAGMA locking_mode = EXCLUSIVE",
            "PRAGMA case_sensitive_like = ON",
            "PRAGMA busy_timeout = 600000",
            "PRAGMA foreign_keys = ON",
            "PRAGMA database_list",
            "SELECT * FROM pragma_database_list",
            # The statements that the connection keeps prepared, other people's too.
            "SELECT sql FROM sqlite_stmt",
            "SELECT count(*) FROM sqlite_stmt",
            "SELECT 1 FROM item WHERE EXISTS (SELECT 1 FROM SQLite_Stmt WHERE sql LIKE '%amount%')",
            "SELECT load_extension('{folder}/evil')",
            "SELECT load_extension('{folder}/evil', 'sqlite3_extension_init') FROM item",
        ),
    ),
    (
        REFUSED,  # Functions that some builds of SQLite have.
        (
            "SELECT readfile('{folder}/secret.csv')",
            "SELECT writefile('{folder}/written', 'x')",
            "SELECT edit('x', 'touch {folder}/edited; true')",
            "SELECT fts3_tokenizer('simple', x'4141414141414141')",
            "SELECT fts3_tokenizer('simple')",
            "SELECT * FROM fsdir('{folder}')",
            "SELECT * FROM csv('{folder}/secret.csv')",
            "SELECT * FROM pragma_journal_mode('wal')",
            "SELECT * FROM pragma_query_only(0)",
        ),
    ),
    (
        FORBIDDEN,  # Several statements at once.
        (
            "SELECT 1; DROP TABLE item",
            "SELECT 1; SELECT 2",
            "DROP TABLE item; SELECT 1",
            "PRAGMA table_info(item); DROP TABLE item",
            "SELECT 1 -- harmless\n; DELETE FROM item",
            "SELECT 1 /* ; */ ; DELETE FROM item",
        ),
    ),
    (
        TIMEOUT,  # Without end.
        (
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r",
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i FROM r) SELECT * FROM r WHERE i > 1",
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) "
            "SELECT 1 FROM r LIMIT 1 OFFSET 1000000000000",
            "SELECT count(*) FROM item a, item b, item c, item d",
            "SELECT * FROM item a, item b, item c, item d WHERE a.name || b.name || c.name = d.name || '!'",
            "SELECT id FROM item LIMIT (SELECT count(*) FROM item a, item b, item c, item d)",
        ),
    ),
    (
        TIMEOUT,  # Without end inside one opcode, where the progress handler is not asked.
        (
            "SELECT hex(zeroblob(500000)) LIKE '%' || hex(zeroblob(20000)) || '1'",
            "SELECT hex(zeroblob(500000)) GLOB '*' || hex(zeroblob(20000)) || '1'",
            "SELECT count(*) FROM item WHERE hex(zeroblob(250000 + id)) LIKE '%' || hex(zeroblob(20000)) || '1%'",
            "SELECT instr(hex(zeroblob(500000)), hex(zeroblob(250000)) || '1')",
            "SELECT instr(zeroblob(1000000), CAST(zeroblob(500000) || x'01' AS BLOB))",
            "SELECT replace(hex(zeroblob(500000)), hex(zeroblob(250000)) || '1', '')",
            "SELECT trim(hex(zeroblob(500000)), replace(hex(zeroblob(40000)), '0', 'y') || '0')",
        ),
    ),
    (
        TOO_LARGE,  # Huge cells.
        (
            "SELECT zeroblob(2000000000)",
            "SELECT randomblob(1000000000)",
            "SELECT hex(zeroblob(600000))",
            "SELECT zeroblob(1048577)",
            "SELECT replace(hex(zeroblob(1000)), '0', hex(zeroblob(1000)))",
            "SELECT group_concat(a.name || b.name || hex(zeroblob(1000))) FROM item a, item b",
            "WITH RECURSIVE r(i, s) AS (SELECT 1, 'x' UNION ALL SELECT i + 1, s || s FROM r) "
            "SELECT max(length(s)) FROM r",
            "SELECT quote(zeroblob(1000000))",
            "SELECT json_quote(hex(zeroblob(400000)) || printf('%.*c', 300000, char(1)))",
        ),
    ),
    (
        STOPPED,  # Memory through many rows held at once.
        (
            "SELECT json_group_array(a.name || b.name || hex(zeroblob(1000))) FROM item a, item b",
            "SELECT sum(a.amount * b.amount) FROM item a, item b, item c GROUP BY a.id % 2",
            "SELECT a.id FROM item a, item b, item c ORDER BY a.name || b.name || c.name",
            "SELECT count(*) FROM (SELECT DISTINCT randomblob(100000) FROM item a, item b)",
            "SELECT count(*) FROM (SELECT DISTINCT randomblob(1000000) FROM item)",
            "SELECT randomblob(100000) AS r FROM item a, item b ORDER BY r",
            "SELECT count(*) FROM item a, item b GROUP BY hex(randomblob(50000))",
            "WITH RECURSIVE r(i, b) AS (SELECT 1, randomblob(500000) UNION SELECT i + 1, randomblob(500000) FROM r) "
            "SELECT count(*) FROM r",
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION SELECT i + 1 FROM r) SELECT count(*) FROM r",
            "WITH x AS MATERIALIZED (SELECT randomblob(500000) AS b FROM item) "
            "SELECT count(*) FROM x a, x b WHERE a.b > b.b",
            "SELECT sum(length(b)) OVER (ORDER BY b) FROM (SELECT randomblob(500000) AS b FROM item)",
        ),
    ),
    (
        ("ok",),  # Large results are cut.
        (
            "SELECT zeroblob(300000) FROM item",
            # SQLite gives NULL for a format that would exceed the limit.
            "SELECT printf('%.2000000c', 'x')",
            "SELECT printf('%2000000d', 1)",
            "SELECT a.* FROM item a, item b, item c, item d",
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT i FROM r",
        ),
    ),
    (
        ERROR,  # The parser.
        (
            "SELECT " + "(" * 5000 + "1" + ")" * 5000,
            "SELECT 1" + " + 1" * 50_000,
            "SELECT 1" + " UNION ALL SELECT 1" * 5000,
            "SELECT " + ", ".join(["1"] * 5000),
            "SELECT count(*) FROM " + ", ".join(f"item i{place}" for place in range(70)),
            "SELECT '" + "x" * 2_000_000 + "'",
            "SELECT json('" + "[" * 100_000 + "')",
            "SELECT 1\0; DROP TABLE item",
            "SELECT '\ud800'",
            "SELECT ?",
            "SELECT :name",
            "SELECT 'unclosed",
            "",
            " ; -- nothing\n",
        ),
    ),
)
