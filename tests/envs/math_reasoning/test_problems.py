from __future__ import annotations

import ast
import re
from fractions import Fraction
from statistics import mean

import pytest

from fogline.core.errors import ConfigurationError
from fogline.core.generation import bucket
from fogline.envs.math_reasoning.arithmetic import GRADES
from fogline.envs.math_reasoning.problems import LEVELS, make_task, task_name
from fogline.envs.math_reasoning.records import MathTask
from fogline.envs.math_reasoning.sources import load_problems
from fogline.envs.math_reasoning.stories import FAMILIES
from fogline.envs.math_reasoning.story_words import NAMES, OPENINGS, QUESTIONS, SENTENCES

KINDS = ("arithmetic", "words", "countdown")


def value_of(node: ast.AST) -> Fraction:
    """The value of an expression that Python's parser read."""
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp):
        return -value_of(node.operand)
    assert isinstance(node, ast.BinOp)
    left, right = value_of(node.left), value_of(node.right)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
    return left / right


def tree(task: MathTask) -> ast.AST:
    return ast.parse(task.short.removesuffix("="), mode="eval").body


def operations(task: MathTask) -> list[ast.BinOp]:
    return [node for node in ast.walk(tree(task)) if isinstance(node, ast.BinOp)]


@pytest.mark.parametrize("level", LEVELS)
def test_arithmetic_is_what_another_parser_makes_of_its_text(level: int) -> None:
    grade = GRADES[level - 1]
    for task in load_problems("arithmetic", difficulty=level, tasks_per_level=60):
        assert Fraction(task.answer) == value_of(tree(task))
        assert len(operations(task)) == task.steps == grade.operations
        operands = [int(number) for number in re.findall(r"[0-9]+", task.short)]
        assert max(operands) <= grade.largest
        assert set(re.sub(r"[0-9()=]", "", task.short)) <= set(grade.signs + "-")
        for telling in (task.question, *task.paraphrases):
            assert task.short == re.sub(r"[A-Za-z?. ]", "", telling) + "="


def test_what_a_level_promises_occurs_in_it() -> None:
    def share(level: int, holds: object) -> float:
        return mean(bool(holds(task)) for task in load_problems("arithmetic", difficulty=level, tasks_per_level=50))  # type: ignore[operator]

    assert share(1, lambda task: re.fullmatch(r"[0-9]\+[0-9]=", task.short)) == 1
    assert share(3, lambda task: "(" in task.short) == 0
    assert share(4, lambda task: "*" in task.short and re.search(r"[+-]", task.short)) > 0.2
    assert share(5, lambda task: "(" in task.short) > 0.3
    assert share(6, lambda task: "(-" in task.short) > 0.3
    assert all(share(level, lambda task: "/" in task.answer) == 0 for level in range(1, 8))
    assert all(share(level, lambda task: "/" in task.short) == 1 for level in (8, 9, 10))
    assert share(8, lambda task: "/" in task.answer) > 0.5


def test_each_level_is_harder_work_than_the_one_before() -> None:
    def work(task: MathTask) -> int:
        """Digits of each operation's larger operand; products and quotients count twice."""
        total = 0
        for node in operations(task):
            digits = max(len(str(abs(value_of(side).numerator))) for side in (node.left, node.right))
            total += digits * (2 if isinstance(node.op, (ast.Mult, ast.Div)) else 1)
        return total

    loads = [mean(map(work, load_problems("arithmetic", difficulty=level, tasks_per_level=80))) for level in LEVELS]
    assert loads == sorted(loads)
    assert loads[-1] > 10 * loads[0]


EFFECTS = {
    "also": "+", "gets": "+", "poured": "+", "older": "+", "stirred": "+",
    "voucher": "-", "gives": "-", "leaks": "-", "younger": "-", "skimmed": "-",
    "repeat": "*", "times": "*", "longer": "*", "batches": "*",
    "split": "/", "boxes": "/", "barrels": "/", "fraction": "/", "jars": "/",
    "sale": "part", "loses": "part", "used": "part", "spilt": "part",
}  # fmt: skip


def pattern(sentence: str) -> re.Pattern[str]:
    """Matches a sentence with any names, numbers and things in it; a second mention must be the first one's."""
    quoted = re.escape(sentence)
    for name, found in (("who", "[A-Z][a-z]+"), ("next", "[A-Z][a-z]+"), ("a", "[0-9]+"), ("b", "[0-9]+")):
        slot = f"\\{{{name}\\}}"
        quoted = quoted.replace(slot, f"(?P<{name}>{found})", 1).replace(slot, f"(?P={name})")
    return re.compile(quoted.replace("\\{thing\\}", "[a-z ]+"))


