"""The flow network: what it compares, what comes out, and what it does not depend on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from crossi2p_core.errors import InputError
from crossi2p_core.model.config import FlowConfig
from crossi2p_core.model.flow_network import FlowNetwork, correlation

TINY = FlowConfig((64, 96), width=8, coarse_dim=16, fine_dim=8, reach=(2, 1), dim=16, points=256)


@pytest.mark.parametrize("reach", [1, 2])
def test_the_correlation_is_every_cosine_within_reach(reach: int) -> None:
    torch.manual_seed(0)
    drawn, seen = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 4, 6)
    found = correlation(drawn, seen, reach)
    span = 2 * reach + 1
    assert found.shape == (2, span * span, 4, 6)
    for y, x in ((0, 0), (2, 3), (3, 5)):
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                inside = 0 <= y + down < 4 and 0 <= x + right < 6
                expected = (functional.cosine_similarity(drawn[:, :, y, x], seen[:, :, y + down, x + right]) if inside
                            else torch.zeros(2))
                shift = (down + reach) * span + right + reach
                assert torch.allclose(found[:, shift, y, x], expected, atol=1e-6)


def test_it_says_nothing_is_off_before_it_has_learned() -> None:
    network = FlowNetwork(TINY)
    flow = network(torch.rand(2, 3, 64, 96), torch.rand(6, 5, 64, 96))
    assert flow.pixels.shape == (6, 2, 16, 24) and flow.log_scale.shape == (6, 2, 16, 24)
    assert flow.coarse.shape == (6, 25, 8, 12) and flow.fine.shape == (6, 9, 16, 24)
    assert flow.pixels.abs().max() < 8.0 * network.out.bias.abs().max() + 1e-5
    pixels, scale = flow.at_cells()
    assert pixels.shape == scale.shape == (6, 16 * 24, 2)
    assert torch.equal(pixels[1, 24 + 3], flow.pixels[1, :, 1, 3])


def test_each_raster_is_compared_with_its_own_image() -> None:
    torch.manual_seed(1)
    network = FlowNetwork(TINY).eval()
    torch.nn.init.normal_(network.out.weight, std=0.1)
    images, rasters = torch.rand(2, 3, 64, 96), torch.rand(4, 5, 64, 96)
    together = network(images, rasters).pixels
    for pair in range(2):
        alone = network(images[pair:pair + 1], rasters[2 * pair:2 * pair + 2]).pixels
        assert torch.allclose(together[2 * pair:2 * pair + 2], alone, atol=1e-4)
    assert not torch.allclose(network(images.flip(0), rasters).pixels, together, atol=1e-3)


def test_every_weight_learns() -> None:
    torch.manual_seed(2)
    network = FlowNetwork(TINY)
    torch.nn.init.normal_(network.out.weight, std=0.1)
    flow = network(torch.rand(1, 3, 64, 96), torch.rand(2, 5, 64, 96))
    (flow.pixels.square().mean() + flow.log_scale.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_another_size_of_image_will_do() -> None:
    assert FlowNetwork(TINY)(torch.rand(1, 3, 96, 160), torch.rand(1, 5, 96, 160)).pixels.shape == (1, 2, 24, 40)


def test_a_size_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(InputError, match="flow"):
        replace(TINY, size=(90, 96))
