"""Teachers in this process, behind a server and in a file say the same; what goes wrong has a name and a way out."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.math_reasoning import CalculatorAgent
from fogline.core.errors import ConfigurationError, DataError, InfrastructureError
from fogline.envs.math_reasoning.env import MathReasoningEnv
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.cached_teachers import CachedTeacher, write_teacher
from fogline.trainers.config import PolicyConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.recipe import Teaching
from fogline.trainers.recipes import make_recipe
from fogline.trainers.remote_teachers import RemoteTeacher
from fogline.trainers.rows import TeacherRows
from fogline.trainers.serving import serve
from fogline.trainers.setup import make_trainer, open_teacher
from fogline.trainers.teacher_wire import packed
from fogline.trainers.teachers import LocalTeacher, check_teacher
from fogline.trainers.teaching_server import teaching_app
from fogline.trainers.whole import scored_parts

torch.set_num_threads(1)

ASKED = Teaching(top_k=4, entropy=True)


def env() -> MathReasoningEnv:
    return MathReasoningEnv("arithmetic", difficulty=[1, 2], tasks_per_level=8, prompt="short")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = env()
    tasks = [Assignment(task, 0) for task in made.task_ids]
    return fit_tokenizer(episode_texts(collect_all(env, CalculatorAgent(), tasks)), vocabulary_size=128, piece_length=1)


def model(tokenizer: Any, seed: int = 0, **options: Any) -> CausalLMPolicy:
    made = tiny_causal_lm(tokenizer, layers=2, width=32, context=64, seed=seed)
    return CausalLMPolicy(made, tokenizer, max_new_tokens=5, rules=False, name=f"tiny-{seed}", **options)


@pytest.fixture(scope="module")
def batch(tokenizer: Any) -> Batch:
    student = model(tokenizer)
    wanted = [Assignment(task, seed) for task in env().task_ids[:6] for seed in range(3)]
    return batch_of(collect_all(env, student, wanted), student)


@pytest.fixture(scope="module")
def url(tokenizer: Any) -> Iterator[str]:
    """A real server of the teacher, in a thread of its own."""
    found: list[str] = []
    ready = threading.Event()

    def told(address: str) -> None:
        found.append(address)
        ready.set()

    app = teaching_app(LocalTeacher(model(tokenizer, 1)))
    thread = threading.Thread(target=serve, args=(app, "127.0.0.1", 0, told), daemon=True)
    thread.start()
    assert ready.wait(20)
    yield found[0]


def same(one: TeacherRows, other: TeacherRows) -> None:
    for name in ("logp", "top_ids", "top_logp", "entropy"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_language_model_s_word_is_its_softmax(tokenizer: Any, batch: Batch) -> None:
    teacher = model(tokenizer, 1)
    rows = LocalTeacher(teacher, chunk=3).score(*scored_parts(batch), ASKED)
    forward = teacher.score(*scored_parts(batch), entropy=True)
    torch.testing.assert_close(rows.logp, forward.logp)
    torch.testing.assert_close(rows.entropy, forward.entropy)
    assert rows.top_ids is not None and rows.top_logp is not None
    torch.testing.assert_close(rows.top_logp, forward.gather(rows.top_ids))
    assert (rows.top_logp[batch.policy_mask].diff(dim=-1) <= 0).all()


def test_local_remote_and_cached_say_the_same_to_the_bit(
    tokenizer: Any, batch: Batch, url: str, tmp_path: Path
) -> None:
    local = LocalTeacher(model(tokenizer, 1))
    remote = RemoteTeacher(url)
    assert write_teacher(local, [batch], tmp_path / "teacher.parquet", ASKED) <= len(batch)
    cached = CachedTeacher(tmp_path / "teacher.parquet")
    said = local.score(*scored_parts(batch), ASKED)
    for teacher in (remote, cached):
        check_teacher(teacher, model(tokenizer), ASKED)
        same(said, teacher.score(*scored_parts(batch), ASKED))
        assert (teacher.name, teacher.temperature) == (local.name, local.temperature)
    fewer = cached.score(*scored_parts(batch), Teaching(top_k=2))
    assert said.top_ids is not None
    assert torch.equal(fewer.top_ids, said.top_ids[..., :2])


@pytest.mark.parametrize("name", ["aopd", "scope", "eopd"])
def test_a_student_learns_the_same_from_either(
    name: str, tokenizer: Any, batch: Batch, url: str, tmp_path: Path
) -> None:
    recipe = make_recipe(name, **({"correct_threshold": 0.5} if name == "scope" else {"top_k": 4}))
    assert recipe.teaching is not None
    local = LocalTeacher(model(tokenizer, 1))
    write_teacher(local, [batch], tmp_path / "teacher.parquet", recipe.teaching)
    weights = []
    for teacher in (local, RemoteTeacher(url), CachedTeacher(tmp_path / "teacher.parquet")):
        student = model(tokenizer)
        Learner(student, recipe, LearnerConfig(learning_rate=1e-2), teacher=teacher).update(batch)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in student.module.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_whole_vocabularies_take_no_v_wide_memory(tokenizer: Any, batch: Batch) -> None:
    """The chunked divergence and its gradient are those of the naive form."""
    from fogline.trainers.distillation import generalised_jsd

    student, teacher = model(tokenizer), model(tokenizer, 1)
    gradients = []
    for chunk in (None, 2):
        rows = LocalTeacher(teacher, chunk=chunk).score(*scored_parts(batch), Teaching(whole=True))
        assert rows.states is not None and rows.distribution is not None
        assert rows.states.shape[-1] == 32 < student.vocabulary_size
        narrow = CausalLMPolicy(student.model, tokenizer, max_new_tokens=5, rules=False, chunk=chunk)
        read = rows.distribution
        loss = narrow.score(*scored_parts(batch)).expect(
            lambda p, h, read=read: generalised_jsd(p, read(h)), rows.states
        )
        gradients.append(torch.autograd.grad(loss.sum(), list(student.module.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


# What goes wrong


def test_another_tokenizer_is_another_vocabulary(tokenizer: Any) -> None:
    other = fit_tokenizer(["entirely different words"], vocabulary_size=128, piece_length=1)
    with pytest.raises(ConfigurationError, match="another vocabulary"):
        check_teacher(LocalTeacher(model(other, 1)), model(tokenizer), Teaching())


def test_temperatures_must_agree(tokenizer: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"temperature 0\.6"):
        check_teacher(LocalTeacher(model(tokenizer, 1)), model(tokenizer, temperature=0.6), Teaching())


def test_nobody_answers() -> None:
    with pytest.raises(InfrastructureError, match="no answer in 2 attempts"):
        RemoteTeacher("http://127.0.0.1:9", retries=1, wait_s=0.01, timeout_s=0.5)
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        RemoteTeacher("127.0.0.1:9")


class Faulty:
    """A server that answers as it is told, one reply after the other; the last is repeated."""

    def __init__(self, *replies: tuple[int, bytes], told: dict[str, Any] | None = None) -> None:
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = {"name": "faulty", "vocabulary": "5 choices", "vocabulary_size": 5, "temperature": 1.0}
                self._say(200, json.dumps(said if told is None else told).encode())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                status, body = replies[min(outer.asked, len(replies) - 1)]
                outer.asked += 1
                self._say(status, body)

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


ROWS = (torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool), {})


def test_a_failure_that_passes_is_asked_again() -> None:
    good = packed({"logp": -torch.ones(2, 3)})
    server = Faulty((500, b"{}"), (503, b'{"error": "busy"}'), (200, good))
    rows = RemoteTeacher(server.url, wait_s=0.01).score(*ROWS, Teaching())
    assert server.asked == 3
    assert torch.equal(rows.logp, -torch.ones(2, 3))


def test_a_failure_that_stays_is_an_error_and_no_signal() -> None:
    server = Faulty((503, b'{"error": "busy"}'))
    with pytest.raises(InfrastructureError, match=r"2 attempts.*busy"):
        RemoteTeacher(server.url, wait_s=0.01, retries=1).score(*ROWS, Teaching())
    assert server.asked == 2


def test_a_server_that_drops_tokens_is_found_out() -> None:
    server = Faulty((200, packed({"logp": -torch.ones(2, 2)})))
    with pytest.raises(DataError, match="dropped or added tokens"):
        RemoteTeacher(server.url).score(*ROWS, Teaching())
    server = Faulty((200, packed({"logp": -torch.ones(2, 3)})))
    with pytest.raises(DataError, match="top_ids, top_logp is missing"):
        RemoteTeacher(server.url).score(*ROWS, Teaching(top_k=2))
    server = Faulty((200, b"gibberish"))
    with pytest.raises(DataError, match="no tensors"):
        RemoteTeacher(server.url).score(*ROWS, Teaching())


def test_what_the_server_refuses_is_not_asked_again() -> None:
    server = Faulty((400, b'{"error": "too long"}'))
    with pytest.raises(ConfigurationError, match="too long"):
        RemoteTeacher(server.url).score(*ROWS, Teaching())
    assert server.asked == 1


def test_a_server_of_something_else_is_no_teacher() -> None:
    with pytest.raises(ConfigurationError, match="no scoring server"):
        RemoteTeacher(Faulty((200, b""), told={"model": "x"}).url)


def test_the_real_server_refuses_what_it_cannot_read(url: str) -> None:
    teacher = RemoteTeacher(url)
    with pytest.raises(ConfigurationError, match="max_context=64"):
        long = torch.ones(1, 70, dtype=torch.int64), torch.ones(1, 70, dtype=torch.bool)
        policy = torch.zeros(1, 70, dtype=torch.bool)
        policy[0, -1] = True
        teacher.score(*long, policy, {}, Teaching())
    teacher.vocabulary_size = 10_000
    with pytest.raises(ConfigurationError, match="top_k=10000"):
        teacher.score(*ROWS, Teaching(top_k=None))


def test_a_cache_knows_its_rows_and_no_other(tokenizer: Any, batch: Batch, tmp_path: Path) -> None:
    path = tmp_path / "teacher.parquet"
    write_teacher(LocalTeacher(model(tokenizer, 1)), [batch], path, Teaching(top_k=2))
    cached = CachedTeacher(path)
    other = batch.select(torch.tensor([0]))
    other.tokens[0, 0] += 1
    with pytest.raises(DataError, match="never asked about row 0"):
        cached.score(*scored_parts(other), Teaching())
    with pytest.raises(ConfigurationError, match="kept the 2 likeliest"):
        cached.score(*scored_parts(batch), Teaching(top_k=3))
    with pytest.raises(ConfigurationError, match="no entropies"):
        cached.score(*scored_parts(batch), Teaching(entropy=True))
    with pytest.raises(ConfigurationError, match="whole distributions"):
        write_teacher(LocalTeacher(model(tokenizer, 1)), [batch], path, Teaching(whole=True))
    with pytest.raises(ConfigurationError, match="is no file"):
        CachedTeacher("")
    (tmp_path / "other.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="no file of a cached teacher"):
        CachedTeacher(tmp_path / "other.parquet")


# A run from its configuration


def test_a_run_names_its_teacher(tokenizer: Any, tmp_path: Path) -> None:
    for seed in (0, 1):
        model(tokenizer, seed).save(tmp_path / f"model-{seed}")

    def config(**options: Any) -> TrainConfig:
        return TrainConfig(
            recipe=options.pop("recipe", "aopd"),
            env="MathReasoning-v0",
            env_kwargs={"difficulty": 1, "tasks_per_level": 8, "prompt": "short"},
            updates=2,
            policy=PolicyConfig(model=str(tmp_path / "model-0"), max_new_tokens=4),
            rollout=RolloutConfig(tasks_per_update=2, group_size=2),
            out=str(tmp_path / "run"),
            **options,
        )

    rows = make_trainer(config(teacher=str(tmp_path / "model-1"))).train()
    assert [row["update"] for row in rows] == [1, 2]
    assert all(0 <= row["imitated"] <= 1 for row in rows)
    with pytest.raises(ConfigurationError, match="needs a teacher"):
        make_trainer(config())
    with pytest.raises(ConfigurationError, match="listens to none"):
        make_trainer(config(recipe="grpo", teacher=str(tmp_path / "model-1")))


def test_a_teacher_is_opened_by_where_it_is(tokenizer: Any, batch: Batch, url: str, tmp_path: Path) -> None:
    write_teacher(LocalTeacher(model(tokenizer, 1)), [batch], tmp_path / "t.parquet", Teaching())
    model(tokenizer, 1).save(tmp_path / "model")
    kinds = [
        type(open_teacher(source, PolicyConfig()))
        for source in (url, str(tmp_path / "t.parquet"), str(tmp_path / "model"))
    ]
    assert kinds == [RemoteTeacher, CachedTeacher, LocalTeacher]


def test_a_server_in_a_notebook_s_loop_can_be_asked(url: str) -> None:
    async def ask() -> str:
        return RemoteTeacher(url).name

    assert asyncio.run(ask()) == "tiny-1"
