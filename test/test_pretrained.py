"""Weights of other people's ResNets: names by rule, prefixes, other channels; files that do not fit or are hostile."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from crossi2p_core.errors import InputError
from crossi2p_core.model.config import ImageEncoderConfig
from crossi2p_core.model.image_encoder import ImageEncoder
from crossi2p_core.model.pretrained import load_image_weights
from crossi2p_core.model.resnet import ResNet
from crossi2p_core.train.assemble import assemble
from crossi2p_core.train.checkpoint import Checkpoint, save
from crossi2p_core.train.distributed import World
from crossi2p_core.train.read_config import read_config
from crossi2p_core.train.resume import plain_config

SMALL = ImageEncoderConfig(block="bottleneck", layers=(1, 2, 1, 1), width=8, dim=16, fine_dim=8, norm="batch")


def encoder(**changes: object) -> ImageEncoder:
    torch.manual_seed(7)
    return ImageEncoder(dataclasses.replace(SMALL, **changes)).eval()


def reference(layers: tuple[int, ...] = SMALL.layers, width: int = SMALL.width, counters: bool = True,
              classes: int = 10) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a torchvision bottleneck ResNet's state dict, in its order, by rule."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, out: int, into: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (out, into, kernel, kernel)

    def norm(name: str, out: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (out,)
        if counters:
            shapes[f"{name}.num_batches_tracked"] = ()

    convolution("conv1", width, 3, 7)
    norm("bn1", width)
    into = width
    for stage, blocks in enumerate(layers):
        inner = width * 2**stage
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            for i, (out, source, kernel) in enumerate(((inner, into, 1), (inner, inner, 3), (4 * inner, inner, 1)), 1):
                convolution(f"{name}.conv{i}", out, source, kernel)
                norm(f"{name}.bn{i}", out)
            if block == 0:
                convolution(f"{name}.downsample.0", 4 * inner, into, 1)
                norm(f"{name}.downsample.1", 4 * inner)
            into = 4 * inner
    shapes["fc.weight"], shapes["fc.bias"] = (classes, into), (classes,)
    return shapes


def weights(seed: int = 0, counters: bool = True) -> dict[str, Tensor]:
    """A state dict of such a network with random content; variances are positive."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.tensor(3) if name.endswith("tracked") else torch.rand(shape, generator=generator) * 0.1 + 0.1
            for name, shape in reference(counters=counters).items()}


def holds(model: ImageEncoder, tensors: dict[str, Tensor]) -> bool:
    own = model.backbone.state_dict()
    return all(torch.equal(own[name], value) for name, value in tensors.items() if name in own)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_the_names_of_resnet_50_are_those_of_torchvision() -> None:
    expected = {name: shape for name, shape in reference((3, 4, 6, 3), 64).items() if not name.startswith("fc.")}
    assert len(expected) == 318  # 320 entries of the official file with its counters, less fc's two
    for anti_alias in (False, True):
        with torch.device("meta"):
            own = ResNet(anti_alias=anti_alias).state_dict()
        assert {name: tuple(value.shape) for name, value in own.items()} == expected


@pytest.mark.parametrize("counters", [True, False])  # files from before they were counted lack them
def test_weights_load_from_pth(tmp_path, counters) -> None:
    tensors, model = weights(counters=counters), encoder()
    summary = load_image_weights(model, saved(tmp_path / "resnet.pth", tensors))
    assert holds(model, tensors)
    assert "resnet.pth" in summary and "fc.weight" in summary


def test_a_run_that_starts_from_them_keeps_their_statistics(tmp_path) -> None:
    image = {"block": SMALL.block, "layers": list(SMALL.layers), "width": SMALL.width, "norm": "batch"}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump({
        "out": str(tmp_path), "network": {"preset": "light", "image": image},
        "sources": [{"path": "synthetic:hall?frames=1"}],
        "image_weights": str(saved(tmp_path / "resnet.pth", weights()))}))
    settings = read_config(tmp_path / "train.yaml")
    trainer = assemble(settings, World())
    path = save(tmp_path / "run", Checkpoint(1, plain_config(settings), {}, "", trainer.model.state_dict()), keep=1)
    taught_on = assemble(dataclasses.replace(settings, image_weights=None, weights=str(path)), World())
    for model in (trainer.model, trainer.average.module, taught_on.model, taught_on.average.module):
        backbone = model.train().image_encoder.backbone
        before = backbone.bn1.running_mean.clone()
        backbone(torch.randn(2, 3, 32, 32))
        assert torch.equal(backbone.bn1.running_mean, before)


def test_weights_load_from_safetensors(tmp_path) -> None:
    tensors, model = weights(), encoder()
    save_file(tensors, tmp_path / "resnet.safetensors")
    load_image_weights(model, tmp_path / "resnet.safetensors")
    assert holds(model, tensors)


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "module.backbone.", "image_encoder.backbone."])
@pytest.mark.parametrize("container", [None, "state_dict", "model"])
def test_prefixes_and_containers_do_not_matter(tmp_path, prefix, container) -> None:
    tensors, model = weights(), encoder()
    content: dict = {prefix + name: value for name, value in tensors.items()} | {"head.scale": torch.ones(2)}
    load_image_weights(model, saved(tmp_path / "w.pth", {container: content, "epoch": 3} if container else content))
    assert holds(model, tensors)


