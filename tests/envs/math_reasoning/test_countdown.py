from __future__ import annotations

import ast
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.math_reasoning.countdown import GRADES, MOST, makes
from fogline.envs.math_reasoning.env import MathReasoningEnv
from fogline.envs.math_reasoning.problems import LEVELS
from fogline.envs.math_reasoning.sources import load_problems


def read_by_python(text: str) -> tuple[list[int], Fraction]:
    """Numbers and value of an expression, by another parser."""

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant):
            return Fraction(node.value)
        assert isinstance(node, ast.BinOp)
        left, right = value(node.left), value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        return left * right if isinstance(node.op, ast.Mult) else left / right

    tree = ast.parse(text, mode="eval").body
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)], value(tree)


@pytest.mark.parametrize("level", LEVELS)
def test_the_gold_of_a_problem_is_a_solution_by_another_parser(level: int) -> None:
    grade = GRADES[level - 1]
    for task in load_problems("countdown", difficulty=level, tasks_per_level=60):
        numbers, value = read_by_python(task.answer)
        assert sorted(numbers) == sorted(task.numbers)
        assert 1 <= value <= MOST
        assert len(task.numbers) == grade.count == task.steps + 1
        assert max(task.numbers) <= grade.largest
        assert set(re.findall(r"[-+*/]", task.answer)) <= set(grade.signs)
        shown = [*task.numbers, int(value)]
        for telling in (task.short, task.question, *task.paraphrases):
            assert [int(digits) for digits in re.findall(r"[0-9]+", telling)] == shown


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("7*5-13", True),
        ("5*7-13", True),
        ("(5*7)-13", True),
        ("5*7-13 = 22", True),
        (r"5 \times 7 - 13", True),
        ("5×7−13", True),
        ("7(5)-13", True),
        ("5*7-13+0", False),
        ("22", False),
        ("5*7-13=21+1+0", True),
        ("-13+5*7", False),
        ("13-5*7", False),
        ("5*7-12-1", False),
        ("57-13-22", False),
        ("5*7-13*1", False),
        ("5^7-13", False),
        ("5*7-x", False),
        ("sqrt(13)", False),
        ("(5*7-13", False),
        ("5*7-13/(7-7)", False),
        ("", False),
        ("=22", False),
    ],
)
def test_an_answer_uses_each_number_once_and_nothing_else(answer: str, right: bool) -> None:
    assert makes(answer, (7, 13, 5), Fraction(22)) is right


def test_a_number_that_is_there_twice_is_used_twice() -> None:
    assert makes("4+4-4", (4, 4, 4), Fraction(4))
    assert not makes("4", (4, 4, 4), Fraction(4))
    assert not makes("4*4-4", (4, 4), Fraction(12))


@given(st.text(alphabet="0123456789+-*/()=. ^{}\\fracx", max_size=40))
def test_no_text_is_too_much(text: str) -> None:
    if makes(text, (3, 4), Fraction(12)):
        assert {"3", "4"} <= set(text)


def test_many_answers_are_right_and_the_value_alone_is_not() -> None:
    dataset = load_problems("countdown", difficulty=2)
    task = next(task for task in dataset if task.answer.count("+") == 2)
    first, second, third = task.numbers
    rewards = []
    for answer in (task.answer, f"{third}+{second}+{first}", f"({second}+{first})+{third}", str(sum(task.numbers))):
        env = MathReasoningEnv(dataset)
        env.reset(seed=0, options={"task_id": task.task_id})
        rewards.append(env.step(f"so <answer>{answer}</answer>")[1])
    assert rewards == [1.0, 1.0, 1.0, 0.0]


def test_the_short_form_asks_for_nothing_but_the_expression() -> None:
    dataset = load_problems("countdown", difficulty=1)
    env = MathReasoningEnv(dataset, prompt="short", format_weight=0.5)
    for task in dataset:
        observation, _ = env.reset(seed=0, options={"task_id": task.task_id})
        assert observation == task.short
        assert re.fullmatch(r"[0-9] [0-9]=[0-9]+:", observation)
        assert env.step(task.answer)[1] == 1.5
