"""``fogline serve``: a language model that trainers far away sample from, with the weights that they send."""

from __future__ import annotations

from typing import Annotated

import typer

from fogline.cli.console import clean, console, quiet_libraries


def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a causal language model.")],
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen; whoever reaches it can replace the weights.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 takes a free one.", min=0, max=65535)] = 8412,
    temperature: Annotated[float, typer.Option(metavar="T", help="Of sampling; the trainer's must be the same.")] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Ends an action; the trainer's must be the same.")
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="float32, float64 or bfloat16.")] = "float32",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="Such as cuda.")] = "cpu",
) -> None:
    """Serve tokens and their log-probabilities to one trainer, until interrupted.

    Train by it with: fogline train grpo --model MODEL --policy server=http://HOST:PORT (the same model).

    Example: fogline serve runs/sft/policy --port 8412
    """
    quiet_libraries()
    from fogline.agents.policies.language import CausalLMPolicy
    from fogline.core.errors import check_choice
    from fogline.trainers.generation_server import generation_app
    from fogline.trainers.serving import serve as run

    check_choice("dtype", dtype, ("float32", "float64", "bfloat16"))
    policy = CausalLMPolicy(model, temperature=temperature, stop=stop or (), dtype=dtype, device=device, name=model)

    def ready(url: str) -> None:
        console().print(clean(f"{policy.name} samples at {url} ({policy.vocabulary_size:,} tokens)."), soft_wrap=True)

    run(generation_app(policy), host, port, ready)
