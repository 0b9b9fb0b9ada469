"""A policy that writes by a decoding method: plain is the model's own, batches change nothing, seeds decide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from small_matcher import matcher
from small_vision import PicturesEnv, act, small_policy, tokenizer, view
from small_vision import shown as observed

from fogline.agents.collector import collect_all
from fogline.agents.decoding import DECODERS, make_decoder
from fogline.agents.policies.decoded import named_decoder, open_matcher, vision_agent
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, MissingDependencyError
from fogline.trainers.config import RolloutConfig
from fogline.trainers.rollouts import Rollouts

torch.set_num_threads(1)

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "pnd": {"saliency": "attention"},
    "agla": {"saliency": "attention", "keep_share": 0.5},
    "sid": {"layer": 1, "keep": 2},
    "pai": {"first_layer": 0},
    "dola": {"bucket": (0, 1)},
}
"""What two layers, four image tokens and no matcher ask for."""


def decoder(name: str) -> Any:
    return named_decoder(name, tokenizer(), **OPTIONS.get(name, {}))


def played(name: str | None, *, greedy: bool = True, seeds: int = 3, concurrency: int = 8) -> list[Episode]:
    policy = small_policy(decoding=None if name is None else decoder(name))
    policy.greedy = greedy
    wanted = [(f"length-{1 + seed % 3}", seed) for seed in range(seeds)]
    return collect_all(PicturesEnv, policy, wanted, concurrency=concurrency)


def written(episodes: list[Episode]) -> list[list[tuple[int, ...]]]:
    return [[turn.action_token_ids for turn in item.turns] for item in episodes]


def test_plain_decoding_is_the_policy_itself_over_several_turns() -> None:
    own, plain = played(None), played("plain")
    assert written(own) == written(plain)
    for one, other in zip(own, plain, strict=True):
        for mine, theirs in zip(one.turns, other.turns, strict=True):
            assert mine.context_token_ids == theirs.context_token_ids
            # No picture's token may be written: what is left shares its probability.
            assert all(0 < after - before < 0.1 for before, after in zip(mine.logps, theirs.logps, strict=True))


@pytest.mark.parametrize("name", DECODERS)
def test_every_method_plays_and_a_batch_is_its_rows(name: str) -> None:
    together, alone = played(name), played(name, concurrency=1)
    assert {item.status for item in together} == {"terminated"}
    assert written(together) == written(alone)
    lengths = {len(turn.logps) == len(turn.action_token_ids) for item in together for turn in item.turns}
    # A beam search draws from nothing, and says no log-probabilities.
    assert lengths == {name != "opera"}


@pytest.mark.parametrize("name", [name for name in DECODERS if name not in ("plain", "opera")])
def test_no_method_is_secretly_plain(name: str) -> None:
    """Nor do methods that read attention lose their guest in a decoder that passes nothing on."""
    assert [turn.logps for turn in played(name)[0].turns] != [turn.logps for turn in played("plain")[0].turns]


@pytest.mark.parametrize("name", ["plain", "vcd", "pnd"])
def test_samples_follow_the_seeds(name: str) -> None:
    first, again = played(name, greedy=False), played(name, greedy=False, concurrency=1)
    assert written(first) == written(again)
    assert len({str(item) for item in written(played(name, greedy=False, seeds=9))}) > 3


def test_told_evidence_is_the_views_own() -> None:
    asked: list[str] = []

    def evidence(observation: Mapping[str, Any]) -> torch.Tensor:
        asked.append(observation["question"])
        return torch.eye(2)

    policy = small_policy(decoding=make_decoder("pnd", saliency="oracle"), evidence=evidence)
    views = [view("one", observed(1, "the cat")), view("two", observed(2, "the dog"))]
    act(policy, views)
    assert asked == ["the cat", "the dog"]


def test_a_matcher_reads_the_questions_in_its_own_tokens() -> None:
    read: list[list[str]] = []

    def words(texts: list[str], **_: Any) -> dict[str, torch.Tensor]:
        read.append(texts)
        return {"input_ids": torch.tensor([[1, 5, 2]] * len(texts)), "attention_mask": torch.ones(len(texts), 3)}

    found = make_decoder("pnd", matcher=matcher())
    act(small_policy(decoding=found, matcher_tokenizer=words), [view("one", observed(1, "the cat"))])
    assert read == [["the cat"]]
    with pytest.raises(ConfigurationError, match="pass matcher_tokenizer= as well"):
        small_policy(decoding=found)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'pnd'"):
        small_policy(decoding="pdn")
    with pytest.raises(ConfigurationError, match=r"needs an image-text matcher.*saliency='attention'"):
        small_policy(decoding="pnd")
    with pytest.raises(ConfigurationError, match="evaluate with it"):
        Rollouts(PicturesEnv, small_policy(decoding="plain"), PicturesEnv.task_ids, RolloutConfig())
    with pytest.raises((ConfigurationError, MissingDependencyError), match="matcher="):
        open_matcher(tmp_path)


def test_an_agent_from_a_folder_decodes(tmp_path: Path) -> None:
    small_policy().save(tmp_path)
    agent = vision_agent(str(tmp_path), "vcd", strength=0.5, max_new_tokens=3)
    (decision,) = agent.act([view("one", observed(1))])
    assert 1 <= len(decision.action_token_ids) <= 3
    assert agent.name == "vcd" and agent.greedy
    with pytest.raises(ConfigurationError, match="strenght"):
        vision_agent(str(tmp_path), "vcd", strenght=0.5)
