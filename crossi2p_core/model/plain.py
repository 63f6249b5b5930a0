"""The network between plain tensors: for exported programs, which know no `Batch` and no `Matches`."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .batch import Batch, PointPyramid
from .network import Matches, Network

LEVELS = 3  # of a PointPyramid


class Meaning(NamedTuple):
    """Of one tensor: its sizes by letters or numbers, and what it tells."""

    sizes: str
    words: str


def _inputs() -> dict[str, Meaning]:
    found = {
        "image": Meaning("B C H W", "pixels in 0..1, without lens distortion; zeros where nothing was recorded"),
        "K": Meaning("B 3 3", "intrinsics of that image; the centre of the top-left pixel is (0, 0)"),
        "inside": Meaning("B H W", "where the recording reaches"),
    }
    for level in range(LEVELS):
        found[f"xyz_{level}"] = Meaning(f"B N{level} 3", f"points of level {level}, m, LiDAR frame"
                                        + (": the superpoints" if level == LEVELS - 1 else ""))
    for level in range(LEVELS):
        found[f"valid_{level}"] = Meaning(f"B N{level}", f"which points of level {level} there are")
    for level in range(LEVELS):
        found[f"neighbours_{level}"] = Meaning(f"B N{level} k", f"nearest points of level {level}, itself first")
    for level in range(LEVELS - 1):
        found[f"down_{level}"] = Meaning(f"B N{level + 1} k",
                                         f"points of level {level} around each of level {level + 1}")
    for level in range(LEVELS - 1):
        found[f"up_{level}"] = Meaning(f"B N{level}",
                                       f"for each point of level {level} the nearest of level {level + 1}")
    found["features"] = Meaning("B N0 F", "what is told of each point of level 0, see crossi2p_core/model/"
                                          "point_features.py")
    return found


INPUTS: dict[str, Meaning] = _inputs()
"""What goes in, in this order; `crossi2p_core.model.inputs.make_batch` makes all of it of a sample."""

OUTPUTS: dict[str, Meaning] = {
    "similarity": Meaning("B N2 C", "logits that a superpoint is seen in a superpixel (row by row), if in any; -10000 "
                                    "and less where either is not there"),
    "in_view": Meaning("B N2", "logits that a superpoint is seen in the image"),
    "covered": Meaning("B C", "logits that some superpoint is seen in a superpixel"),
    "superpixel_inside": Meaning("B C", "which superpixels lie within the recording"),
    "chosen": Meaning("B M 2", "superpoint and superpixel of the coarse matches that were looked at closely"),
    "fine_points": Meaning("B M P 3", "points of these matches, m, LiDAR frame"),
    "fine_pixels": Meaning("B M P 2", "where they are seen: u, v in pixels of the image"),
    "fine_weights": Meaning("B M P 2", "one over the expected error in px along u and v; 0 where not valid"),
    "fine_valid": Meaning("B M P", "which of these points there are"),
}
"""What comes out: all that a pose is found from, beside K, xyz_2 and valid_2 (see solve/from_matches.py)."""


class PlainNetwork(nn.Module):
    """A Network that takes INPUTS, one by one, and returns OUTPUTS by name. B pairs, of the sizes of its config."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, K: Tensor, inside: Tensor, xyz_0: Tensor, xyz_1: Tensor, xyz_2: Tensor,
                valid_0: Tensor, valid_1: Tensor, valid_2: Tensor, neighbours_0: Tensor, neighbours_1: Tensor,
                neighbours_2: Tensor, down_0: Tensor, down_1: Tensor, up_0: Tensor, up_1: Tensor,
                features: Tensor) -> dict[str, Tensor]:
        """OUTPUTS. Named one by one, since torch.export does not take the batch to be open in `**inputs`."""
        cloud = PointPyramid((xyz_0, xyz_1, xyz_2), (valid_0, valid_1, valid_2),
                             (neighbours_0, neighbours_1, neighbours_2), (down_0, down_1), (up_0, up_1), features)
        return plain_outputs(self.network(Batch(image, K, inside, cloud)))


def plain_inputs(batch: Batch) -> dict[str, Tensor]:
    """INPUTS of a batch."""
    cloud = batch.cloud
    levels = {"xyz": cloud.xyz, "valid": cloud.valid, "neighbours": cloud.neighbours, "down": cloud.down,
              "up": cloud.up}
    found = {"image": batch.image, "K": batch.K, "inside": batch.inside, "features": cloud.features}
    found |= {f"{name}_{level}": tensor for name, parts in levels.items() for level, tensor in enumerate(parts)}
    return {name: found[name] for name in INPUTS}


def plain_outputs(matches: Matches) -> dict[str, Tensor]:
    """OUTPUTS of what a network says."""
    scores, fine = matches.scores, matches.fine
    found = (scores.similarity, scores.in_view, scores.covered, matches.inside, matches.chosen, fine.points,
             fine.pixels, fine.weights, fine.valid)
    return dict(zip(OUTPUTS, found, strict=True))
