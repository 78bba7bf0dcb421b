"""The convolutions of benches/shapes/conv.json and their numbers, drawn like those of protocol/src/case.rs."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SHAPES = HERE.parent / "shapes" / "conv.json"
# Models that are exported for engines that read ONNX.
DATA = HERE / "data"


@dataclass(frozen=True)
class Case:
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

    def output_gradient(self) -> np.ndarray:
        return fill(self.output_shape, 4, 2.0)


def cases() -> list[Case]:
    """Every line of the suite."""

    def read(line: dict) -> Case:
        pairs = {name: tuple(line[name]) for name in ("k", "s", "p", "d")}
        return Case(**{**line, **pairs, "onnx": str(DATA / f"{line['id']}.onnx")})

    return [read(line) for line in json.loads(SHAPES.read_text())]


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
