"""What players with the gold know of a data set: gold schemas and true catalogues, each worked out once."""

from __future__ import annotations

from contextlib import closing

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.records import Catalogue, SchemaSubset, TextToSQLDataset, TextToSQLTask


class Golds:
    """The hidden side of a data set.

    Args:
        dataset: The data set that the environment plays.
        player: Who asks, for error texts.
    """

    def __init__(self, dataset: TextToSQLDataset, player: str) -> None:
        self.dataset = dataset
        self._player = player
        self._schemas: dict[str, SchemaSubset] = {}
        self._catalogues: dict[str, Catalogue] = {}

    def task(self, task_id: str) -> TextToSQLTask:
        """A task with its gold statement.

        Raises:
            ConfigurationError: The data set has no such task.
        """
        task = self.dataset.tasks.get(task_id)
        if task is None:
            raise ConfigurationError(
                f"the {self._player} has no task {task_id!r}: hand it the data set that the environment plays."
            )
        return task

    def schema(self, task_id: str) -> SchemaSubset:
        """The record's own gold schema, else the derived one."""
        from fogline.simulators.databases.executor import Database
        from fogline.simulators.databases.gold_schema import gold_schema

        known = self._schemas.get(task_id)
        if known is None:
            task = self.task(task_id)
            known = task.gold_schema
            if known is None:
                with closing(Database(self.dataset.databases[task.database])) as database:
                    known = gold_schema(task.gold_sql, database.catalogue(), database.dialect)
            self._schemas[task_id] = known
        return known

    def columns(self, task_id: str) -> dict[str, list[str]]:
        """The gold schema as a proposal writes it: columns by table, sorted."""
        schema = self.schema(task_id)
        columns: dict[str, list[str]] = {table: [] for table in sorted(schema.tables)}
        for name in sorted(schema.columns):
            table, _, column = name.partition(".")
            columns.setdefault(table, []).append(column)
        return columns

    def catalogue(self, database: str) -> Catalogue:
        """The true schema of a database."""
        from fogline.simulators.databases.executor import Database

        known = self._catalogues.get(database)
        if known is None:
            with closing(Database(self.dataset.databases[database])) as opened:
                known = self._catalogues[database] = opened.catalogue()
        return known
