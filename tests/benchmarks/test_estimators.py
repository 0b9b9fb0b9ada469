"""Pass@k, pass^k and the vote against brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.benchmarks.estimators import majority_vote, pass_at_k, pass_hat_k, reported_k
from fogline.core.errors import ConfigurationError


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    samples = draw(st.integers(1, 9))
    return samples, draw(st.integers(0, samples)), draw(st.integers(1, samples))


@given(counts())
def test_pass_estimators_are_the_share_of_all_subsets(drawn: tuple[int, int, int]) -> None:
    samples, correct, k = drawn
    outcomes = [True] * correct + [False] * (samples - correct)
    subsets = list(combinations(outcomes, k))
    assert pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert pass_hat_k(samples, correct, k) == pytest.approx(sum(map(all, subsets)) / len(subsets))


@given(counts())
def test_pass_at_one_is_the_average_and_more_samples_never_hurt(drawn: tuple[int, int, int]) -> None:
    samples, correct, k = drawn
    assert pass_at_k(samples, correct, 1) == pytest.approx(correct / samples)
    assert pass_hat_k(samples, correct, k) <= correct / samples + 1e-12 <= pass_at_k(samples, correct, k) + 2e-12


def test_pass_at_k_does_not_overflow_with_many_samples() -> None:
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0), (0, 0, 1)])
def test_impossible_counts_are_refused(wrong: tuple[int, int, int]) -> None:
    for estimator in (pass_at_k, pass_hat_k):
        with pytest.raises(ConfigurationError, match="expected 1 <= k <= samples"):
            estimator(*wrong)


@given(st.lists(st.sampled_from(["a", "b", "c", "", None]), max_size=8))
def test_the_vote_picks_a_most_frequent_answer_first_seen(answers: list[str | None]) -> None:
    winner = majority_vote(answers)
    voters = [answer for answer in answers if answer]
    if not voters:
        assert winner is None
        return
    assert winner is not None
    most = max(map(voters.count, voters))
    tied = [index for index, answer in enumerate(answers) if answer and voters.count(answer) == most]
    assert winner == tied[0]


def test_answerless_samples_do_not_vote() -> None:
    assert majority_vote([None, "", None, "x"]) == 3
    assert majority_vote(["b", "a", "a", "b"]) == 0


def test_reported_k_are_powers_of_two_and_the_number_of_samples() -> None:
    assert [reported_k(samples) for samples in (1, 2, 5, 8)] == [(1,), (1, 2), (1, 2, 4, 5), (1, 2, 4, 8)]
