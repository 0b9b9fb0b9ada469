"""The plan: arms, settings, seeds, margins; committed before the full run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.reproduce.results import Claim, claimed
from fogline.simulators.scenes.questions import POPE_SPLITS as SPLITS

ACCURACY = "mean accuracy of three splits"
CHAIR_S, CHAIR_I, RECALL = "CHAIR_s", "CHAIR_i", "recall of lists"
SIGHT, FOUND = "accuracy at high contrast", "objects found by the outsider"
OUTSIDER = "mean accuracy of the outsider alone"
SEES, LEANS = 0.9, 0.65
"""A start with less accuracy at high contrast, or a lower rate of yes on the popular split, is named."""


def of_split(name: str, split: str) -> str:
    """A metric of a split."""
    return f"{name.replace('_', ' ')}, {split}"


YES_RATE = of_split("yes_rate", "popular")

Settings = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Method:
    """A way to decode.

    Attributes:
        decoder: Of :data:`~fogline.agents.decoding.DECODERS`.
        settings: Candidates, of which tuning chooses one.
        fixed: Settings of all candidates.
        evidence: Who says where to look, of the methods that ask: an outsider, the model's own attention, the truth.
        tuned_as: Another method, whose choice is taken.
    """

    decoder: str
    settings: Settings = ({},)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    evidence: Literal["outsider", "attention", "truth"] = "outsider"
    tuned_as: str = ""


GREEDY, PND, LOOSE = "greedy", "PND", "PND, beta .01"
RELEASE, WITHOUT = "PND, release form", "PND, negative path left out"
POSITIVE, NEGATIVE, BOTH = "positive only", "negative only", "original + positive"
ATTENTION, ORACLE = "PND, own attention", "PND, true cells"

_AMPLIFIED: Settings = ({"amplification": 1.0}, {"amplification": 2.0}, {"amplification": 3.0})
_PND: Settings = (*_AMPLIFIED, {"amplification": 3.0, "gamma": 1.0})
_STRICT, _LOOSE = {"beta": 0.4}, {"beta": 0.01}
_POSITIVE: Settings = (*_AMPLIFIED, {"amplification": 4.0})
_NEGATIVE: Settings = tuple({"gamma": gamma} for gamma in (0.4, 0.6, 0.8, 0.95))
_ADDED: Settings = (*_AMPLIFIED, {"amplification": 3.0, "alpha": 1.0})


def strictly(name: str) -> str:
    """A name with the published cutoff: as it is."""
    return name


def loosely(name: str) -> str:
    """The same with the other cutoff."""
    return f"{name}, beta .01"


_CUTOFFS: tuple[tuple[Callable[[str], str], Mapping[str, Any]], ...] = ((strictly, _STRICT), (loosely, _LOOSE))


def _ablations() -> dict[str, Method]:
    found = {}
    for said, cutoff in _CUTOFFS:
        alone = {**cutoff, "fusion": "release", "alpha": 1.0, "gamma": 0.0}
        found[said(PND)] = Method("pnd", _PND, cutoff)
        found[said(WITHOUT)] = Method("pnd", fixed=cutoff, tuned_as=said(PND))
        found[said(POSITIVE)] = Method("pnd", _POSITIVE, alone)
        found[said(NEGATIVE)] = Method("pnd", _NEGATIVE, {**cutoff, "alpha": 0.0})
        found[said(BOTH)] = Method("pnd", _ADDED, {**cutoff, "gamma": 0.0})
        found[said(ORACLE)] = Method("pnd", _PND, cutoff, "truth")
        found[said(ATTENTION)] = Method("pnd", _PND, cutoff, "attention")
    return found


METHODS: Mapping[str, Method] = {
    GREEDY: Method("plain"),
    **_ablations(),
    RELEASE: Method(
        "pnd",
        tuple(
            {"keep_share": share, "alpha": alpha} for share, alpha in ((0.5, 2.2), (0.75, 2.2), (0.25, 2.2), (0.5, 1.0))
        ),
        {
            "fusion": "release",
            "positive_view": "keep_mask",
            "positive_map": "raw",
            "renormalise_consensus": True,
            "smoothing": 0.02,
            "clamp": True,
        },
    ),
    "VCD": Method(
        "vcd", tuple({"strength": a, "noise_step": t} for a, t in ((1.0, 500), (0.5, 500), (1.0, 999), (0.5, 999)))
    ),
    "ICD": Method("icd", tuple({"strength": strength} for strength in (1.0, 0.5, 0.25, 2.0))),
    "AGLA": Method(
        "agla",
        tuple({"strength": a, "keep_share": share} for a, share in ((2.0, 0.75), (2.0, 0.5), (2.0, 0.25), (1.0, 0.5))),
    ),
    "SID": Method("sid", tuple({"strength": a, "layer": k} for a, k in ((1.0, 2), (0.5, 2), (1.0, 1), (0.5, 1)))),
    "PAI": Method(
        "pai",
        tuple(
            {"boost": a, "guidance": g, "first_layer": layer}
            for a, g, layer in ((0.5, 1.1, 2), (0.2, 1.1, 2), (0.2, 1.1, 1), (0.5, 1.5, 2))
        ),
    ),
    "M3ID": Method("m3id", tuple({"forgetting": rate} for rate in (0.02, 0.1, 0.3, 0.7)), {"first_step": 1}),
    "OPERA": Method(
        "opera", tuple({"penalty": w, "beams": beams} for w, beams in ((1.0, 5), (0.5, 5), (2.0, 5), (1.0, 3)))
    ),
    "DoLa": Method("dola", tuple({"bucket": b, "beta": beta} for b in ("low", "high") for beta in (0.1, 0.01))),
}
"""The first candidate of each is as published, as far as that is known; three are around it."""

RIVALS = ("VCD", "ICD", "AGLA", "SID", "PAI", "M3ID", "OPERA", "DoLa")

PAPER: Mapping[str, Any] = {
    "name": "PND, arXiv 2605.06679",
    "setting": "LLaVA-1.5-7B; POPE on COCO, adversarial split, accuracy",
    "original": 0.7853,
    "positive only": 0.8314,
    "negative only": 0.8223,
    "original + positive": 0.8360,
    "PND": 0.8403,
    "AGLA": 0.8313,
    "mean gain over the regular decoding": 0.064,
    "CHAIR_s, CHAIR_i, recall": "0.510 to 0.460, 0.176 to 0.140, 0.744 to 0.781",
    "not known": "amplification, exact layers, whether the tables rest on the paper's fusion or the release's",
}

BEFORE = (
    "on seeds 900 to 904. A tower that is drawn to whole words, however faint the object, sees pictures of a "
    "contrast of 0.1 as well as others: all answers are right and there is nothing to mend. So its features go "
    "with the contrast. Embeddings alone did not take the prior up in one start of two; with the feed-forward "
    "parts they do. With three batches of prior to one that is honest a start lost sight (0.81). A start of an "
    "earlier form (900) was decoded from with every method, and with all settings of a part of them: 'PND, beta "
    ".01' gained 0.15, of which the negative path added less than 0.01; 'positive only' gained as much; PAI in "
    "its first layers left no answer, and begins in later ones since. A BLIP of our own as the matcher did not "
    "end training in time beside other work, so that the outsider took its place. Starts of this form (902, 904) "
    "answered 0.84 and 0.82 of questions rightly, and yes on the popular split in 0.61 of cases, less than wanted; a "
    "prior learned up to a contrast of 0.25 made it 0.56. No seed above was run"
)

GAIN, ADDED = 0.02, 0.01
"""Smallest differences that count: of a gain over greedy or a rival, and of what one path adds to another."""

_TABLE, _OURS = "table of ablations, adversarial split", "our question"


def _claims() -> tuple[Claim, ...]:
    found = []
    for said, _ in _CUTOFFS:
        pnd = said(PND)
        found.append(claimed(ACCURACY, pnd, GREEDY, "higher", "mean gain", 0.064, margin=GAIN))
        for split in SPLITS:
            found.append(claimed(of_split("accuracy", split), pnd, GREEDY, "higher", "POPE", margin=GAIN))
        for name, difference in ((POSITIVE, 0.0089), (NEGATIVE, 0.018), (BOTH, 0.0043)):
            found.append(claimed(ACCURACY, pnd, said(name), "higher", _TABLE, difference, margin=ADDED))
        found.append(claimed(ACCURACY, pnd, said(WITHOUT), "higher", _TABLE, 0.0043, margin=ADDED))
        for rival in RIVALS:
            published = 0.009 if rival == "AGLA" else None
            source = _OURS if published is None else "POPE, adversarial split"
            found.append(claimed(ACCURACY, pnd, rival, "higher", source, published, margin=GAIN))
        found.append(claimed(ACCURACY, said(ORACLE), pnd, "not lower", _OURS, margin=ADDED))
        found.append(claimed(CHAIR_I, pnd, GREEDY, "lower", "CHAIR", -0.036, margin=GAIN))
        found.append(claimed(CHAIR_S, pnd, GREEDY, "lower", "CHAIR", -0.05, margin=GAIN))
        found.append(claimed(CHAIR_I, pnd, said(WITHOUT), "lower", _OURS, margin=ADDED))
        for other in (ORACLE, ATTENTION):
            found.append(claimed(ACCURACY, said(other), GREEDY, "higher", _OURS, margin=GAIN))
    found.append(claimed(ACCURACY, RELEASE, GREEDY, "higher", _OURS, margin=GAIN))
    return tuple(found)


CLAIMS = _claims()


class PresencePlan(BaseModel):
    """Budgets; the full and the quick form differ in nothing else.

    Attributes:
        layers: Of the language model.
        width: Of the language model.
        vision_width: Of the tower.
        batch: Pictures in a step.
        sight_steps: Steps in which a tower is drawn to words.
        sight_rate: Learning rate.
        read_steps: Steps of the language model on what is clearly seen.
        read_rate: Learning rate.
        prior_steps: Steps by which it comes to lean on a prior.
        prior_rate: Learning rate.
        pictures: Of a seed's test; each has six questions in every split, and a list.
        seeds: Tested.
        tuning_seeds: By which settings are chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = 3
    width: int = 64
    vision_width: int = 48
    batch: int = 32
    sight_steps: int = 400
    sight_rate: float = 3e-3
    read_steps: int = 400
    read_rate: float = 2e-3
    prior_steps: int = 400
    prior_rate: float = 4e-3
    pictures: int = 100
    seeds: tuple[int, ...] = (2, 3, 4, 5, 6)
    tuning_seeds: tuple[int, ...] = (0, 1)

    def shapes(self) -> dict[str, Any]:
        """What shapes a cell; seeds do not."""
        return self.model_dump(mode="json", exclude={"seeds", "tuning_seeds"})

    def stated(self) -> dict[str, Any]:
        """Seeds, rules and budgets in words."""
        return {
            "seeds": (
                f"settings are chosen on {list(self.tuning_seeds)} and tested on {list(self.seeds)}; each has a model, "
                "an outsider and pictures of its own"
            ),
            "world": (
                "12 objects, 4 of each of 3 scenes, in 16 cells; tested at a contrast of 0.1 to 0.3 with noise 0.02, "
                f"{self.pictures} pictures with six questions in each split, and a list of objects of each picture"
            ),
            "start": (
                "a LLaVA whose tower is drawn to the words for what stands in the cells, so that a feature goes from "
                "the word for nothing to that of the object as the contrast goes from 0 to 1; black and noisy cells "
                f"mean nothing. It stays as it is from then on. {self.read_steps} steps teach the language model to "
                "answer and to list at contrasts of 0.35 to 1; in further ones, by turns honest and with pictures of a "
                f"contrast below 0.2, {self.prior_steps} in all, its embeddings and feed-forward parts, attention "
                "excepted, follow a prior by how frequent an object is: yes with .95, .8, .3 or .1. A third of these "
                "have no picture (M3ID, PAI), a third the word that disturbs (ICD): what these rivals contrast with is "
                "known to the model"
            ),
            "tuning": (
                "four settings of each method, the first as published as far as that is known; the best mean accuracy "
                "of the three splits on the tuning seeds is taken, of equals the first. Lists are made with the same"
            ),
            "evidence": (
                "maps of an outsider for PND and AGLA, two of each question: similarity of a cell with the object's "
                "word, and its root. For lists the greatest similarity with any object. AGLA and the release form keep "
                "a share of the picture that is a setting, for want of a matcher's score. Amplified are differences "
                "from the background"
            ),
            "before the plan": BEFORE,
            "margins": {
                "gains over greedy and over rivals": f"at least {GAIN}, and the interval leaves 0 out",
                "what one path adds": f"at least {ADDED}, and the interval leaves 0 out",
            },
        }


FULL = PresencePlan()
QUICK = PresencePlan(sight_steps=300, read_steps=300, prior_steps=150, pictures=20, seeds=(902,), tuning_seeds=(901,))
