"""Releases of four data sets, in the shape of their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.tables.files import BUNDLED, load_folder
from fogline.simulators.tables.questions import ENTAILED, REFUTED
from fogline.simulators.tables.rendering import render


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


HEADER = "id\tutterance\tcontext\ttargetValue\n"


def wikitablequestions(folder: Path, table: str = '"Name","Says"\n"Ann","\\"hi\\""\n', row: str = "") -> Path:
    put(folder, "csv/1.csv", table)
    return put(folder, "questions.tsv", HEADER + (row or "nt-0\twho says a\\pb?\tcsv/1.csv\tAnn|Bob \\p Co|c\\\\d\n"))


def test_wikitablequestions_with_its_escapes(tmp_path: Path) -> None:
    (task,) = load_folder(wikitablequestions(tmp_path))
    assert task.question == "who says a|b?"
    assert task.answers == ("Ann", "Bob | Co", "c\\d")
    assert task.table.rows == (("Ann", '"hi"'),)


def test_every_bundled_table_renders_and_round_trips() -> None:
    dataset = load_folder(BUNDLED)
    for table in {id(task.table): task.table for task in dataset}.values():
        picture = render(table)
        assert all(picture.cell_of(picture.box(cell)) == cell for cell in table.cells())
    assert (BUNDLED / "LICENSE").read_text(encoding="utf-8").startswith("Attribution-ShareAlike 4.0")


def test_tabfact(tmp_path: Path) -> None:
    put(tmp_path, "all_csv/1-1.html.csv", "team#points\notters#12\nravens#7\n")
    entry = {"1-1.html.csv": [["otters have 12", "ravens have 12"], [1, 0], "a caption"]}
    put(tmp_path, "collected_data/r1_training_all.json", json.dumps(entry))
    first, second = load_folder(tmp_path)
    assert (first.answers, second.answers) == ((ENTAILED,), (REFUTED,))
    assert "otters have 12" in first.question and first.table.header == ("team", "points")
    entry["1-1.html.csv"][1] = [1, 2]
    put(tmp_path, "collected_data/r1_training_all.json", json.dumps(entry))
    with pytest.raises(DataError, match="label 2"):
        load_folder(tmp_path)


def test_tabmwp(tmp_path: Path) -> None:
    problems = {
        "1": {"question": "How many?", "answer": "1,200", "table": "Day | Visits\nMon | 5\nTue | 7", "grade": 4},
        "2": {"question": "Which?", "answer": "pins", "choices": ["beads", "pins"], "table": "beads | $1.5\npins | $2"},
    }  # fmt: skip
    put(tmp_path, "problems_dev.json", json.dumps(problems))
    first, second = load_folder(tmp_path)
    assert first.table.header == ("Day", "Visits") and first.table.height == 2 and first.level == 4
    assert second.table.header == ("", "") and second.table.height == 2
    assert second.question.endswith("Choose one of: beads, pins.")


def test_hitab_joins_names_over_names(tmp_path: Path) -> None:
    texts = [["", "men", "men"], ["year", "north", "south"], ["2001", "5", "6"]]
    put(tmp_path, "tables/raw/7.json", json.dumps({"texts": texts, "top_header_rows_num": 2}))
    sample = {"id": "a", "table_id": "7", "question": "how many?", "answer": [5.0, "north"]}
    put(tmp_path, "train_samples.jsonl", json.dumps(sample) + "\n")
    (task,) = load_folder(tmp_path)
    assert task.table.header == ("year", "men / north", "men / south")
    assert task.answers == ("5.0", "north")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"questions.tsv": "id\tquestion\n"}, "columns"),
        ({"questions.tsv": HEADER + "nt-0\twho?\n"}, "line 2"),
        ({"questions.tsv": HEADER + "nt-0\twho?\tcsv/none.csv\tAnn\n"}, "none.csv"),
        (
            {"questions.tsv": HEADER + "nt-0\twho?\tcsv/1.csv\tAnn\n", "csv/1.csv": '"a","b"\n"1"\n'},
            "row 1 has 1 cells",
        ),
        ({"questions.tsv": HEADER + "nt-0\twho?\tcsv/1.csv\tAnn\n", "csv/1.csv": '"a","b"\n'}, "1 rows"),
        ({"collected_data/a.json": "[]"}, "an object by id"),
        ({"collected_data/a.json": "{"}, "no JSON"),
        ({"collected_data/a.json": '{"t": ["x"]}'}, "a list of statements"),
        ({"collected_data/a.json": '{"t": [["x"], [1, 0], ""]}'}, "as many labels"),
        ({"collected_data/a.json": '{"t": [["x"], [1], ""]}'}, "could not be read"),
        ({"problems_train.json": '{"1": {"question": "x"}}'}, "no 'answer'"),
        ({"problems_train.json": '{"1": {"question": "x", "answer": "1", "table": ""}}'}, "0 rows"),
        ({"dev_samples.jsonl": '{"id": 1}\n'}, "line 1"),
        ({"dev_samples.jsonl": '{"id": 1, "table_id": "t", "question": "q", "answer": 1}\n'}, "t.json"),
    ],
)
def test_files_that_are_not_what_their_format_promises(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        put(tmp_path, name, text)
    with pytest.raises(DataError, match=message):
        load_folder(tmp_path)


def test_a_folder_without_any_of_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file that can be read"):
        load_folder(tmp_path)
