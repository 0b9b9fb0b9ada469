from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.agents.decoding.pnd import negative_view, positive_view
from fogline.agents.decoding.saliency import consensus_map, consensus_mask, fused_map
from fogline.agents.decoding.views import (
    PixelSpace,
    amplify,
    blur,
    diffuse,
    keep_most_salient,
    noise_schedule,
    normalised,
    resized,
)
from fogline.core.errors import ConfigurationError


def image(seed: int = 0, side: int = 8) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def maps(layers: int = 3, side: int = 8) -> Tensor:
    return torch.rand(layers, side, side, generator=torch.Generator().manual_seed(9))


def noise(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("step", "signal", "rest"),
    [
        (0, 1.0, 0.0047),
        (100, 0.9983, 0.0584),
        (250, 0.9891, 0.1470),
        (500, 0.8630, 0.5052),
        (750, 0.5270, 0.8499),
        (900, 0.3649, 0.9311),
        (999, 0.2850, 0.9585),
    ],
)
def test_the_noise_schedule_is_the_measured_one(step: int, signal: float, rest: float) -> None:
    kept, added = noise_schedule()
    assert kept[step].item() == pytest.approx(signal, abs=5e-5)
    assert added[step].item() == pytest.approx(rest, abs=5e-5)


def test_the_noise_schedule_keeps_variance_and_only_ever_forgets() -> None:
    kept, added = noise_schedule()
    torch.testing.assert_close(kept**2 + added**2, torch.ones(1000, dtype=torch.float64))
    assert bool((kept.diff() < 0).all())
    # Written out once more, in numpy.
    beta = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.005 - 1e-5) + 1e-5
    np.testing.assert_allclose(kept.numpy(), np.sqrt(np.cumprod(1 - beta)), rtol=1e-12)


def test_noise_is_the_schedule_times_standard_normals_of_the_generator() -> None:
    x = image()
    epsilon = torch.randn(x.shape, generator=noise())
    kept, added = noise_schedule()
    expected = kept[700].float() * x + added[700].float() * epsilon
    torch.testing.assert_close(diffuse(x, 700, noise()), expected)
    with pytest.raises(ConfigurationError, match="step 1000 is outside"):
        diffuse(x, 1000, noise())


def test_without_amplification_the_positive_view_is_the_image_bit_by_bit() -> None:
    assert torch.equal(positive_view(image(), maps(), 0.0), image())
    assert torch.equal(amplify(image(), maps()[0], 0.0, 0.3, PixelSpace((0.4,), (0.2,))), image())


