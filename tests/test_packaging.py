from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = SETUP["tool"]["setuptools"]["packages"]
PORTIONS = ("core", "simulators", "envs", "agents", "trainers", "benchmarks", "cli")
HEAVY = {"torch", "transformers", "lightgbm", "ray", "pandas", "openai", "sqlalchemy", "duckdb", "sqlglot", "plotly"}


def sources() -> list[Path]:
    return sorted(path for portion in PORTIONS for path in (ROOT / portion).rglob("*.py"))


def test_every_folder_with_code_is_a_listed_package() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in sources()}
    assert sorted(f"fogline.{folder}" for folder in folders) == sorted(PACKAGES)


def test_every_portion_is_marked_as_typed() -> None:
    assert [portion for portion in PORTIONS if not (ROOT / portion / "py.typed").exists()] == []


def imported_names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def test_no_module_imports_a_sibling_by_its_bare_name() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*sources(), *(ROOT / "tests").rglob("*.py")]
        for name in imported_names(ast.parse(path.read_text(encoding="utf-8")))
        if name.partition(".")[0] in PORTIONS
    ]
    assert wrong == []


def test_importing_the_environments_loads_nothing_heavy() -> None:
    code = "import sys, fogline.envs; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "gymnasium" in loaded
    assert HEAVY & set(loaded) == set()


def test_every_dependency_of_an_extra_is_pinned_in_the_constraints() -> None:
    def bare(requirement: str) -> str:
        name = requirement
        for mark in "[<>=!~; ":
            name = name.partition(mark)[0]
        return name.lower().replace("_", "-")

    pinned = {
        bare(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }
    project = SETUP["project"]
    wanted = [
        *project["dependencies"],
        *(item for items in project["optional-dependencies"].values() for item in items),
    ]
    assert sorted({bare(item) for item in wanted} - pinned - {"fogline"}) == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    # A copy, so that a build leaves nothing in the work tree and takes nothing stale from it.
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, tracked.split("\0")):
        origin = ROOT / name
        if origin.is_file() and not name.startswith("tests/"):
            place = source / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(origin.read_bytes())
    target = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(target),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = target.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_code_data_and_licences_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    code = {f"fogline/{path.relative_to(ROOT).as_posix()}" for path in sources()}
    assert code <= names
    for database, licence in (("chinook", "LICENSE.md"), ("northwind", "LICENSE")):
        folder = f"fogline/simulators/databases/data/{database}"
        assert {f"{folder}/{database}.sqlite", f"{folder}/questions.jsonl", f"{folder}/{licence}"} <= names
    problems = "fogline/envs/math_reasoning/data/gsm8k"
    assert {f"{problems}/train_first_1000.jsonl", f"{problems}/LICENSE"} <= names
    assert not [name for name in names if "tests/" in name or name.startswith(("core/", "envs/"))]
