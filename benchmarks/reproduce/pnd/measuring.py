"""A model under a decoder: what it answers, what it lists, and how right that is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from fogline.agents.decoding import make_decoder
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pnd.evidence import (
    ALL,
    found_share,
    outside_maps,
    outside_similarity,
    outsiders_answers,
    true_maps,
)
from fogline.benchmarks.reproduce.pnd.plan import (
    ACCURACY,
    CHAIR_I,
    CHAIR_S,
    FOUND,
    GREEDY,
    METHODS,
    OUTSIDER,
    RECALL,
    SIGHT,
    Method,
    PresencePlan,
    of_split,
)
from fogline.benchmarks.reproduce.pnd.training import lean, read, see
from fogline.benchmarks.reproduce.pnd.world import (
    CLEAR,
    DEVIATION,
    MEAN,
    Exam,
    Words,
    draw_exam,
    tokenizer_and_words,
    untrained,
)
from fogline.envs.object_presence.scores import caption_counts, chair_scores, pope_scores
from fogline.simulators.scenes.questions import POPE_SPLITS as SPLITS

_TESTED, _CLEARLY = 0, 40_000_000
_CENTRE = {"centre": MEAN, "image_mean": (MEAN,), "image_std": (DEVIATION,)}


def begin(plan: PresencePlan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """Train the model of a seed and its outsider, keep both, and say whether the model sees and leans on its prior."""
    _, words = tokenizer_and_words()
    model = untrained(plan, cell.seed)
    curves = {"sight": see(plan, model, words, cell.seed), "reading": read(plan, model, words, cell.seed)}
    curves["prior"] = lean(plan, model, words, cell.seed)
    exam = exam_of(plan, cell.seed)
    similarity = outside_similarity(plan, exam.pixels, cell.seed)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict(), "similarity": similarity}, _kept(folder, cell.seed))
    clearly = draw_exam(_CLEARLY + cell.seed, plan.pictures, SPLITS, CLEAR.contrast)
    greedy = METHODS[GREEDY]
    seen = presence(clearly, answers(model.eval(), words, clearly, similarity, greedy, {}))
    metrics = {
        SIGHT: seen[ACCURACY],
        FOUND: found_share(exam, similarity),
        OUTSIDER: presence(exam, outsiders_answers(exam, similarity))[ACCURACY],
        **presence(exam, answers(model, words, exam, similarity, greedy, {})),
    }
    return {
        "metrics": metrics,
        "losses": {name: losses[:: max(len(losses) // 20, 1)] for name, losses in curves.items()},
    }


def tune(plan: PresencePlan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """Mean accuracy of every setting of a method, by its number."""
    model, words, exam, similarity = _ready(plan, folder, cell.seed)
    method = METHODS[cell.arm]
    return {
        "metrics": {
            str(number): presence(exam, answers(model, words, exam, similarity, method, options))[ACCURACY]
            for number, options in enumerate(method.settings)
        }
    }


def play(plan: PresencePlan, chosen: Mapping[str, Mapping[str, Any]], folder: Path, cell: Cell) -> Mapping[str, Any]:
    """A method with its chosen setting: answers and lists."""
    model, words, exam, similarity = _ready(plan, folder, cell.seed)
    method, options = METHODS[cell.arm], chosen[cell.arm]
    said = answers(model, words, exam, similarity, method, options)
    listed = lists(model, words, exam, similarity, method, options)
    return {"metrics": {**presence(exam, said), **captions(exam, listed)}}


def exam_of(plan: PresencePlan, seed: int) -> Exam:
    """The test of a seed."""
    return draw_exam(_TESTED + seed, plan.pictures, SPLITS)


def answers(
    model: Any, words: Words, exam: Exam, similarity: Tensor, method: Method, options: Mapping[str, Any]
) -> dict[tuple[int, int], bool | None]:
    """Yes, no or neither, by picture and object, each asked once however many splits ask it."""
    pairs = sorted({question[:2] for split in exam.questions.values() for question in split})
    rows, objects = ([pair[part] for pair in pairs] for part in (0, 1))
    prompt = [[*_before(words), words.asks, words.objects[asked]] for asked in objects]
    told = decoded(model, words, exam, similarity, method, options, rows, objects, prompt, 1)[:, 0].tolist()
    meant = {words.yes: True, words.no: False}
    return {pair: meant.get(token) for pair, token in zip(pairs, told, strict=True)}


def lists(
    model: Any, words: Words, exam: Exam, similarity: Tensor, method: Method, options: Mapping[str, Any]
) -> list[list[int]]:
    """What is listed of each picture: numbers of objects, once for each mention."""
    rows = list(range(len(exam.pixels)))
    prompt = [[*_before(words), words.lists]] * len(rows)
    most = len(words.objects) + 1
    told = decoded(model, words, exam, similarity, method, options, rows, [ALL] * len(rows), prompt, most)
    number = {token: place for place, token in enumerate(words.objects)}
    return [[number[token] for token in row if token in number] for row in told.tolist()]


def decoded(
    model: Any,
    words: Words,
    exam: Exam,
    similarity: Tensor,
    method: Method,
    options: Mapping[str, Any],
    rows: list[int],
    objects: list[int],
    prompt: list[list[int]],
    most: int,
) -> Tensor:
    """New tokens ``[B,n]``, n at the most ``most``."""
    extras: dict[str, Any] = {}
    settings = {**method.fixed, **options}
    if method.decoder in ("pnd", "agla"):
        extras, settings = _evidence(exam, similarity, method, settings, rows, objects)
    if method.decoder == "icd":
        settings["disturbance"] = (words.confused,)
    ids = torch.tensor(prompt)
    with torch.no_grad():
        told: Tensor = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=exam.pixels[rows],
            custom_generate=make_decoder(method.decoder, **settings),
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=words.end,
            pad_token_id=words.end,
            **extras,
        )
    return told[:, ids.shape[1] :]


def _evidence(
    exam: Exam, similarity: Tensor, method: Method, settings: dict[str, Any], rows: list[int], objects: list[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Maps for those who want them, and how pixel values relate to colours."""
    space = _CENTRE if method.decoder == "pnd" else {name: _CENTRE[name] for name in ("image_mean", "image_std")}
    if method.evidence == "attention":
        return {}, {**settings, **space, "saliency": "attention"}
    found = true_maps(exam, rows) if method.evidence == "truth" else outside_maps(similarity, rows, objects)
    return {"saliency_maps": found}, {**settings, **space, "saliency": "oracle"}