def retold(task: MathTask, telling: str) -> tuple[Fraction, int]:
    """Solve a story by reading its sentences: the answer, and how many events there were."""
    (opening,) = [match for text in OPENINGS[task.kind] if (match := pattern(text).match(telling))]
    value, place, events, person = Fraction(opening["a"]), opening.end(), 0, opening.groupdict().get("who")
    while found := read_sentence(task.kind, telling, place + 1, person):
        match, effect = found
        number = Fraction(match["a"])
        if effect == "part":
            value -= value * number / int(match["b"])
        else:
            value = {"+": value + number, "-": value - number, "*": value * number, "/": value / number}[effect]
        place, events, person = match.end(), events + 1, match.groupdict().get("next") or person
    assert any(pattern(text).fullmatch(telling, place + 1) for text in QUESTIONS[task.kind]), telling[place:]
    return value, events


def read_sentence(kind: str, telling: str, place: int, person: str | None) -> tuple[re.Match[str], str] | None:
    """The event told at a place; of two that read alike the one that begins with whom we know already."""
    for event, sentences in SENTENCES[kind].items():
        for sentence in sentences:
            match = pattern(sentence).match(telling, place)
            if match and match.groupdict().get("who", person) == person:
                return match, EFFECTS[event]
    return None


@pytest.mark.parametrize("level", LEVELS)
def test_every_telling_of_a_story_has_its_answer_and_one_event_a_level(level: int) -> None:
    for task in load_problems("words", difficulty=level, tasks_per_level=25):
        for telling in (task.question, *task.paraphrases):
            assert retold(task, telling) == (Fraction(task.answer), level)
            assert "{" not in telling
        assert task.steps == level
        assert Fraction(task.answer) > 0
        if FAMILIES[task.kind].whole:
            assert Fraction(task.answer).denominator == 1


def test_all_families_and_all_their_events_are_told() -> None:
    stories = list(load_problems("words", tasks_per_level=50))
    told = " ".join(text for task in stories for text in (task.question, *task.paraphrases))
    for family in FAMILIES:
        for sentences in SENTENCES[family].values():
            for sentence in sentences:
                assert pattern(sentence).search(told), sentence
    assert all(name in told for name in NAMES)
    assert {task.kind for task in stories} == set(FAMILIES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_made_from_its_id_alone(kind: str) -> None:
    few, many = load_problems(kind, difficulty=4, tasks_per_level=5), load_problems(kind, tasks_per_level=40)
    for task in few:
        assert task == make_task(task.task_id) == many.tasks[task.task_id]
    assert task_name(kind, 4, 7) in many.tasks


@pytest.mark.parametrize("kind", KINDS)
def test_no_problem_is_in_two_splits(kind: str) -> None:
    says = {
        split: {task.short or task.question for task in load_problems(kind, split=split, tasks_per_level=25)}
        for split in ("train", "validation", "test")
    }
    assert not says["train"] & says["validation"]
    assert not says["train"] & says["test"]
    assert not says["validation"] & says["test"]
    ids = [set(load_problems(kind, split=split, tasks_per_level=25).tasks) for split in says]
    assert len(set.union(*ids)) == sum(map(len, ids))


def test_every_problem_of_the_lowest_level_is_in_one_split() -> None:
    texts = [f"{a} + {b}" for a in range(10) for b in range(10)]
    assert {bucket(text) for text in texts} == set(range(10)), "no split of level 1 is empty"
    for task in load_problems("arithmetic", difficulty=1, split="test"):
        assert bucket(task.question.removeprefix("What is ").removesuffix("?")) == 9


@pytest.mark.parametrize(
    ("task_id", "why"),
    [
        ("arithmetic-3-7", "GENERATOR-LEVEL-INDEX"),
        ("algebra-03-0007", "unknown"),
        ("arithmetic-11-0000", "level 11"),
        ("arithmetic-00-0000", "level 0"),
    ],
)
def test_an_id_of_no_problem_is_refused(task_id: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        make_task(task_id)


@pytest.mark.parametrize("difficulty", [0, 11, True, 1.0, "3", [1], [3, 1], [1, 2, 3], [0, 4], {1: 2}])
def test_a_difficulty_that_does_not_exist_is_refused(difficulty: object) -> None:
    with pytest.raises(ConfigurationError, match="difficulty="):
        load_problems("arithmetic", difficulty=difficulty)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, -1, True, 1.5, 10**9])
def test_a_count_out_of_range_is_refused(count: object) -> None:
    with pytest.raises(ConfigurationError, match="tasks_per_level="):
        load_problems("arithmetic", tasks_per_level=count)  # type: ignore[arg-type]


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'arithmetic'"):
        load_problems("arithmetics")
    with pytest.raises(ConfigurationError, match="Did you mean 'test'"):
        load_problems("words", split="tests")
