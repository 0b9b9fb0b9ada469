from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.math_reasoning.equivalence import equivalent
from fogline.envs.math_reasoning.expressions import calculate
from fogline.envs.math_reasoning.files import BUNDLED, load_file
from fogline.envs.math_reasoning.sources import load_problems

GSM8K = {"question": "Two and two?", "answer": "It is <<2+2=4>>4.\nThen <<4*300=1200>>1,200.\n#### 1,200"}
MATH = {
    "problem": "What is $\\frac{1}{2}+1$?",
    "solution": "It is $\\boxed{1}$, no, $\\boxed{\\frac{3}{2}}$.",
    "level": "Level 3",
    "type": "Prealgebra",
}


def lines(path: Path, *records: Any) -> Path:
    path.write_text("\n".join(record if isinstance(record, str) else json.dumps(record) for record in records))
    return path


def test_the_bundled_problems_all_have_a_gold_that_can_be_read() -> None:
    dataset = load_problems("gsm8k")
    assert len(dataset) == 1000
    raw = [json.loads(line) for line in BUNDLED.read_text(encoding="utf-8").splitlines()]
    for task, record in zip(dataset, raw, strict=True):
        expected = record["answer"].rpartition("#### ")[2]
        assert calculate(task.answer) == int(expected.replace(",", ""))
        assert equivalent(expected.replace(",", ""), task.answer)
        assert "<<" not in task.question
        assert task.steps == record["answer"].count("<<")
    assert (BUNDLED.parent / "LICENSE").read_text().startswith("MIT License")


def test_levels_and_splits_choose_among_loaded_problems() -> None:
    whole = load_problems("gsm8k")
    parts = [load_problems("gsm8k", split=split) for split in ("train", "validation", "test")]  # type: ignore[misc]
    assert sum(map(len, parts)) == len(set.union(*(set(part.tasks) for part in parts))) == len(whole)
    assert 0.7 < len(parts[0]) / len(whole) < 0.9
    assert {task.level for task in load_problems("gsm8k", difficulty=[2, 3])} == {2, 3}
    with pytest.raises(ConfigurationError, match=r"difficulty=10.*leave none of the 1000.*levels are \[1, 2"):
        load_problems("gsm8k", difficulty=10)


def test_gsm8k_lines_are_read(tmp_path: Path) -> None:
    (task,) = load_file(lines(tmp_path / "some.jsonl", GSM8K, ""))
    assert (task.task_id, task.answer, task.level, task.steps, task.kind) == ("some-0000", "1,200", 2, 2, "gsm8k")


def test_math_records_are_read_from_lines_and_from_a_folder(tmp_path: Path) -> None:
    (task,) = load_file(lines(tmp_path / "m.jsonl", MATH))
    assert (task.answer, task.level, task.kind, task.question) == (
        "\\frac{3}{2}",
        3,
        "Prealgebra",
        MATH["problem"],
    )
    folder = tmp_path / "MATH"
    for name in ("algebra/2", "algebra/10", "geometry/1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(MATH | {"level": "Level ?"}))
    dataset = load_file(folder)
    assert sorted(dataset.tasks) == ["algebra/10", "algebra/2", "geometry/1"]
    assert {task.level for task in dataset} == {0}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("{", "Expecting"),
        ("[" * 100_000, ""),
        ("3", "an object is expected, found int"),
        ({"question": "q"}, "'answer' is missing"),
        ({"question": "q", "answer": "4"}, "no line '####"),
        ({"question": 3, "answer": "#### 4"}, "'question' is missing"),
        ({"problem": "p", "solution": "4"}, "no \\boxed"),
        ({"problem": "p", "solution": "\\boxed{"}, "no \\boxed"),
        ({**MATH, "type": 4}, "type=4"),
    ],
)
def test_bad_records_are_named_by_their_line(tmp_path: Path, record: Any, why: str) -> None:
    with pytest.raises(DataError) as caught:
        load_file(lines(tmp_path / "bad.jsonl", GSM8K, record))
    assert "bad.jsonl, line 2" in str(caught.value)
    assert "1 records" in str(caught.value)
    assert why in str(caught.value)


def test_many_bad_records_are_counted_and_the_first_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)9 records .*line 5.*and 4 more") as caught:
        load_file(lines(tmp_path / "bad.jsonl", *["{}"] * 9))
    assert "line 6" not in str(caught.value)


def test_files_without_problems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no problems"):
        load_file(lines(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match="holds no problems"):
        load_file(_folder(tmp_path / "none"))
    with pytest.raises(DataError, match="UTF-8"):
        (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe")
        load_file(tmp_path / "latin.jsonl")
    with pytest.raises(ConfigurationError, match="or the path of a GSM8K or MATH"):
        load_problems(str(tmp_path / "nowhere.jsonl"))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_two_records_of_one_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(MATH))
    folder = _folder(tmp_path / "deep")
    (folder / "a.json").write_text(json.dumps(MATH))
    assert set(load_file(tmp_path).tasks) == {"a", "deep/a"}
    lines(tmp_path / "a-0000.json", json.dumps(MATH))
    lines(tmp_path / "a.jsonl", MATH)
    with pytest.raises(DataError, match="'a-0000' is there already"):
        load_file(tmp_path)
