r"""Problems in files: GSM8K lines and MATH records.

GSM8K (Cobbe et al., 2021, arXiv 2110.14168): JSON lines of ``question`` and ``answer``; the answer is a worked solution
with calculator annotations ``<<48/2=24>>`` whose last line is ``#### 24``. MATH (Hendrycks et al., 2021, arXiv
2103.03874): ``problem``, ``solution`` with the answer in ``\boxed{}``, ``level`` ("Level 3") and ``type``; one JSON
file a problem in a folder, or JSON lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fogline.core.errors import DataError
from fogline.envs.math_reasoning.answers import boxed_answer, marked_answer
from fogline.envs.math_reasoning.problems import LEVELS
from fogline.envs.math_reasoning.records import MathDataset, MathTask

BUNDLED = Path(__file__).parent / "data" / "gsm8k" / "train_first_1000.jsonl"

_ANNOTATION = re.compile(r"<<[^<>]*>>")
_LEVEL = re.compile(r"Level ([0-9]+)")
_SHOWN = 5


def load_file(path: str | Path) -> MathDataset:
    """Load a JSONL file, or a folder with JSONL files, or with one JSON file a problem at any depth.

    Raises:
        DataError: Nothing is there, or some records are not of either format; the message lists the first of them.
    """
    place = Path(path)
    tasks: dict[str, MathTask] = {}
    problems: list[str] = []
    for where, name, text in _records(place):
        try:
            task = _task(name, json.loads(text))
        except (ValueError, RecursionError) as error:
            problems.append(f"{where}: {error}")
            continue
        if task.task_id in tasks:
            problems.append(f"{where}: the id {task.task_id!r} is there already")
        tasks[task.task_id] = task
    if problems:
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        listed = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
        raise DataError(
            f"{str(path)!r}: {len(problems)} records are neither GSM8K's (question, answer) nor MATH's (problem, "
            f"solution):{listed}{more}"
        )
    if not tasks:
        raise DataError(f"{str(path)!r} holds no problems: expected JSON lines, or a folder of JSON files.")
    return MathDataset(place.stem, tasks)


def _records(place: Path) -> Iterator[tuple[str, str, str]]:
    """Where each record stands, the name that its id is made of, and its text."""
    files = [place]
    if place.is_dir():
        files = sorted(path for path in place.rglob("*") if path.suffix in (".json", ".jsonl"))
    for path in files:
        name = path.stem if path == place else path.relative_to(place).with_suffix("").as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{str(path)!r} cannot be read as UTF-8 text: {error}") from error
        if path.suffix == ".json":
            yield name, name, text
            continue
        for number, line in enumerate(text.split("\n")):
            if line.strip():
                yield f"{path.name}, line {number + 1}", f"{name}-{number:04d}", line


def _task(name: str, record: Any) -> MathTask:
    """Read one record.

    Raises:
        ValueError: It is of neither format.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"an object is expected, found {type(record).__name__}")
    if "problem" in record:
        return _of_math(name, record)
    question, solution = _text(record, "question"), _text(record, "answer")
    answer = marked_answer(solution)
    if not answer:
        raise ValueError("the answer has no line '#### …'")
    steps = len(_ANNOTATION.findall(solution))
    return MathTask(name, question, answer, "gsm8k", min(max(steps, 1), LEVELS[-1]), steps, "")


def _of_math(name: str, record: Mapping[str, Any]) -> MathTask:
    answer = boxed_answer(_text(record, "solution"))
    if not answer:
        raise ValueError("the solution has no \\boxed{…}")
    level = _LEVEL.fullmatch(str(record.get("level", "")))
    kind = record.get("type", "math")
    if not isinstance(kind, str):
        raise ValueError(f"type={kind!r}: expected text")
    return MathTask(name, _text(record, "problem"), answer, kind, int(level[1]) if level else 0, 0, "")


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key!r} is missing: expected text")
    return value.strip()
