"""Who is timed on a statement: raw ``sqlite3``, fogline's environment, and skyrl-gym's."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from fogline.benchmarks.speed.statements import Ground, StatementClass
from fogline.benchmarks.speed.timing import MeasurementFailed
from fogline.core.errors import missing_dependency

TIMED_TURNS = 8
"""Statements of an episode that are timed, after one exploration and one proposal."""

_BUDGET = TIMED_TURNS + 4
_LONG_STEP_S = 60.0
_THOUGHT = "I look at what the tables hold before I say more."


class RawSqlite:
    """``execute`` and ``fetchall`` of the standard library on a connection that stays open."""

    name = "sqlite3"

    def __init__(self, ground: Ground, statements: tuple[str, ...]) -> None:
        self._statements = statements
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(ground.connect())

    def prepare(self, index: int) -> None:
        """Nothing to do."""

    def call(self, index: int) -> object:
        """Run the statement and take all rows."""
        return self._connection.execute(self._statements[index % len(self._statements)]).fetchall()

    def close(self) -> None:
        """Close the connection."""
        self._stack.close()


class FoglineStep:
    """One step of ``TrustSQL-v0`` through ``gym.make``, ``protocol="soft"``.

    Args:
        ground: The database.
        asked: The statements.
        form: ``"text"`` (a whole assistant turn is parsed) or ``"structured"``.

    Raises:
        MeasurementFailed: A statement is not answered with its rows.
    """

    def __init__(self, ground: Ground, asked: StatementClass, form: Literal["text", "structured"]) -> None:
        import gymnasium

        import fogline.envs  # noqa: F401  (registers the environment)

        self.name: str = form
        self._form = form
        self._database = next(iter(ground.dataset.databases))
        self._env: Any = gymnasium.make(
            "TrustSQL-v0",
            dataset=ground.dataset,
            actions=form,
            protocol="soft",
            max_turns=_BUDGET,
            seconds_per_query=_LONG_STEP_S,
        )
        phase = "explore" if asked.explores else "generate"
        self._actions = [self._action(phase, sql=statement) for statement in asked.statements]
        self._opening = [
            self._action("explore", sql='PRAGMA table_info("Track")'),
            self._action("propose", schema={"tables": ["Track"], "columns": {"Track": ["TrackId", "Name"]}}),
        ]
        self._left = 0
        self._check(phase)

    def prepare(self, index: int) -> None:
        """Begin a new episode when the last one is used up: explore, propose."""
        if self._left == 0:
            self._env.reset(seed=0)
            for action in self._opening:
                self._env.step(action)
            self._left = TIMED_TURNS
        self._left -= 1

    def call(self, index: int) -> Any:
        """Step."""
        return self._env.step(self._actions[index % len(self._actions)])

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _action(self, phase: Any, sql: str = "", schema: dict[str, Any] | None = None) -> Any:
        if self._form == "structured":
            return {"phase": phase, "sql": sql, "schema": schema or ""}
        from fogline.envs.trust_sql.parser import render_turn

        return render_turn(phase, _THOUGHT, sql=sql, database=self._database, schema=schema)

    def _check(self, phase: str) -> None:
        self.prepare(0)
        observation, _, _, _, info = self.call(0)
        if info["status"] not in ("ok", "empty") or info["phase"] != phase or info["violations"]:
            shown = observation[:200]
            raise MeasurementFailed(f"a {phase} step of TrustSQL-v0 ({self._form}) went wrong: {info}, {shown!r}.")


class SkyRLStep:
    """One step of skyrl-gym's ``text2sql`` environment, on a copy of the database in the layout that it expects.

    Raises:
        MissingDependencyError: skyrl-gym is not installed.
        MeasurementFailed: A statement is not answered with its rows.
    """

    name = "skyrl-gym"

    def __init__(self, ground: Ground, asked: StatementClass) -> None:
        try:
            from skyrl_gym.envs.sql.env import Text2SQLEnvConfig
        except ImportError as error:
            raise missing_dependency("skyrl-gym", "dev") from error
        self._folder = Path(tempfile.mkdtemp(prefix="fogline-bench-"))
        self._database = next(iter(ground.dataset.databases))
        home = self._folder / "spider" / "database" / self._database
        home.mkdir(parents=True)
        shutil.copyfile(ground.path, home / f"{self._database}.sqlite")
        self._config = Text2SQLEnvConfig(str(self._folder))
        self._actions = [f"<think>{_THOUGHT}</think>\n<sql>{statement}</sql>" for statement in asked.statements]
        self._left = 0
        self._env: Any = None
        self._check()

    def prepare(self, index: int) -> None:
        """Begin a new episode when the last one is used up."""
        if self._left == 0:
            import skyrl_gym

            task = {"db_id": self._database, "reward_spec": {"ground_truth": "SELECT 1"}, "data": "spider"}
            self._env = skyrl_gym.make("text2sql", env_config=self._config, extras={**task, "max_turns": _BUDGET})
            self._env.init([{"role": "user", "content": "How many tracks are there?"}])
            self._left = TIMED_TURNS
        self._left -= 1

    def call(self, index: int) -> Any:
        """Step."""
        return self._env.step(self._actions[index % len(self._actions)])

    def close(self) -> None:
        """Remove the copy of the database."""
        shutil.rmtree(self._folder)

    def _check(self) -> None:
        self.prepare(0)
        shown = self.call(0)["observations"]
        if not shown or "Error executing SQL" in shown[0]["content"] or "Timeout" in shown[0]["content"]:
            self.close()
            raise MeasurementFailed(f"a step of skyrl-gym's text2sql went wrong: {shown}.")
