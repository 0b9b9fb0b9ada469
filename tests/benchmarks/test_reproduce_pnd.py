"""PND run again: the plan is of one piece, lessons keep questions apart, a very small run ends well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fogline.agents.decoding import make_decoder
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellResult
from fogline.benchmarks.reproduce.pnd import START, choose, described, in_words, negative_path, unable
from fogline.benchmarks.reproduce.pnd.evidence import ALL, found_share, outside_maps, outsiders_answers, true_maps
from fogline.benchmarks.reproduce.pnd.measuring import _evidence, begin, captions, exam_of, play, presence, tune
from fogline.benchmarks.reproduce.pnd.plan import (
    ACCURACY,
    CHAIR_I,
    CHAIR_S,
    CLAIMS,
    FULL,
    GREEDY,
    LEANS,
    METHODS,
    ORACLE,
    PND,
    QUICK,
    RECALL,
    RIVALS,
    SEES,
    SIGHT,
    SPLITS,
    WITHOUT,
    YES_RATE,
    PresencePlan,
    loosely,
)
from fogline.benchmarks.reproduce.pnd.world import lesson, tokenizer_and_words, untrained
from fogline.benchmarks.reproduce.results import Findings, arms_of, compare, judge

torch.set_num_threads(1)

MICRO = PresencePlan(
    width=16, vision_width=16, batch=4, sight_steps=3, read_steps=3, prior_steps=6, pictures=3, seeds=(7, 8, 9)
)


def test_the_plan_is_of_one_piece() -> None:
    assert not set(FULL.seeds) & set(FULL.tuning_seeds)
    assert len(FULL.seeds) >= 5
    assert {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS} <= set(METHODS)
    assert {claim.baseline for claim in CLAIMS if claim.arm == PND} >= {GREEDY, WITHOUT, *RIVALS}
    assert set(QUICK.shapes()) == set(FULL.shapes())


def test_every_tuned_method_has_four_settings_that_its_decoder_takes() -> None:
    exam = exam_of(MICRO, 0)
    similarity = torch.zeros(MICRO.pictures, 12, 16)
    for method in METHODS.values():
        assert len(method.settings) == (1 if method.decoder == "plain" or method.tuned_as else 4)
        assert len({str(options) for options in method.settings}) == len(method.settings)
        for options in method.settings:
            settings = {**method.fixed, **options}
            if method.decoder in ("pnd", "agla"):
                _, settings = _evidence(exam, similarity, method, settings, [0], [0])
            make_decoder(method.decoder, **settings)


@pytest.mark.parametrize("form", ["plain", "confused", "blind"])
def test_a_question_of_a_lesson_is_read_as_if_it_stood_alone(form: str) -> None:
    _, words = tokenizer_and_words()
    model = untrained(MICRO, 0).eval()
    there = np.random.default_rng(0).random((2, 12)) < 0.4
    made = lesson(words, there, np.ones(there.shape), form)
    pixels = None if form == "blind" else exam_of(MICRO, 0).pixels[:2]
    before = [words.begin, *[words.image] * (0 if form == "blind" else 16)]
    lead = [words.confused] if form == "confused" else []
    with torch.no_grad():
        logits = model(
            input_ids=made.tokens, attention_mask=made.mask, position_ids=made.positions, pixel_values=pixels
        ).logits
        for number in (0, 7):
            alone = torch.tensor([[*before, *lead, words.asks, words.objects[number]]] * 2)
            wanted = model(input_ids=alone, pixel_values=pixels).logits[:, -1]
            place = len(before) + (len(lead) + 2) * (number + 1) - 1
            torch.testing.assert_close(logits[:, place], wanted, rtol=1e-4, atol=1e-4)
            assert (made.targets[:, place] == words.yes).tolist() == there[:, number].tolist()
    for row in range(2):
        told = [token for token in made.targets[row, -13:].tolist() if token != -100]
        assert told == [*(words.objects[number] for number in np.flatnonzero(there[row])), words.end]


def test_the_truth_scores_full_marks_and_its_maps_show_the_cells() -> None:
    exam = exam_of(PresencePlan(pictures=10), 3)
    for questions in exam.questions.values():
        assert len(questions) == 60 and sum(item.label for item in questions) == 30
        assert all(item.label == (item.asked in exam.objects(item.picture)) for item in questions)
    truth = {item[:2]: item.label for split in exam.questions.values() for item in split}
    assert presence(exam, truth)[ACCURACY] == 1.0
    assert captions(exam, [exam.objects(picture) for picture in range(10)]) == {CHAIR_S: 0.0, CHAIR_I: 0.0, RECALL: 1.0}
    maps = true_maps(exam, [4, 0])
    assert maps.flatten(1).sum(1).tolist() == [64.0 * len(exam.objects(4)), 64.0 * len(exam.objects(0))]
    # An outsider that sees exactly what is there has the same maps.
    cells = torch.from_numpy(exam.scenes.cells)
    exact = torch.nn.functional.one_hot(cells.clamp_min(0), 16) * (cells >= 0)[..., None]
    assert found_share(exam, exact.float()) == 1.0
    assert presence(exam, outsiders_answers(exam, exact.float()))[ACCURACY] == 1.0
    torch.testing.assert_close(outside_maps(exact.float(), [4, 0], [ALL, ALL]).amin(1), maps[:, 0])
    there = exam.objects(0)[0]
    assert outside_maps(exact.float(), [0], [there]).flatten(1).sum(1).tolist() == [128.0]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A start, and every method from it, in this process."""
    folder = tmp_path_factory.mktemp("pnd")
    value = begin(MICRO, folder, Cell(START, 7))
    chosen = {name: method.settings[0] for name, method in METHODS.items()}
    values = {name: play(MICRO, chosen, folder, Cell(name, 7)) for name in METHODS}
    return {"folder": folder, "start": value, "methods": values}


