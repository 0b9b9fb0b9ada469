"""A server that samples: a trainer far away plays by it, and replaces its weights after every update.

``GET /`` answers a JSON object: ``name, vocabulary, vocabulary_size, temperature, stop, version, owner``.
``POST /generate`` takes prompts and answers with what follows them; ``POST /weights`` takes a model's weights, the
version that they are, and whose they are. All are tensors as safetensors, exact to the bit; what cannot be answered has
a status of 400 or above and a JSON object with ``error``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from aiohttp import web
from torch import Tensor

from fogline.agents.policies.generation import Draft
from fogline.agents.policies.kv_cache import Conversation
from fogline.agents.policies.language import CausalLMPolicy
from fogline.core.errors import DataError, FoglineError
from fogline.trainers.teacher_wire import packed, unpacked
from fogline.trainers.teachers import vocabulary_of

MOST_BYTES = 1 << 34
"""Largest set of weights: 16 GiB."""

NOBODY = 0
"""Owner of weights that no trainer has sent."""

PROMPTS = ("tokens", "lengths", "limits", "uniforms")
WRITTEN = ("ids", "lengths", "logp", "version", "owner")


class Generator:
    """A model that samples, and whose weights change.

    Args:
        policy: Its weights are the server's own from now on.

    Attributes:
        owner: Whose weights it has.
    """

    def __init__(self, policy: CausalLMPolicy) -> None:
        self._policy = policy
        self.owner = NOBODY

    def told(self) -> dict[str, object]:
        """What a client must know before it asks."""
        policy = self._policy
        return {
            "name": policy.name,
            "vocabulary": vocabulary_of(policy),
            "vocabulary_size": policy.vocabulary_size,
            "temperature": policy.temperature,
            "stop": list(policy.stop),
            "version": policy.version,
            "owner": self.owner,
        }

    def generate(self, body: bytes) -> bytes:
        """What follows each prompt, token by token, from the client's random numbers; the likeliest without any.

        Raises:
            DataError: The question cannot be read.
        """
        asked = unpacked(body, PROMPTS, "the client")
        drafts = _drafts(asked, self._policy.vocabulary_size)
        if drafts:
            self._policy.write(drafts)
        longest = max((len(draft.ids) for draft in drafts), default=0)
        ids = torch.zeros(len(drafts), longest, dtype=torch.int64)
        logp = torch.zeros(len(drafts), longest, dtype=torch.float64)
        for row, draft in enumerate(drafts):
            ids[row, : len(draft.ids)] = torch.tensor(draft.ids)
            logp[row, : len(draft.ids)] = torch.tensor(draft.logps, dtype=torch.float64)
        lengths = torch.tensor([len(draft.ids) for draft in drafts], dtype=torch.int64)
        by = {"version": torch.tensor(self._policy.version), "owner": torch.tensor(self.owner)}
        return packed({"ids": ids, "lengths": lengths, "logp": logp, **by})

    def load(self, body: bytes, version: int, owner: int) -> bytes:
        """Take weights, all of them or none.

        Raises:
            DataError: They are not those of this model.
        """
        own = weights_of(self._policy)
        found = unpacked(body, tuple(own), "the client")
        strange = sorted({*found} - {*own})
        unfit = [name for name in own if found[name].shape != own[name].shape]
        if strange or unfit:
            raise DataError(
                f"weights of another model: {strange[:3] or 'none'} unknown here, {unfit[:3] or 'none'} of another "
                f"shape than in {self._policy.name!r}. Serve the model that is trained."
            )
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(found[name])
        self._policy.version, self.owner = version, owner
        return packed({"version": torch.tensor(version), "owner": torch.tensor(owner)})


def weights_of(policy: CausalLMPolicy) -> Mapping[str, Tensor]:
    """All weights of a language model by name, tied ones once."""
    return dict(policy.model.named_parameters())


def generation_app(policy: CausalLMPolicy) -> web.Application:
    """The server's three pages; one question is answered at a time."""
    model = ThreadPoolExecutor(1, "fogline-generation")
    generator = Generator(policy)

    async def answered(work: Callable[[], bytes]) -> web.Response:
        try:
            said = await asyncio.get_running_loop().run_in_executor(model, work)
        except (FoglineError, ValueError, IndexError, RuntimeError) as error:
            return web.Response(status=400, text=json.dumps({"error": str(error)}), content_type="application/json")
        return web.Response(body=said, content_type="application/octet-stream")

    async def told(_: web.Request) -> web.Response:
        return web.json_response(generator.told())

    async def generate(request: web.Request) -> web.Response:
        body = await request.read()
        return await answered(lambda: generator.generate(body))

    async def weights(request: web.Request) -> web.Response:
        body = await request.read()
        query = request.query
        return await answered(lambda: generator.load(body, int(query["version"]), int(query["owner"])))

    app = web.Application(client_max_size=MOST_BYTES)
    app.add_routes([web.get("/", told), web.post("/generate", generate), web.post("/weights", weights)])

    async def stop(_: web.Application) -> None:
        model.shutdown(wait=False, cancel_futures=True)

    app.on_cleanup.append(stop)
    return app


def _drafts(asked: Mapping[str, Tensor], vocabulary_size: int) -> list[Draft]:
    tokens, lengths, limits, uniforms = (asked[name] for name in PROMPTS)
    rows = len(tokens)
    shapes = [tuple(tensor.shape) for tensor in (lengths, limits, uniforms)]
    if tokens.dim() != 2 or shapes[:2] != [(rows,), (rows,)] or uniforms.dim() != 2 or len(uniforms) != rows:
        raise DataError(
            f"tokens of shape {list(tokens.shape)}, lengths, limits and uniforms of shapes {shapes}: expected [N,T], "
            "[N], [N] and [N,U]."
        )
    longest, most = (int(tensor.max()) if rows else 0 for tensor in (lengths, limits))
    least = min((int(tensor.min()) for tensor in (lengths, limits)), default=1) if rows else 1
    drawn = uniforms.shape[1]
    if least < 1 or longest > tokens.shape[1] or (drawn and most > drawn):
        raise DataError(
            f"lengths up to {longest} of {tokens.shape[1]} tokens, limits up to {most} with {drawn} random numbers, "
            f"and the least is {least}: expected at least 1, tokens for every length, and a random number for every "
            "token that may be sampled (or none at all)."
        )
    if rows and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary_size:
        raise DataError(f"ids from {int(tokens.min())} to {int(tokens.max())}: expected 0 to {vocabulary_size - 1}.")
    return [
        Draft(
            Conversation(),
            tokens[row, : lengths[row]].tolist(),
            uniforms[row].double().numpy() if drawn else None,
            int(limits[row]),
        )
        for row in range(rows)
    ]
