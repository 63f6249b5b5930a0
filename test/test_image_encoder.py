"""The image side of the network: sizes and names of the ResNet, what reaches what, and the feature pyramid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from crossi2p_core.errors import InputError
from crossi2p_core.model.config import SHARED_DIM, ImageEncoderConfig, preset
from crossi2p_core.model.image_encoder import ImageEncoder, ImageFeatures, double
from crossi2p_core.model.projector import Projector
from crossi2p_core.model.resnet import Blur, ResNet

SMALL = ImageEncoderConfig(block="basic", layers=(1, 1, 1, 1), width=16, dim=32, fine_dim=16, fine_stride=4,
                           norm="group")


def encoder(**changes: object) -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(dataclasses.replace(SMALL, **changes))


def images(count: int = 1, channels: int = 3, height: int = 64, width: int = 96, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def both(features: ImageFeatures) -> Iterator[Tensor]:
    yield from (features.coarse, features.fine)


@pytest.mark.parametrize("block, layers, expected", [
    ("basic", (2, 2, 2, 2), 11_176_512), ("bottleneck", (3, 4, 6, 3), 23_508_032)])  # ResNet-18 and -50 without fc
def test_a_resnet_has_the_published_number_of_parameters(block, layers, expected) -> None:
    with torch.device("meta"):
        assert parameters(ResNet(block, layers)) == expected
        assert parameters(ResNet(block, layers, anti_alias=True)) == expected


def test_a_resnet_halves_the_map_five_times_and_widens_it() -> None:
    with torch.device("meta"):
        maps = ResNet()(torch.empty(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (2, 64, 32, 48), (2, 256, 16, 24), (2, 512, 8, 12), (2, 1024, 4, 6), (2, 2048, 2, 3)]


def test_the_stride_is_in_the_3x3_convolution_of_a_bottleneck() -> None:
    with torch.device("meta"):
        block = ResNet().layer3[0]
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


@pytest.mark.parametrize("name, at_most", [("full", 26_000_000), ("light", 3_500_000)])
def test_both_presets_stay_within_their_size(name, at_most) -> None:
    config = preset(name).image
    with torch.device("meta"):
        model = ImageEncoder(config)
        features = model(torch.empty(1, 3, 160, 512))
    assert parameters(model) < at_most
    assert features.coarse.shape == (1, config.dim, 20, 64)
    assert features.fine.shape == (1, config.fine_dim, 160 // config.fine_stride, 512 // config.fine_stride)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("fine_stride", [2, 4])
@pytest.mark.parametrize("anti_alias", [False, True])
def test_any_number_of_channels_and_any_size_fits(channels, fine_stride, anti_alias) -> None:
    model = encoder(channels=channels, fine_stride=fine_stride, anti_alias=anti_alias).eval()
    coarse, fine = both(model(images(2, channels, 61, 83)))
    assert coarse.shape == (2, 32, 8, 11)  # sides rounded up
    assert fine.shape == (2, 16, -(-61 // fine_stride), -(-83 // fine_stride))


def test_grey_at_the_mean_of_imagenet_is_zero_to_the_backbone() -> None:
    model, seen = encoder(), []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor([0.485, 0.456, 0.406])[:, None, None].expand(1, 3, 32, 32))
    assert seen[0].abs().max() < 1e-6
    model(torch.tensor([0.485 + 0.229, 0.456 + 0.224, 0.406 + 0.225])[:, None, None].expand(1, 3, 32, 32))
    torch.testing.assert_close(seen[1], torch.ones_like(seen[1]))


@pytest.mark.parametrize("changes", [{}, {"norm": "batch"}, {"block": "bottleneck", "anti_alias": True,
                                                            "fine_stride": 2}])
def test_a_gradient_reaches_every_parameter(changes) -> None:
    model = encoder(**changes).train()
    sum(part.float().square().mean() for part in both(model(images(2)))).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not without


def test_both_outputs_see_the_deepest_stage() -> None:
    for part in range(2):
        model = encoder(fine_stride=2)
        list(both(model(images())))[part].square().mean().backward()
        assert model.backbone.layer4[0].conv2.weight.grad.abs().max() > 0


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_batch_of_two_is_two_singles_where_statistics_rest(norm) -> None:
    model, x = encoder(norm=norm), images(2)
    modes = [model.eval()]
    if norm == "batch":
        model.backbone.freeze_statistics()
    modes.append(model.train())
    with torch.no_grad():
        for mode in modes:
            for joint, one, two in zip(both(mode(x)), both(mode(x[:1])), both(mode(x[1:])), strict=True):
                torch.testing.assert_close(joint, torch.cat([one, two]), rtol=1e-4, atol=1e-5)


def test_frozen_statistics_stay_in_training_while_scales_learn() -> None:
    model = encoder(norm="batch")
    model.backbone.freeze_statistics()
    model.eval().train()  # as a trainer does around each validation
    before = {name: value.clone() for name, value in model.named_buffers()}
    model(images(1, height=32, width=32)).coarse.sum().backward()  # one image, one cell at the last stage
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert model.pyramid.training and not model.backbone.bn1.training
    assert model.backbone.bn1.weight.grad.abs().max() > 0


def test_statistics_move_unless_they_are_frozen() -> None:
    model = encoder(norm="batch").train()
    model(images(2))
    assert model.backbone.bn1.running_mean.abs().max() > 0


def test_groups_have_no_statistics_to_freeze() -> None:
    with pytest.raises(InputError, match=r"choose image\.norm: batch"):
        encoder(norm="group").backbone.freeze_statistics()


def test_a_synchronised_encoder_keeps_its_keys_and_can_be_frozen() -> None:
    model = encoder(norm="batch")
    keys = list(model.state_dict())
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert list(model.state_dict()) == keys and isinstance(model.backbone.bn1, nn.SyncBatchNorm)
    model.backbone.freeze_statistics()
    assert not model.train().backbone.bn1.training


def test_a_blur_weighs_1_2_1_around_every_second_cell() -> None:
    x = images(1, 2, 6, 8)
    kernel = torch.tensor([0.25, 0.5, 0.25])
    kernel = (kernel[:, None] * kernel)[None, None].expand(2, 1, 3, 3)
    expected = nn.functional.conv2d(x, kernel, stride=2, padding=1, groups=2)
    torch.testing.assert_close(Blur()(x)[..., 1:, 1:], expected[..., 1:, 1:])
    torch.testing.assert_close(Blur()(torch.ones(1, 1, 5, 7)), torch.ones(1, 1, 3, 4))  # nothing darkens at the border


def test_anti_aliasing_blurs_before_every_subsampling() -> None:
    model, blurred = ResNet("bottleneck", (1, 1, 1, 1), width=8, anti_alias=True), []
    for module in model.modules():
        if isinstance(module, Blur):
            module.register_forward_hook(lambda _, inputs, output: blurred.append(inputs[0].shape[-1]))
        assert getattr(module, "stride", 1) in (1, (1, 1)), module
    model(images(1, 3, 64, 64))
    assert sorted(blurred, reverse=True) == [64, 32, 16, 16, 8, 8, 4, 4]  # from stage 2 on the shortcut as well


def shift_error(anti_alias: bool) -> float:
    """How much the mean of the last map changes as the image moves by 1 to 7 pixels, over its own size."""
    errors = []
    for seed in range(4):
        torch.manual_seed(seed)
        model = ResNet("basic", (1, 1, 1, 1), width=16, norm="group", anti_alias=anti_alias).eval()
        x = images(seed=seed) - 0.5
        with torch.no_grad():
            means = [model(x.roll(shift, dims=-1))[2].mean(dim=(2, 3)) for shift in range(8)]
        errors += [((mean - means[0]).norm() / means[0].norm()).item() for mean in means[1:]]
    return sum(errors) / len(errors)


def test_anti_aliasing_makes_features_less_dependent_on_single_pixels_of_shift() -> None:
    assert shift_error(anti_alias=True) < 0.6 * shift_error(anti_alias=False)


@pytest.mark.parametrize("anti_alias", [False, True])
def test_features_move_with_the_image(anti_alias) -> None:
    """32 pixels to the right are 4 superpixels, away from the borders; batch statistics at rest, so all is local."""
    model = encoder(norm="batch", anti_alias=anti_alias).eval()
    maps = model.backbone
    x = torch.zeros(1, 3, 32, 320)
    x[..., 128:160] = images(1, 3, 32, 32)
    with torch.no_grad():
        for index, (still, moved) in enumerate(zip(maps(x), maps(x.roll(32, dims=-1)), strict=True)):
            step = 32 >> (index + 1)
            torch.testing.assert_close(still.roll(step, dims=-1), moved, rtol=1e-4, atol=1e-4)


def test_doubling_keeps_cells_in_place_and_goes_halfway_between() -> None:
    x = torch.tensor([[[[0.0, 4.0, 6.0]]]])
    expected = torch.tensor([[0.0, 2.0, 4.0, 5.0, 6.0, 6.0]]).expand(2, -1)
    torch.testing.assert_close(double(x)[0, 0], expected)
    torch.testing.assert_close(double(x.transpose(2, 3))[0, 0], expected.T)


@pytest.mark.parametrize("anti_alias", [False, True])
def test_memory_format_does_not_matter(anti_alias) -> None:
    model, x = encoder(anti_alias=anti_alias).eval(), images(2)
    with torch.no_grad():
        plain = list(both(model(x)))
        model = model.to(memory_format=torch.channels_last)
        last = list(both(model(x.to(memory_format=torch.channels_last))))
    for a, b in zip(plain, last, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert b.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_bf16_autocast_gives_nearly_the_same_and_gradients(norm) -> None:
    model, x = encoder(norm=norm).eval(), images(2)
    exact = list(both(model(x)))
    with torch.autocast("cpu", torch.bfloat16):
        rough = list(both(model(x)))
    for a, b in zip(exact, rough, strict=True):
        assert (a - b.float()).norm() < 0.03 * a.norm()
    sum(part.float().square().mean() for part in rough).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


class Pair(nn.Module):
    """The encoder with plain tensors coming out, as an exported graph has them."""

    def __init__(self, model: ImageEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model(image)
        return features.coarse, features.fine


@pytest.mark.parametrize("anti_alias", [False, True])
def test_the_encoder_exports_to_a_graph_of_the_same_numbers(anti_alias) -> None:
    model, x = Pair(encoder(anti_alias=anti_alias)).eval(), images()
    exported = torch.export.export(model, (x,)).module()
    with torch.no_grad():
        for a, b in zip(model(x + 0.1), exported(x + 0.1), strict=True):
            torch.testing.assert_close(a, b)


def test_padding_matters_where_it_is_seen_and_not_far_away() -> None:
    """The documented effect of zeros beyond the recording, on the ResNet with statistics at rest."""
    model = encoder(norm="batch").eval().backbone
    x = images(1, 3, 32, 640)
    padded = x.clone()
    padded[..., 512:] = 0.0
    with torch.no_grad():
        changed = (model(x)[2] - model(padded)[2]).abs().amax(dim=(0, 1, 2))  # per column of stride 8
    assert changed[:56].max() == 0.0
    assert changed[64:].min() > 0.0


def test_a_projector_gives_unit_vectors_of_the_shared_space() -> None:
    torch.manual_seed(0)
    model, x = Projector(48), torch.randn(2, 5, 48)
    assert SHARED_DIM == 256 and model(x).shape == (2, 5, 256)
    torch.testing.assert_close(model(x).norm(dim=-1), torch.ones(2, 5))
    assert len([m for m in model.modules() if isinstance(m, nn.Linear)]) == 2
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough.norm(dim=-1), torch.ones(2, 5))


def test_a_projection_of_nothing_stays_finite() -> None:
    model, x = Projector(8, 16), torch.zeros(3, 8, requires_grad=True)
    for layer in model.layers:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    out = model(x)
    out.sum().backward()
    assert torch.equal(out, torch.zeros_like(out))
    assert x.grad is not None and x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
