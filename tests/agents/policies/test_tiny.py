"""Tokenizers fitted to an environment: short where it repeats itself, the same everywhere for names, exact always."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fogline.envs  # noqa: F401
from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.registry import make_agent
from fogline.core.errors import ConfigurationError

torch.set_num_threads(1)

FRAME = '<action>look</action>\n{"sql": "SELECT name FROM t WHERE lower(name) IN (\'%s\')"}'
NAMES = ["customer", "invoice", "track_id", "Album", "shelf", "river", "stone_age", "lamp", "table4", "orange"]
TEXTS = [[FRAME % name, f"Schema recorded: {name}.", f"name\n{name}\tTEXT"] for name in NAMES]
FITTED = fit_tokenizer(TEXTS, vocabulary_size=260)


def env() -> Any:
    return gymnasium.make("TrustSQL-v0")


def oracle_texts(offset: int) -> list[list[str]]:
    tasks = env().unwrapped.task_ids[offset::12]
    return episode_texts(collect_all(env, make_agent("oracle", "TrustSQL-v0"), [(task, 0) for task in tasks]))


def encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126, include_characters="\n\t"), max_size=80)


@settings(max_examples=200, deadline=None)
@given(
    text=PRINTABLE
    | st.sampled_from(NAMES).map(lambda name: FRAME % name)
    | st.tuples(PRINTABLE, PRINTABLE).map(FRAME[:30].join)
)
def test_decoding_gives_back_exactly_what_was_encoded(text: str) -> None:
    assert FITTED.decode(encode(FITTED, text)) == text


@given(parts=st.lists(PRINTABLE, max_size=4))
@settings(max_examples=100, deadline=None)
def test_segments_decode_to_their_concatenation(parts: list[str]) -> None:
    ids = [index for part in parts for index in encode(FITTED, part)]
    assert FITTED.decode(ids) == "".join(parts)


def test_the_frame_of_an_action_is_one_token_on_each_side_of_a_name() -> None:
    pieces = [FITTED.decode([index]) for index in encode(FITTED, FRAME % "zebra")]
    before, after = FRAME.split("%s")
    assert pieces[0] == before and pieces[-1] == after
    assert "".join(pieces[1:-1]) == "zebra"


WORDS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=10)


@settings(max_examples=100, deadline=None)
@given(name=st.lists(WORDS, min_size=1, max_size=3).map("_".join))
def test_an_unseen_name_is_cut_the_same_wherever_it_stands(name: str) -> None:
    alone = encode(FITTED, name)
    for surroundings in (FRAME, "Schema recorded: %s.", "name\n%s\tTEXT", '"%s", "', "x = %s;", "(%s)", "%s_"):
        before, after = surroundings.split("%s")
        assert encode(FITTED, surroundings % name) == [*encode(FITTED, before), *alone, *encode(FITTED, after)]


def test_other_words_fall_into_short_pieces() -> None:
    fitted = fit_tokenizer(TEXTS, vocabulary_size=260, piece_length=2)
    assert all(len(fitted.decode([index])) <= 2 for index in encode(fitted, "zebra_crossing"))


def test_episodes_of_trust_sql_are_short_in_tokens_also_where_unseen() -> None:
    unseen = oracle_texts(5)
    letters = "".join(sorted({letter for document in unseen for text in document for letter in text}))
    fitted = fit_tokenizer(oracle_texts(0), vocabulary_size=768, alphabet=letters)
    texts = [text for document in unseen for text in document]
    actions = [text for document in unseen for text in document[1::2]]
    assert all(fitted.decode(encode(fitted, text)) == text for text in texts)
    assert sum(map(len, actions)) > 5 * sum(len(encode(fitted, text)) for text in actions)


def test_rules_are_one_token_where_all_episodes_open_with_them() -> None:
    rules = env().unwrapped.system_prompt
    said = [[rules, *document] for document in TEXTS]
    fitted = fit_tokenizer(said, vocabulary_size=300)
    assert len(encode(fitted, rules)) <= 2


def test_episode_texts_are_what_was_read_and_written() -> None:
    tasks = [(task, 0) for task in env().unwrapped.task_ids[:2]]
    episodes = collect_all(env, make_agent("oracle", "TrustSQL-v0"), tasks)
    documents = episode_texts(episodes, ["the rules"])
    for document, episode in zip(documents, episodes, strict=True):
        spoken = [text for turn in episode.turns for text in (turn.observation, turn.action)]
        assert document == ["the rules", *spoken]


def test_the_vocabulary_is_as_large_as_allowed_and_no_larger() -> None:
    for size in (130, 160, 200, 260):
        assert len(fit_tokenizer(TEXTS, vocabulary_size=size)) <= size


def test_a_string_is_a_document() -> None:
    assert fit_tokenizer(["the cat", "the cat"]).get_vocab() == fit_tokenizer([["the cat"], ["the cat"]]).get_vocab()


def test_fitting_is_the_same_in_every_process() -> None:
    code = (
        f"from fogline.agents.policies.tiny import fit_tokenizer\nt = fit_tokenizer({TEXTS!r}, vocabulary_size=260)\n"
        "print(sorted(t.get_vocab().items()))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(sorted(FITTED.get_vocab().items()))


@pytest.mark.parametrize("texts", [[], [[]], [[], []]])
def test_nothing_to_fit_is_refused(texts: Any) -> None:
    with pytest.raises(ConfigurationError, match="no texts"):
        fit_tokenizer(texts)


def test_a_vocabulary_below_the_characters_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="vocabulary_size=50"):
        fit_tokenizer(TEXTS, vocabulary_size=50)


# Models


def weights(seed: int) -> list[torch.Tensor]:
    return list(tiny_causal_lm(FITTED, layers=2, width=32, heads=2, seed=seed).state_dict().values())


def test_the_seed_decides_the_weights_and_nothing_else_moves() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = weights(0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one, other) for one, other in zip(first, weights(0), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(first, weights(1), strict=True))


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="width=30 with heads=2"):
        tiny_causal_lm(FITTED, width=30)


@pytest.mark.parametrize("shape", [{"layers": 1}, {"heads": 1}, {"heads": 6}])
def test_induction_heads_that_do_not_fit_are_refused(shape: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="induction=False"):
        tiny_causal_lm(FITTED, **shape)


@pytest.mark.parametrize("heads", [2, 3, 4])
def test_an_untrained_model_with_induction_heads_copies_what_it_read(heads: int) -> None:
    """Names of two random tokens, said twice: after a name's first token its second is the likeliest."""
    model = tiny_causal_lm(FITTED, heads=heads, seed=3)
    generator = torch.Generator().manual_seed(0)
    kinds = len(FITTED) - 6
    names = (6 + torch.randperm(kinds, generator=generator)[:40]).reshape(20, 2)
    order = torch.randperm(20, generator=generator)
    tokens = torch.cat([names.reshape(-1), names[order].reshape(-1)])[None]
    with torch.no_grad():
        guessed = model(tokens).logits[0].argmax(-1)
        plain = tiny_causal_lm(FITTED, heads=heads, seed=3, induction=False)(tokens).logits[0].argmax(-1)
    again = torch.arange(40, 80, 2)
    assert (guessed[again] == tokens[0, again + 1]).double().mean() >= 0.9
    assert (plain[again] == tokens[0, again + 1]).double().mean() <= 0.2


def test_an_untrained_model_without_induction_heads_is_undecided() -> None:
    policy = CausalLMPolicy(tiny_causal_lm(FITTED, dtype=torch.float64, induction=False), FITTED)
    tokens = torch.tensor([encode(FITTED, FRAME % "zebra")])
    mask = torch.ones_like(tokens, dtype=torch.bool)
    wrote = mask.clone()
    wrote[:, 0] = False
    forward = policy.score(tokens, mask, wrote, {}, entropy=True)
    assert forward.entropy is not None
    assert float(forward.entropy[wrote].mean().detach()) > 0.7 * float(torch.tensor(float(len(FITTED))).log())


def test_it_plays_trust_sql() -> None:
    policy = CausalLMPolicy(tiny_causal_lm(FITTED, context=400), FITTED, max_new_tokens=8, rules=False)
    tasks = [(task, seed) for task in env().unwrapped.task_ids[:2] for seed in range(2)]
    for episode in collect_all(env, policy, tasks):
        assert episode.status in ("terminated", "truncated", "agent_error")
        assert episode.turns and all(turn.malformed for turn in episode.turns)
