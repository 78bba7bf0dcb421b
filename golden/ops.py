"""Reference cases for single ops: `python ops.py OUT_DIR [--seed N] [--odd K] [--only NAME,...]`.

Every entry of OPS is (name, function, list of (inputs, config)). Names and attributes are PyTorch's;
where an attribute takes one number or two, the case holds two.
"""

import argparse
import fnmatch

import torch
import torch.nn.functional as F
import torchvision.ops as tvo

import casefile


def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    return F.conv2d(x, w, b, tuple(stride), tuple(padding), tuple(dilation), groups)


def conv_transpose2d(x, w, b=None, *, stride, padding, output_padding, dilation, groups):
    return F.conv_transpose2d(x, w, b, tuple(stride), tuple(padding), tuple(output_padding), groups, tuple(dilation))


def max_pool2d(x, *, kernel_size, stride, padding, dilation, ceil_mode):
    return F.max_pool2d(x, tuple(kernel_size), tuple(stride), tuple(padding), tuple(dilation), ceil_mode)


def avg_pool2d(x, *, kernel_size, stride, padding, ceil_mode, count_include_pad):
    return F.avg_pool2d(x, tuple(kernel_size), tuple(stride), tuple(padding), ceil_mode, count_include_pad)


def adaptive_avg_pool2d(x, *, output_size):
    return F.adaptive_avg_pool2d(x, tuple(output_size))


def adaptive_max_pool2d(x, *, output_size):
    return F.adaptive_max_pool2d(x, tuple(output_size))


def interpolate(x, *, size, mode, align_corners=None):
    return F.interpolate(x, size=tuple(size), mode=mode, align_corners=align_corners)


def grid_sample(x, grid, *, mode, padding_mode, align_corners):
    return F.grid_sample(x, grid, mode, padding_mode, align_corners)


def affine_grid(theta, *, size, align_corners):
    return F.affine_grid(theta, tuple(size), align_corners)


def deform_conv2d(x, offset, w, mask=None, b=None, *, stride, padding, dilation):
    return tvo.deform_conv2d(x, offset, w, b, tuple(stride), tuple(padding), tuple(dilation), mask)


def roi_pool(x, rois, *, output_size, spatial_scale):
    return tvo.roi_pool(x, rois, tuple(output_size), spatial_scale)


def roi_align(x, rois, *, output_size, spatial_scale, sampling_ratio, aligned):
    return tvo.roi_align(x, rois, tuple(output_size), spatial_scale, sampling_ratio, aligned)


def batch_norm(x, mean, var, w, b, *, training, momentum, eps):
    mean, var = mean.clone(), var.clone()
    return F.batch_norm(x, mean, var, w, b, training, momentum, eps)


def group_norm(x, w, b, *, num_groups, eps):
    return F.group_norm(x, num_groups, w, b, eps)


def layer_norm(x, w, b, *, eps):
    return F.layer_norm(x, tuple(w.shape), w, b, eps)


def softmax(x, *, dim):
    return F.softmax(x, dim)


def log_softmax(x, *, dim):
    return F.log_softmax(x, dim)


def cross_entropy(x, target, *, label_smoothing):
    return F.cross_entropy(x, target, label_smoothing=label_smoothing)


def linear(x, w, b=None):
    return F.linear(x, w, b)


def matmul(a, b):
    return torch.matmul(a, b)


UNARY = {
    "relu": F.relu, "leaky_relu": F.leaky_relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "exp": torch.exp,
    "silu": F.silu, "gelu": F.gelu, "mish": F.mish, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid,
    "softplus": F.softplus, "abs": torch.abs, "neg": torch.neg, "square": torch.square,
}


