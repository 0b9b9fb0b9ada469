"""What ObjectPresence-v0 says."""

from __future__ import annotations

from fogline.simulators.scenes.records import SceneDataset, SceneTask

PRESENCE = """\
You are shown a picture and asked a question about it. Answer by what you see in it, not by what usually goes \
together: yes or no, and nothing else."""

CAPTION = """\
You are shown a picture and asked to describe it. Name every object that you see in it, and none that only usually \
goes with them."""

_MOST_LISTED = 100


def rules(dataset: SceneDataset, task: str) -> str:
    """The rules, with the names of the objects that there can be where captions are read by them."""
    if task == "presence":
        return PRESENCE
    names = dataset.vocabulary.objects
    return f"{CAPTION} Objects are called: {', '.join(names)}." if len(names) <= _MOST_LISTED else CAPTION


def asked(task: SceneTask, *, short: bool) -> str:
    """The question as it is put."""
    return task.short or task.question if short else task.question + task.suffix
