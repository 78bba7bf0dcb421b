"""Reference runs of whole networks: `python models.py OUT_DIR [--seed N] [--batch B] [--size S] [--only NAME,...] [--activations]`.

Two files per network:

    NAME.weights.safetensors   the state dict, by the names of the implementation it comes from
    NAME.io.safetensors        tensors "input" and "output": eval mode, computed in float64, stored as float32
                               metadata: name, origin, params, macs (one image of the io file's size: convolutions,
                               linear layers and matrix products, one multiply-add each), size, batch,
                               float32_error (PyTorch's own, relative to the largest output)

With `--activations` also NAME.activations.safetensors: tensors "input", "output", and what every module gave that ran once, by
its path; computed in float64 as well.

Weights are random: the implementation's own initialisation, batch norms with mildly random scale and shift, and
running statistics near those of random images, so that no layer is idle and activations keep their size in depth.
`--list` prints the networks. With no `--only` everything is written, 3 GB and more; sizes below a network's smallest
are raised to it. Parameter and multiply-add counts are checked against the published ones before anything is written.
"""

import argparse
import copy
import functools
from pathlib import Path

import timm
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.resnet import Bottleneck, ResNet

import modules


class SkConvCifar(nn.Module):
    """SK of the CIFAR network: biased kernels 3 + 2m (or dilated 3x3), `fc` without batch norm or ReLU, one Linear per branch."""

    def __init__(self, channels, stride=1, branches=2, groups=8, reduction=2, min_dim=32, dilated=False):
        super().__init__()
        d = max(channels // reduction, min_dim)
        conv = lambda m: nn.Conv2d(
            channels, channels, 3 if dilated else 3 + 2 * m, stride, 1 + m, dilation=1 + m if dilated else 1, groups=groups)
        self.convs = nn.ModuleList(nn.Sequential(conv(m), nn.BatchNorm2d(channels), nn.ReLU()) for m in range(branches))
        self.fc = nn.Linear(channels, d)
        self.fcs = nn.ModuleList(nn.Linear(d, channels) for _ in range(branches))

    def forward(self, x):
        u = torch.stack([conv(x) for conv in self.convs], 1)
        z = self.fc(u.sum(1).mean((2, 3)))
        a = torch.stack([fc(z) for fc in self.fcs], 1).softmax(1)
        return (u * a[..., None, None]).sum(1)


class SkUnitCifar(nn.Module):
    """Bottleneck with the stride in the SK convolution; no ReLU inside, none after the sum."""

    def __init__(self, cin, cout, stride, **sk):
        super().__init__()
        mid = cout // 2
        self.feas = nn.Sequential(
            nn.Conv2d(cin, mid, 1), nn.BatchNorm2d(mid), SkConvCifar(mid, stride, **sk), nn.BatchNorm2d(mid), nn.Conv2d(mid, cout, 1), nn.BatchNorm2d(cout))
        same = cin == cout and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x):
        return self.feas(x) + self.shortcut(x)


class SkNetCifar(nn.Module):
    """Three stages of three units, a ReLU behind each unit; each stage's stride is its first unit's."""

    def __init__(self, num_classes=10, strides=(1, 2, 2), **sk):
        super().__init__()
        self.basic_conv = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64))
        widths = (64, 256, 512, 1024)
        for i, stride in enumerate(strides):
            units = [SkUnitCifar(widths[i] if j == 0 else widths[i + 1], widths[i + 1], stride if j == 0 else 1, **sk) for j in range(3)]
            self.add_module(f"stage_{i + 1}", nn.Sequential(*[layer for unit in units for layer in (unit, nn.ReLU())]))
        self.classifier = nn.Sequential(nn.Linear(1024, num_classes))

    def forward(self, x):
        x = self.stage_3(self.stage_2(self.stage_1(self.basic_conv(x))))
        return self.classifier(x.mean((2, 3)))


