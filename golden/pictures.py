"""Writes how torchvision brings pictures to a network: `python pictures.py OUT_DIR`.

A safetensors file each: `picture` (uint8, rows of pixels of red, green and blue), `centre` (float32, planes from 0 to 1: the
picture as floats, resized with antialiasing, its centre cut out; computed in float64), and the short side `short` in the
metadata.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.transforms import functional as F

# Name, height and width, short side, side of the centre.
CASES = [
    ("wide", (61, 87), 37, 32),
    ("high", (90, 53), 37, 32),
    ("even", (80, 64), 37, 32),
    ("enlarged", (19, 23), 37, 32),
    ("odd", (50, 51), 34, 31),
]


def main(out):
    Path(out).mkdir(parents=True, exist_ok=True)
    for i, (name, (height, width), short, side) in enumerate(CASES):
        generator = torch.Generator().manual_seed(i)
        picture = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
        resized = F.resize(picture.permute(2, 0, 1).double() / 255, [short], antialias=True)
        centre = F.center_crop(resized, [side, side])
        save_file({"picture": picture, "centre": centre.float().contiguous()}, f"{out}/{name}.safetensors", metadata={"short": str(short)})


if __name__ == "__main__":
    main(*sys.argv[1:])
