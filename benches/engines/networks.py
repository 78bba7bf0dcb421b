"""The networks of models.json and train.json in PyTorch: `networks.py NAME ...` writes what the other engines read of them to
data/, the weights with the names of the state dict and an ONNX model for each row.

Weights are random and calibrated as those of golden/models.py: no layer is idle, and values keep their size in depth.
"""

import sys

import torch
import torchvision
from safetensors.torch import load_file, save_file

from case import DATA, HERE, Network, networks

OPSET = 17
# Of the images that norms are calibrated with.
SIDE = 224


class Scores(torch.nn.Module):
    """A segmentation network that gives its scores alone, as the others do."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["out"]


def golden():
    sys.path.insert(0, str(HERE.parent.parent / "golden"))
    import models

    return models


def make(name: str) -> torch.nn.Module:
    """Of torchvision where that has it: importing the others takes seconds."""
    if name not in torchvision.models.list_models():
        return golden().NETS[name].make()
    backbone = {"weights_backbone": None} if name.startswith("deeplab") else {}
    return torchvision.models.get_model(name, weights=None, **backbone)


def loaded(case: Network) -> torch.nn.Module:
    """A network with its weights."""
    weights = load_file(case.weights)
    if case.network in torchvision.models.list_models():
        with torch.device("meta"):
            net = make(case.network)
        net.load_state_dict(weights, assign=True)
    else:
        net = make(case.network)
        net.load_state_dict(weights)
    return Scores(net) if case.network.startswith("deeplab") else net


def write(cases: list[Network]) -> None:
    """Weights and models of the cases of a network."""
    first = cases[0]
    torch.manual_seed(0)
    net = golden().settle(make(first.network), 0, SIDE)
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, first.weights)
    for case in cases:
        if case.onnx:
            names = {"input_names": ["x0"], "output_names": ["y"]}
            example = (torch.zeros(case.shape),)
            torch.onnx.export(loaded(case).eval(), example, case.onnx, opset_version=OPSET, dynamo=False, **names)


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    every = networks("models") + networks("train")
    for name in sys.argv[1:]:
        write([case for case in every if case.network == name])