def test_the_positive_view_multiplies_by_one_plus_lambda_times_the_mean_map() -> None:
    x, where = image().numpy(), maps().numpy()
    expected = x * (1 + 1.5 * where.mean(0))
    np.testing.assert_allclose(positive_view(image(), maps(), 1.5).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_amplification_about_a_centre_is_measured_in_colours() -> None:
    space = PixelSpace((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    colours = space.colours(image()).double().numpy()
    where = maps()[0].double().numpy()
    wanted = 0.25 + (colours - 0.25) * (1 + 2 * where)
    got = space.colours(amplify(image(), maps()[0], 2.0, 0.25, space))
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_above_one_nothing_is_destroyed_and_at_zero_everything() -> None:
    assert torch.equal(negative_view(image(), maps(), 1.0001, 999, noise()), image())
    everything = negative_view(image(), maps(), 0.0, 500, noise())
    assert torch.equal(everything, diffuse(image(), 500, noise()))


def test_outside_the_mask_the_negative_view_is_the_image_bit_by_bit_and_the_seed_decides() -> None:
    view = negative_view(image(), maps(), 0.3, 999, noise())
    inside = maps().amin(0) >= 0.3
    assert 0 < int(inside.sum()) < inside.numel()
    assert torch.equal(view[:, ~inside], image()[:, ~inside])
    assert bool((view[:, inside] != image()[:, inside]).all())
    assert torch.equal(view, negative_view(image(), maps(), 0.3, 999, noise()))
    assert not torch.equal(view, negative_view(image(), maps(), 0.3, 999, noise(5)))


@given(st.integers(1, 6), st.floats(-0.2, 1.2), st.floats(0, 0.5))
def test_the_consensus_is_below_every_map_and_its_mask_shrinks(layers: int, threshold: float, more: float) -> None:
    stack = maps(layers + 1)
    fewer = consensus_map(stack[:layers])
    assert bool((fewer <= stack[:layers]).all())
    assert bool((fewer <= fused_map(stack[:layers])).all())
    mask = consensus_mask(fewer, threshold)
    assert not bool((consensus_mask(fewer, threshold + more) & ~mask).any())
    assert not bool((consensus_mask(consensus_map(stack), threshold) & ~mask).any())


def test_keep_mask_blacks_out_what_ranks_below_the_share() -> None:
    where = torch.tensor([[0.9, 0.1], [0.5, 0.3]])
    picture = torch.full((3, 2, 2), 0.7)
    # The value of rank floor(4 * 0.5) = 2, counted from 0, is 0.3: what is below it goes.
    kept = keep_most_salient(picture, where, 0.5)
    assert torch.equal(kept != 0, torch.tensor([[True, False], [True, True]]).expand(3, 2, 2))
    black = keep_most_salient(picture, where, 0.5, PixelSpace((0.5,), (0.25,)))
    assert black[:, 0, 1].tolist() == [-2.0, -2.0, -2.0]


def test_blur_is_a_gaussian_with_reflected_edges() -> None:
    from scipy.ndimage import gaussian_filter

    picture = torch.rand(2, 7, 11, dtype=torch.float64, generator=noise())
    expected = gaussian_filter(picture.numpy(), (0, 1.7, 1.7), mode="reflect", radius=round(4 * 1.7))
    np.testing.assert_allclose(blur(picture, 1.7).numpy(), expected, atol=1e-12)
    assert torch.equal(blur(picture, 0.0), picture)


def test_a_constant_map_points_nowhere() -> None:
    assert torch.equal(normalised(torch.full((2, 4, 4), 0.3)), torch.zeros(2, 4, 4))
    stretched = normalised(maps())
    assert stretched.amin((1, 2)).tolist() == [0.0] * 3
    assert stretched.amax((1, 2)).tolist() == [1.0] * 3


def test_a_map_of_cells_becomes_a_map_of_pixels() -> None:
    cells = torch.tensor([[[0.0, 1.0], [0.5, 0.25]]])
    wide = resized(cells, (4, 4), "nearest-exact")
    assert torch.equal(wide[0], cells[0].repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert resized(wide, (4, 4)) is wide


def test_colours_and_pixel_values_are_each_others_inverse() -> None:
    space = PixelSpace((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    torch.testing.assert_close(space.values(space.colours(image())), image())
    with pytest.raises(ConfigurationError, match="2 entries for images of 3 channels"):
        PixelSpace((0.1, 0.2)).colours(image())


def test_what_replaces_evidence_is_noise_or_blur_and_may_be_clamped() -> None:
    from fogline.agents.decoding import make_decoder

    space = {"image_mean": (0.5,), "image_std": (0.25,)}
    noised = make_decoder("pnd", saliency="oracle", noise_step=600, **space)
    colours = image() * 0.25 + 0.5
    wanted = (diffuse(colours, 600, noise()) - 0.5) / 0.25
    torch.testing.assert_close(noised._degraded(image(), noise()), wanted)
    clamped = make_decoder("pnd", saliency="oracle", noise_step=600, clamp=True, **space)
    torch.testing.assert_close(clamped._degraded(image(), noise()), wanted.clamp(-2, 2))
    blurred = make_decoder("pnd", saliency="oracle", degradation="blur", blur_sigma=2.0, **space)
    torch.testing.assert_close(blurred._degraded(image(), noise()), blur(image(), 2.0))
