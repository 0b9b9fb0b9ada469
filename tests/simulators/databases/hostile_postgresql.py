"""What PostgreSQL must refuse or stop: groups of the statuses that are right, and statements."""

from __future__ import annotations

FORBIDDEN = ("forbidden",)
REFUSED = ("forbidden", "error")
ERROR = ("error",)
TIMEOUT = ("timeout",)
TOO_LARGE = ("too_large",)
STOPPED = ("timeout", "too_large", "error")
"""Which limit is met first depends on the machine."""

Group = tuple[tuple[str, ...], tuple[str, ...]]

POSTGRESQL: tuple[Group, ...] = (
    (
        FORBIDDEN,  # Writing rows and the schema.
        (
            "INSERT INTO item VALUES (9999, 'x', 1.0)",
            "INSERT INTO item VALUES (9999, 'x', 1.0) RETURNING *",
            "UPDATE item SET amount = 0",
            "DELETE FROM item",
            "TRUNCATE item",
            "MERGE INTO item USING (SELECT 1 AS id) s ON item.id = s.id WHEN MATCHED THEN DELETE",
            "WITH gone AS (DELETE FROM item RETURNING *) SELECT * FROM gone",
            "WITH new AS (INSERT INTO item VALUES (9999, 'x', 1.0) RETURNING *) SELECT * FROM new",
            "EXPLAIN ANALYZE DELETE FROM item",
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT pg_sleep(5)",
            "EXPLAIN (FORMAT JSON, ANALYZE true) INSERT INTO item VALUES (9999, 'x', 1.0)",
            "SELECT * INTO stolen FROM item",
            "SELECT * INTO TEMP stolen FROM item",
            "CREATE TABLE other (a integer)",
            "CREATE TABLE other AS SELECT * FROM item",
            "CREATE TEMP TABLE item AS SELECT 1 AS id, 'fake' AS name, 0 AS amount",
            "CREATE TEMP VIEW item AS SELECT 1 AS id, 'fake' AS name, 0 AS amount",
            "CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
            "CREATE EXTENSION dblink",
            "CREATE ROLE other SUPERUSER LOGIN",
            "DROP TABLE item",
            "DROP VIEW dear",
            "ALTER TABLE item ADD COLUMN extra text",
            "ALTER ROLE CURRENT_USER SET work_mem = '1GB'",
            "ALTER SYSTEM SET work_mem = '1GB'",
            "GRANT ALL ON item TO PUBLIC",
            "COMMENT ON TABLE item IS 'x'",
            "VACUUM",
            "ANALYZE item",
            "REINDEX TABLE item",
            "CLUSTER item",
        ),
    ),
    (
        FORBIDDEN,  # Files, programs and other servers.
        (
            "COPY item TO '{folder}/stolen.csv'",
            "COPY item FROM '{folder}/secret.csv'",
            "COPY (SELECT 1) TO PROGRAM 'touch {folder}/program'",
            "COPY item TO STDOUT",
            "COPY item FROM STDIN",
            "SELECT pg_read_file('{folder}/secret.csv')",
            "SELECT pg_read_binary_file('{folder}/secret.csv')",
            "SELECT pg_ls_dir('{folder}')",
            "SELECT * FROM pg_ls_logdir()",
            "SELECT pg_stat_file('{folder}/secret.csv')",
            "SELECT lo_import('{folder}/secret.csv')",
            "SELECT lo_export(1, '{folder}/stolen')",
            "SELECT lo_create(4711)",
            "SELECT lo_from_bytea(4711, 'x')",
            "SELECT lo_put(4711, 0, 'x')",
            "SELECT lo_unlink(4711)",
            "SELECT LO_CREAT(-1)",
            'SELECT "lo_creat"(-1)',
            "SELECT U&\"lo\\005fcreat\"(-1)",
            "SELECT * FROM dblink('dbname=postgres', 'DROP TABLE item') AS t(x text)",
            "SELECT dblink_exec('dbname=postgres', 'DROP TABLE item')",
            "SELECT query_to_xml('SELECT lo_creat(-1)', true, true, '')",
            "SELECT query_to_xml('SELECT lo_' || 'creat(-1)', true, true, '')",
            "LOAD '{folder}/evil'",
            "IMPORT FOREIGN SCHEMA public FROM SERVER other INTO public",
        ),
    ),
    (
        FORBIDDEN,  # Other sessions and this one.
        (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity",
            "SELECT pg_reload_conf()",
            "SELECT pg_rotate_logfile()",
            "SELECT pg_notify('channel', 'x')",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_lock_shared(1)",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_advisory_unlock_all()",
            "SELECT set_config('work_mem', '1GB', false)",
            "SELECT set_config('transaction_read_only', 'off', false)",
            "SELECT set_config('search_path', 'pg_temp', false)",
            "SELECT pg_switch_wal()",
            "SELECT pg_create_restore_point('x')",
            "SELECT pg_logical_emit_message(false, 'a', 'b')",
            "SELECT pg_export_snapshot()",
            "SELECT pg_stat_reset()",
            "SELECT pg_promote()",
            "SET work_mem = '1GB'",
            "SET TRANSACTION READ WRITE",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SET ROLE admin",
            "SET SESSION AUTHORIZATION admin",
            "RESET ALL",
            "DISCARD ALL",
            "BEGIN",
            "COMMIT",
            "COMMIT AND CHAIN",
            "ROLLBACK",
            "SAVEPOINT s",
            "LOCK TABLE item",
            "LOCK TABLE item IN ACCESS EXCLUSIVE MODE",
            "SELECT * FROM item FOR UPDATE",
            "LISTEN channel",
            "NOTIFY channel, 'x'",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "CLOSE fogline",
            "MOVE 1 FROM fogline",
            "CALL nothing()",
            "DO $$ BEGIN PERFORM pg_sleep(5); END $$",
            "DO LANGUAGE plpgsql 'BEGIN EXECUTE ''DROP TABLE item''; END'",
            "CHECKPOINT",
        ),
    ),
    (
        REFUSED,  # What the role has no right to, or the server does not have.
        (
            "SELECT rolpassword FROM pg_authid",
            "SELECT * FROM pg_largeobject",
            "SELECT * FROM pg_hba_file_rules",
            "SELECT * FROM pg_file_settings",
            "SELECT nextval('nothing')",
            "SELECT setval('item_seq', 99)",
            "SELECT nextval('item_seq')",
            "SELECT binary_upgrade_set_next_pg_type_oid(1)",
            "SELECT pg_current_logfile()",
            "SELECT pg_import_system_collations('pg_catalog')",
        ),
    ),
    (
        FORBIDDEN,  # Several statements at once.
        (
            "SELECT 1; DROP TABLE item",
            "SELECT 1; SELECT 2",
            "SELECT 1; COMMIT; DROP TABLE item",
            "SELECT 1 -- harmless\n; DELETE FROM item",
            "EXPLAIN SELECT 1; DELETE FROM item",
            "VALUES (1); DELETE FROM item",
        ),
    ),
    (
        TIMEOUT,  # Without end.
        (
            "SELECT pg_sleep(60)",
            "SELECT pg_sleep_for('1 minute')",
            "SELECT pg_sleep_until('2100-01-01')",
            "SELECT pg_sleep(0.1) FROM item",
            "SELECT count(*) FROM item a, item b, item c, item d",
            "SELECT count(*) FROM generate_series(1, 1000000000000) AS a",
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r",
            "SELECT count(*) FROM item WHERE repeat(name, 20000) ~ '(.*)(.*)(.*)(.*)\\1\\2\\3z'",
            "SELECT (2::numeric ^ 100000) ^ 1.5, factorial(30000)",
        ),
    ),
    (
        STOPPED,  # Memory, and temporary files.
        (
            "SELECT repeat('x', 1000000000)",
            "SELECT length(repeat('x', 1000000000) || repeat('x', 1000000000))",
            "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 10000000)",
            "SELECT array_agg(i) FROM generate_series(1, 1000000000) AS i",
            "SELECT array_fill(1, ARRAY[10000, 10000, 5])",
            "SELECT md5(repeat(repeat('x', 30000), 30000))",
            "SELECT a.* FROM item a, item b, item c ORDER BY a.name || b.name || c.name",
            "SELECT count(DISTINCT md5(i::text)) FROM generate_series(1, 100000000) AS i",
            "WITH RECURSIVE r(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM r) SELECT max(length(s)) FROM r",
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION SELECT i + 1 FROM r) SELECT count(*) FROM r",
            "SELECT json_agg(a.*) FROM item a, item b, item c",
            "SELECT replace(repeat('x', 100000), 'x', repeat('y', 100000))",
        ),
    ),
    (
        TOO_LARGE,
        ("SELECT repeat('x', 2000000)", "SELECT repeat('x', 2000000)::bytea", "SELECT array_agg(i) FROM generate_series(1, 500000) AS i"),
    ),
    (
        ("ok",),  # Large results are cut.
        ("SELECT repeat('x', 1000000) FROM item", "SELECT a.* FROM item a, item b, item c"),
    ),
    (
        ERROR,  # The parser, and the protocol.
        (
            "SELECT " + "(" * 50_000 + "1" + ")" * 50_000,
            "SELECT 1" + " + 1" * 100_000,
            "SELECT '" + "x" * 2_000_000 + "'",
            "SELECT " + ", ".join(["1"] * 5000),
            "SELECT 1\0; DROP TABLE item",
            "SELECT '\ud800'",
            "SELECT $1",
            "SELECT 'unclosed",
            "SELECT 1/0",
            "",
            " ; -- nothing\n",
        ),
    ),
)
