"""What the settings of all decoders share: frozen, strict, unknown keys refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Layers = Annotated[tuple[int, ...], Field(strict=False, min_length=1)]
PerChannel = Annotated[tuple[float, ...], Field(strict=False, min_length=1)]
TokenIds = Annotated[tuple[int, ...], Field(strict=False)]
Beta = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DecoderOptions(BaseModel):
    """Settings of every decoder.

    Attributes:
        seed: Row r of a batch draws its tokens and its image noise from ``seed + r``, unless generate is given
            ``seeds``. The same call twice gives the same answer: there is no other source of chance.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    seed: int = Field(default=0, ge=0)


class ViewOptions(DecoderOptions):
    """Settings of decoders that change pixels.

    Attributes:
        image_mean: What the model's image processor subtracted, per channel or once for all.
        image_std: What it divided by. With both, black is black and clamping knows 0 and 1; by default pixel values
            are taken as they come.
    """

    image_mean: PerChannel = (0.0,)
    image_std: PerChannel = (1.0,)

    @field_validator("image_std")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) <= 0:
            raise ValueError("expected positive deviations, as in the processor's image_std")
        return value
