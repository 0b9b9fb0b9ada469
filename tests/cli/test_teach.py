"""``fogline teach`` as a newcomer runs it: a server in a process of its own, asked and interrupted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import torch

from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm
from fogline.trainers.recipe import Teaching
from fogline.trainers.remote_teachers import RemoteTeacher


def test_it_teaches_until_it_is_interrupted(tmp_path: Path) -> None:
    tokenizer = fit_tokenizer(["7+5=12", "9-4=5"], vocabulary_size=128, piece_length=1)
    policy = CausalLMPolicy(tiny_causal_lm(tokenizer, layers=2, width=32, context=32), tokenizer)
    policy.save(tmp_path / "model")
    command = [sys.executable, "-m", "fogline.cli.main", "teach", str(tmp_path / "model"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://[0-9.:]+", line)
            assert found is not None, line
            teacher = RemoteTeacher(found[0])
            assert teacher.vocabulary_size == policy.vocabulary_size
            tokens = torch.tensor([tokenizer("7+5=12")["input_ids"]])
            written = torch.zeros_like(tokens, dtype=torch.bool)
            written[:, 4:] = True
            rows = teacher.score(tokens, torch.ones_like(written), written, {}, Teaching(top_k=2))
            torch.testing.assert_close(rows.logp, policy.score(tokens, torch.ones_like(written), written, {}).logp)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
