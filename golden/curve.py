"""Reference loss curves: `python curve.py OUT_DIR [--seed N]`.

Twenty training steps of a small network on fixed random batches, in float64 from float32 weights and images:

    conv1 3x3 1->8, bn1, relu, max-pool 2, conv2 3x3 8->16, bn2, relu, mean over the map, fc 16->10, cross-entropy

The convolutions have padding 1 and no bias. Tensors of a case (kind "curve", its name the optimizer's):

    input.0     images [step, batch, 1, 12, 12]
    input.1     labels [step, batch], int64
    output.0    the loss of each step, before that step's update
    param.*, buffer.*    the state dict before the first step
    after.*              all of it after the last

The config holds the optimizer's settings by the names used in PyTorch, and `float32_error`: how far the same steps in
float32 move the worst of these tensors, as a relative 2-norm. The case is drawn again until no ReLU input and no two
greatest values of a pooling window come closer than `MARGIN` in any step: where they do, rounding decides which way the
gradient goes, and Adam makes steps of equal size of small gradients and of large ones.
"""

import argparse
import copy
import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F

import casefile

STEPS, BATCH, SIDE, CLASSES = 20, 16, 12, 10
MARGIN = 5e-6

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=False)),
    "adamw": (torch.optim.AdamW, dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)),
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.margin = float("inf")
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(self.relu(self.bn1(self.conv1(x)), pooled=True), 2)
        x = self.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))

    def relu(self, x, pooled=False):
        """Notes in `margin` how close a decision was."""
        y = x.detach()
        gap = float(y.abs().min())
        if pooled:
            windows = y.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
            first, second = windows.topk(2).values.unbind(-1)
            gap = min(gap, float((first - second)[first > 0].min()))
        self.margin = min(self.margin, gap)
        return F.relu(x)


def train(net, optimizer, settings, images, labels, dtype):
    """The losses and the final state dict, and the closest decision."""
    net = copy.deepcopy(net).to(dtype).train()
    optimizer = optimizer(net.parameters(), **settings)
    losses = []
    for x, y in zip(images.to(dtype), labels):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return {"output.0": torch.stack(losses)} | {f"after.{k}": t for k, t in net.state_dict().items()}, net.margin


def relative(y, expected):
    return float((y.double() - expected).norm() / expected.norm())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, (optimizer, settings) in OPTIMIZERS.items():
        for draw in itertools.count():
            g = torch.Generator().manual_seed(1000 * args.seed + draw)
            images = torch.randn(STEPS, BATCH, 1, SIDE, SIDE, generator=g)
            labels = torch.randint(0, CLASSES, (STEPS, BATCH), generator=g)
            net = casefile.settle(Net(), 1000 * args.seed + draw)
            start = {f"param.{k}": p for k, p in net.named_parameters()}
            start |= {f"buffer.{k}": b for k, b in net.named_buffers()}
            expected, margin = train(net, optimizer, settings, images, labels, torch.float64)
            if margin >= MARGIN:
                break
        single, _ = train(net, optimizer, settings, images, labels, torch.float32)
        error = max(relative(single[k], t) for k, t in expected.items() if t.is_floating_point())
        tensors = {"input.0": images, "input.1": labels} | start | expected
        config = settings | {"float32_error": float(f"{error:.1e}")}
        casefile.write(f"{args.out}/curve-{name}.safetensors", "curve", name, config, tensors, mode="train")
        losses = expected["output.0"]
        print(f"{name}: draw {draw}, loss {losses[0]:.4f} to {losses[-1]:.4f}, float32 error {error:.1e}, margin {margin:.1e}")


if __name__ == "__main__":
    main()
