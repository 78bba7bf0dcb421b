"""What is run and its numbers, drawn like those of protocol/src: the convolutions of benches/shapes/conv.json, the
operations of ops.json, the plug-in modules of modules.json and the whole networks of models.json and train.json."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SHAPES = HERE.parent / "shapes"
# Models that are exported for engines that read ONNX, and weights of networks.
DATA = HERE / "data"
# Of a step of training.
LEARNING_RATE = 0.01
MOMENTUM = 0.9


class Layered:
    """What is run forward, and where it is trained backward too."""

    train: bool
    measures_memory = False

    @property
    def modes(self) -> tuple[str, ...]:
        return ("fwd", "fwdbwd") if self.train else ("fwd",)


@dataclass(frozen=True)
class Case(Layered):
    """A convolution; pairs are height, then width."""

    id: str
    op: str  # conv, or convt for a transposed one
    n: int
    ci: int
    h: int
    w: int
    co: int
    k: tuple[int, int]
    s: tuple[int, int]
    p: tuple[int, int]
    d: tuple[int, int]
    g: int
    train: bool
    onnx: str = ""
    kind: str = "convolution"

    @property
    def transposed(self) -> bool:
        return self.op == "convt"

    @property
    def depthwise(self) -> bool:
        return self.g > 1 and self.g == self.ci

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.n, self.ci, self.h, self.w

    @property
    def weight_shape(self) -> tuple[int, ...]:
        if self.transposed:
            return self.ci, self.co // self.g, *self.k
        return self.co, self.ci // self.g, *self.k

    @property
    def output_shape(self) -> tuple[int, ...]:
        def length(i, k, s, p, d):
            reach = d * (k - 1) + 1
            return (i - 1) * s - 2 * p + reach if self.transposed else (i + 2 * p - reach) // s + 1

        axes = zip((self.h, self.w), self.k, self.s, self.p, self.d)
        return self.n, self.co, *(length(*axis) for axis in axes)

    @property
    def multiply_adds(self) -> int:
        """Of the definition, those with padding included."""
        n, _, h, w = self.input_shape if self.transposed else self.output_shape
        return n * h * w * int(np.prod(self.weight_shape))

    def input(self) -> np.ndarray:
        return fill(self.input_shape, 1, 2.0)

    def weight(self) -> np.ndarray:
        fan = np.float32(np.prod(self.weight_shape[1:]))
        return fill(self.weight_shape, 2, np.float32(2.0) / np.sqrt(fan))

    def bias(self) -> np.ndarray:
        return fill((self.co,), 3, 1.0)

    def inputs(self) -> list[np.ndarray]:
        return [self.input()]

    def output_gradient(self) -> np.ndarray:
        return fill(self.output_shape, 4, 2.0)


@dataclass(frozen=True)
class Operation(Layered):
    """A function of tensors; of regions the number is given, of other inputs the shape and the range of the numbers."""

    id: str
    op: str
    attributes: dict
    given: list[dict]
    train: bool
    onnx: str = ""
    kind: str = "operation"

    def inputs(self) -> list[np.ndarray]:
        return [self.draw(seed, given) for seed, given in enumerate(self.given, 20)]

    def draw(self, seed: int, given: dict) -> np.ndarray:
        if "regions" in given:
            return regions(given["regions"], seed, self.given[0]["shape"][2:])
        return fill(given["shape"], seed, given["scale"]) + np.float32(given["offset"])


@dataclass(frozen=True)
class Plugin(Layered):
    """A module of the catalogue, with the name and the arguments of its reference cases."""

    id: str
    module: str
    config: dict
    shapes: list[list[int]]
    train: bool = True
    onnx: str = ""
    kind: str = "plugin"

    def inputs(self) -> list[np.ndarray]:
        return [fill(shape, seed, 2.0) for seed, shape in enumerate(self.shapes, 20)]

    @staticmethod
    def parameter(place: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The parameter at that place in the order of names."""
        if len(shape) > 1:
            return fill(shape, 100 + place, np.float32(2.0) / np.sqrt(np.float32(np.prod(shape[1:]))))
        return fill(shape, 100 + place, 0.5) + np.float32(1.0 if name.endswith("weight") else 0.0)


