"""Turns become tokens once: templates that would change their mind later are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from small_language import act, small_model, small_policy, tokenizer, view

from fogline.agents.agent import Decision
from fogline.agents.policies.chat_template import BUILT_IN, CHATML, PLAIN, ConversationTemplate
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer
from fogline.core.errors import ConfigurationError

torch.set_num_threads(1)

HEAD = "{% for message in messages %}"
CALL = "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
SAY = "<{{ message['role'] }}>{{ message['content'] }}</>"

STRIPS_REASONING = (
    HEAD
    + "{% set text = message['content'] %}"
    + "{% if message['role'] == 'assistant' and not loop.last %}{% set text = text.split('</think>')[-1] %}{% endif %}"
    + "<{{ message['role'] }}>{{ text }}</>"
    + CALL
)
COUNTS_MESSAGES = "{{ messages | length }} messages:" + HEAD + SAY + CALL
RULES_LAST = HEAD + "{% if message['role'] != 'system' %}" + SAY + "{% endif %}" + CALL + "{{ messages[0]['content'] }}"
HIDES_REPLIES = HEAD + "{% if loop.index0 < 3 or message['role'] == 'assistant' %}" + SAY + "{% endif %}" + CALL
UPPERCASE = HEAD + "<{{ message['role'] }}>{{ message['content'] | upper }}</>" + CALL
NUMBERS_TURNS = (
    HEAD
    + "<{{ message['role'] }}{{ loop.index }}>{{ message['content'] }}</>"
    + ("{% endfor %}{% if add_generation_prompt %}<assistant{{ messages | length + 1 }}>{% endif %}")
)


@pytest.mark.parametrize(
    "source", [STRIPS_REASONING, COUNTS_MESSAGES, RULES_LAST, HIDES_REPLIES, UPPERCASE, NUMBERS_TURNS]
)
def test_templates_that_are_not_prefix_preserving_are_refused_with_the_fix(source: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not prefix-preserving.*chat_template=.*'chatml', 'plain'"):
        CausalLMPolicy(small_model(), tokenizer(), chat_template=source)


@pytest.mark.parametrize("source", [HEAD + SAY + CALL, CHATML, PLAIN])
@pytest.mark.parametrize("role", ["user", "tool"])
def test_what_is_appended_is_what_rendering_all_of_it_gives(source: str, role: str) -> None:
    template = ConversationTemplate(tokenizer(), source, role)
    messages = [{"role": "system", "content": "rules"}, {"role": "user", "content": "question"}]
    text = template.start("rules", "question")
    for turn in range(3):
        text += f"action {turn}" + template.reply(f"reply {turn}", None)
        messages.append({"role": "assistant", "content": f"action {turn}"})
        messages.append({"role": role, "content": f"reply {turn}"})
    rendered = tokenizer().apply_chat_template(
        messages, chat_template=source, add_generation_prompt=True, tokenize=False
    )
    assert text == rendered


def test_the_tokens_of_an_episode_read_as_the_rendered_conversation() -> None:
    policy = small_policy(max_new_tokens=20)
    seat = view("b", "the cat", rules="the owl sees")
    messages = [{"role": "system", "content": "the owl sees"}]
    ids: list[int] = []
    for reply in ("a dog", "owl", "the cat hears"):
        messages.append({"role": "user", "content": seat.observation})
        (turn,) = act(policy, [seat])
        ids += [*turn.context_token_ids, *turn.action_token_ids]
        messages.append({"role": "assistant", "content": turn.action})
        seat.observation = reply
    # What closes an action that was cut comes with the next observation.
    closing = "" if ids[-1] == tokenizer().eos_token_id else tokenizer().eos_token
    assert tokenizer().decode(ids) + closing == tokenizer().apply_chat_template(messages, tokenize=False)


def test_an_end_that_was_sampled_is_not_said_twice_and_one_that_was_cut_is_added() -> None:
    end = tokenizer().eos_token_id
    cut, ended = 0, 0
    for name in "abcdefgh":
        policy = small_policy(max_new_tokens=40)
        seat = view(name, "the cat")
        (first,) = act(policy, [seat])
        seat.observation = "a dog"
        (second,) = act(policy, [seat])
        stopped = first.action_token_ids[-1] == end
        assert (second.context_token_ids[0] == end) != stopped
        cut, ended = cut + (not stopped), ended + stopped
    assert cut and ended


def _with_markers() -> Any:
    marked = copy.deepcopy(tokenizer())
    marked.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return marked


def test_the_templates_own_end_of_turn_ends_an_action() -> None:
    marked = _with_markers()
    template = ConversationTemplate(marked, "chatml")
    turn_end = marked.convert_tokens_to_ids("<|im_end|>")
    assert template.end_id == turn_end
    assert template.end_ids == {turn_end, marked.eos_token_id}
    assert template.reply("seen", turn_end) == "\n<|im_start|>user\nseen<|im_end|>\n<|im_start|>assistant\n"
    assert template.reply("seen", marked.eos_token_id) == "<|im_end|>" + template.reply("seen", turn_end)


def test_a_model_without_a_template_gets_the_plain_one() -> None:
    bare = copy.deepcopy(tokenizer())
    bare.chat_template = None
    template = ConversationTemplate(bare)
    assert template.source == PLAIN and set(BUILT_IN) == {"plain", "chatml"}
    assert template.start("rules", "seen") == "rules\n\nseen\n\n"
    assert template.reply("seen", bare.eos_token_id) == "seen\n\n"
    assert template.reply("seen", None) == f"{bare.eos_token}seen\n\n"


def test_a_tokenizer_without_any_end_is_refused() -> None:
    endless = copy.deepcopy(tokenizer())
    endless.eos_token = None
    endless.chat_template = None
    with pytest.raises(ConfigurationError, match="eos_token"):
        ConversationTemplate(endless)
    with pytest.raises(ConfigurationError, match="nothing ends an action"):
        ConversationTemplate(endless, HEAD + SAY + CALL)


def test_a_template_that_raises_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot render roles .*no tools here"):
        ConversationTemplate(
            tokenizer(),
            HEAD + "{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}" + SAY + CALL,
            "tool",
        )


def test_a_template_without_system_messages_serves_environments_without_rules() -> None:
    source = HEAD + "{% if message['role'] == 'system' %}{{ raise_exception('no rules') }}{% endif %}" + SAY + CALL
    policy = CausalLMPolicy(small_model(), tokenizer(), chat_template=source, max_new_tokens=4)
    assert isinstance(policy.act([view("a", "the cat")])[0], Decision)
    with pytest.raises(ConfigurationError, match="no rules"):
        policy.act([view("a", "the cat", rules="the owl sees")])


def test_fitted_tokenizers_know_roles_as_single_tokens() -> None:
    fitted = fit_tokenizer(["the cat"], vocabulary_size=120)
    text = ConversationTemplate(fitted).start("the cat", "the cat")
    assert text == "<|system|>the cat<|observation|>the cat<|action|>"
    assert fitted.convert_ids_to_tokens(fitted(text)["input_ids"])[0] == "<|system|>"
