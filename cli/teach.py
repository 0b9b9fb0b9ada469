"""``fogline teach``: a language model that students far away can listen to."""

from __future__ import annotations

from typing import Annotated

import typer

from fogline.cli.console import clean, console, quiet_libraries


def teach(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a causal language model.")],
    host: Annotated[str, typer.Option(metavar="HOST", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 takes a free one.", min=0, max=65535)] = 8411,
    temperature: Annotated[float, typer.Option(metavar="T", help="Of scoring; the student's must be the same.")] = 1.0,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="float32, float64 or bfloat16.")] = "float32",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="Such as cuda.")] = "cpu",
) -> None:
    """Serve log-probabilities and likeliest tokens of what students wrote, until interrupted.

    Train by it with: fogline train aopd --teacher http://HOST:PORT (the student needs the same tokenizer).

    Example: fogline teach runs/sft/policy --port 8411
    """
    quiet_libraries()
    from fogline.agents.policies.language import CausalLMPolicy
    from fogline.core.errors import check_choice
    from fogline.trainers.serving import serve
    from fogline.trainers.teachers import LocalTeacher
    from fogline.trainers.teaching_server import teaching_app

    check_choice("dtype", dtype, ("float32", "float64", "bfloat16"))
    teacher = LocalTeacher(CausalLMPolicy(model, temperature=temperature, dtype=dtype, device=device, name=model))

    def ready(url: str) -> None:
        console().print(clean(f"{teacher.name} teaches at {url} ({teacher.vocabulary_size:,} tokens)."), soft_wrap=True)

    serve(teaching_app(teacher), host, port, ready)