class ResidualAttention(nn.Module):
    """Attention-56 (1, 1, 1) and Attention-92 (1, 2, 3): as many modules in the stages of depth 3, 2, 1."""

    def __init__(self, counts, num_classes=1000, dialect="official"):
        super().__init__()
        block = modules.PreActBottleneck
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.order = []
        for i, (count, depth) in enumerate(zip(counts, (3, 2, 1)), 1):
            c = 128 << i
            self.put(f"residual_block{i}", block(64 if i == 1 else c // 2, c, 1 if i == 1 else 2))
            for j in range(1, count + 1):
                self.put(f"attention_module{i}" + (f"_{j}" if j > 1 else ""), modules.AttentionModule(c, depth, dialect=dialect))
        for i, (cin, stride) in enumerate(((1024, 2), (2048, 1), (2048, 1)), 4):
            self.put(f"residual_block{i}", block(cin, 2048, stride))
        self.mpool2 = nn.Sequential(nn.BatchNorm2d(2048), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(2048, num_classes)

    def put(self, name, module):
        self.add_module(name, module)
        self.order.append(name)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)
        for name in self.order:
            x = getattr(self, name)(x)
        return self.fc(self.mpool2(x).flatten(1))


class CbamBottleneck(Bottleneck):
    """torchvision's bottleneck with CBAM on the residual branch, after its last batch norm."""

    def __init__(self, inplanes, planes, *args, **kwargs):
        super().__init__(inplanes, planes, *args, **kwargs)
        self.cbam = modules.Cbam(4 * planes)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(self.cbam(y) + (x if self.downsample is None else self.downsample(x)))


class BamResNet(ResNet):
    """BAM after each of the first three stages."""

    def __init__(self):
        super().__init__(Bottleneck, [3, 4, 6, 3])
        self.bam1, self.bam2, self.bam3 = modules.Bam(256), modules.Bam(512), modules.Bam(1024)

    def _forward_impl(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.bam3(self.layer3(self.bam2(self.layer2(self.bam1(self.layer1(x))))))
        return self.fc(self.avgpool(self.layer4(x)).flatten(1))


def sknet50():
    """timm's skresnext50_32x4d is the same network but for the stem's max-pool, which is Caffe's here: ceil, no padding."""
    net = timm.create_model("skresnext50_32x4d")
    net.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return net


class Net:
    """How to build a network, and its published counts (macs at side `at`; None where there is none)."""

    def __init__(self, make, origin, params=None, macs=None, at=224, smallest=32):
        self.make, self.origin, self.params, self.macs, self.at, self.smallest = make, origin, params, macs, at, smallest


def tv(name, params=None, macs=None, at=224, smallest=32, **kwargs):
    make = functools.partial(torchvision.models.get_model, name, weights=None, **kwargs)
    return name, Net(make, f"torchvision {torchvision.__version__}: {name}", params, macs, at, smallest)


def tm(name, params=None, macs=None):
    return name, Net(functools.partial(timm.create_model, name), f"timm {timm.__version__}: {name}", params, macs)


def own(name, make, params, macs, at=224):
    return name, Net(make, "restated", params, macs, at)


NETS = dict([
    tv("resnet18", 11689512, 1814073344),
    tv("resnet50", 25557032, 4089184256),
    tv("resnext50_32x4d", 25028904, 4230479872),
    tv("mobilenet_v2", 3504872, 300774272),
    tv("vgg11_bn", 132868840),
    tv("googlenet", 6624904, aux_logits=False, init_weights=True),
    tv("inception_v3", 23834568, 5713216096, at=299, smallest=75, aux_logits=False, init_weights=True),
    tv("deeplabv3_resnet50", 39638869, 168731205888, at=520, weights_backbone=None, num_classes=21, aux_loss=False),
    tm("seresnet18", 11779624, 1814161408),
    tm("seresnet50", 28088024, 4091699200),
    tm("seresnet101", 49326872, 7806148608),
    tm("seresnext50_32x4d", 27559896, 4232994816),
    tm("legacy_seresnet18", 11778592, 1814160384),
    tm("legacy_seresnet50", 28088024, 3860488192),
    tm("legacy_seresnext50_32x4d", 27559896, 4232994816),
    tm("senet154", 115088984),
    tm("legacy_senet154", 115088984, 20688363520),
    tm("skresnet18", 11958056),
    tm("skresnet50", 25803160),
    tm("skresnext50_32x4d", 27479784, 4462710784),
    tm("resnetblur50", 25557032, 5133020672),
    tm("ecaresnet50d", 25576350, 4328912640),
    tm("resnest50d", 27483240, 5371160576),
    tm("gcresnet50t"),
    tm("mobilenetv1_100", 4231976, 568740352),
    tm("ghostnet_100", 5182508, 141150512),
    tm("tf_efficientnet_cc_b0_4e", 13314116, 396513888),
    own("sknet50", sknet50, 27479784, 4462710784),
    own("sknet_cifar", SkNetCifar, 10453322, 1374865408, at=32),
    own("attention56", functools.partial(ResidualAttention, (1, 1, 1)), 31810728, 6270836736),
    own("attention92", functools.partial(ResidualAttention, (1, 2, 3)), 52466344, 10533789696),
    own("cbam_resnet50", functools.partial(ResNet, CbamBottleneck, [3, 4, 6, 3]), 28089624, 4095573110),
    own("bam_resnet50", BamResNet, 25915099, 4171331328),
])


def run(net, x):
    y = net(x)
    return y["out"] if isinstance(y, dict) else y


def multiply_adds(net, side):
    """Of one image, from the shapes alone."""
    net = copy.deepcopy(net).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run(net, torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops() // 2


def branch_ends(net):
    """The last batch norm of every residual branch that has one."""
    for block in net.modules():
        if hasattr(block, "downsample"):
            yield [m for k, m in block.named_modules() if isinstance(m, nn.BatchNorm2d) and not k.startswith(("downsample", "cbam"))][-1]


def settle(net, seed, side):
    """Mildly random batch norms whose running statistics fit random images; no parameter is left all zero. Residual branches
    are damped, as in a trained network: undamped, a hundred random layers amplify rounding a thousandfold."""
    g = torch.Generator().manual_seed(seed)
    noise = lambda t: torch.randn(t.shape, generator=g)
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    net.eval()
    with torch.no_grad():
        for m in norms:
            m.weight.copy_(1 + 0.1 * noise(m.weight))
            m.bias.copy_(0.1 * noise(m.bias))
            m.train()
            m.momentum, momentum = None, m.momentum
            m.usual_momentum = momentum
        for m in branch_ends(net):
            m.weight.mul_(0.3)
        for p in net.parameters():
            if not p.any():
                p.copy_(0.05 * noise(p))
        run(net, torch.randn(8, 3, side, side, generator=g))
        for m in norms:
            m.momentum = m.usual_momentum
            del m.usual_momentum
            mean, var = m.running_mean, m.running_var
            # a batch norm behind a global pool sees almost no variance: dividing by that would only amplify rounding
            var.clamp_(min=0.1 * float((mean.square() + var).mean()))
            mean.add_(0.1 * var.sqrt() * noise(mean))
            var.mul_(0.8 + 0.4 * torch.rand(var.shape, generator=g))
    return net.eval()


def activations(model, x):
    """What every module of a copy in float64 gives for `x`, by path. Those that run more than once are left out."""
    model = copy.deepcopy(model).double()
    seen = {}
    for path, module in model.named_modules():
        # a later module may change the tensor in place
        keep = lambda _, __, y, path=path: seen.setdefault(path, []).append(y.float().contiguous().clone()) if torch.is_tensor(y) else None
        if path:
            module.register_forward_hook(keep)
    with torch.no_grad():
        y = run(model, x.double())
    once = {path: ys[0] for path, ys in seen.items() if len(ys) == 1}
    return {**once, "input": x, "output": y.float().contiguous()}


def write(out, name, net, seed, batch, side, with_activations):
    torch.manual_seed(seed)
    model = net.make()
    params = sum(p.numel() for p in model.parameters())
    assert net.params in (None, params), (name, params, net.params)
    macs = multiply_adds(model, net.at)
    assert net.macs in (None, macs), (name, macs, net.macs)
    side = max(side, net.smallest)
    settle(model, seed, side)
    x = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed + 1))
    weights = {k: v.contiguous().clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        single = run(model, x)
        y = run(copy.deepcopy(model).double(), x.double())
    assert y.isfinite().all() and y.std() > 0, name
    error = float((single - y).abs().max() / y.abs().max())
    save_file(weights, f"{out}/{name}.weights.safetensors", metadata={"format": "pt", "origin": net.origin})
    meta = dict(name=name, origin=net.origin, params=params, macs=multiply_adds(model, side), size=side, batch=batch, float32_error=f"{error:.2e}")
    save_file({"input": x, "output": y.float().contiguous()}, f"{out}/{name}.io.safetensors", metadata={k: str(v) for k, v in meta.items()})
    if with_activations:
        save_file(activations(model, x), f"{out}/{name}.activations.safetensors", metadata={"name": name, "origin": net.origin})
    print(f"{name}: {params} parameters, {macs} multiply-adds at {net.at}, outputs up to {float(y.abs().max()):.3g}, float32 error {error:.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--only", default="")
    parser.add_argument("--activations", action="store_true")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list or not args.out:
        print("\n".join(f"{name:26} {net.origin}" for name, net in NETS.items()))
        return
    torch.set_num_threads(1)
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for name in filter(None, args.only.split(",")) if args.only else NETS:
        write(args.out, name, NETS[name], args.seed, args.batch, args.size, args.activations)


if __name__ == "__main__":
    main()
