"""A teacher that was asked beforehand: its answers lie in a Parquet file, found by the rows that they are about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError, missing_dependency
from fogline.trainers.batch import Batch
from fogline.trainers.recipe import Teaching
from fogline.trainers.rows import TeacherRows
from fogline.trainers.teachers import Teacher, check_rows
from fogline.trainers.whole import scored_parts

_FORMAT = "fogline-teacher-1"


def write_teacher(teacher: Teacher, batches: Iterable[Batch], path: str | Path, teaching: Teaching) -> int:
    """Ask a teacher about every valid row, and keep what it said; the number of distinct rows.

    Args:
        teacher: Who is asked.
        batches: Rows of a student, or of demonstrations.
        path: The Parquet file.
        teaching: What is asked; whole distributions are not kept.

    Raises:
        ConfigurationError: Whole distributions are asked for.
        DataError: There is no row, or the teacher cannot say something of one.
    """
    if teaching.whole:
        raise ConfigurationError("whole distributions are not kept in a file: top_k=None keeps all of the vocabulary.")
    import_arrow()
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    k = teacher.vocabulary_size if teaching.top_k is None else teaching.top_k
    asked = ["logp", *(["top_ids", "top_logp"] if k else []), *(["entropy"] if teaching.entropy else [])]
    kept: dict[str, dict[str, Any]] = {}
    dtype = torch.float32
    for batch in batches:
        rows = teacher.score(*scored_parts(batch), teaching)
        check_rows(rows, batch, teacher)
        dtype = rows.logp.dtype
        for row in batch.valid.nonzero()[:, 0].tolist():
            mask = batch.policy_mask[row]
            key = _key(batch.tokens[row], batch.attention_mask[row], mask)
            kept[key] = {name: getattr(rows, name)[row][mask].flatten().tolist() for name in asked}
    if not kept:
        raise DataError("no valid row to ask the teacher about: expected at least one.")
    columns = {"key": list(kept)} | {name: [row[name] for row in kept.values()] for name in asked}
    told = {
        "format": _FORMAT,
        "name": teacher.name,
        "vocabulary": teacher.vocabulary,
        "vocabulary_size": teacher.vocabulary_size,
        "temperature": teacher.temperature,
        "top_k": k,
        "dtype": str(dtype).removeprefix("torch."),
    }
    table = arrow.table(columns).replace_schema_metadata({"fogline": json.dumps(told)})
    parquet.write_table(table, str(path))
    return len(kept)


class CachedTeacher:
    """Answers from a file that :func:`write_teacher` wrote; knows the rows of that file and no other.

    Args:
        path: The Parquet file.

    Raises:
        ConfigurationError: There is no such file.
        DataError: It is not one of these.
    """

    whole = False

    def __init__(self, path: str | Path) -> None:
        if not str(path) or not Path(path).is_file():
            raise ConfigurationError(f"path={str(path)!r} is no file: expected the Parquet file of a cached teacher.")
        import_arrow()
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        try:
            table = parquet.read_table(str(path))
            told = json.loads((table.schema.metadata or {})[b"fogline"])
        except (arrow.ArrowException, KeyError, ValueError) as error:
            raise DataError(f"{str(path)!r} is no file of a cached teacher ({error}): see write_teacher.") from error
        if told.get("format") != _FORMAT:
            raise DataError(f"{str(path)!r} has format {told.get('format')!r}: expected {_FORMAT!r}.")
        self.path = str(path)
        self.name = str(told["name"])
        self.vocabulary = str(told["vocabulary"])
        self.vocabulary_size = int(told["vocabulary_size"])
        self.temperature = float(told["temperature"])
        self.top_k = int(told["top_k"])
        self._dtype = getattr(torch, str(told["dtype"]))
        self._columns = table.to_pydict()
        self._place = {key: place for place, key in enumerate(self._columns["key"])}

    def __len__(self) -> int:
        """Rows that it knows."""
        return len(self._place)

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        teaching: Teaching,
    ) -> TeacherRows:
        """As :meth:`Teacher.score`.

        Raises:
            DataError: For a row that the teacher was never asked about.
            ConfigurationError: More is asked than was kept.
        """
        k = self.vocabulary_size if teaching.top_k is None else teaching.top_k
        self._check(k, teaching)
        logp = torch.zeros(tokens.shape, dtype=self._dtype)
        top_ids = torch.zeros(*tokens.shape, k, dtype=torch.int64)
        top_logp, entropy = logp.new_zeros(*tokens.shape, k), torch.zeros_like(logp)
        for row in range(len(tokens)):
            mask = policy_mask[row].cpu()
            place = self._place.get(_key(tokens[row], attention_mask[row], mask))
            if place is None:
                raise DataError(
                    f"the cached teacher {self.path!r} was never asked about row {row}: it knows {len(self)} rows. A "
                    "cache serves rows that are fixed; on a student's fresh samples use a local or a remote teacher."
                )
            logp[row, mask] = self._read("logp", place)
            if k:
                top_ids[row, mask] = self._read("top_ids", place).long().view(-1, self.top_k)[:, :k]
                top_logp[row, mask] = self._read("top_logp", place).view(-1, self.top_k)[:, :k]
            if teaching.entropy:
                entropy[row, mask] = self._read("entropy", place)
        device = tokens.device
        return TeacherRows(
            logp=logp.to(device),
            top_ids=top_ids.to(device) if k else None,
            top_logp=top_logp.to(device) if k else None,
            entropy=entropy.to(device) if teaching.entropy else None,
            temperature=self.temperature,
        )

    def _check(self, k: int, teaching: Teaching) -> None:
        if k > self.top_k:
            raise ConfigurationError(
                f"top_k={k}, but the cached teacher {self.path!r} kept the {self.top_k} likeliest tokens: lower top_k, "
                "or write the file again with more."
            )
        if teaching.entropy and "entropy" not in self._columns:
            raise ConfigurationError(
                f"the cached teacher {self.path!r} kept no entropies: write the file again with entropy=True."
            )

    def _read(self, name: str, place: int) -> Tensor:
        return torch.tensor(self._columns[name][place], dtype=self._dtype)


def import_arrow() -> None:
    """Raise :class:`MissingDependencyError` without pyarrow."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise missing_dependency("pyarrow", "train") from error


def _key(tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor) -> str:
    """What a row says and which part of it the student wrote."""
    length = int(attention_mask.sum())
    said = tokens[:length].cpu().numpy().astype("<i8").tobytes()
    return hashlib.sha256(said + policy_mask[:length].cpu().numpy().tobytes()).hexdigest()