def test_every_method_answers_and_lists(found: dict[str, Any]) -> None:
    for value in found["methods"].values():
        metrics = value["metrics"]
        assert {ACCURACY, CHAIR_I, CHAIR_S, RECALL, YES_RATE} <= set(metrics)
        assert all(0 <= metrics[f"accuracy, {split}"] <= 1 for split in SPLITS)
    assert {SIGHT, YES_RATE} <= set(found["start"]["metrics"])


def test_tuning_takes_the_best_and_the_first_of_equals(found: dict[str, Any]) -> None:
    folder: Path = found["folder"]
    told = tune(MICRO, folder, Cell(PND, 7))["metrics"]
    assert set(told) == {"0", "1", "2", "3"}

    def stage(name: str, cells: Any, function: Any, shapes: Any) -> list[CellResult]:
        best = {PND: "2", "VCD": "none"}
        return [
            CellResult(*cell, "done", {"metrics": {str(i): float(best.get(cell.arm) == str(i)) for i in range(4)}})
            for cell in cells
        ]

    chosen = choose(MICRO, folder, stage)
    assert chosen[PND] == METHODS[PND].settings[2]
    assert chosen["VCD"] == METHODS["VCD"].settings[0]
    assert chosen[WITHOUT] == {**METHODS[PND].settings[2], "gamma": 0.0}


def test_findings_are_valid_and_say_what_the_negative_path_adds(found: dict[str, Any]) -> None:
    cells = [CellResult(name, seed, "done", value) for name, value in found["methods"].items() for seed in MICRO.seeds]
    arms = arms_of(cells)
    comparisons = judge(arms, CLAIMS)
    assert len(comparisons) == len(CLAIMS)
    notes = negative_path(comparisons)
    assert len(notes) == 6 and all("negative path" in note for note in notes)
    made = Findings(
        system="pnd",
        claim="c",
        paper={},
        config=MICRO.model_dump(mode="json"),
        plan={name: described(name) for name in METHODS} | MICRO.stated(),
        arms=arms,
        comparisons=comparisons,
        notes=notes,
    )
    assert Findings(**json.loads(json.dumps(made.model_dump(mode="json")))) == made


def test_nothing_is_called_nothing() -> None:
    def arm(name: str, values: tuple[float, ...]) -> CellResult:
        return [CellResult(name, seed, "done", {"metrics": {ACCURACY: value}}) for seed, value in enumerate(values)]  # type: ignore[return-value]

    claim = next(item for item in CLAIMS if (item.arm, item.baseline) == (PND, WITHOUT))

    def said(values: tuple[float, ...]) -> str:
        arms = arms_of([*arm(PND, values), *arm(WITHOUT, (0.7, 0.7, 0.7))])  # type: ignore[misc]
        return in_words(compare(arms, ACCURACY, PND, WITHOUT, paper=claim.paper, margin=claim.margin))

    assert "nothing" in said((0.71, 0.69, 0.70))
    assert "little" in said((0.7049, 0.705, 0.7051))
    assert "more than" in said((0.80, 0.81, 0.79))
    assert "nothing" in said((0.8,))


def test_a_start_that_is_not_what_it_should_be_is_named() -> None:
    def start(seed: int, sight: float, yes: float) -> CellResult:
        return CellResult(START, seed, "done", {"metrics": {SIGHT: sight, YES_RATE: yes}})

    assert unable([start(3, SEES, LEANS)]) == ()
    sight, leaning = unable([start(3, 0.95, 0.7), start(4, 0.5, 0.7), start(5, 0.95, 0.4)])
    assert "4 (0.50)" in sight and "5 (0.40)" in leaning and "3 (" not in sight + leaning


def test_the_oracle_differs_in_evidence_alone() -> None:
    for said in (str, loosely):
        pnd, oracle = METHODS[said(PND)], METHODS[said(ORACLE)]
        assert (pnd.settings, pnd.fixed, oracle.evidence) == (oracle.settings, oracle.fixed, "truth")
    assert ReproduceConfig(name="pnd").cells_folder.name == "pnd"