def test_half_precision_and_anti_aliasing_take_the_same_file(tmp_path) -> None:
    tensors, model = {name: value.half() for name, value in weights().items()}, encoder(anti_alias=True)
    load_image_weights(model, saved(tmp_path / "half.pt", tensors))
    assert holds(model, {name: value.float() for name, value in tensors.items()})
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_grey_looks_the_same_in_any_number_of_channels(tmp_path, channels) -> None:
    path = saved(tmp_path / "rgb.pth", weights())
    colour, other = encoder(), encoder(channels=channels)
    load_image_weights(colour, path)
    summary = load_image_weights(other, path)
    assert f"from 3 to {channels} channels" in summary
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        for a, b in zip(colour.backbone(grey.expand(-1, 3, -1, -1)), other.backbone(grey.expand(-1, channels, -1, -1)),
                        strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_normalising_by_groups_takes_all_but_the_statistics_and_says_so(tmp_path) -> None:
    tensors, model = weights(), encoder(norm="group")
    summary = load_image_weights(model, saved(tmp_path / "w.pth", tensors))
    assert holds(model, tensors)
    assert "train before you use it" in summary


def refusal(model: ImageEncoder, path: Path) -> str:
    """What is said of a file that is refused; the encoder stays as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        load_image_weights(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_what_is_missing_is_named(tmp_path) -> None:
    tensors = weights()
    del tensors["layer3.0.conv2.weight"]
    message = refusal(encoder(), saved(tmp_path / "w.pth", tensors))
    assert "missing: layer3.0.conv2.weight" in message and "unexpected" not in message


def test_a_deeper_network_is_refused_by_what_is_unexpected(tmp_path) -> None:
    message = refusal(encoder(layers=(1, 1, 1, 1)), saved(tmp_path / "w.pth", weights()))
    assert "unexpected: layer2.1.conv1.weight, layer2.1.bn1.weight" in message and "and 15 more" in message


def test_other_shapes_are_told_both(tmp_path) -> None:
    message = refusal(encoder(width=16), saved(tmp_path / "w.pth", weights()))
    assert "of another shape: conv1.weight 8x3x7x7 instead of 16x3x7x7" in message and "image.block" in message


def test_weights_by_groups_do_not_pass_for_batch_statistics(tmp_path) -> None:
    tensors = {name: value for name, value in weights().items() if "running" not in name and "tracked" not in name}
    assert "missing: bn1.running_mean" in refusal(encoder(), saved(tmp_path / "w.pth", tensors))


@pytest.mark.parametrize("content", [{}, [1, 2], {"a": torch.ones(2)}, torch.ones(3), {"state_dict": {"x": 1}}, None])
def test_a_file_without_a_resnet_is_refused(tmp_path, content) -> None:
    assert "holds no ResNet" in refusal(encoder(), saved(tmp_path / "w.pth", content))


def test_a_container_within_itself_ends(tmp_path) -> None:
    content: dict = {"epoch": 1}
    content["state_dict"] = content
    assert "holds no ResNet" in refusal(encoder(), saved(tmp_path / "w.pth", content))


def test_two_networks_in_one_file_are_not_guessed_between(tmp_path) -> None:
    content = {prefix + name: value for prefix in ("student.", "teacher.") for name, value in weights().items()}
    assert "several ResNets (student., teacher.)" in refusal(encoder(), saved(tmp_path / "w.pth", content))


@pytest.mark.parametrize("spoil", [lambda t: t * float("nan"), lambda t: t / 0, lambda t: t.to_sparse(),
                                   lambda t: t.to("meta"), lambda t: t.to(torch.complex64)])
def test_values_that_are_no_numbers_are_refused(tmp_path, spoil) -> None:
    tensors = weights()
    tensors["layer1.0.conv2.weight"] = spoil(tensors["layer1.0.conv2.weight"])
    assert "layer1.0.conv2.weight" in refusal(encoder(), saved(tmp_path / "w.pth", tensors))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("data", [b"", b"\x80", b"PK\x03\x04 and no more", b"<html>Not found</html>", b"\xff" * 64,
                                  b"\x10\0\0\0\0\0\0\0{\"a\": [1, 2, 3]}"])
def test_damaged_files_are_refused_in_words(tmp_path, suffix, data) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(data)
    assert "cannot be read as weights" in refusal(encoder(), path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_download_cut_short_is_refused(tmp_path, suffix) -> None:
    path = tmp_path / f"short{suffix}"
    if suffix == ".pth":
        saved(path, weights())
    else:
        save_file(weights(), path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "cannot be read as weights" in refusal(encoder(), path)


class Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_file_that_would_run_code_does_not(tmp_path) -> None:
    message = refusal(encoder(), saved(tmp_path / "hostile.pth", {"conv1.weight": Hostile(tmp_path / "was_run")}))
    assert "could run code" in message
    assert not (tmp_path / "was_run").exists()


def test_a_missing_file_and_a_wrong_name_are_said(tmp_path) -> None:
    assert "there is no file" in refusal(encoder(), tmp_path / "none.pth")
    (tmp_path / "w.onnx").write_bytes(b"x")
    assert ".pth, .pt, .safetensors" in refusal(encoder(), tmp_path / "w.onnx")