def presence(exam: Exam, said: Mapping[tuple[int, int], bool | None]) -> dict[str, float]:
    """POPE's scores of each split, and the mean accuracy of all."""
    found: dict[str, float] = {}
    for split, questions in exam.questions.items():
        scores = pope_scores([item.label for item in questions], [said[item[:2]] for item in questions])
        for name in ("accuracy", "f1", "yes_rate"):
            found[of_split(name, split)] = getattr(scores, name)
    return {ACCURACY: fmean(found[of_split("accuracy", split)] for split in SPLITS), **found}


def captions(exam: Exam, listed: list[list[int]]) -> dict[str, float]:
    """CHAIR's scores."""
    names = [
        caption_counts([str(number) for number in said], [str(number) for number in exam.objects(picture)])
        for picture, said in enumerate(listed)
    ]
    scores = chair_scores(names)
    return {CHAIR_S: scores.chair_s, CHAIR_I: scores.chair_i, RECALL: scores.recall}


def _before(words: Words) -> list[int]:
    return [words.begin, *[words.image] * 16]


def _kept(folder: Path, seed: int) -> Path:
    return folder / f"model-seed-{seed}.pt"


def _ready(plan: PresencePlan, folder: Path, seed: int) -> tuple[Any, Words, Exam, Tensor]:
    _, words = tokenizer_and_words()
    kept = torch.load(_kept(folder, seed), weights_only=True)
    model = untrained(plan, seed)
    model.load_state_dict(kept["model"])
    return model.eval(), words, exam_of(plan, seed), kept["similarity"]
