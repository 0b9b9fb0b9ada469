"""The pure parts of the chat client: echoes, keys of the cache, prices, errors, secrets."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.chat import ChatReply, ChatRequest, ToolCall
from fogline.core.chat.cache import ChatCache, request_key
from fogline.core.chat.echo import strip_echo
from fogline.core.chat.errors import AuthenticationFailed, retry_after_seconds, status_error
from fogline.core.chat.prices import Price, approximate_tokens, load_prices
from fogline.core.chat.secret import Redactor, Secret
from fogline.core.chat.wire import StreamAssembler, parse_reply
from fogline.core.errors import ConfigurationError, DataError

WORDS = st.text("abcdefgh xyz\n", min_size=1).filter(str.strip)
CONVERSATIONS = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), WORDS), min_size=1, max_size=6
)
TEMPLATES = {
    "plain": ("{role}: {content}\n", "assistant:"),
    "chatml": ("<|im_start|>{role}\n{content}<|im_end|>\n", "<|im_start|>assistant\n"),
    "headers": ("<|header|>{role}<|end|>\n\n{content}<|eot|>", "<|header|>assistant<|end|>\n\n"),
}


def conversation(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in pairs]


@given(
    pairs=CONVERSATIONS,
    template=st.sampled_from(sorted(TEMPLATES)),
    answer=st.text("KLMN 123", max_size=30).map(str.lstrip),
)
def test_an_exact_echo_is_found_whatever_the_template(pairs: list[tuple[str, str]], template: str, answer: str) -> None:
    turn, opening = TEMPLATES[template]
    prompt = "".join(turn.format(role=role, content=content) for role, content in pairs) + opening
    assert strip_echo(prompt + answer, conversation(pairs)) == (prompt, answer)


@given(pairs=CONVERSATIONS, text=st.text())
def test_any_other_reply_stays_as_it_is(pairs: list[tuple[str, str]], text: str) -> None:
    assert strip_echo(text, conversation(pairs)) == ("", text)


@given(pairs=CONVERSATIONS, answer=st.text("KLMN", min_size=1))
def test_quoting_the_last_message_is_no_echo(pairs: list[tuple[str, str]], answer: str) -> None:
    text = f"{pairs[-1][1]}{answer}"
    assert strip_echo(text, conversation(pairs)) == ("", text)


def test_an_echo_may_begin_behind_the_last_answers_marker() -> None:
    said = conversation([("user", "say it"), ("assistant", "one word"), ("user", "say one word")])
    echo = "one word\n<|im_start|>user\nsay one word\n<|im_start|>assistant"
    assert strip_echo(f"{echo} blue", said) == (echo, " blue")


def test_a_tool_message_without_text_is_never_an_echo() -> None:
    assert strip_echo("x", [{"role": "assistant", "content": None}]) == ("", "x")


FIELDS: dict[str, Any] = {
    "messages": ({"role": "user", "content": "other"},),
    "tools": ({"type": "function", "function": {"name": "f"}},),
    "temperature": 0.1,
    "top_p": 0.2,
    "max_tokens": 5,
    "stop": ("x",),
    "seed": 1,
    "sample": "1",
    "extra": {"k": 1},
}


def test_every_field_that_decides_the_reply_is_in_the_key() -> None:
    base = {"messages": ({"role": "user", "content": "hi"},)}
    keys = {request_key("m", "http://s/v1", ChatRequest(**base))}
    keys |= {request_key("m", "http://s/v1", ChatRequest(**{**base, name: value})) for name, value in FIELDS.items()}
    keys |= {
        request_key("n", "http://s/v1", ChatRequest(**base)),
        request_key("m", "http://t/v1", ChatRequest(**base)),
    }
    assert len(keys) == 1 + len(FIELDS) + 2
    assert set(FIELDS) == set(ChatRequest.__dataclass_fields__)


def test_the_key_is_stable_and_takes_any_mapping() -> None:
    plain = ChatRequest(messages=({"role": "user", "content": "hé"},))
    frozen = ChatRequest(messages=(MappingProxyType({"role": "user", "content": "hé"}),))
    assert request_key("m", "s", plain) == request_key("m", "s", frozen)
    assert request_key("m", "s", plain) == "64d97e99ca56893169a5c8ec8217fa56dcb87e3e93bfa66b274c6864b8f4de41"


@given(
    text=st.text(),
    raw=st.text(),
    tokens=st.none() | st.integers(0, 10**9),
    arguments=st.none() | st.dictionaries(st.text(), st.integers()),
)
def test_the_cache_gives_back_what_was_put(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    raw: str,
    tokens: int | None,
    arguments: dict[str, int] | None,
) -> None:
    cache = ChatCache(tmp_path_factory.mktemp("cache"))
    reply = ChatReply(text, (ToolCall("f", arguments, "id", raw),), "why", "stop", "m", tokens, 2, cost=3.0)
    assert cache.get("a" * 64) is None and "a" * 64 not in cache
    cache.put("a" * 64, reply)
    stored = cache.get("a" * 64)
    assert stored is not None and stored.cached and stored.cost == 0.0
    assert (stored.text, stored.tool_calls, stored.reasoning) == (text, reply.tool_calls, "why")
    assert (stored.prompt_tokens, stored.completion_tokens) == (tokens, 2)
    assert cache.corrupt == 0


def test_price_lists_are_read_from_json_and_toml(tmp_path: Path) -> None:
    rows = {"m": {"prompt": 1, "completion": 2.5, "currency": "EUR"}}
    (tmp_path / "p.json").write_text(json.dumps(rows))
    (tmp_path / "p.toml").write_text('[m]\nprompt = 1\ncompletion = 2.5\ncurrency = "EUR"\n')
    expected = {"m": Price(1, 2.5, "EUR")}
    assert load_prices(tmp_path / "p.json") == load_prices(tmp_path / "p.toml") == expected
    assert expected["m"].cost(1_000_000, 2_000_000) == 6.0


@pytest.mark.parametrize("text", ["{", "[]", '{"m": 1}', '{"m": {"prompt": -1, "completion": 1}}', '{"m": {"in": 1}}'])
def test_a_bad_price_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(DataError):
        load_prices(tmp_path / "p.json")


@given(st.text(), st.text())
def test_the_token_approximation_grows_with_the_text(one: str, other: str) -> None:
    assert (
        approximate_tokens(one)
        <= approximate_tokens(one + other)
        <= approximate_tokens(one) + approximate_tokens(other)
    )
    assert (approximate_tokens(one) == 0) == (not one)


@given(parts=st.lists(st.text(), min_size=1))
def test_a_streamed_answer_equals_the_whole_one(parts: list[str]) -> None:
    assembler = StreamAssembler()
    texts = [assembler.feed({"choices": [{"delta": {"content": part}}]}) for part in parts]
    assembler.feed(
        {
            "choices": [{"delta": {}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
    )
    message = {"content": "".join(parts)}
    whole = {
        "choices": [{"message": message, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert texts == parts
    assert parse_reply(assembler.document()) == parse_reply(whole)


def test_a_refused_key_is_explained_without_the_servers_words() -> None:
    error = status_error(
        401, {}, {"error": {"message": "bad key sk-abc"}}, server="http://s", key_source="the variable K"
    )
    assert type(error) is AuthenticationFailed
    assert str(error) == "http://s answered 401 to the key from the variable K: set a valid key."


def test_what_looks_like_a_key_is_cut_out_of_a_servers_words() -> None:
    error = status_error(
        500, {}, {"error": "Bearer abcdefgh12345678 at http://u:p@h/"}, server="http://s", key_source="K"
    )
    assert "abcdefgh12345678" not in str(error) and "u:p" not in str(error)


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf"])
def test_an_unreadable_retry_after_is_none(value: str) -> None:
    assert retry_after_seconds({"retry-after": value}) is None


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("correct horse battery")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>10}", repr([secret]), repr({"a": secret})]
    assert not any("horse" in text for text in shown)
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            copier(secret)  # type: ignore[operator]


def test_a_redactor_leaves_words_alone() -> None:
    redactor = Redactor([Secret("EMPTY"), Secret("s3cr3t-value")])
    assert redactor.text("EMPTY s3cr3t-value") == "EMPTY ***"
    assert redactor.data(b"EMPTY s3cr3t-value") == b"EMPTY ***"


def test_an_empty_conversation_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one message"):
        ChatRequest(messages=())
