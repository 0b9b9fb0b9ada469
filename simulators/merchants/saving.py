"""A fitted model as a folder that people can look into: JSON, LightGBM's own text, Parquet."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fogline.core.errors import DataError
from fogline.simulators.merchants.anchors import Anchors
from fogline.simulators.merchants.branches import BranchModel, Replicate
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.fitting import FittingBranch
from fogline.simulators.merchants.levels import LevelModel
from fogline.simulators.merchants.logs import Log, LogReport, Note
from fogline.simulators.merchants.policies import PolicyLibrary
from fogline.simulators.merchants.reasoning import Reasoner, RuleReasoner
from fogline.simulators.merchants.support import SupportReference

if TYPE_CHECKING:
    from fogline.simulators.merchants.pghs import PGHS

FORMAT = 1
_MODEL, _LIBRARY, _LOG = "model.json", "policies.json", "log.parquet"


def save(model: PGHS, folder: Path) -> None:
    """Write a model; see :meth:`~fogline.simulators.merchants.pghs.PGHS.save`.

    Raises:
        DataError: For an estimator that is not LightGBM: scikit-learn has no format that is safe to read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    branches = model.branches
    document = {
        "format": FORMAT,
        "config": model.config.model_dump(mode="json"),
        "reasoner": _reasoner(branches.reasoner),
        "anchors": branches.anchors.to_json(),
        "replicates": [
            {"anchors": item.anchors.to_json(), "reasoner": item.reasoner and _reasoner(item.reasoner)}
            for item in branches.replicates
        ],
        "plain": branches.plain,
        "fitting": branches.fitting.to_json(),
        "levels": model.levels.to_json(),
        "support": model.support.to_json(),
        "log": {"report": model.log.report.to_json(), "time_zone": model.log.time_zone},
        "report": asdict(model.report),
    }
    branches.policy_library.save(folder / _LIBRARY)
    model.log.table.to_parquet(folder / _LOG)
    (folder / _MODEL).write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def load(folder: Path, reasoner: Reasoner | None) -> PGHS:
    """Read a model; see :meth:`~fogline.simulators.merchants.pghs.PGHS.load`."""
    from fogline.simulators.merchants.pghs import PGHS

    try:
        document = json.loads((folder / _MODEL).read_text("utf-8"))
        if document["format"] != FORMAT:
            raise DataError(f"{str(folder)!r} has format {document['format']}: expected {FORMAT}; fit it again.")
        library = PolicyLibrary.load(folder / _LIBRARY)
        config = PGHSConfig.model_validate_json(json.dumps(document["config"]))
        branches = BranchModel(
            policy_library=library,
            reasoner=_found(document["reasoner"], reasoner),
            anchors=Anchors.from_json(document["anchors"]),
            fitting=FittingBranch.from_json(document["fitting"]),
            replicates=tuple(
                Replicate(
                    Anchors.from_json(item["anchors"]), item["reasoner"] and RuleReasoner(**item["reasoner"]["rule"])
                )
                for item in document["replicates"]
            ),
            plain=document["plain"],
        )
        report = document["log"]["report"]
        notes = tuple(Note(**{**note, "examples": tuple(note["examples"])}) for note in report.pop("notes"))
        log = Log(pd.read_parquet(folder / _LOG), LogReport(**report, notes=notes), document["log"]["time_zone"])
        return PGHS(
            config,
            log,
            branches,
            LevelModel(**document["levels"]),
            SupportReference.from_json(document["support"]),
            _read_report(document["report"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{str(folder)!r} holds no model that can be read: {error!r}. Fit one with PGHS.fit."
        ) from error


def _reasoner(reasoner: Reasoner) -> dict[str, Any]:
    if isinstance(reasoner, RuleReasoner):
        return {"name": reasoner.name, "rule": json.loads(json.dumps(asdict(reasoner)))}
    return {"name": reasoner.name}


def _found(document: dict[str, Any], given: Reasoner | None) -> Reasoner:
    if given is None:
        if "rule" not in document:
            raise DataError(
                f"the model was fitted with reasoner {document['name']!r}: give it with reasoner=…, or at the command "
                "line with --chat."
            )
        return RuleReasoner(**document["rule"])
    if given.name != document["name"]:
        raise DataError(f"the model was fitted with reasoner {document['name']!r}, not {given.name!r}: fit it again.")
    return given


def _read_report(document: dict[str, Any]) -> Any:
    from pydantic import TypeAdapter

    from fogline.simulators.merchants.learning import FitReport

    return TypeAdapter(FitReport).validate_python(document)
