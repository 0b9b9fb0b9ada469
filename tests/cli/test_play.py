"""``fogline play``: what is shown, and that nothing shown can steer the terminal."""

from __future__ import annotations

import json

from commands import Invoke, Shell
from hypothesis import given
from hypothesis import strategies as st

from fogline.cli.console import clean

TOY = ("play", "toy_world:Toy-v0")


def test_turns_rewards_terms_and_the_end_are_shown(invoke: Invoke) -> None:
    result = invoke(*TOY, "--task", "toy-2", "--seed", 5, "--agent", "toy_world:Guesser", "-o", "word=tree")
    assert result.exit_code == 0, result.output
    for expected in ("toy-2", "turn 1 · explore · reward 0.100", "terms: effort=1", "turn 2 · confirm", "won=", "tree"):
        assert expected in result.stdout
    assert "terminated after 2 turns" in result.stdout
    assert "[bold]not markup[/bold]" in result.stdout


def test_hostile_text_is_made_visible(shell: Shell) -> None:
    result = shell(*TOY, FORCE_COLOR="1", COLUMNS="500")
    assert result.returncode == 0, result.stderr
    assert "␛]0;owned␇␛[2J\ufffd31m red \ufffd reversed" in result.stdout
    assert "\x1b]" not in result.stdout
    assert "\x9b" not in result.stdout
    assert "\u202e" not in result.stdout


@given(st.text(st.characters(), max_size=60))
def test_clean_text_holds_no_control_characters(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert not any((ord(char) < 0x20 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0 for char in cleaned)
    assert clean(cleaned) == cleaned


def test_ordinary_text_is_left_alone() -> None:
    text = "SELECT \"naïve\", '日本語', '👩‍👩‍👧' [red]\n\tFROM t -- 100 %"
    assert clean(text) == text
    assert clean("one\r\ntwo\rthree") == "one\ntwo␍three"


def test_json_is_the_episode_and_nothing_else(invoke: Invoke) -> None:
    from fogline.core.episode import Episode

    result = invoke(*TOY, "--json", "--seed", 3)
    episode = Episode.from_json(json.loads(result.stdout))
    assert (episode.env_id, episode.seed, episode.status) == ("Toy-v0", 3, "terminated")
    assert json.loads(invoke(*TOY, "--json", "--seed", 3).stdout)["turns"] == json.loads(result.stdout)["turns"]


def test_a_human_plays_through_standard_input(shell: Shell) -> None:
    result = shell(*TOY, "--human", "--task", "toy-1", stdin="hello\n\nthere\n\n")
    assert result.returncode == 0, result.stderr
    assert "echo=there" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_human_who_leaves_is_an_agent_error(shell: Shell) -> None:
    result = shell(*TOY, "--human", stdin="hello\n")
    assert result.returncode == 1
    assert "agent_error" in result.stderr
    assert "the input ended" in result.stderr


def test_a_world_that_breaks_gives_no_reward_and_status_1(invoke: Invoke) -> None:
    result = invoke(*TOY, "--task", "toy-1", "-k", 'broken=["toy-1"]')
    assert result.exit_code == 1
    assert "reward: none" in result.stdout
    assert "the wire to toy-1 is cut" in result.stderr


def test_bad_usage_is_status_2(invoke: Invoke) -> None:
    for words, message in [
        ((*TOY, "--task", "toy-77"), "'toy-77' is not one"),
        ((*TOY, "--human", "--agent", "random"), "expected one of them"),
        ((*TOY, "--seed", "-1"), "seed=-1 does not fit"),
        (("play",), "Missing argument"),
    ]:
        result = invoke(*words)
        assert result.exit_code == 2, result.output
        assert message in result.stderr


def test_of_a_picture_the_shape_is_told(invoke: Invoke) -> None:
    shown = invoke("play", "VisualTable-v0", "--agent", "oracle", "--set", "size=tiny").output
    assert "image: [64, 48, 3] uint8" in shown and "question: " in shown
    assert "255, 255" not in shown
