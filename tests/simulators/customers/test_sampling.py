"""Sampling arguments: whether a server does what they say is found out before the first dialogue."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_customers import ScriptedModel, sampler
from fault_server import FaultServer, Step, answer, document, hang, status

from fogline.core.chat import OpenAIChatModel
from fogline.core.chat.errors import ChatTimeout, MalformedReply, RateLimited
from fogline.core.errors import ConfigurationError, InfrastructureError
from fogline.simulators.customers.chat_side import Voice, voice_of
from fogline.simulators.customers.customer import SamplingIgnored, SimulatorFault
from fogline.simulators.customers.sampling import SamplingReport, check_sampling


def check(*script: Step, otherwise: Step | None = None, **options: Any) -> tuple[SamplingReport, list[dict[str, Any]]]:
    """Check a server's sampling; return the report and the bodies that the server saw."""

    async def run() -> tuple[SamplingReport, list[dict[str, Any]]]:
        keywords = {"backoff_s": 0.01, "timeout_s": 5.0, "max_retries": 2, **options}
        async with (
            FaultServer(*script, otherwise=otherwise) as server,
            OpenAIChatModel("m", base_url=server.url, **keywords) as model,
        ):
            report = await check_sampling(model)
            return report, [body for _, body in server.requests]

    return asyncio.run(run())


def test_a_server_that_honours_temperature_and_seed_passes() -> None:
    report, bodies = check(otherwise=sampler())
    assert report == SamplingReport("word", distinct=4, draws=4, seed_honoured=True)
    assert [body["temperature"] for body in bodies] == [0.0, 0.0, 1.5, 1.5, 1.5, 1.5, 1.5]
    assert ["seed" in body for body in bodies] == [False, False, *[True] * 5]
    assert sorted(body["seed"] for body in bodies[2:]) == [1, 1, 2, 3, 4]


def test_a_server_that_ignores_seeds_is_reported_and_not_refused() -> None:
    report, _ = check(otherwise=sampler(heed_seed=False))
    assert report.distinct > 1
    assert not report.seed_honoured


def test_a_server_that_samples_at_temperature_0_is_refused_with_what_was_sent_and_what_came_back() -> None:
    with pytest.raises(SamplingIgnored, match=r"m was sent .*temperature=0\.0.*'word \d+', then 'word \d+'"):
        check(otherwise=sampler(heed_temperature=False))


def test_a_server_that_never_samples_is_refused_with_what_was_sent_and_what_came_back() -> None:
    with pytest.raises(SamplingIgnored, match=r"temperature=1\.5 and seeds \[1, 2, 3, 4\].*'the same'.*check=False"):
        check(otherwise=sampler(always="the same"))


def test_a_server_that_ignores_the_temperature_is_a_simulator_fault_that_no_retry_mends() -> None:
    assert issubclass(SamplingIgnored, SimulatorFault)
    assert issubclass(SamplingIgnored, InfrastructureError)
    assert not SamplingIgnored("").retryable


def test_garbage_is_a_malformed_reply_and_not_a_verdict_about_sampling() -> None:
    with pytest.raises(MalformedReply):
        check(otherwise=document(b"<html>busy</html>"))


def test_a_server_without_quota_is_rate_limited_and_one_that_recovers_passes() -> None:
    with pytest.raises(RateLimited):
        check(otherwise=status(429))
    report, bodies = check(status(429), status(429), otherwise=sampler())
    assert report.seed_honoured
    assert len(bodies) == 9


def test_a_server_that_does_not_answer_is_a_time_out() -> None:
    with pytest.raises(ChatTimeout):
        check(otherwise=hang(5.0), timeout_s=0.05, max_retries=1)


def test_a_draw_that_ends_before_its_first_word_is_a_draw() -> None:
    async def step(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        said = "" if body.get("seed") == 3 else "word"
        return await answer(said)(request, body)

    report, _ = check(otherwise=step, max_retries=0)
    assert (report.distinct, report.seed_honoured) == (2, True)


def test_the_two_draws_at_temperature_0_are_kept_apart_in_a_cache(tmp_path: Path) -> None:
    with pytest.raises(SamplingIgnored):
        check(otherwise=sampler(heed_temperature=False), cache_dir=tmp_path)


def test_what_the_cache_knows_is_not_asked_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with FaultServer(otherwise=sampler()) as server:
            for asked in (7, 7):
                async with OpenAIChatModel("m", base_url=server.url, cache_dir=tmp_path) as model:
                    assert (await check_sampling(model)).seed_honoured
                assert len(server.requests) == asked

    asyncio.run(run())


# Once per voice


def test_a_voice_asks_once_and_remembers() -> None:
    model = ScriptedModel(lambda request: f"{request.seed}")
    voice = Voice(model)

    async def run() -> None:
        await voice.ready()
        assert len(model.requests) == 7
        await voice.ready()

    asyncio.run(run())
    assert len(model.requests) == 7
    assert voice.sampling == SamplingReport("None", 4, 4, True)


def test_customers_who_begin_together_wait_for_one_check() -> None:
    model = ScriptedModel(lambda request: f"{request.seed}", delay_s=0.01)
    voice = Voice(model)

    async def run() -> None:
        impatient = asyncio.ensure_future(voice.ready())
        others = [asyncio.ensure_future(voice.ready()) for _ in range(9)]
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.gather(*others)

    asyncio.run(run())
    assert len(model.requests) == 7
    assert voice.sampling is not None


def test_a_voice_travels_to_another_process_without_its_thread() -> None:
    voice = Voice(OpenAIChatModel("m", base_url="http://127.0.0.1:9/v1"), temperature=0.25)
    voice.run(asyncio.sleep(0))
    copy = pickle.loads(pickle.dumps(voice))
    assert (copy.name, copy.temperature, copy.sampling) == ("m", 0.25, None)
    assert copy.run(asyncio.sleep(0, "here")) == "here"
    voice.close()
    copy.close()


def test_a_voice_that_failed_the_check_fails_it_again() -> None:
    voice = Voice(ScriptedModel(["the same"]))
    for _ in range(2):
        with pytest.raises(SamplingIgnored):
            asyncio.run(voice.ready())
    assert voice.sampling is None


def test_a_voice_can_do_without() -> None:
    model = ScriptedModel(["the same"])
    asyncio.run(Voice(model, check=False).ready())
    assert model.requests == []


@pytest.mark.parametrize(
    "wrong", [{"temperature": -0.1}, {"temperature": 3}, {"top_p": 0}, {"max_tokens": 0}, {"max_faults": -1}]
)
def test_a_voice_refuses_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Voice(ScriptedModel([""]), **wrong)


def test_a_voice_has_its_own_options() -> None:
    voice = Voice(ScriptedModel([""]), check=False)
    assert voice_of(voice, {}) is voice
    assert voice_of(ScriptedModel([""]), {"temperature": 1.25}).temperature == 1.25
    with pytest.raises(ConfigurationError, match="temperature"):
        voice_of(voice, {"temperature": 1.0})
