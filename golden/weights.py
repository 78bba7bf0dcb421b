"""Writes small files with weights, as PyTorch and NumPy write them, and some that must be refused.

    python weights.py weights

The numbers are counted, so that a test can tell them without a file: element i of a tensor that begins at b is (b + i) / 8 - 2,
which every floating point type here holds exactly, and i + b - 16 for integers.
"""

import io
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn


def counted(*shape, begin=0, dtype=torch.float32):
    n = torch.arange(begin, begin + torch.Size(shape).numel())
    if dtype == torch.bool:
        return (n % 3 == 0).reshape(shape)
    values = n / 8 - 2 if dtype.is_floating_point else n - (0 if dtype == torch.uint8 else 16)
    return values.to(dtype).reshape(shape)


def network():
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 3, 3), bn=nn.BatchNorm2d(3)))
    with torch.no_grad():
        for i, t in enumerate([*net.parameters(), net.bn.running_mean, net.bn.running_var]):
            t.copy_(counted(*t.shape, begin=i))
        net.bn.num_batches_tracked.fill_(7)
    return net


TYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
]


def types():
    return {str(t).removeprefix("torch."): counted(3, 5, dtype=t) for t in TYPES}


def views():
    base = counted(4, 6)
    images = counted(2, 3, 2, 2)
    return {
        "base": base,
        "again": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 1::2],
        "corner": base[2:, 4:].t(),
        "channels_last": images.to(memory_format=torch.channels_last),
        "repeated": counted(3, 1).expand(3, 4),
        "scalar": base[3, 5],
        "empty": base[:0],
    }


def checkpoint():
    net = network()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(counted(1, 2, 4, 4)).sum().backward()
    sgd.step()
    net.load_state_dict(network().state_dict())
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [10, 20, 20])
    return {
        "epoch": 3,
        "best": 0.75,
        "mean": counted(3),
        "state_dict": nn.DataParallel(net).state_dict(),
        "optimizer": sgd.state_dict(),
        "schedule": schedule.state_dict(),
    }


def arrays():
    weight = counted(2, 3, 2).numpy()
    return {
        "weight": weight,
        "block.fortran": np.asfortranarray(weight),
        "big": weight.astype(">f4"),
        "big_integers": counted(4, dtype=torch.int32).numpy().astype(">i4"),
        "half": weight.astype(np.float16),
        "double": weight.astype(np.float64),
        "long": counted(3, dtype=torch.int64).numpy(),
        "unsigned": np.array([0, 2**32 - 1], np.uint32),
        "bytes": np.array([0, 255], np.uint8),
        "mask": np.array([[True, False]]),
        "scalar": np.float32(1.5),
        "empty": np.zeros((0, 3), np.float32),
        "zeros": np.zeros((40, 40), np.float32),
    }


class System:
    """What must never happen when a file is read."""

    def __reduce__(self):
        import os

        return os.system, ("touch striate-was-here",)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    legacy = {"_use_new_zipfile_serialization": False}
    for name, content in [("network", network().state_dict()), ("types", types()), ("views", views()), ("checkpoint", checkpoint())]:
        torch.save(content, folder / f"{name}.pt")
        torch.save(content, folder / f"{name}-legacy.pt", **legacy)
    torch.save(dict(network().named_parameters()), folder / "parameters.pt")
    torch.save(network().state_dict(), folder / "protocol4.pt", pickle_protocol=4)
    torch.serialization.set_crc32_options(False)
    torch.save({"model": network().state_dict()}, folder / "unchecked.pt")
    torch.serialization.set_crc32_options(True)
    np.savez(folder / "stored.npz", **arrays())
    np.savez_compressed(folder / "deflated.npz", **arrays())

    torch.save({"weight": System()}, folder / "refused-system.pt")
    torch.save({"weight": System()}, folder / "refused-system-legacy.pt", **legacy)
    torch.save(nn.Conv2d(1, 1, 1), folder / "refused-module.pt")
    torch.save({"weight": counted(3, 3).to_sparse()}, folder / "refused-sparse.pt")
    torch.save({"weight": torch.complex(counted(3), counted(3))}, folder / "refused-complex.pt")
    torch.save({"weight": torch.complex(counted(3), counted(3)).conj().imag}, folder / "refused-negative.pt")
    torch.save([counted(3)], folder / "refused-list.pt")
    torch.save({"epoch": 3, "loss": [0.5]}, folder / "refused-nothing.pt")
    np.savez(folder / "refused-objects.npz", weight=np.array([System()], dtype=object))
    program = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.ReLU()), program)
    with zipfile.ZipFile(program) as full, zipfile.ZipFile(folder / "refused-script.pt", "w") as small:
        for name in full.namelist():
            if name.rsplit("/", 1)[1] in ("data.pkl", "constants.pkl", "version"):
                small.writestr(zipfile.ZipInfo(name), full.read(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
