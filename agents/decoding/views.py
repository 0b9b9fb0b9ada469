"""Other views of an image: evidence amplified, hidden, noised or blurred.

Every function takes one image ``[C,H,W]`` or one map ``[H,W]`` and returns a new one of the same size, so that the
number of image tokens is the same on every path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from fogline.core.errors import ConfigurationError

STEPS = 1000
"""Length of VCD's noise schedule; a step is an index from 0 to 999."""


@dataclass(frozen=True)
class PixelSpace:
    """How the model's pixel values relate to colours in [0, 1]: ``value = (colour - mean) / deviation``.

    Attributes:
        mean: Per channel, or one number for all.
        deviation: Likewise, positive.
    """

    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)

    def colours(self, image: Tensor) -> Tensor:
        """Pixel values ``[C,H,W]`` as colours."""
        return image * self._column(self.deviation, image) + self._column(self.mean, image)

    def values(self, colours: Tensor) -> Tensor:
        """Colours ``[C,H,W]`` as pixel values."""
        return (colours - self._column(self.mean, colours)) / self.scale(colours)

    def scale(self, image: Tensor) -> Tensor:
        """Deviations ``[C,1,1]`` or ``[1,1,1]``, for differences of colours."""
        return self._column(self.deviation, image)

    def _column(self, numbers: Sequence[float], image: Tensor) -> Tensor:
        if len(numbers) not in (1, image.shape[0]):
            raise ConfigurationError(
                f"image_mean or image_std has {len(numbers)} entries for images of {image.shape[0]} channels: give one "
                "per channel, or one for all."
            )
        return torch.tensor(numbers, dtype=image.dtype, device=image.device)[:, None, None]


@lru_cache(maxsize=1)
def noise_schedule() -> tuple[Tensor, Tensor]:
    """Coefficients of the DDPM forward process with VCD's schedule.

    1000 steps, beta_s = sigmoid(linspace(-6, 6)) * (0.005 - 1e-5) + 1e-5, abar = cumprod(1 - beta). The last step is
    not pure noise: sqrt(abar) = 0.285 (VCD, ``vcd_add_noise.py``; PND uses the same).

    Returns:
        ``sqrt(abar)`` and ``sqrt(1 - abar)``, float64 ``[1000]``; do not write to them.
    """
    beta = torch.sigmoid(torch.linspace(-6, 6, STEPS, dtype=torch.float64)) * (0.005 - 1e-5) + 1e-5
    kept = torch.cumprod(1 - beta, 0)
    return kept.sqrt(), (1 - kept).sqrt()


def diffuse(image: Tensor, step: int, generator: torch.Generator) -> Tensor:
    """``sqrt(abar_T) x + sqrt(1 - abar_T) eps`` with standard normal eps.

    Args:
        image: ``[C,H,W]``, float.
        step: T, from 0 to 999.
        generator: Source of eps, on the CPU: the noise does not depend on the image's device.

    Raises:
        ConfigurationError: For a step outside the schedule.
    """
    if not 0 <= step < STEPS:
        raise ConfigurationError(f"noise step {step} is outside the schedule: expected 0 to {STEPS - 1}.")
    signal, noise = noise_schedule()
    epsilon = torch.randn(image.shape, generator=generator, dtype=torch.float32).to(image.device, image.dtype)
    return float(signal[step]) * image + float(noise[step]) * epsilon


def amplify(
    image: Tensor, saliency: Tensor, strength: float, centre: float = 0.0, space: PixelSpace | None = None
) -> Tensor:
    """``V (1 + lambda M)``: PND's positive view.

    Args:
        image: V, ``[C,H,W]``.
        saliency: M, ``[H,W]``, in [0, 1].
        strength: lambda; 0 returns an equal image.
        centre: Colour that stays where it is: the paper's 0, or the background's.
        space: Where the centre is measured; pixel values as they come by default.
    """
    space = space or PixelSpace()
    return image + (space.colours(image) - centre) * (strength * saliency) / space.scale(image)


def keep_most_salient(image: Tensor, saliency: Tensor, share: float, space: PixelSpace | None = None) -> Tensor:
    """Black out the pixels whose map is below its ``floor(H W share)``-th largest value (AGLA, ``augmentation.py``).

    Args:
        image: ``[C,H,W]``.
        saliency: ``[H,W]``.
        share: In (0, 1): how much of the image stays.
        space: What black is; 0 by default.
    """
    ranked = saliency.flatten().sort(descending=True).values
    threshold = ranked[min(int(ranked.numel() * share), ranked.numel() - 1)]
    black = (space or PixelSpace()).values(torch.zeros_like(image))
    return torch.where(saliency < threshold, black, image)


def destroy(image: Tensor, degraded: Tensor, mask: Tensor) -> Tensor:
    """``V (1 - mask) + degraded mask``; outside the mask every bit is the original's.

    Args:
        image: ``[C,H,W]``.
        degraded: ``[C,H,W]``.
        mask: ``[H,W]``, bool.
    """
    return torch.where(mask, degraded, image)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur ``[...,H,W]`` with reflected edges; ``sigma`` in pixels, 0 returns the image itself."""
    if sigma <= 0:
        return image
    radius = max(1, round(4 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(image.device, image.dtype)
    planes = image.reshape(-1, 1, *image.shape[-2:])
    for vertical in (True, False):
        size = planes.shape[-2 if vertical else -1]
        index = _reflected(size, radius, image.device)
        padded = planes.index_select(-2 if vertical else -1, index)
        planes = F.conv2d(padded, kernel.view(1, 1, -1, 1) if vertical else kernel.view(1, 1, 1, -1))
    return planes.reshape(image.shape)


def _reflected(size: int, radius: int, device: torch.device) -> Tensor:
    """Positions ``[size + 2 radius]``, mirrored at the edges as often as the radius asks for."""
    place = torch.arange(-radius, size + radius, device=device) % (2 * size)
    return torch.where(place < size, place, 2 * size - 1 - place)


def normalised(map_: Tensor) -> Tensor:
    """Min-max of a map ``[...,H,W]`` to [0, 1]. A constant map says nothing about where to look: it becomes 0."""
    low = map_.amin((-2, -1), keepdim=True)
    spread = map_.amax((-2, -1), keepdim=True) - low
    return torch.where(
        spread > 0, (map_ - low) / spread.clamp_min(torch.finfo(map_.dtype).tiny), torch.zeros_like(map_)
    )


def resized(map_: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """A map ``[...,h,w]`` at another size; the map itself where the size is right already."""
    if tuple(map_.shape[-2:]) == size:
        return map_
    planes = map_.reshape(1, -1, *map_.shape[-2:])
    options = {} if mode == "nearest-exact" else {"align_corners": False}
    return F.interpolate(planes, size, mode=mode, **options).reshape(*map_.shape[:-2], *size)