def build(seed, odd):
    """`odd` shifts every size, so that two seeds never share a shape."""
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g)
    u = lambda *s: torch.rand(*s, generator=g)
    cases = []

    def add(name, fn, inputs, differentiable=None, **config):
        cases.append((name, fn, inputs, config, differentiable))

    def conv(n, c, h, w, k, kh, kw, s=(1, 1), p=(0, 0), d=(1, 1), groups=1, bias=True):
        add("conv2d", conv2d, [r(n, c, h, w), r(k, c // groups, kh, kw) / (c // groups * kh * kw) ** 0.5, r(k) if bias else None],
            stride=list(s), padding=list(p), dilation=list(d), groups=groups)

    o = odd
    conv(2, 16, 10 + o, 11 + o, 32, 3, 3, p=(1, 1))
    conv(1, 64, 12 + o, 12, 16, 3, 3, p=(1, 1), bias=False)
    conv(1, 3, 23 + o, 20 + o, 20, 7, 7, s=(2, 2), p=(3, 3))
    conv(2, 24 + o, 7, 9 + o, 40 + o, 1, 1)
    conv(2, 24, 9 + o, 8, 37, 1, 1, s=(2, 2))
    conv(1, 32, 8 + o, 9, 48, 3, 3, s=(2, 2), p=(1, 1), groups=4)
    conv(1, 64, 7 + o, 7, 64, 3, 3, p=(1, 1), groups=16, bias=False)
    conv(2, 37 + o, 9, 10 + o, 37 + o, 3, 3, p=(1, 1), groups=37 + o)
    conv(1, 48, 11 + o, 10, 48, 5, 5, s=(2, 2), p=(2, 2), groups=48)
    conv(1, 32, 9, 10 + o, 64, 7, 7, p=(3, 3), groups=32)
    conv(1, 19 + o, 13, 11 + o, 22, 3, 3, p=(2, 2), d=(2, 2))
    conv(1, 16, 21 + o, 20, 16, 3, 3, p=(18, 18), d=(18, 18))
    conv(1, 16, 12 + o, 13, 16, 1, 3, p=(0, 1))
    conv(1, 16, 12, 13 + o, 16, 3, 1, p=(1, 0))
    conv(1, 12, 12, 13 + o, 18, 3, 5, s=(1, 2), p=(0, 3), d=(2, 1), groups=3)
    conv(1, 2, 14 + o, 14, 1, 7, 7, p=(3, 3), bias=False)
    conv(3, 5, 4, 4, 7, 4, 4)
    conv(1, 1, 1, 1, 1, 3, 3, p=(1, 1))

    for cin, cout, k, s, p, op, d, groups in [(16, 24, 4, 2, 1, 0, 1, 1), (8, 12, 3, 2, 1, 1, 1, 4), (6, 6, 3, 1, 2, 0, 2, 6), (5 + o, 3, 5, 3, 0, 2, 1, 1)]:
        add("conv_transpose2d", conv_transpose2d, [r(2, cin, 7 + o, 6), r(cin, cout // groups, k, k) / (cin * k) ** 0.5, r(cout)],
            stride=[s, s], padding=[p, p], output_padding=[op, op], dilation=[d, d], groups=groups)

    for k, s, p, d, c in [(3, 2, 1, 1, False), (2, 2, 0, 1, False), (3, 2, 0, 1, True), (3, 1, 1, 2, False), (5, 3, 2, 1, True), (2, 3, 1, 1, True)]:
        add("max_pool2d", max_pool2d, [r(2, 19, 11 + o, 14)], kernel_size=[k, k], stride=[s, s], padding=[p, p], dilation=[d, d], ceil_mode=c)
    for k, s, p, c, i in [(2, 2, 0, False, True), (3, 2, 1, False, True), (3, 2, 1, True, False), (5, 1, 2, False, False)]:
        add("avg_pool2d", avg_pool2d, [r(2, 18, 10 + o, 11)], kernel_size=[k, k], stride=[s, s], padding=[p, p], ceil_mode=c, count_include_pad=i)
    for size in [(1, 1), (3, 5), (7, 7), (16, 9)]:
        add("adaptive_avg_pool2d", adaptive_avg_pool2d, [r(2, 17, 10 + o, 11)], output_size=list(size))
    for size in [(1, 1), (3, 5), (7, 7)]:
        add("adaptive_max_pool2d", adaptive_max_pool2d, [r(2, 17, 10 + o, 11)], output_size=list(size))

    for mode, ac in [("nearest", None), ("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True)]:
        for size in [(20, 27 + o), (5, 6)]:
            cfg = dict(size=list(size), mode=mode)
            if ac is not None:
                cfg["align_corners"] = ac
            add("interpolate", interpolate, [r(2, 9, 10 + o, 13)], **cfg)

    for mode in ("bilinear", "nearest", "bicubic"):
        for pad in ("zeros", "border", "reflection"):
            for ac in (False, True):
                diff = [0] if mode == "nearest" else None
                add("grid_sample", grid_sample, [r(2, 6 + o, 9, 11 + o), 2.6 * u(2, 7, 8 + o, 2) - 1.3], diff, mode=mode, padding_mode=pad, align_corners=ac)
    for ac in (False, True):
        add("affine_grid", affine_grid, [r(3, 2, 3)], size=[3, 4, 6 + o, 7], align_corners=ac)

    for groups, og, mask, s, p, d, k in [(1, 1, False, 1, 1, 1, 3), (1, 1, True, 1, 1, 1, 3), (2, 4, True, 2, 2, 2, 3), (1, 2, False, 1, 0, 1, 5), (4, 1, True, 1, 1, 1, 1)]:
        c, co, h, w = 16, 24, 11 + o, 10
        oh, ow = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n in (h, w))
        add("deform_conv2d", deform_conv2d,
            [r(2, c, h, w), 1.5 * r(2, 2 * og * k * k, oh, ow), r(co, c // groups, k, k) / (c * k) ** 0.5, torch.sigmoid(r(2, og * k * k, oh, ow)) if mask else None, r(co)],
            stride=[s, s], padding=[p, p], dilation=[d, d])
    for sr, al in [(2, True), (0, True), (2, False), (-1, False)]:
        rois = torch.tensor([[0, 1.2, 2.1, 30.7, 21.9], [1, 0.0, 0.0, 12.3 + o, 40.2], [0, 20.5, 10.25, 21.0, 10.75], [1, -4.0, -3.0, 60.0, 50.0]])
        add("roi_align", roi_align, [r(2, 5, 14, 15 + o), rois], [0], output_size=[7, 5], spatial_scale=0.25, sampling_ratio=sr, aligned=al)

    for training in (True, False):
        add("batch_norm", batch_norm, [3 + 2 * r(4, 19, 6, 7 + o), r(19), 0.5 + u(19), 1 + r(19), r(19)], [0, 3, 4], training=training, momentum=0.1, eps=1e-5)
    add("group_norm", group_norm, [r(2, 24, 5, 6 + o), r(24), r(24)], num_groups=4, eps=1e-5)
    add("layer_norm", layer_norm, [r(5, 33 + o), r(33 + o), r(33 + o)], eps=1e-5)
    for dim, shape in [(1, (3, 50 + o)), (1, (2, 3, 8, 9 + o)), (-1, (2, 20, 37))]:
        add("softmax", softmax, [4 * r(*shape)], dim=dim)
        add("log_softmax", log_softmax, [4 * r(*shape)], dim=dim)
    for ls in (0.0, 0.1):
        add("cross_entropy", cross_entropy, [3 * r(9, 10 + o), torch.randint(0, 10, (9,), generator=g)], [0], label_smoothing=ls)
    add("linear", linear, [r(7, 65 + o), r(33, 65 + o) / 8, r(33)])
    add("matmul", matmul, [r(3, 21 + o, 33), r(3, 33, 27)])
    add("matmul", matmul, [r(19 + o, 257), r(257, 35)])
    for name, fn in UNARY.items():
        add(name, fn, [torch.cat([5 * r(997 + o), torch.tensor([0.0, -0.0, 40.0, -40.0, 88.0, -88.0] if name != "exp" else [0.0, -0.0, 10.0, -40.0])])])
    rois = torch.tensor([[0, 1.2, 2.1, 30.7, 21.9], [1, 0.0, 0.0, 12.3 + o, 40.2], [0, 20.5, 10.25, 21.0, 10.75], [1, -4.0, -3.0, 60.0, 50.0]])
    for size in ([7, 5], [3, 3]):
        add("roi_pool", roi_pool, [r(2, 5, 14, 15 + o), rois], [0], output_size=size, spatial_scale=0.25)
    return cases


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--odd", type=int, default=0)
    p.add_argument("--only", default="*", help="names or patterns of ops, with commas; the values of a case do not depend on it")
    a = p.parse_args()
    torch.set_num_threads(1)
    only = a.only.split(",")
    count, written = {}, 0
    for name, fn, inputs, config, diff in build(a.seed, a.odd):
        i = count[name] = count.get(name, -1) + 1
        if not any(fnmatch.fnmatch(name, pattern) for pattern in only):
            continue
        written += 1
        casefile.op_case(f"{a.out}/op-{name}-{i:02}.safetensors", name, fn, inputs, config, diff, seed=a.seed)
    print(f"{written} of {sum(v + 1 for v in count.values())} cases")


if __name__ == "__main__":
    main()
