"""What decoding by contrast costs: a token of each method beside one that the model writes greedily by itself.

The peer is ``model.generate`` without us, with the same model, prompts and number of tokens. PND is told its evidence;
what it costs to look for it, one pass with its own attention, stands apart. So does the memory of its three caches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import process_time
from typing import Any

from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.timing import MILLISECONDS, Spread, alternate
from fogline.core.errors import missing_dependency

NAME = "decoding"
TARGET = Target("at most", 3.3)
_GREEDY, _LOOKING = "greedy", "pnd, own attention"
_NOTE = "CPU time of this process, one thread, reading the prompt included"
_PROMPT = 16

METHODS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "pnd": {"saliency": "oracle"},
    _LOOKING: {"saliency": "attention"},
    "vcd": {},
    "icd": {"disturbance": (7, 8, 9)},
    "agla": {"saliency": "oracle", "keep_share": 0.5},
    "sid": {"keep": 12},
    "pai": {"first_layer": 0},
    "m3id": {},
    "opera": {},
    "dola": {"bucket": (0, 2)},
}
"""Settings that the model of the benchmark asks for; all else is the method's own."""


@dataclass(frozen=True)
class Size:
    """Of model and task.

    Attributes:
        width: Hidden size of the language model, of six layers.
        rows: Prompts in a batch, each with a picture of 64 tokens.
        tokens: Written to each.
    """

    width: int = 384
    rows: int = 2
    tokens: int = 32


def run(effort: Effort, size: Size | None = None) -> list[Finding]:
    """Time every method, and weigh PND's caches.

    Raises:
        MissingDependencyError: torch or transformers is not installed.
    """
    from importlib.util import find_spec

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_dependency(package, "vision")
    import torch

    size = size or Size()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model, inputs = _prepared(size)
        writers = {name: _writer(model, inputs, size, name, options) for name, options in METHODS.items()}
        seconds = alternate({_GREEDY: _writer(model, inputs, size, None, {}), **writers}, max(2, effort.rounds // 3))
        found = [_finding(size, name, seconds) for name in METHODS]
        return [*found, _looking(seconds), _memory(model, inputs, size)]
    finally:
        torch.set_num_threads(threads)


def _prepared(size: Size) -> tuple[Any, dict[str, Any]]:
    import torch

    from fogline.agents.policies.tiny import fit_tokenizer
    from fogline.agents.policies.tiny_vision import PICTURE, seeing_tokenizer, tiny_vision_lm

    tokenizer = seeing_tokenizer(fit_tokenizer(["is there a cat? yes no"], vocabulary_size=128, piece_length=1))
    model = tiny_vision_lm(
        tokenizer, image_size=64, patch=8, layers=6, width=size.width, heads=4, vision_width=64, context=256
    )
    generator = torch.Generator().manual_seed(0)
    image = torch.full((size.rows, 64), tokenizer.convert_tokens_to_ids(PICTURE))
    words = torch.randint(10, 100, (size.rows, _PROMPT), generator=generator)
    ids = torch.cat([image, words], 1)
    pixels = torch.rand(size.rows, 3, 64, 64, generator=generator)
    return model.eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def _writer(
    model: Any, inputs: Mapping[str, Any], size: Size, name: str | None, options: Mapping[str, Any]
) -> Callable[[], float]:
    """Writes all tokens of a batch, and returns the seconds of it that a token cost."""
    import torch

    from fogline.agents.decoding import make_decoder

    own: dict[str, Any] = {}
    if name is not None:
        own["custom_generate"] = make_decoder(name.partition(",")[0], **options)
    if options.get("saliency") == "oracle":
        own["saliency_maps"] = torch.rand(size.rows, 8, 8, generator=torch.Generator().manual_seed(1))
    fixed = {"max_new_tokens": size.tokens, "min_new_tokens": size.tokens, "do_sample": False, "pad_token_id": 0}

    def write() -> float:
        began = process_time()
        model.generate(**inputs, **own, **fixed)
        return (process_time() - began) / (size.rows * size.tokens)

    return write


def _finding(size: Size, name: str, seconds: Mapping[str, list[float]]) -> Finding:
    ratios = [one / other for one, other in zip(seconds[name], seconds[_GREEDY], strict=True)]
    return Finding(
        benchmark=NAME,
        case=f"{name}, width {size.width}",
        subject=f"a token of {name}",
        peer="a token of greedy generate",
        unit="ms",
        subject_value=Spread.of(seconds[name], MILLISECONDS),
        peer_value=Spread.of(seconds[_GREEDY], MILLISECONDS),
        quantity="time over greedy's",
        seen=Spread.of(ratios),
        seen_unit="×",
        target=TARGET if name == "pnd" else None,
        note=_NOTE,
    )


def _looking(seconds: Mapping[str, list[float]]) -> Finding:
    """What looking for the evidence adds, in greedy tokens of the same batch."""
    added = [one - other for one, other in zip(seconds[_LOOKING], seconds["pnd"], strict=True)]
    shares = [more / one for more, one in zip(added, seconds[_GREEDY], strict=True)]
    return Finding(
        benchmark=NAME,
        case="pnd's pass for its own attention",
        subject="the saliency pass, spread over the tokens",
        peer="a token of greedy generate",
        unit="ms",
        subject_value=Spread.of(added, MILLISECONDS),
        peer_value=Spread.of(seconds[_GREEDY], MILLISECONDS),
        quantity="time added, over greedy's",
        seen=Spread.of(shares),
        seen_unit="×",
        note=_NOTE,
    )


def _memory(model: Any, inputs: Mapping[str, Any], size: Size) -> Finding:
    """Bytes of keys and values that PND holds at its end, beside those of its original path."""
    import torch

    from fogline.agents.decoding import make_decoder

    decoder = make_decoder("pnd", saliency="oracle")
    kept: dict[str, Any] = {}
    paths = decoder.paths

    def watched(prompt: Any, extras: Any) -> dict[str, Any]:
        kept.update(paths(prompt, extras))
        return kept

    decoder.paths = watched  # type: ignore[method-assign]
    maps = torch.rand(size.rows, 8, 8)
    model.generate(
        **inputs, custom_generate=decoder, saliency_maps=maps, max_new_tokens=size.tokens, do_sample=False,
        pad_token_id=0,
    )  # fmt: skip
    held = {name: _bytes(path.arguments["past_key_values"]) for name, path in kept.items()}
    kib = 1 / 1024
    return Finding(
        benchmark=NAME,
        case=f"caches of pnd, width {size.width}, {size.rows} rows",
        subject="keys and values of three paths",
        peer="of the original path",
        unit="KiB",
        subject_value=Spread.of([sum(held.values())], kib),
        peer_value=Spread.of([held["original"]], kib),
        quantity="memory over that of one cache",
        seen=Spread.of([sum(held.values()) / held["original"]]),
        seen_unit="×",
        note="counted at the end of the answer",
    )


def _bytes(cache: Any) -> int:
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