@dataclass(frozen=True)
class Network:
    """A network by the name that striate's registry has for it; forward and backward is a step of training."""

    id: str
    network: str
    shape: list[int]
    macs: int
    mode: str
    weights: str
    onnx: str = ""
    kind: str = "network"

    @property
    def modes(self) -> tuple[str, ...]:
        return (self.mode,)

    @property
    def measures_memory(self) -> bool:
        """Of training, by a process that does nothing else."""
        return self.mode == "fwdbwd"

    @property
    def multiply_adds(self) -> int:
        return self.macs

    def inputs(self) -> list[np.ndarray]:
        # As far from 0 as normalised images are.
        return [fill(self.shape, 20, 3.5)]

    def labels(self) -> np.ndarray:
        """Of ImageNet's thousand."""
        return np.arange(self.shape[0], dtype=np.int64) * 131 % 1000


def regions(count: int, seed: int, image: list[int]) -> np.ndarray:
    """Rows of an image's number, left, top, right and bottom, within an image."""
    h, w = image
    size = np.array([w, h, w, h], dtype=np.float32)
    numbers = fill((count, 4), seed, 1.0) + np.float32(0.5)
    corner = numbers[:, :2] * np.float32(0.6)
    boxes = np.concatenate([corner, corner + np.float32(0.04) + numbers[:, 2:] * np.float32(0.32)], 1) * size
    return np.concatenate([np.zeros((count, 1), np.float32), boxes], 1)


def convolutions() -> list[Case]:
    def read(line: dict) -> Case:
        pairs = {name: tuple(line[name]) for name in ("k", "s", "p", "d")}
        return Case(**{**line, **pairs, "onnx": str(DATA / f"{line['id']}.onnx")})

    return [read(line) for line in lines("conv")]


def operations() -> list[Operation]:
    def read(line: dict) -> Operation:
        # ONNX has no norm that trains.
        model = "" if line["op"] == "batch_norm_train" else str(DATA / f"{line['id']}.onnx")
        return Operation(given=line.pop("inputs"), **line, onnx=model)

    return [read(line) for line in lines("ops")]


def plugins() -> list[Plugin]:
    return [Plugin(shapes=line.pop("inputs"), **line) for line in lines("modules")]


def networks(suite: str) -> list[Network]:
    def read(line: dict) -> Network:
        # Training needs none.
        model = str(DATA / f"{line['id']}.onnx") if line["mode"] == "fwd" else ""
        return Network(**line, weights=str(DATA / f"{line['network']}.safetensors"), onnx=model)

    return [read(line) for line in lines(suite)]


def lines(suite: str) -> list[dict]:
    return json.loads((SHAPES / f"{suite}.json").read_text())


SUITES = {
    "conv": convolutions,
    "ops": operations,
    "modules": plugins,
    "models": lambda: networks("models"),
    "train": lambda: networks("train"),
}


def parsed(case: dict) -> Case | Operation | Plugin | Network:
    """A case from a request."""
    return {"convolution": Case, "operation": Operation, "plugin": Plugin, "network": Network}[case["kind"]](**case)


def fill(shape: tuple[int, ...], seed: int, scale: float) -> np.ndarray:
    """Numbers in [-scale/2, scale/2), each a hash of its index and the seed."""
    start = np.uint32(seed * 0x85EB_CA77 & 0xFFFF_FFFF)
    with np.errstate(over="ignore"):
        h = np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(0x9E37_79B1) + start
        h ^= h >> np.uint32(15)
        h *= np.uint32(0x2C1B_3C6D)
        h ^= h >> np.uint32(12)
        h *= np.uint32(0x297A_2D39)
        h ^= h >> np.uint32(15)
    numbers = (h >> np.uint32(8)).astype(np.float32) / np.float32(16_777_216.0) - np.float32(0.5)
    return (numbers * np.float32(scale)).reshape(shape)
