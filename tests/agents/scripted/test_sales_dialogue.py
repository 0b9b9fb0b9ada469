"""Scripted sellers: the script is clean and honest in every world and plays both modes alike; probes do one thing."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import SCRIPTED, agent_names, make_agent
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.envs.sales_dialogue.env import SalesDialogueEnv
from fogline.envs.sales_dialogue.phrases import phrasebook
from fogline.simulators.customers.acts import SELLER_ACTS
from fogline.simulators.customers.products import bundled_cards
from fogline.simulators.customers.speech import read

NAME = "SalesDialogue-v0"
VARIANTS = ("default", "sceptical", "impulsive", "analytical")
TEXT_ONLY = ("wordy", "false-denial")


def played(agent: str, count: int = 48, **options: Any) -> list[Episode]:
    task_ids = SalesDialogueEnv(**options).task_ids
    tasks = [(task_ids[seed * 29 % len(task_ids)], seed) for seed in range(count)]
    return collect_all(partial(make_environment, NAME, options), make_agent(agent, NAME), tasks)


def acts_of(episode: Episode) -> list[str]:
    return [turn.phase for turn in episode.turns]


def terms(episodes: list[Episode]) -> dict[str, float]:
    """Mean of each term over all turns."""
    turns = [turn for episode in episodes for turn in episode.turns]
    return {name: float(np.mean([turn.terms[name] for turn in turns])) for name in turns[0].terms}


# The script


@pytest.mark.parametrize("actions", ["text", "acts"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_turn_of_the_script_costs_anything(variant: str, actions: str) -> None:
    episodes = played("scripted", 96, variant=variant, actions=actions)
    for episode in episodes:
        assert [turn.terms for turn in episode.turns if any(turn.terms.values())] == []
        assert episode.reward == episode.outcome["conversion"]
        assert not episode.metrics["breached"] and not episode.metrics["false_close"]
        assert episode.metrics["repetition"] in (0.0, None)


@pytest.mark.parametrize("options", [{"disclose_ai": False}, {"claims_without_doing": 1.0}, {"max_turns": 40}], ids=str)
def test_nor_does_it_where_customers_ask_lie_or_have_time(options: dict[str, Any]) -> None:
    episodes = played("scripted", 96, **options)
    if "max_turns" in options:
        # Beyond four wordings of an act there is nothing new to say.
        episodes = [episode for episode in episodes if len(episode.turns) <= 20]
    assert len(episodes) > 80
    assert terms(episodes) == {"repetition": 0, "identity": 0, "fluency": 0, "compliance": 0, "format": 0}


def test_the_script_wins_customers_and_random_acts_hardly_any() -> None:
    rates = {
        agent: np.mean([e.metrics["converted"] for e in played(agent, 300)]) for agent in ("scripted", "random-acts")
    }
    assert rates["random-acts"] < 0.1 < rates["scripted"]


@pytest.mark.parametrize("agent", ["scripted", "random-acts", "always-close", "never-close", "always-repeat"])
def test_one_seller_plays_the_same_calls_in_both_modes(agent: str) -> None:
    acts, text = played(agent, 40, actions="acts"), played(agent, 40)
    for one, two in zip(acts, text, strict=True):
        assert (one.outcome, one.metrics) == (two.outcome, two.metrics)
        assert [(t.phase, t.reward, t.terms) for t in one.turns] == [(t.phase, t.reward, t.terms) for t in two.turns]
        assert [SELLER_ACTS[turn.action[0]] for turn in one.turns] == acts_of(two)


def test_the_script_keeps_to_its_agenda() -> None:
    for episode in played("scripted", 60):
        acts = acts_of(episode)
        assert acts[0] == "greet"
        planned = [act for act in acts if act in ("greet", "verify_identity", "probe_need", "pitch", "give_fact")]
        assert planned[:5] == ["greet", "verify_identity", "probe_need", "pitch", "give_fact"][: len(planned)]
        if "ask_close" in acts:
            before = acts[: acts.index("ask_close")]
            assert sum(act in ("pitch", "give_fact") for act in before) >= 2
        if "guide_step" in acts:
            assert "ask_close" in acts[: acts.index("guide_step")]
        if episode.metrics["converted"]:
            assert acts.index("guide_step") < len(acts) - 1 and episode.metrics["agreed"]


class Watched:
    """Plays as another agent and notes what it reacted to."""

    batch_size: int | None = None

    def __init__(self, agent: Any) -> None:
        self.name, self._agent = agent.name, agent
        self.seen: list[tuple[str, Any]] = []

    def act(self, views: Any) -> list[Any]:
        actions = self._agent.act(views)
        for view, action in zip(views, actions, strict=True):
            self.seen.append((view.info["customer_act"], SELLER_ACTS[action[0]]))
        return list(actions)


def test_the_script_reacts_to_what_the_customer_does() -> None:
    watched = Watched(make_agent("scripted", NAME))
    env = partial(make_environment, NAME, {"actions": "acts", "disclose_ai": False, "variant": "sceptical"})
    collect_all(env, watched, [(task_id, 1) for task_id in SalesDialogueEnv().task_ids[:384:2]])
    points = {"offer_incentive", "give_fact", "social_proof", "pitch"}
    expected = {
        "object": {"handle_objection", "ask_close", *points},
        "complain": {"empathise"},
        "refuse": {"goodbye"},
        "do_not_call": {"goodbye"},
        "ask_is_ai": {"disclose_ai"},
        "agree": {"guide_step"},
        "not_done": {"guide_step"},
        "step_done": {"guide_step", "confirm"},
    }
    for heard, answers in expected.items():
        found = {act for act_heard, act in watched.seen if act_heard == heard}
        assert found <= answers | (
            {"offer_incentive", "give_fact", "social_proof", "pitch"} if heard == "object" else set()
        )
    answered = [act for heard, act in watched.seen if heard == "object"]
    assert answered.count("handle_objection") > 0.9 * len(answered)
    assert {"object", "agree", "step_done", "ask_is_ai"} <= {heard for heard, _ in watched.seen}


def test_an_honest_answer_is_given_to_whoever_asks() -> None:
    episodes = played("scripted", 150, disclose_ai=False, variant="sceptical")
    asked = [episode for episode in episodes if episode.metrics["detected"] and not episode.metrics["hung_up"]]
    assert len(asked) > 5
    for episode in asked:
        over_at_once = acts_of(episode)[-1] != "disclose_ai" and not episode.metrics["revealed"]
        assert episode.metrics["revealed"] or (over_at_once and episode.status == "truncated")


# The probes


def test_each_probe_does_its_one_thing() -> None:
    repeat, close, never, silent = (
        played(agent, 30, actions="acts") for agent in ("always-repeat", "always-close", "never-close", "silent")
    )
    assert {turn.action for episode in repeat for turn in episode.turns} == {(SELLER_ACTS.index("pitch"), 0)}
    assert {act for episode in close for act in acts_of(episode)} == {"ask_close"}
    assert all(len({turn.action for turn in episode.turns[:4]}) == min(4, len(episode.turns)) for episode in close)
    assert "ask_close" not in {act for episode in never for act in acts_of(episode)}
    assert terms(never) == {"repetition": 0, "identity": 0, "fluency": 0, "compliance": 0, "format": 0}
    assert not any(episode.metrics["converted"] for episode in (*never, *silent))
    assert terms(silent)["format"] == -1.0 and played("silent", 3)[0].turns[0].action == ""


def test_the_wordy_probe_says_200_words_and_pays_for_it() -> None:
    episodes = played("wordy", 4)
    assert {len(turn.action.split()) for episode in episodes for turn in episode.turns} == {200}
    assert terms(episodes)["fluency"] == -1.0


def test_the_false_denial_is_a_breach_in_every_call() -> None:
    episodes = played("false-denial", 60)
    assert all(episode.metrics["breaches"].get("false_denial", 0) >= 1 for episode in episodes)
    assert not any(episode.metrics["revealed"] for episode in episodes)
    assert max(episode.metrics["breaches"]["false_denial"] for episode in episodes) > 1, "some ask"
    denials = {
        turn.action for episode in episodes for turn in episode.turns if turn.phase != "greet"
    } - said_by_script()
    assert denials
    assert all(read(denial, bundled_cards()["mobile-plan"]).denies_ai for denial in denials)


def said_by_script() -> set[str]:
    """Everything in the phrasebooks."""
    return {said for card in bundled_cards().values() for said in phrasebook(card).values()}


@pytest.mark.parametrize("agent", ["always-repeat", "always-close", "silent", "wordy", "false-denial"])
def test_no_probe_beats_the_script_on_the_turns(agent: str) -> None:
    episodes = played(agent, 12)
    assert sum(terms(episodes).values()) < 0.0
    assert all(episode.reward is not None for episode in episodes)


# Names and errors


def test_all_are_known_by_name() -> None:
    names = ("scripted", "random-acts", "always-repeat", "always-close", "never-close", "silent", *TEXT_ONLY)
    assert tuple(SCRIPTED[NAME]) == names
    for name in names:
        assert make_agent(name, NAME).name == name
        assert name in agent_names(NAME)


@pytest.mark.parametrize("agent", TEXT_ONLY)
def test_what_the_phrasebook_does_not_have_needs_text(agent: str) -> None:
    with pytest.raises(ConfigurationError, match="actions='text'"):
        played(agent, 1, actions="acts")


def test_another_game_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="plays only SalesDialogue-v0"):
        collect_all(lambda: gymnasium.make("CartPole-v1"), make_agent("scripted", NAME), [("", 0)])


def test_a_card_of_ones_own_is_handed_over(tmp_path: Path) -> None:
    row = json.loads(bundled_cards()["mobile-plan"].model_dump_json()) | {"domain": "my-plan"}
    path = tmp_path / "my-plan.json"
    path.write_text(json.dumps(row), encoding="utf-8")
    make = partial(make_environment, NAME, {"domain": str(path)})
    with pytest.raises(ConfigurationError, match=r"no product card 'my-plan'.*domain"):
        collect_all(make, make_agent("scripted", NAME), [("my-plan/0000", 0)])
    (episode,) = collect_all(make, make_agent("scripted", NAME, domain=str(path)), [("my-plan/0000", 0)])
    assert acts_of(episode)[0] == "greet"
