"""Reference cases for modules: `python modules.py OUT_DIR [--seed N] [--odd K] [--only NAME,...]`.

A module that timm or torchvision has is taken from there; every other one is restated here from its definition, with
the parameter names of the implementation that people have weights from. The keys of a case's config are the
constructor arguments below, all of them written out, defaults too, but for those that the module's name already says
(dims, position, modulated).

Inputs and outputs, where there is more than one:

    module                                inputs                                     outputs
    deeplabv3plus_decoder                 x, low_level                               map
    deform_roi_pool                       x, rois, offset (only offset_head "none")  bins
    modulated_deform_roi_pool             x, rois                                    bins
    deform_psroi_pool                     x, rois, trans (not with no_trans)         bins
    psroi_pool                            x, rois                                    bins
    asff                                  level 0 (coarsest), level 1, level 2       map
    fpn, pan                              finest ... coarsest                        finest ... coarsest, extra levels
    weighted_fusion                       the maps to fuse                           map
    condconv                              x, routing (only routing "given")          map
    dca_se                                x, previous (only connected)               map, vector for the next block
    tps_grid                              source points N,K,2 as (x, y)              grid N,H,W,2

rois are R,5: batch index, x1, y1, x2, y2. They get no gradient.

Every case is checked before it is written. Values are drawn again when a small change of them crosses a kink (a ReLU
at 0, a tie of a max-pool, a sample on a grid line): the gradients of float32 and float64 runs would differ there.
A gradient that vanishes by construction (a bias in front of a batch norm in train mode, a key bias under a softmax)
is left out of the file; such parameters are named by `still` in the list of cases.
"""

import argparse
import copy
import fnmatch
import functools
import inspect
import itertools
import math
import zlib
from collections import OrderedDict

import timm
import timm.layers as tl
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
import torchvision.ops as tvo
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn
from timm.layers.grn import GlobalResponseNorm
from timm.models.byobnet import LayerFn, RepVggBlock
from timm.models.fasternet import Partial_conv3
from timm.models.ghostnet import GhostBottleneck, GhostModule
from timm.models.res2net import Bottle2neck
from timm.models.sknet import SelectiveKernelBottleneck
from torchvision.models.googlenet import Inception
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabHead

import casefile

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_FN = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class ConvNorm(nn.Sequential):
    """conv without bias, batch norm under the given name, optional activation; same-size padding unless told."""

    def __init__(self, cin, cout, k, stride=1, padding=None, dilation=1, groups=1, act=None, momentum=0.1, norm="bn"):
        super().__init__()
        if padding is None:
            padding = [d * (n - 1) // 2 for n, d in zip((k, k) if isinstance(k, int) else k, (dilation, dilation))]
        self.add_module("conv", nn.Conv2d(cin, cout, k, stride, padding, dilation, groups, bias=False))
        self.add_module(norm, nn.BatchNorm2d(cout, momentum=momentum))
        if act is not None:
            self.add_module("act", act)


def reduced(channels, reduction, rounding, divisor):
    """Bottleneck width: floor, or to the nearest multiple of `divisor` and at least that."""
    if rounding == "floor":
        return channels // reduction
    return max(divisor, int(channels / reduction + divisor / 2) // divisor * divisor)


def projection(cin, cout, stride):
    """The shortcut of a residual block: None where it is the identity."""
    if cin == cout and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))


# ---------------------------------------------------------------- squeeze and excitation


class SE(tl.SEModule):
    def __init__(self, channels, reduction=16, rounding="floor", divisor=1, squeeze="avg", gate="sigmoid", bias=True, norm=False, no_squeeze=False):
        super().__init__(
            channels, rd_channels=reduced(channels, reduction, rounding, divisor), bias=bias, gate_layer=gate,
            norm_layer=nn.BatchNorm2d if norm else None, add_maxpool=squeeze == "avg_max_half")
        self.squeeze, self.no_squeeze = squeeze, no_squeeze

    def forward(self, x):
        if self.squeeze != "max" and not self.no_squeeze:
            return super().forward(x)
        s = x if self.no_squeeze else x.amax((2, 3), keepdim=True)
        return x * self.gate(self.fc2(self.act(self.bn(self.fc1(s)))))


class SEBottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1, and SE at one of the positions of the SE paper's ablation.

    pre: on the block's input, inside the residual branch only. identity: on the shortcut, after its projection.
    conv3x3: after the batch norm and ReLU of the 3x3."""

    def __init__(self, position, in_channels, width, out_channels, stride=1, reduction=16, bias=True):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.se = SE({"pre": in_channels, "conv3x3": width}.get(position, out_channels), reduction, bias=bias)
        self.downsample = projection(in_channels, out_channels, stride)
        self.position = position

    def forward(self, x):
        at = lambda position, y: self.se(y) if self.position == position else y
        identity = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(at("pre", x))))
        y = at("conv3x3", F.relu(self.bn2(self.conv2(y))))
        y = at("standard", self.bn3(self.conv3(y)))
        return at("post", F.relu(at("identity", identity) + y))


def ese(channels, squeeze="avg", gate="hard_sigmoid"):
    return tl.EffectiveSEModule(channels, add_maxpool=squeeze == "avg_max_half", gate_layer=gate)


def eca(channels=None, kernel_size=None, gamma=2, beta=1):
    """kernel_size null: from the channels, (log2(C) + beta) / gamma made odd, at least 3."""
    return tl.EcaModule(channels if kernel_size is None else None, kernel_size or 3, gamma, beta)


def ceca(channels=None, kernel_size=None, gamma=2, beta=1):
    return tl.CecaModule(channels if kernel_size is None else None, kernel_size or 3, gamma, beta)


# ---------------------------------------------------------------- selective kernel


class SK(tl.SelectiveKernel):
    """kernels "dilated": 3x3 with dilation m+1; "plain": kernel 3+2m. Width of the bottleneck: max(C // r, L)."""

    def __init__(self, in_channels, out_channels, branches=2, kernels="dilated", groups=32, reduction=16, min_dim=32, stride=1,
                 fc_bn=True, fc_act=True, fc_bias=False, conv_bias=False, split_input=False):
        d = max(out_channels // reduction, min_dim)
        super().__init__(
            in_channels, out_channels, [3 + 2 * m for m in range(branches)], stride=stride, groups=groups, rd_channels=d,
            keep_3x3=kernels == "dilated", split_input=split_input)
        if not fc_bn:
            self.attn.bn = nn.Identity()
        if not fc_act:
            self.attn.act = nn.Identity()
        if fc_bias:
            self.attn.fc_reduce = nn.Conv2d(out_channels, d, 1)
            self.attn.fc_select = nn.Conv2d(d, branches * out_channels, 1)
        if conv_bias:
            for path in self.paths:
                path.conv.bias = nn.Parameter(torch.zeros(out_channels))


def skunit(in_channels, width, out_channels, stride=1, branches=2, groups=32, reduction=16, min_dim=32):
    sk = dict(rd_channels=max(width // reduction, min_dim), split_input=False, kernel_size=[3 + 2 * m for m in range(branches)])
    planes = out_channels // 4
    return SelectiveKernelBottleneck(
        in_channels, planes, stride, projection(in_channels, out_channels, stride), cardinality=groups,
        base_width=64 * width // (groups * planes), sk_kwargs=sk)


# ---------------------------------------------------------------- spatial transformer


def localization(in_channels, channels, kernels):
    a, b = channels
    return nn.Sequential(
        nn.Conv2d(in_channels, a, kernels[0]), nn.MaxPool2d(2, 2), nn.ReLU(),
        nn.Conv2d(a, b, kernels[1]), nn.MaxPool2d(2, 2), nn.ReLU())


def localization_features(size, channels, kernels):
    for k in kernels:
        size = [(n - k + 1) // 2 for n in size]
    return channels[-1] * size[0] * size[1]


class SpatialTransformer(nn.Module):
    """transform "affine": 6 numbers, theta row by row; "attention": sx, sy, tx, ty. out_size null: the input's size."""

    def __init__(self, in_channels=1, in_size=(28, 28), loc_channels=(8, 10), loc_kernels=(7, 5), hidden=32, transform="affine",
                 out_size=None, mode="bilinear", padding="zeros", align_corners=False):
        super().__init__()
        self.localization = localization(in_channels, loc_channels, loc_kernels)
        features = localization_features(in_size, loc_channels, loc_kernels)
        self.fc_loc = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 6 if transform == "affine" else 4))
        self.transform, self.out_size = transform, out_size
        self.sample = dict(mode=mode, padding_mode=padding, align_corners=align_corners)

    def after_settle(self):
        self.fc_loc[2].weight.mul_(0.3)
        self.fc_loc[2].bias.add_(torch.tensor([1.0, 0, 0, 0, 1, 0] if self.transform == "affine" else [1.0, 1, 0, 0]))

    def forward(self, x):
        p = self.fc_loc(self.localization(x).flatten(1))
        if self.transform == "attention":
            sx, sy, tx, ty = p.unbind(1)
            zero = torch.zeros_like(sx)
            p = torch.stack([sx, zero, tx, zero, sy, ty], 1)
        size = self.out_size or x.shape[2:]
        grid = F.affine_grid(p.view(-1, 2, 3), (*x.shape[:2], *size), self.sample["align_corners"])
        return F.grid_sample(x, grid, **self.sample)


class TpsGrid(nn.Module):
    """Thin plate spline from fixed target points to the given source points; the buffers are computed in float64.

    The K target points are a grid_height x grid_width lattice over [-span, span], row by row, as (x, y). The pixel
    lattice is that of align_corners=true."""

    def __init__(self, out_size, grid_height=3, grid_width=3, span=(0.9, 0.9)):
        super().__init__()
        f64 = dict(dtype=torch.float64)
        lattice = lambda h, w, sh, sw: torch.stack(torch.meshgrid(
            torch.linspace(-sw, sw, w, **f64), torch.linspace(-sh, sh, h, **f64), indexing="xy"), -1).view(-1, 2)
        self.points = lattice(grid_height, grid_width, *span)
        pixels = lattice(*out_size, 1, 1)
        k = len(self.points)
        system = torch.zeros(k + 3, k + 3, **f64)
        system[:k, :k] = self.kernel(self.points)
        system[:k, k], system[:k, k + 1:] = 1, self.points
        system[k, :k], system[k + 1:, :k] = 1, self.points.T
        self.register_buffer("inverse_kernel", torch.linalg.inv(system))
        self.register_buffer("padding_matrix", torch.zeros(3, 2, **f64))
        self.register_buffer("target_coordinate_repr", torch.cat([self.kernel(pixels), torch.ones(len(pixels), 1, **f64), pixels], 1))
        self.out_size = out_size

    def kernel(self, q):
        r2 = (q[:, None] - self.points[None]).square().sum(-1)
        return torch.where(r2 == 0, 0.0, 0.5 * r2 * r2.clamp(min=1e-300).log())

    def forward(self, source):
        padded = torch.cat([source, self.padding_matrix.to(source).expand(len(source), 3, 2)], 1)
        grid = self.target_coordinate_repr.to(source) @ (self.inverse_kernel.to(source) @ padded)
        return grid.view(len(source), *self.out_size, 2)


class TpsTransformer(nn.Module):
    """Localisation net, TPS grid (its buffers under `tps`), sampler. bounded: tanh on the predicted points."""

    def __init__(self, in_channels=1, in_size=(28, 28), loc_channels=(8, 10), loc_kernels=(7, 5), hidden=32, out_size=None, grid_height=3,
                 grid_width=3, span=(0.9, 0.9), bounded=False, mode="bilinear", padding="zeros", align_corners=True):
        super().__init__()
        self.localization = localization(in_channels, loc_channels, loc_kernels)
        features = localization_features(in_size, loc_channels, loc_kernels)
        self.fc_loc = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 2 * grid_height * grid_width))
        self.tps = TpsGrid(out_size or in_size, grid_height, grid_width, span)
        self.bounded, self.sample = bounded, dict(mode=mode, padding_mode=padding, align_corners=align_corners)

    def after_settle(self):
        points = self.tps.points.flatten()
        self.fc_loc[2].weight.mul_(0.3)
        self.fc_loc[2].bias.mul_(0.5).add_(points.atanh() if self.bounded else points)

    def forward(self, x):
        p = self.fc_loc(self.localization(x).flatten(1))
        p = p.tanh() if self.bounded else p
        return F.grid_sample(x, self.tps(p.view(len(x), -1, 2)), **self.sample)


# ---------------------------------------------------------------- ASPP and DeepLab


class AsppV2(nn.Module):
    def __init__(self, in_channels, num_classes, rates=(6, 12, 18, 24)):
        super().__init__()
        for i, rate in enumerate(rates):
            self.add_module(f"c{i}", nn.Conv2d(in_channels, num_classes, 3, padding=rate, dilation=rate))

    def forward(self, x):
        return sum(branch(x) for branch in self.children())


def aspp_v3(in_channels, out_channels=256, rates=(6, 12, 18), dropout=0.0):
    aspp = ASPP(in_channels, rates, out_channels)
    aspp.project[3].p = dropout
    return aspp


def deeplabv3_head(in_channels, num_classes, channels=256, rates=(12, 24, 36), dropout=0.0):
    return nn.Sequential(
        aspp_v3(in_channels, channels, rates, dropout), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, num_classes, 1))


class DeepLabV3PlusDecoder(nn.Module):
    """From the ASPP output and the stride-4 map to class scores at stride 4 (the last x4 resize is the model's)."""

    def __init__(self, in_channels, low_level_channels, num_classes, channels=256, reduced_channels=48, align_corners=True, dropout=(0.0, 0.0)):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(low_level_channels, reduced_channels, 1, bias=False), nn.BatchNorm2d(reduced_channels)
        conv = lambda cin: [nn.Conv2d(cin, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        self.last_conv = nn.Sequential(
            *conv(in_channels + reduced_channels), nn.Dropout(dropout[0]), *conv(channels), nn.Dropout(dropout[1]), nn.Conv2d(channels, num_classes, 1))
        self.align_corners = align_corners

    def forward(self, x, low_level):
        low = F.relu(self.bn1(self.conv1(low_level)))
        x = F.interpolate(x, low.shape[2:], mode="bilinear", align_corners=self.align_corners)
        return self.last_conv(torch.cat([x, low], 1))


# ---------------------------------------------------------------- non-local


class NonLocal(nn.Module):
    """pool_position "before" pools x and then projects; the names stay those of "after" (g.0, phi.0)."""

    def __init__(self, dims, channels, instantiation="embedded", inter_channels=None, sub_sample=False, bn_layer=True, pool_position="after", scale=None):
        super().__init__()
        inter = inter_channels or max(channels // 2, 1)
        project = lambda: CONV[dims](channels, inter, 1)
        pooled = lambda: nn.Sequential(project()) if sub_sample else project()
        self.g = pooled()
        if instantiation != "gaussian":
            self.theta, self.phi = project(), pooled()
        if instantiation == "concat":
            self.concat_project = nn.Sequential(nn.Conv2d(2 * inter, 1, 1, bias=False), nn.ReLU())
        back = CONV[dims](inter, channels, 1)
        self.W = nn.Sequential(back, NORM[dims](channels)) if bn_layer else back
        self.dims, self.inter, self.instantiation = dims, inter, instantiation
        self.sub_sample, self.pool_position = sub_sample, pool_position
        self.scale = {None: 1.0, "inv_sqrt_inter": inter**-0.5, "inv_sqrt_in": channels**-0.5}[scale]

    def pool(self, x):
        return MAX_POOL[self.dims](x, {1: 2, 2: 2, 3: (1, 2, 2)}[self.dims]) if self.sub_sample else x

    def keys(self, f, x):
        return f(self.pool(x)) if self.pool_position == "before" else self.pool(f(x))

    def forward(self, x):
        g = self.keys(self.g, x).flatten(2)
        same = self.instantiation == "gaussian"
        theta = (x if same else self.theta(x)).flatten(2)
        phi = (self.pool(x) if same else self.keys(self.phi, x)).flatten(2)
        if self.instantiation == "concat":
            pairs = torch.cat([theta[..., None].expand(-1, -1, -1, phi.shape[2]), phi[:, :, None].expand(-1, -1, theta.shape[2], -1)], 1)
            f = self.concat_project(pairs)[:, 0]
        else:
            f = theta.transpose(1, 2) @ phi * self.scale
        a = f.softmax(-1) if self.instantiation in ("gaussian", "embedded") else f / f.shape[-1]
        y = (a @ g.transpose(1, 2)).transpose(1, 2).reshape(len(x), self.inter, *x.shape[2:])
        return self.W(y) + x


# ---------------------------------------------------------------- CBAM and BAM


class ChannelGate(nn.Module):
    def __init__(self, channels, reduction=16, pools=("avg", "max")):
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels))
        self.pools = pools

    def forward(self, x):
        pool = {
            "avg": lambda: x.mean((2, 3)), "max": lambda: F.max_pool2d(x, x.shape[2:]),
            "lp": lambda: x.square().sum((2, 3)).sqrt(), "lse": lambda: x.flatten(2).logsumexp(2)}
        return x * sum(self.mlp(pool[p]()) for p in self.pools).sigmoid()[..., None, None]


class SpatialGate(nn.Module):
    """`kernel_size` 7 or 3; order of the two pooled maps: "max_mean" (the released code) or "mean_max"."""

    def __init__(self, kernel_size=7, order="max_mean", bn_momentum=0.01):
        super().__init__()
        self.spatial = ConvNorm(2, 1, kernel_size, momentum=bn_momentum)
        self.order = order

    def forward(self, x):
        maps = [x.max(1, keepdim=True).values, x.mean(1, keepdim=True)]
        return x * self.spatial(torch.cat(maps if self.order == "max_mean" else maps[::-1], 1)).sigmoid()


class Cbam(nn.Module):
    def __init__(self, channels, reduction=16, pools=("avg", "max"), kernel_size=7, order="max_mean", no_spatial=False, bn_momentum=0.01):
        super().__init__()
        self.ChannelGate = ChannelGate(channels, reduction, pools)
        self.SpatialGate = nn.Identity() if no_spatial else SpatialGate(kernel_size, order, bn_momentum)

    def forward(self, x):
        return self.SpatialGate(self.ChannelGate(x))


def cbam_timm(channels, reduction=16, kernel_size=7, mlp_bias=False):
    """The other dialect: (mean, max), no bias in the MLP by default, width rounded to nearest, momentum 0.1."""
    return CbamModule(channels, rd_ratio=1 / reduction, spatial_kernel_size=kernel_size, mlp_bias=mlp_bias)


class Bam(nn.Module):
    """combine "product" is the released code, "sum" the paper."""

    def __init__(self, channels, reduction=16, dilation=4, combine="product"):
        super().__init__()
        r = channels // reduction
        conv = lambda cin, cout, k, d=1: nn.Conv2d(cin, cout, k, padding=d * (k // 2), dilation=d)
        names = lambda **layers: nn.Sequential(OrderedDict(layers))
        self.channel_att = names(gate_c=names(
            gate_c_fc_0=nn.Linear(channels, r), gate_c_bn_1=nn.BatchNorm1d(r), gate_c_relu_1=nn.ReLU(), gate_c_fc_final=nn.Linear(r, channels)))
        self.spatial_att = names(gate_s=names(
            gate_s_conv_reduce0=conv(channels, r, 1), gate_s_bn_reduce0=nn.BatchNorm2d(r), gate_s_relu_reduce0=nn.ReLU(),
            gate_s_conv_di_0=conv(r, r, 3, dilation), gate_s_bn_di_0=nn.BatchNorm2d(r), gate_s_relu_di_0=nn.ReLU(),
            gate_s_conv_di_1=conv(r, r, 3, dilation), gate_s_bn_di_1=nn.BatchNorm2d(r), gate_s_relu_di_1=nn.ReLU(),
            gate_s_conv_final=conv(r, 1, 1)))
        self.combine = combine

    def forward(self, x):
        c, s = self.channel_att(x.mean((2, 3)))[..., None, None], self.spatial_att(x)
        return x * (1 + (c * s if self.combine == "product" else c + s).sigmoid())


# ---------------------------------------------------------------- deformable convolution, RoI pooling


class DeformConv(nn.Module):
    """v1 has neither mask nor bias; v2 (modulated) has both. conv_offset: offsets as (y, x) pairs, then the mask."""

    def __init__(self, modulated, in_channels, out_channels, kernel_size=3, stride=1, padding=1, dilation=1, groups=1, deform_groups=1):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if modulated else None
        self.points = deform_groups * kernel_size**2
        self.conv_offset = nn.Conv2d(in_channels, (3 if modulated else 2) * self.points, kernel_size, stride, padding, dilation)
        self.geometry = dict(stride=stride, padding=padding, dilation=dilation)

    def forward(self, x):
        o = self.conv_offset(x)
        offset, mask = o[:, : 2 * self.points], o[:, 2 * self.points:]
        return tvo.deform_conv2d(x, offset, self.weight, self.bias, mask=None if self.bias is None else mask.sigmoid(), **self.geometry)


def bilinear_clamped(x, ys, xs):
    """Samples x (C,H,W) at ys, xs of any shape by RoIAlign's rule: nothing beyond one pixel outside, clamped inside that.
    The gradient is that of this function, so it is 0 in a clamped direction."""
    h, w = x.shape[1:]
    inside = (ys >= -1) & (ys <= h) & (xs >= -1) & (xs <= w)
    ys, xs = ys.clamp(0, h - 1), xs.clamp(0, w - 1)
    y0, x0 = ys.detach().floor().long(), xs.detach().floor().long()
    y1, x1 = (y0 + 1).clamp(max=h - 1), (x0 + 1).clamp(max=w - 1)
    dy, dx = ys - y0, xs - x0
    v = x[:, y0, x0] * (1 - dy) * (1 - dx) + x[:, y0, x1] * (1 - dy) * dx + x[:, y1, x0] * dy * (1 - dx) + x[:, y1, x1] * dy * dx
    return v * inside


def deform_roi_pool(x, rois, offset, output_size, spatial_scale, sampling_ratio, gamma):
    """RoIAlign (aligned) whose bins are moved by gamma * RoI size * offset; offset R,2,P,P with x first."""
    p, out = output_size, []
    for roi, off in zip(rois.detach(), offset):
        x1, y1, x2, y2 = roi[1:] * spatial_scale - 0.5
        w, h = x2 - x1, y2 - y1
        gw, gh = (sampling_ratio or math.ceil(w / p)), (sampling_ratio or math.ceil(h / p))
        at = lambda start, size, n, move: (
            start + size * ((torch.arange(p).to(x)[:, None] + (torch.arange(n).to(x) + 0.5) / n) / p), gamma * size * move)
        (ys, my), (xs, mx) = at(y1, h, gh, off[1]), at(x1, w, gw, off[0])
        shape = (p, p, gh, gw)
        ys = (ys[:, None, :, None] + my[..., None, None]).expand(shape)
        xs = (xs[None, :, None, :] + mx[..., None, None]).expand(shape)
        out.append(bilinear_clamped(x[int(roi[0])], ys, xs).mean((-2, -1)))
    return torch.stack(out)


class DeformRoIPool(nn.Module):
    """offset_head: "none" (offsets are an input), "single" (one Linear, offset_fc.0) or "three_layer"; modulated adds a
    mask head. Both heads read the bins pooled without offsets."""

    fixed_inputs = (1,)

    def __init__(self, modulated, channels, output_size=7, spatial_scale=1.0, sampling_ratio=0, gamma=0.1, offset_head="three_layer", fc_channels=1024):
        super().__init__()
        n, cells = channels * output_size**2, output_size**2
        if offset_head == "three_layer":
            self.offset_fc = nn.Sequential(
                nn.Linear(n, fc_channels), nn.ReLU(), nn.Linear(fc_channels, fc_channels), nn.ReLU(), nn.Linear(fc_channels, 2 * cells))
        elif offset_head == "single":
            self.offset_fc = nn.Sequential(nn.Linear(n, 2 * cells))
        if modulated:
            self.mask_fc = nn.Sequential(nn.Linear(n, fc_channels), nn.ReLU(), nn.Linear(fc_channels, cells), nn.Sigmoid())
        self.modulated, self.offset_head, self.p = modulated, offset_head, output_size
        self.pool = dict(output_size=output_size, spatial_scale=spatial_scale, sampling_ratio=sampling_ratio, gamma=gamma)

    def forward(self, x, rois, offset=None):
        fixed = tvo.roi_align(x, rois, self.p, self.pool["spatial_scale"], self.pool["sampling_ratio"], aligned=True).flatten(1)
        if self.offset_head != "none":
            offset = self.offset_fc(fixed).view(-1, 2, self.p, self.p)
        y = deform_roi_pool(x, rois, offset, **self.pool)
        return y * self.mask_fc(fixed).view(-1, 1, self.p, self.p) if self.modulated else y


class DeformPSRoIPool(nn.Module):
    """trans is R, 2 * classes, part, part: for each class the x, then the y translation."""

    fixed_inputs = (1,)

    def __init__(self, output_dim, group_size, output_size, part_size, sample_per_part=4, spatial_scale=1.0, trans_std=0.1, no_trans=False):
        super().__init__()
        self.output_dim, self.g, self.p, self.part, self.s = output_dim, group_size, output_size, part_size, sample_per_part
        self.scale, self.trans_std, self.no_trans = spatial_scale, trans_std, no_trans

    def forward(self, x, rois, trans=None):
        h, w = x.shape[2:]
        per_class = 1 if self.no_trans else self.output_dim // (trans.shape[1] // 2)
        cells = itertools.product(range(len(rois)), range(self.output_dim), range(self.p), range(self.p))
        out = []
        for r, c, ph, pw in cells:
            x1, y1 = rois[r, 1:3].detach().round() * self.scale - 0.5
            x2, y2 = (rois[r, 3:5].detach().round() + 1) * self.scale - 0.5
            rw, rh = (x2 - x1).clamp(min=0.1), (y2 - y1).clamp(min=0.1)
            tx = ty = 0.0
            if not self.no_trans:
                cell = trans[r, 2 * (c // per_class):, ph * self.part // self.p, pw * self.part // self.p]
                tx, ty = cell[0] * self.trans_std * rw, cell[1] * self.trans_std * rh
            steps = torch.arange(self.s).to(x) / self.s
            xs = x1 + (pw + steps) * rw / self.p + tx
            ys = y1 + (ph + steps) * rh / self.p + ty
            xs, ys = xs[(xs >= -0.5) & (xs <= w - 0.5)], ys[(ys >= -0.5) & (ys <= h - 0.5)]
            gh, gw = min(ph * self.g // self.p, self.g - 1), min(pw * self.g // self.p, self.g - 1)
            plane = x[int(rois[r, 0]), None, (c * self.g + gh) * self.g + gw]
            shape = (len(ys), len(xs))
            v = bilinear_clamped(plane, ys[:, None].expand(shape), xs[None].expand(shape))
            out.append(v.mean() if v.numel() else v.sum())
        return torch.stack(out).view(len(rois), self.output_dim, self.p, self.p)


class PSRoIPool(nn.Module):
    fixed_inputs = (1,)
    # torchvision leaves out the last row and column on the way forward and counts them on the way back: no derivative.
    gradients = False

    def __init__(self, output_size, spatial_scale=1.0):
        super().__init__()
        self.size, self.scale = output_size, spatial_scale

    def forward(self, x, rois):
        return tvo.ps_roi_pool(x, rois, self.size, self.scale)


# ---------------------------------------------------------------- BlurPool


class BlurPool(nn.Module):
    def __init__(self, dims, channels, filt_size=4, stride=2, pad_type="reflect", pad_off=0):
        super().__init__()
        taps = torch.tensor([float(math.comb(filt_size - 1, k)) for k in range(filt_size)])
        kernel = functools.reduce(lambda k, _: k[..., None] * taps, range(dims - 1), taps)
        self.register_buffer("filt", (kernel / kernel.sum()).expand(channels, 1, *kernel.shape).clone())
        self.pad = [(filt_size - 1) // 2 + pad_off, filt_size // 2 + pad_off] * dims
        self.mode = {"reflect": "reflect", "replicate": "replicate", "zero": "constant"}[pad_type]
        self.dims, self.stride = dims, stride

    def forward(self, x):
        x = F.pad(x, self.pad, mode=self.mode) if any(self.pad) else x
        return CONV_FN[self.dims](x, self.filt, stride=self.stride, groups=x.shape[1])


def maxblurpool(channels, kernel_size=2, padding=0, filt_size=4, stride=2, pad_type="reflect"):
    return nn.Sequential(nn.MaxPool2d(kernel_size, 1, padding), BlurPool(2, channels, filt_size, stride, pad_type))


def blurconv(in_channels, out_channels, kernel_size=3, filt_size=4, stride=2, pad_type="reflect"):
    """conv at stride 1, batch norm, ReLU, blur: `conv`, `bn`, `blur`."""
    layer = ConvNorm(in_channels, out_channels, kernel_size, act=nn.ReLU())
    layer.add_module("blur", BlurPool(2, out_channels, filt_size, stride, pad_type))
    return layer


# ---------------------------------------------------------------- receptive field block


def rfb_conv(cin, cout, k, stride=1, dilation=1, relu=True):
    return ConvNorm(cin, cout, k, stride, dilation=dilation, act=nn.ReLU() if relu else None, momentum=0.01)


def rfb_branch(*convs):
    return nn.Sequential(*[rfb_conv(*c[:3], **(c[3] if len(c) > 3 else {})) for c in convs])


class Rfb(nn.Module):
    """`branches` lists the convolutions of each branch; the last of each has no ReLU."""

    def __init__(self, branches, in_channels, out_channels, stride, scale):
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(f"branch{i}", branch)
        width = sum(b[-1].conv.out_channels for b in branches)
        self.ConvLinear = rfb_conv(width, out_channels, 1, relu=False)
        self.shortcut = rfb_conv(in_channels, out_channels, 1, stride, relu=False)
        self.count, self.scale = len(branches), scale

    def forward(self, x):
        y = torch.cat([getattr(self, f"branch{i}")(x) for i in range(self.count)], 1)
        return F.relu(self.scale * self.ConvLinear(y) + self.shortcut(x))


def rfb(in_channels, out_channels, stride=1, scale=0.1, visual=1):
    i, s, v = in_channels // 8, dict(stride=stride), visual
    end = lambda d: dict(dilation=d, relu=False)
    return Rfb([
        rfb_branch((in_channels, 2 * i, 1, s), (2 * i, 2 * i, 3, end(v))),
        rfb_branch((in_channels, i, 1), (i, 2 * i, 3, s), (2 * i, 2 * i, 3, end(v + 1))),
        rfb_branch((in_channels, i, 1), (i, i // 2 * 3, 3), (i // 2 * 3, 2 * i, 3, s), (2 * i, 2 * i, 3, end(2 * v + 1))),
    ], in_channels, out_channels, stride, scale)


def rfb_s(in_channels, out_channels, scale=0.1, variant="four"):
    """variant "seven": the E net's, an eighth of the channels per branch instead of a quarter."""
    i = in_channels // (4 if variant == "four" else 8)
    end = lambda d: dict(dilation=d, relu=False)
    single = lambda k, d: rfb_branch((in_channels, i, 1), (i, i, k), (i, i, 3, end(d)))
    double = lambda a, b, d: rfb_branch((in_channels, i // 2, 1), (i // 2, i // 4 * 3, a), (i // 4 * 3, i, b), (i, i, 3, end(d)))
    v, h = (3, 1), (1, 3)
    branches = [rfb_branch((in_channels, i, 1), (i, i, 3, end(1))), single(v, 3), single(h, 3)]
    branches += [double(h, v, 5)] if variant == "four" else [single(v, 5), single(h, 5), double(h, v, 7), double(v, h, 7)]
    return Rfb(branches, in_channels, out_channels, 1, scale)


def rfb_e(in_channels, out_channels, stride=1, scale=0.1, map_reduce=8, variant="four"):
    """variant "c": three branches, the third with the 1x7 and 7x1."""
    i, s = in_channels // map_reduce, dict(stride=stride)
    end = lambda d: dict(dilation=d, relu=False)
    double = lambda a, b, d: rfb_branch((in_channels, i, 1), (i, i // 2 * 3, a), (i // 2 * 3, 2 * i, b, s), (2 * i, 2 * i, 3, end(d)))
    branches = [
        rfb_branch((in_channels, 2 * i, 1, s), (2 * i, 2 * i, 3, end(1))),
        rfb_branch((in_channels, i, 1), (i, 2 * i, 3, s), (2 * i, 2 * i, 3, end(3))),
        double(3, 3, 5), double((1, 7), (7, 1), 7)]
    return Rfb(branches if variant == "four" else branches[:2] + branches[3:], in_channels, out_channels, stride, scale)


class RfbAsff(nn.Module):
    """Four branches of biased convolutions, neither batch norm nor ReLU."""

    def __init__(self, in_channels, residual=False):
        super().__init__()
        i = in_channels // 4
        conv = lambda cin, k, d=1: nn.Conv2d(cin, i, k, padding=d * (k // 2), dilation=d)
        self.branch_0 = nn.Sequential(conv(in_channels, 1))
        self.branch_1 = nn.Sequential(conv(in_channels, 1), conv(i, 3))
        self.branch_2 = nn.Sequential(conv(in_channels, 1), conv(i, 3), conv(i, 3, 2))
        self.branch_3 = nn.Sequential(conv(in_channels, 1), conv(i, 5), conv(i, 3, 3))
        self.residual = residual

    def forward(self, x):
        y = torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)], 1)
        return y + x if self.residual else y


# ---------------------------------------------------------------- feature pyramids


class Asff(nn.Module):
    """Level 0 is the coarsest. A finer map comes down by a strided 3x3 (two steps: a max-pool first), a coarser one up by
    a 1x1 where its channels differ and nearest neighbour."""

    def __init__(self, level, channels=(512, 256, 256), weight_channels=16, out_channels=1024, act="leaky_relu"):
        super().__init__()
        inter = channels[level]
        cbl = lambda cin, cout, k, stride=1: ConvNorm(
            cin, cout, k, stride, act=nn.LeakyReLU(0.1) if act == "leaky_relu" else nn.ReLU6(), norm="batch_norm")
        for i, c in enumerate(channels):
            if i > level:
                self.add_module(f"stride_level_{i}", cbl(c, inter, 3, 2))
            elif c != inter:
                self.add_module(f"compress_level_{i}", cbl(c, inter, 1))
            self.add_module(f"weight_level_{i}", cbl(inter, weight_channels, 1))
        self.weight_levels = nn.Conv2d(weight_channels * len(channels), len(channels), 1)
        self.expand = cbl(inter, out_channels, 3)
        self.level = level

    def resize(self, i, x):
        if i > self.level:
            for _ in range(i - self.level - 1):
                x = F.max_pool2d(x, 3, 2, 1)
            return self.get_submodule(f"stride_level_{i}")(x)
        if hasattr(self, f"compress_level_{i}"):
            x = self.get_submodule(f"compress_level_{i}")(x)
        return F.interpolate(x, scale_factor=2 ** (self.level - i), mode="nearest") if i < self.level else x

    def forward(self, *levels):
        maps = [self.resize(i, x) for i, x in enumerate(levels)]
        logits = self.weight_levels(torch.cat([self.get_submodule(f"weight_level_{i}")(m) for i, m in enumerate(maps)], 1))
        return self.expand(sum(m * a[:, None] for m, a in zip(maps, logits.softmax(1).unbind(1))))


class Fpn(tvo.FeaturePyramidNetwork):
    def __init__(self, in_channels, out_channels=256, extra=None):
        blocks = {None: lambda: None, "max_pool": tvo.feature_pyramid_network.LastLevelMaxPool,
                  "p6p7": lambda: tvo.feature_pyramid_network.LastLevelP6P7(in_channels[-1], out_channels)}
        super().__init__(list(in_channels), out_channels, blocks[extra]())

    def forward(self, *levels):
        return list(super().forward(OrderedDict((str(i), x) for i, x in enumerate(levels))).values())


class Pan(nn.Module):
    """FPN and a bottom-up path of strided 3x3s, all convolutions biased and bare; the names are mmdetection's PAFPN."""

    def __init__(self, in_channels, out_channels=256):
        super().__init__()
        conv = lambda cin, k, stride=1: nn.Sequential(OrderedDict(conv=nn.Conv2d(cin, out_channels, k, stride, k // 2)))
        row = lambda n, k, stride=1: nn.ModuleList(conv(out_channels, k, stride) for _ in range(n))
        n = len(in_channels)
        self.lateral_convs, self.fpn_convs = nn.ModuleList(conv(c, 1) for c in in_channels), row(n, 3)
        self.downsample_convs, self.pafpn_convs = row(n - 1, 3, 2), row(n - 1, 3)

    def forward(self, *levels):
        maps = [conv(x) for conv, x in zip(self.lateral_convs, levels)]
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + F.interpolate(maps[i], maps[i - 1].shape[2:], mode="nearest")
        maps = [conv(x) for conv, x in zip(self.fpn_convs, maps)]
        for i, down in enumerate(self.downsample_convs):
            maps[i + 1] = maps[i + 1] + down(maps[i])
        return [maps[0]] + [conv(x) for conv, x in zip(self.pafpn_convs, maps[1:])]


class WeightedFusion(nn.Module):
    """BiFPN's fast normalised fusion: sum w_i x_i / (eps + sum w), w = relu(weights)."""

    def __init__(self, count=2, eps=1e-4):
        super().__init__()
        self.weights, self.eps = nn.Parameter(torch.ones(count)), eps

    def after_settle(self):
        self.weights[-1] = -self.weights[-1].abs()

    def forward(self, *maps):
        w = F.relu(self.weights)
        return sum(a * m for a, m in zip(w, maps)) / (self.eps + w.sum())


class Spp(nn.Module):
    """x and its max-pools of stride 1; Sppf has the same output from one small pool repeated."""

    def __init__(self, kernel_sizes=(5, 9, 13)):
        super().__init__()
        self.kernel_sizes = kernel_sizes

    def forward(self, x):
        return torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in self.kernel_sizes], 1)


class Sppf(nn.Module):
    def __init__(self, kernel_size=5, repeats=3):
        super().__init__()
        self.k, self.repeats = kernel_size, repeats

    def forward(self, x):
        maps = [x]
        for _ in range(self.repeats):
            maps.append(F.max_pool2d(maps[-1], self.k, 1, self.k // 2))
        return torch.cat(maps, 1)


# ---------------------------------------------------------------- residual attention


class PreActBottleneck(nn.Module):
    """The projection conv4, without batch norm, exists only where the shape changes and reads the pre-activated input."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        w = out_channels // 4
        self.bn1, self.conv1 = nn.BatchNorm2d(in_channels), nn.Conv2d(in_channels, w, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(w), nn.Conv2d(w, w, 3, stride, 1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(w), nn.Conv2d(w, out_channels, 1, bias=False)
        self.conv4 = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if in_channels != out_channels or stride != 1 else None

    def forward(self, x):
        a = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return self.conv3(F.relu(self.bn3(y))) + (x if self.conv4 is None else self.conv4(a))


class AttentionModule(nn.Module):
    """p blocks, then t trunk blocks beside a mask branch of `depth` down-samplings with r blocks per level, then p blocks.

    One block stands bare (first_residual_blocks.bn1), several are numbered (first_residual_blocks.0.bn1); trunk and
    bottom are always numbered. Depth 0 has no resize and takes the names of the CIFAR module.
    dialect "extra_skips" also adds each down map to its upsampled neighbour and the trunk in front of the mask head.
    mask: "mixed" sigmoid; "channel" x / |x| over the channels; "spatial" sigmoid of each channel normalised over positions
    with (x - mean) / sqrt(var + 1e-5), biased var. learning: "residual" (1 + M) T or "naive" M T."""

    def __init__(self, channels, depth, p=1, t=2, r=1, dialect="official", pool="torch_pad1", mask="mixed", learning="residual"):
        super().__init__()
        row = lambda n: nn.Sequential(*[PreActBottleneck(channels, channels) for _ in range(n)])
        blocks = lambda n: row(n)[0] if n == 1 else row(n)
        bn_conv = lambda: [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False)]
        self.first_residual_blocks, self.trunk_branches = blocks(p), row(t)
        name = lambda i: f"softmax{i}_blocks"
        bottom, head = (name(depth), name(2 * depth)) if depth else ("middle_2r_blocks", "conv1_1_blocks")
        self.down, self.skip = [name(i) for i in range(1, depth)] + [bottom], [f"skip{i}_connection_residual_block" for i in range(1, depth)]
        self.up = [name(i) for i in range(depth + 1, 2 * depth)]
        for n in self.down[:-1] + self.up:
            self.add_module(n, blocks(r))
        for n in self.skip:
            self.add_module(n, PreActBottleneck(channels, channels))
        self.add_module(bottom, row(2 * r))
        self.add_module(head, nn.Sequential(*bn_conv(), *bn_conv()))
        self.last_blocks = blocks(p)
        self.depth, self.head, self.extra, self.mask, self.learning = depth, head, dialect == "extra_skips", mask, learning
        self.pool = dict(kernel_size=3, stride=2, padding=1) if pool == "torch_pad1" else dict(kernel_size=3, stride=2, ceil_mode=True)

    def forward(self, x):
        run = lambda name, x: self.get_submodule(name)(x)
        x = self.first_residual_blocks(x)
        trunk = self.trunk_branches(x)
        maps, y = [trunk], x
        for name in self.down:
            y = run(name, F.max_pool2d(y, **self.pool) if self.depth else y)
            maps.append(y)
        for level in range(self.depth - 1, -1, -1):
            y = F.interpolate(y, maps[level].shape[2:], mode="bilinear", align_corners=True)
            y = y + maps[level] if self.extra else y
            if level > 0:
                y = run(self.up[self.depth - 1 - level], y + run(self.skip[level - 1], maps[level]))
        m = run(self.head, y)
        if self.mask == "channel":
            m = F.normalize(m, dim=1)
        else:
            m = (F.instance_norm(m, eps=1e-5) if self.mask == "spatial" else m).sigmoid()
        return self.last_blocks((1 + m if self.learning == "residual" else m) * trunk)


# ---------------------------------------------------------------- dynamic convolutions


class CondConv(tl.CondConv2d):
    """routing "own": a Linear on the pooled input; "given": the mixture is an input (one routing per block)."""

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, padding=1, dilation=1, groups=1, bias=False, num_experts=8, routing="own"):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, num_experts)
        self.routing_fn = nn.Linear(in_channels, num_experts) if routing == "own" else None

    def after_settle(self):
        self.weight.mul_(self.out_channels**0.5)

    def forward(self, x, routing=None):
        return super().forward(x, self.routing_fn(x.mean((2, 3))).sigmoid() if routing is None else routing)


def per_sample_conv(dims, x, weight, bias, geometry):
    """Convolves every sample with its own weight (and bias)."""
    bias = [None] * len(x) if bias is None else bias
    return torch.stack([CONV_FN[dims](a[None], w, b, **geometry)[0] for a, w, b in zip(x, weight, bias)])


class DynamicConv(nn.Module):
    """Width of the attention: int(C * ratio), plus one with plus_one, or kernel_num when C is 3. fc2 has no bias in 3-D."""

    def __init__(self, dims, in_channels, out_channels, kernel_size=3, stride=1, padding=1, dilation=1, groups=1, bias=True,
                 kernel_num=4, ratio=0.25, plus_one=True, temperature=1.0):
        super().__init__()
        hidden = kernel_num if in_channels == 3 else int(in_channels * ratio) + plus_one
        self.attention = nn.Module()
        self.attention.fc1 = CONV[dims](in_channels, hidden, 1, bias=False)
        self.attention.fc2 = CONV[dims](hidden, kernel_num, 1, bias=dims < 3)
        self.weight = nn.Parameter(torch.empty(kernel_num, out_channels, in_channels // groups, *[kernel_size] * dims))
        self.bias = nn.Parameter(torch.empty(kernel_num, out_channels)) if bias else None
        self.dims, self.temperature = dims, temperature
        self.geometry = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)

    def after_settle(self):
        self.weight.mul_(self.weight.shape[1] ** 0.5)
        self.attention.fc2.weight.mul_(2)

    def forward(self, x):
        z = x.flatten(2).mean(2)[(...,) + (None,) * self.dims]
        pi = (self.attention.fc2(F.relu(self.attention.fc1(z))).flatten(1) / self.temperature).softmax(1)
        mix = lambda experts: torch.tensordot(pi, experts, 1)
        return per_sample_conv(self.dims, x, mix(self.weight), None if self.bias is None else mix(self.bias), self.geometry)


class OdConv(nn.Module):
    """Channel, filter, spatial and kernel attention; width of the attention max(int(C * reduction), 16)."""

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, padding=1, dilation=1, groups=1, reduction=0.0625, kernel_num=4, temperature=1.0):
        super().__init__()
        a, k = max(int(in_channels * reduction), 16), kernel_size
        self.attention = att = nn.Module()
        att.fc, att.bn, att.channel_fc = nn.Conv2d(in_channels, a, 1, bias=False), nn.BatchNorm2d(a), nn.Conv2d(a, in_channels, 1)
        if not in_channels == groups == out_channels:
            att.filter_fc = nn.Conv2d(a, out_channels, 1)
        if k > 1:
            att.spatial_fc = nn.Conv2d(a, k * k, 1)
        if kernel_num > 1:
            att.kernel_fc = nn.Conv2d(a, kernel_num, 1)
        self.weight = nn.Parameter(torch.empty(kernel_num, out_channels, in_channels // groups, k, k))
        self.temperature, self.geometry = temperature, dict(stride=stride, padding=padding, dilation=dilation, groups=groups)

    def after_settle(self):
        self.weight.mul_(self.weight.shape[1] ** 0.5)

    def forward(self, x):
        att, k = self.attention, self.weight.shape[-1]
        z = F.relu(att.bn(att.fc(x.mean((2, 3), keepdim=True))))
        logits = lambda name: getattr(att, name)(z) / self.temperature
        spatial = logits("spatial_fc").sigmoid().view(-1, 1, 1, 1, k, k) if k > 1 else 1.0
        kernel = logits("kernel_fc").softmax(1)[..., None, None] if hasattr(att, "kernel_fc") else 1.0
        weight = (spatial * kernel * self.weight[None]).sum(1).expand(len(x), *self.weight.shape[1:])
        y = per_sample_conv(2, x * logits("channel_fc").sigmoid(), weight, None, self.geometry)
        return y * logits("filter_fc").sigmoid() if hasattr(att, "filter_fc") else y


# ---------------------------------------------------------------- named in passing


class DoConv(nn.Module):
    """Depthwise over-parameterised convolution. d_mul null: kernel area. 1x1 has no D.

    For 1 < groups < Cin the reshape pairs row i of D with the weight's own order in memory, as in the released code."""

    def __init__(self, in_channels, out_channels, kernel_size=3, d_mul=None, stride=1, padding=1, dilation=1, groups=1, bias=True):
        super().__init__()
        area = kernel_size**2
        d_mul = area if d_mul is None or area == 1 else d_mul
        self.W = nn.Parameter(torch.empty(out_channels, in_channels // groups, d_mul))
        if area > 1:
            self.D = nn.Parameter(torch.empty(in_channels, area, d_mul))
            eye = torch.eye(area).repeat(1, d_mul // area)
            self.d_diag = nn.Parameter(F.pad(eye, (0, d_mul % area)).expand(in_channels, -1, -1).clone(), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.shape = (out_channels, in_channels // groups, kernel_size, kernel_size)
        self.geometry = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)

    def forward(self, x):
        w = self.W
        if self.shape[-1] > 1:
            w = torch.einsum("ims,ois->oim", self.D + self.d_diag, w.reshape(-1, len(self.D), w.shape[-1]))
        return F.conv2d(x, w.reshape(self.shape), self.bias, **self.geometry)


class DcaSe(nn.Module):
    """SE whose squeezed vector is joined with the previous block's. The first block of a net (connected false) has att_fc
    and conv too but uses neither."""

    def __init__(self, in_channels, channels, reduction=16, connected=True):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels), nn.Sigmoid())
        if in_channels != channels:
            self.att_fc = nn.Sequential(nn.Linear(in_channels, channels), nn.LayerNorm(channels), nn.ReLU())
        self.conv = nn.Sequential(nn.Conv2d(2, 1, 1), nn.LayerNorm(channels), nn.ReLU())

    def forward(self, x, previous=None):
        gap = z = x.mean((2, 3))
        if previous is not None:
            previous = self.att_fc(previous) if hasattr(self, "att_fc") else previous
            z = self.conv(torch.stack([gap, previous], 1)[:, :, None]).flatten(1)
        s = self.fc(z)
        return x * s[..., None, None], gap * s


class RfaConv(nn.Module):
    """Every k x k window becomes a k x k block of a larger map, weighted by a softmax over its cells; then stride k."""

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1):
        super().__init__()
        k, many = kernel_size, in_channels * kernel_size**2
        self.get_weight = nn.Sequential(nn.AvgPool2d(k, stride, k // 2), nn.Conv2d(in_channels, many, 1, groups=in_channels, bias=False))
        self.generate_feature = nn.Sequential(
            nn.Conv2d(in_channels, many, k, stride, k // 2, groups=in_channels, bias=False), nn.BatchNorm2d(many), nn.ReLU())
        self.conv = nn.Sequential(nn.Conv2d(in_channels, out_channels, k, k))
        self.k = k

    def forward(self, x):
        k, c = self.k, x.shape[1]
        a = self.get_weight(x)
        h, w = a.shape[2:]
        split = lambda y: y.view(len(x), c, k * k, h, w)
        y = (split(a).softmax(2) * split(self.generate_feature(x))).view(len(x), c, k, k, h, w)
        return self.conv(y.permute(0, 1, 4, 2, 5, 3).reshape(len(x), c, h * k, w * k))


class DwSep(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1):
        super().__init__()
        self.conv_dw = nn.Conv2d(in_channels, in_channels, kernel_size, stride, kernel_size // 2, groups=in_channels, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x):
        return F.relu(self.bn2(self.conv_pw(F.relu(self.bn1(self.conv_dw(x))))))


def invres(in_channels, out_channels, stride=1, expand_ratio=6):
    return InvertedResidual(in_channels, out_channels, stride, expand_ratio)


class RowCol(nn.Module):
    """k x 1 (`conv_col`, never biased), then 1 x k (`conv_row`); mid_channels null: out_channels."""

    def __init__(self, in_channels, out_channels, kernel_size=3, mid_channels=None, stride=1, bias=True):
        super().__init__()
        mid, k = mid_channels or out_channels, kernel_size
        self.conv_col = nn.Conv2d(in_channels, mid, (k, 1), (stride, 1), (k // 2, 0), bias=False)
        self.conv_row = nn.Conv2d(mid, out_channels, (1, k), (1, stride), (0, k // 2), bias=bias)

    def forward(self, x):
        return self.conv_row(self.conv_col(x))


class WeightNormConv1d(nn.Module):
    def __init__(self, cin, cout, k, dilation):
        super().__init__()
        self.weight_g, self.weight_v = nn.Parameter(torch.empty(cout, 1, 1)), nn.Parameter(torch.empty(cout, cin, k))
        self.bias, self.dilation = nn.Parameter(torch.empty(cout)), dilation

    def forward(self, x):
        w = self.weight_g * self.weight_v / self.weight_v.flatten(1).norm(dim=1)[:, None, None]
        return F.conv1d(F.pad(x, ((w.shape[2] - 1) * self.dilation, 0)), w, self.bias, dilation=self.dilation)


class TcnBlock(nn.Module):
    def __init__(self, cin, cout, k, dilation, dropout):
        super().__init__()
        self.conv1, self.conv2 = WeightNormConv1d(cin, cout, k, dilation), WeightNormConv1d(cout, cout, k, dilation)
        self.downsample = nn.Conv1d(cin, cout, 1) if cin != cout else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        y = self.dropout(F.relu(self.conv2(self.dropout(F.relu(self.conv1(x))))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Tcn(nn.Module):
    """One block per entry of channels, dilations 1, 2, 4, ..."""

    def __init__(self, in_channels, channels, kernel_size=2, dropout=0.0):
        super().__init__()
        widths = [in_channels, *channels]
        self.network = nn.Sequential(*[TcnBlock(a, b, kernel_size, 2**i, dropout) for i, (a, b) in enumerate(zip(widths, channels))])

    def forward(self, x):
        return self.network(x)


def inception_v1_block(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
    """torchvision's: the "5x5" branch has a 3x3, batch norm eps is 1e-3."""
    return Inception(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)


class CoordConv(nn.Module):
    """A convolution that also sees X, Y and, with_r, the distance from (radius_centre, radius_centre). An axis of size 1
    has coordinate 0."""

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, padding=1, dilation=1, groups=1, bias=True, with_r=False, radius_centre=0.0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels + 2 + with_r, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.with_r, self.centre = with_r, radius_centre

    def forward(self, x):
        h, w = x.shape[2:]
        line = lambda n: torch.linspace(-1, 1, n).to(x) if n > 1 else torch.zeros(1).to(x)
        xs, ys = line(w).expand(h, w), line(h)[:, None].expand(h, w)
        planes = [xs, ys] + [((xs - self.centre) ** 2 + (ys - self.centre) ** 2).sqrt()] * self.with_r
        return self.conv(torch.cat([x, torch.stack(planes).expand(len(x), -1, h, w)], 1))


def ghost_module(in_channels, out_channels, kernel_size=1, ratio=2, dw_size=3, stride=1, relu=True):
    return GhostModule(in_channels, out_channels, kernel_size, ratio, dw_size, stride, nn.ReLU if relu else nn.Identity)


def ghost_bottleneck(in_channels, mid_channels, out_channels, dw_size=3, stride=1, se_ratio=0.0):
    return GhostBottleneck(in_channels, mid_channels, out_channels, dw_size, stride, se_ratio=se_ratio)


# ---------------------------------------------------------------- related plug-ins


class GlobalContextMmcv(nn.Module):
    """GC block with the names of mmcv; fusion "add" or "mul", LayerNorm eps 1e-5."""

    def __init__(self, channels, reduction=16, fusion="add"):
        super().__init__()
        r = channels // reduction
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        transform = nn.Sequential(nn.Conv2d(channels, r, 1), nn.LayerNorm([r, 1, 1]), nn.ReLU(), nn.Conv2d(r, channels, 1))
        self.fusion = fusion
        self.add_module(f"channel_{fusion}_conv", transform)

    def forward(self, x):
        context = (x.flatten(2) @ self.conv_mask(x).flatten(2).softmax(-1).transpose(1, 2))[..., None]
        t = self.get_submodule(f"channel_{self.fusion}_conv")(context)
        return x + t if self.fusion == "add" else x * t.sigmoid()


def gc_timm(channels, reduction=8, fusion="mul"):
    """LayerNorm eps 1e-6."""
    return tl.GlobalContext(channels, rd_ratio=1 / reduction, fuse_add=fusion == "add", fuse_scale=fusion == "mul")


class SimAm(nn.Module):
    def __init__(self, e_lambda=1e-4):
        super().__init__()
        self.e_lambda = e_lambda

    def forward(self, x):
        d = (x - x.mean((2, 3), keepdim=True)).square()
        v = d.sum((2, 3), keepdim=True) / (x[0, 0].numel() - 1)
        return x * (d / (4 * (v + self.e_lambda)) + 0.5).sigmoid()


def coord_attention(channels, rd_channels, bias=True):
    """The paper's: rd_channels max(8, C // 32), biases. timm's: round(C * 2/48) to 8, no biases."""
    return CoordAttn(channels, rd_channels=rd_channels, bias=bias)


class ScSe(nn.Module):
    """combine "sum" or "max"; names of segmentation_models.pytorch."""

    def __init__(self, channels, reduction=2, combine="sum"):
        super().__init__()
        r = channels // reduction
        self.cSE = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, r, 1), nn.ReLU(), nn.Conv2d(r, channels, 1), nn.Sigmoid())
        self.sSE = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())
        self.combine = combine

    def forward(self, x):
        a, b = x * self.cSE(x), x * self.sSE(x)
        return a + b if self.combine == "sum" else torch.maximum(a, b)


class GatherExcite(nn.Module):
    """extent 0 is global. extra_params (theta): for extent e, log2(e) depthwise 3x3 of stride 2 with batch norm, ReLU
    between them; for global, one depthwise convolution of the map's size (feat_size, no padding) with batch norm.
    Without: mean over 2e-1 windows at stride e, the border not counted. use_mlp (theta plus): 1x1, ReLU, 1x1."""

    def __init__(self, channels, extent=0, extra_params=False, use_mlp=False, reduction=16, feat_size=None):
        super().__init__()
        self.extent, self.gather = extent, None
        if extra_params:
            steps = [(feat_size, 1, 0)] if extent == 0 else [(3, 2, 1)] * int(math.log2(extent))
            self.gather = nn.Sequential()
            for i, (k, stride, padding) in enumerate(steps, 1):
                self.gather.add_module(f"conv{i}", nn.Conv2d(channels, channels, k, stride, padding, groups=channels, bias=False))
                self.gather.add_module(f"norm{i}", nn.BatchNorm2d(channels))
                if i < len(steps):
                    self.gather.add_module(f"act{i}", nn.ReLU())
        self.mlp = tl.ConvMlp(channels, channels // reduction) if use_mlp else nn.Identity()

    def forward(self, x):
        if self.gather is not None:
            y = self.gather(x)
        elif self.extent == 0:
            y = x.mean((2, 3), keepdim=True)
        else:
            y = F.avg_pool2d(x, 2 * self.extent - 1, self.extent, self.extent - 1, count_include_pad=False)
        return x * F.interpolate(self.mlp(y), x.shape[2:], mode="nearest").sigmoid()


def split_attention(in_channels, out_channels, kernel_size=3, stride=1, padding=1, groups=1, radix=2, rd_channels=None):
    """rd_channels is the width of fc1; null: a quarter of in_channels * radix, to a multiple of 8, at least 32."""
    return tl.SplitAttn(
        in_channels, out_channels, kernel_size, stride, padding, groups=groups, radix=radix,
        rd_channels=rd_channels and rd_channels // radix, norm_layer=nn.BatchNorm2d)


class TripletGate(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.conv = ConvNorm(2, 1, kernel_size, momentum=0.01)

    def forward(self, x):
        return x * self.conv(torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)).sigmoid()


class Triplet(nn.Module):
    """cw swaps C with H, hc swaps C with W."""

    def __init__(self, kernel_size=7, no_spatial=False):
        super().__init__()
        self.cw, self.hc = TripletGate(kernel_size), TripletGate(kernel_size)
        self.hw = None if no_spatial else TripletGate(kernel_size)

    def forward(self, x):
        gates = [self.cw(x.transpose(1, 2)).transpose(1, 2), self.hc(x.transpose(1, 3)).transpose(1, 3)]
        gates += [] if self.hw is None else [self.hw(x)]
        return sum(gates) / len(gates)


class Involution(nn.Module):
    """Stride s: the kernels come from an s x s average pool."""

    def __init__(self, channels, kernel_size=7, stride=1, groups=1, reduction=4):
        super().__init__()
        r = channels // reduction
        self.conv1, self.bn, self.conv2 = nn.Conv2d(channels, r, 1), nn.BatchNorm2d(r), nn.Conv2d(r, groups * kernel_size**2, 1)
        self.k, self.stride, self.groups = kernel_size, stride, groups

    def forward(self, x):
        kernel = self.conv2(F.relu(self.bn(self.conv1(F.avg_pool2d(x, self.stride)))))
        n, (h, w) = len(x), kernel.shape[2:]
        kernel = kernel.view(n, self.groups, 1, self.k**2, h, w)
        windows = F.unfold(x, self.k, padding=self.k // 2, stride=self.stride).view(n, self.groups, -1, self.k**2, h, w)
        return (kernel * windows).sum(3).flatten(1, 2)


class ShuffleAttention(nn.Module):
    def __init__(self, channels, groups=8):
        super().__init__()
        half = channels // (2 * groups)
        for name in ("cweight", "cbias", "sweight", "sbias"):
            self.register_parameter(name, nn.Parameter(torch.empty(1, half, 1, 1)))
        self.gn, self.groups = nn.GroupNorm(half, half), groups

    def forward(self, x):
        c, s = x.reshape(-1, x.shape[1] // self.groups, *x.shape[2:]).chunk(2, 1)
        c = c * (self.cweight * c.mean((2, 3), keepdim=True) + self.cbias).sigmoid()
        s = s * (self.sweight * self.gn(s) + self.sbias).sigmoid()
        y = torch.cat([c, s], 1).view(len(x), 2, -1, *x.shape[2:])
        return y.transpose(1, 2).flatten(1, 2)


class SpatialGroupEnhance(nn.Module):
    """Each position's similarity to its group's mean, normalised over positions with the unbiased deviation + 1e-5."""

    def __init__(self, groups=8):
        super().__init__()
        self.weight, self.bias, self.groups = nn.Parameter(torch.empty(1, groups, 1, 1)), nn.Parameter(torch.empty(1, groups, 1, 1)), groups

    def forward(self, x):
        y = x.view(len(x), self.groups, -1, *x.shape[2:])
        t = (y * y.mean((3, 4), keepdim=True)).sum(2)
        t = t - t.mean((2, 3), keepdim=True)
        t = t / (t.flatten(2).std(2)[..., None, None] + 1e-5)
        return (y * (t * self.weight + self.bias).sigmoid()[:, :, None]).view_as(x)


class DoubleAttention(nn.Module):
    """A2-Net: gather with a softmax over positions, distribute with a softmax over the c_n maps."""

    def __init__(self, channels, c_m=128, c_n=128):
        super().__init__()
        self.convA, self.convB, self.convV = nn.Conv2d(channels, c_m, 1), nn.Conv2d(channels, c_n, 1), nn.Conv2d(channels, c_n, 1)
        self.conv_reconstruct = nn.Conv2d(c_m, channels, 1)

    def forward(self, x):
        gather, distribute = self.convB(x).flatten(2).softmax(2), self.convV(x).flatten(2).softmax(1)
        z = self.convA(x).flatten(2) @ gather.transpose(1, 2) @ distribute
        return self.conv_reconstruct(z.view(*z.shape[:2], *x.shape[2:]))


class PolarizedAttention(nn.Module):
    """layout "parallel" adds the two branches, "sequential" chains them, channel first."""

    def __init__(self, channels, layout="parallel"):
        super().__init__()
        half = channels // 2
        self.ch_wv, self.ch_wq, self.ch_wz, self.ln = nn.Conv2d(channels, half, 1), nn.Conv2d(channels, 1, 1), nn.Conv2d(half, channels, 1), nn.LayerNorm(channels)
        self.sp_wv, self.sp_wq = nn.Conv2d(channels, half, 1), nn.Conv2d(channels, half, 1)
        self.layout = layout

    def forward(self, x):
        z = self.ch_wv(x).flatten(2) @ self.ch_wq(x).flatten(2).softmax(2).transpose(1, 2)
        channel = x * self.ln(self.ch_wz(z[..., None]).flatten(1)).sigmoid()[..., None, None]
        y = channel if self.layout == "sequential" else x
        q = self.sp_wq(y).mean((2, 3)).softmax(1)
        spatial = y * torch.einsum("nc,nchw->nhw", q, self.sp_wv(y)).sigmoid()[:, None]
        return spatial if self.layout == "sequential" else channel + spatial


class PositionAttention(nn.Module):
    def __init__(self, channels, reduction=8):
        super().__init__()
        r = channels // reduction
        self.query_conv, self.key_conv, self.value_conv = nn.Conv2d(channels, r, 1), nn.Conv2d(channels, r, 1), nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def after_settle(self):
        self.gamma.add_(0.7)

    def forward(self, x):
        a = (self.query_conv(x).flatten(2).transpose(1, 2) @ self.key_conv(x).flatten(2)).softmax(-1)
        return self.gamma * (self.value_conv(x).flatten(2) @ a.transpose(1, 2)).view_as(x) + x


class ChannelAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def after_settle(self):
        self.gamma.add_(0.7)

    def forward(self, x):
        q = x.flatten(2)
        e = q @ q.transpose(1, 2)
        return self.gamma * ((e.amax(-1, keepdim=True) - e).softmax(-1) @ q).view_as(x) + x


class DaNet(nn.Module):
    """Position attention (sa) plus channel attention (sc), each with its own residual."""

    def __init__(self, channels, reduction=8):
        super().__init__()
        self.sa, self.sc = PositionAttention(channels, reduction), ChannelAttention()

    def forward(self, x):
        return self.sa(x) + self.sc(x)


class CrissCross(nn.Module):
    """Each position attends to its column without itself and its row with itself; the same weights `recurrence` times."""

    def __init__(self, channels, reduction=8, recurrence=2):
        super().__init__()
        r = channels // reduction
        self.query_conv, self.key_conv, self.value_conv = nn.Conv2d(channels, r, 1), nn.Conv2d(channels, r, 1), nn.Conv2d(channels, channels, 1)
        self.gamma, self.recurrence = nn.Parameter(torch.zeros(1)), recurrence

    def after_settle(self):
        self.gamma.add_(0.7)

    def forward(self, x):
        h = x.shape[2]
        for _ in range(self.recurrence):
            q, k, v = self.query_conv(x), self.key_conv(x), self.value_conv(x)
            column = torch.einsum("nchw,nciw->nhwi", q, k).masked_fill(torch.eye(h, dtype=torch.bool)[:, None], -math.inf)
            a = torch.cat([column, torch.einsum("nchw,nchj->nhwj", q, k)], -1).softmax(-1)
            y = torch.einsum("nhwi,nciw->nchw", a[..., :h], v) + torch.einsum("nhwj,nchj->nchw", a[..., h:], v)
            x = self.gamma * y + x
        return x


class PyramidPooling(nn.Module):
    """Names of the PSPNet code: features.i.1 conv, features.i.2 batch norm. Output: the input, then the bins in order."""

    def __init__(self, channels, reduced_channels, bins=(1, 2, 3, 6), align_corners=True):
        super().__init__()
        self.features = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(b), nn.Conv2d(channels, reduced_channels, 1, bias=False), nn.BatchNorm2d(reduced_channels), nn.ReLU())
            for b in bins)
        self.align_corners = align_corners

    def forward(self, x):
        up = lambda y: F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=self.align_corners)
        return torch.cat([x] + [up(f(x)) for f in self.features], 1)


def grn(channels, eps=1e-6):
    return GlobalResponseNorm(channels, eps, channels_last=False)


def frn(channels, eps=1e-5):
    return tl.FilterResponseNormTlu2d(channels, eps=eps)


def layer_norm2d(channels, eps=1e-6):
    return tl.LayerNorm2d(channels, eps)


def instance_norm2d(channels, eps=1e-5):
    return nn.InstanceNorm2d(channels, eps, affine=True)


def std_conv(in_channels, out_channels, kernel_size=3, stride=1, padding=1, groups=1, bias=False, eps=1e-6):
    return tl.StdConv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias, eps=eps)


def pconv(channels, n_div=4):
    return Partial_conv3(channels, n_div, "split_cat")


def repvgg(in_channels, out_channels, stride=1, groups=1):
    return RepVggBlock(in_channels, out_channels, 3, stride, group_size=None if groups == 1 else in_channels // groups, layers=LayerFn())


class AcBlock(nn.Module):
    """Square, vertical (3x1) and horizontal (1x3) convolution, each with batch norm, summed. Names of the ACNet code."""

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, groups=1):
        super().__init__()
        k, p = kernel_size, kernel_size // 2
        for name, size, padding in (("square", (k, k), (p, p)), ("ver", (k, 1), (p, 0)), ("hor", (1, k), (0, p))):
            self.add_module(f"{name}_conv", nn.Conv2d(in_channels, out_channels, size, stride, padding, groups=groups, bias=False))
            self.add_module(f"{name}_bn", nn.BatchNorm2d(out_channels))

    def forward(self, x):
        return self.square_bn(self.square_conv(x)) + self.ver_bn(self.ver_conv(x)) + self.hor_bn(self.hor_conv(x))


def mixconv(in_channels, out_channels, kernel_sizes=(3, 5, 7), stride=1, depthwise=True):
    return tl.MixedConv2d(in_channels, out_channels, list(kernel_sizes), stride, depthwise=depthwise)


def res2net(in_channels, width, scale, out_channels, stride=1, groups=1):
    planes = out_channels // 4
    return Bottle2neck(
        in_channels, planes, stride, projection(in_channels, out_channels, stride), cardinality=groups,
        base_width=64 * width // (groups * planes), scale=scale, norm_layer=nn.BatchNorm2d)


# ---------------------------------------------------------------- cases


class Draw:
    """Seeded inputs."""

    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)

    def normal(self, *shape):
        return torch.randn(shape, generator=self.g)

    def uniform(self, *shape):
        return torch.rand(shape, generator=self.g)

    def map(self, n, c, *space):
        """A feature map whose channels differ in their mean, so that a pooled branch has something to see."""
        return self.normal(n, c, *space) + 0.7 * self.normal(n, c, *[1] * len(space))

    def rois(self, *boxes):
        """Boxes with random fractions: no corner on a rounding boundary."""
        boxes = torch.tensor(boxes, dtype=torch.float32)
        boxes[:, 1:] += 0.1 + 0.3 * self.uniform(len(boxes), 4)
        return boxes


class Case:
    def __init__(self, name, make, inputs, mode, still, config):
        self.name, self.make, self.inputs, self.mode, self.still, self.config = name, make, inputs, mode, still, config

    def draw(self, seed):
        torch.manual_seed(seed)
        module = self.make(**self.config)
        casefile.settle(module, seed)
        with torch.no_grad():
            for m in module.modules():
                if hasattr(m, "after_settle"):
                    m.after_settle()
        return module, self.inputs(Draw(seed + 1))


def full_config(make, config):
    """The given arguments and the defaults of the others, without those a partial has fixed."""
    bound = make.keywords if isinstance(make, functools.partial) else {}
    params = inspect.signature(make).parameters
    out = {k: config.get(k, p.default) for k, p in params.items() if k not in bound}
    missing = [k for k, v in out.items() if v is inspect.Parameter.empty]
    assert not missing and set(config) <= set(out), (make, missing, config)
    return out


def build(odd):
    """Every case. `odd` is added to a side of every input, so that two settings never share a shape."""
    o, cases = odd, []

    def add(name, make, inputs, modes=("train",), still=(), **config):
        one = lambda d: [t[:1] for t in inputs(d)]
        for i, mode in enumerate(modes):
            cases.append(Case(name, make, one if i else inputs, mode, still, full_config(make, config)))

    both = ("train", "eval")  # the second with batch 1

    # squeeze and excitation
    add("se", SE, lambda d: [d.map(2, 48, 3 + o, 4)], channels=48, rounding="divisible", divisor=8)
    add("se", SE, lambda d: [d.map(1, 32, 5 + o, 6)], channels=32, reduction=4)
    add("se", SE, lambda d: [d.map(2, 20, 5, 6 + o)], channels=20, reduction=6, squeeze="max")
    add("se", SE, lambda d: [d.map(2, 24, 6 + o, 5)], channels=24, reduction=8, gate="tanh", bias=False)
    add("se", SE, lambda d: [d.map(2, 16, 6 + o, 5)], channels=16, reduction=2, gate="relu")
    add("se", SE, lambda d: [d.map(5, 16, 6, 5 + o)], both, still=("fc1.bias",),
        channels=16, reduction=4, squeeze="avg_max_half", gate="hard_sigmoid", norm=True)
    add("se", SE, lambda d: [d.map(2, 16, 7, 6 + o)], channels=16, reduction=4, no_squeeze=True)
    for position in ("standard", "pre", "post", "identity", "conv3x3"):
        make = functools.partial(SEBottleneck, position=position)
        add(f"se_{position}", make, lambda d: [d.map(2, 16, 5 + o, 6)], in_channels=16, width=8, out_channels=32, stride=2, reduction=4)
        add(f"se_{position}", make, lambda d: [d.map(1, 32, 5, 6 + o)], ("eval",), in_channels=32, width=8, out_channels=32, reduction=8, bias=False)
    add("ese", ese, lambda d: [d.map(2, 18, 5 + o, 6)], channels=18)
    add("ese", ese, lambda d: [d.map(1, 12, 5, 7 + o)], channels=12, squeeze="avg_max_half", gate="sigmoid")
    add("eca", eca, lambda d: [d.map(2, 40, 4 + o, 5)], channels=40)
    add("eca", eca, lambda d: [d.map(1, 128, 3, 4 + o)], channels=128)
    add("eca", eca, lambda d: [d.map(2, 7, 9 + o, 5)], kernel_size=9)
    add("ceca", ceca, lambda d: [d.map(2, 14, 6 + o, 5)], kernel_size=5)

    # selective kernel
    sk = dict(groups=4, min_dim=8)
    add("sk", SK, lambda d: [d.map(4, 16, 5 + o, 6)], both, in_channels=16, out_channels=16, **sk)
    add("sk", SK, lambda d: [d.map(4, 8, 7 + o, 8)], in_channels=8, out_channels=16, branches=3, groups=8, reduction=2, min_dim=4, stride=2)
    add("sk", SK, lambda d: [d.map(1, 12, 8, 7 + o)], ("eval",), in_channels=12, out_channels=12, branches=3, kernels="plain", groups=12, reduction=4, min_dim=4)
    add("sk", SK, lambda d: [d.map(4, 8, 6, 5 + o)], in_channels=8, out_channels=16, groups=1, reduction=4, min_dim=2, split_input=True)
    add("sk", SK, lambda d: [d.map(2, 16, 7, 5 + o)], still=("paths.*.conv.bias",), in_channels=16, out_channels=16, kernels="plain", groups=8, reduction=2,
        fc_bn=False, fc_act=False, fc_bias=True, conv_bias=True, min_dim=8)
    unit = dict(width=16, out_channels=32, groups=4, min_dim=8)
    add("skunit", skunit, lambda d: [d.map(4, 16, 6 + o, 5)], in_channels=16, stride=2, **unit)
    add("skunit", skunit, lambda d: [d.map(1, 32, 5, 6 + o)], ("eval",), in_channels=32, **unit)

    # spatial transformer
    add("stn", SpatialTransformer, lambda d: [d.normal(2, 1, 28 + o, 28)], in_size=(28 + o, 28))
    small = dict(in_channels=3, in_size=(17 + o, 20), loc_channels=(4, 6), loc_kernels=(3, 3), hidden=10)
    small_in = lambda d: [d.map(2, 3, 17 + o, 20)]
    add("stn", SpatialTransformer, small_in, padding="border", align_corners=True, **small)
    add("stn", SpatialTransformer, small_in, padding="reflection", out_size=(9, 12 + o), **small)
    add("stn", SpatialTransformer, small_in, transform="attention", **small)
    add("tps_grid", TpsGrid, lambda d: [0.9 * (2 * d.uniform(2, 9, 2) - 1)], out_size=(7 + o, 9))
    add("tps_grid", TpsGrid, lambda d: [0.9 * (2 * d.uniform(1, 8, 2) - 1)], out_size=(6, 5 + o), grid_height=2, grid_width=4, span=(0.8, 0.95))
    add("tps_stn", TpsTransformer, small_in, **small)
    add("tps_stn", TpsTransformer, small_in, out_size=(11 + o, 8), bounded=True, grid_height=2, padding="border", **small)

    # ASPP and DeepLab
    add("aspp_v2", AsppV2, lambda d: [d.map(2, 8, 10 + o, 9)], in_channels=8, num_classes=5, rates=(2, 4, 8, 12))
    add("aspp_v3", aspp_v3, lambda d: [d.map(4, 8, 5 + o, 6)], both, in_channels=8, out_channels=8, rates=(2, 3, 6))
    add("aspp_v3", aspp_v3, lambda d: [d.map(1, 10, 8, 10 + o)], ("eval",), in_channels=10, out_channels=12, rates=(6, 12), dropout=0.5)
    add("deeplabv3_head", deeplabv3_head, lambda d: [d.map(4, 8, 6 + o, 5)], both, in_channels=8, num_classes=5, channels=8, rates=(2, 4, 6))
    decoder = dict(in_channels=8, low_level_channels=6, num_classes=5, channels=8, reduced_channels=4)
    decoder_in = lambda d: [d.map(2, 8, 4, 5), d.map(2, 6, 10 + o, 9)]
    add("deeplabv3plus_decoder", DeepLabV3PlusDecoder, decoder_in, **decoder)
    add("deeplabv3plus_decoder", DeepLabV3PlusDecoder, decoder_in, ("eval",), align_corners=False, dropout=(0.5, 0.1), **decoder)

    # non-local
    still = ("phi*.bias", "g*.bias", "W.0.bias")
    nl = {n: functools.partial(NonLocal, dims=n) for n in (1, 2, 3)}
    for kind in ("gaussian", "embedded", "dot", "concat"):
        gain = 0.4 if kind == "gaussian" else 1.0
        add("nonlocal2d", nl[2], lambda d, gain=gain: [gain * d.map(2, 12, 5 + o, 6)], still=still, channels=12, instantiation=kind, sub_sample=True)
        add("nonlocal2d", nl[2], lambda d, gain=gain: [gain * d.map(1, 10, 5, 6 + o)], ("eval",), still=still, channels=10, instantiation=kind)
    add("nonlocal2d", nl[2], lambda d: [d.map(2, 12, 6, 5 + o)], still=still, channels=12, inter_channels=4, bn_layer=False, scale="inv_sqrt_inter")
    add("nonlocal2d", nl[2], lambda d: [d.map(2, 8, 7, 6 + o)], still=still, channels=8, sub_sample=True, pool_position="before", scale="inv_sqrt_in")
    add("nonlocal1d", nl[1], lambda d: [d.map(2, 12, 21 + o)], both, still=still, channels=12, sub_sample=True)
    add("nonlocal1d", nl[1], lambda d: [d.map(1, 8, 15 + o)], still=still, channels=8, instantiation="concat", bn_layer=False)
    add("nonlocal3d", nl[3], lambda d: [d.map(2, 8, 3, 5 + o, 4)], both, still=still, channels=8, instantiation="dot", sub_sample=True)
    add("nonlocal3d", nl[3], lambda d: [d.map(1, 6, 2, 4 + o, 5)], ("eval",), still=still, channels=6)

    # CBAM and BAM
    add("channel_gate", ChannelGate, lambda d: [d.map(2, 32, 6 + o, 5)], channels=32)
    add("channel_gate", ChannelGate, lambda d: [0.4 * d.map(2, 12, 5, 7 + o)], channels=12, reduction=4, pools=("avg", "max", "lp", "lse"))
    add("spatial_gate", SpatialGate, lambda d: [d.map(2, 10, 9 + o, 8)], both)
    add("spatial_gate", SpatialGate, lambda d: [d.map(1, 9, 6, 7 + o)], kernel_size=3, order="mean_max")
    add("cbam", Cbam, lambda d: [d.map(2, 16, 7 + o, 6)], both, channels=16, reduction=8)
    add("cbam", Cbam, lambda d: [d.map(1, 16, 6, 7 + o)], channels=16, reduction=4, pools=("avg",), kernel_size=3, order="mean_max")
    add("cbam", Cbam, lambda d: [d.map(2, 16, 5, 6 + o)], channels=16, no_spatial=True, reduction=2)
    add("cbam_timm", cbam_timm, lambda d: [d.map(2, 16, 7 + o, 6)], both, channels=16, reduction=8)
    add("cbam_timm", cbam_timm, lambda d: [d.map(1, 16, 6, 7 + o)], channels=16, reduction=4, kernel_size=3, mlp_bias=True)
    still = ("*gate_c_fc_0.bias", "*gate_s_conv_reduce0.bias", "*gate_s_conv_di_?.bias")
    add("bam", Bam, lambda d: [d.map(4, 16, 6 + o, 5)], both, still=still, channels=16, reduction=4)
    add("bam", Bam, lambda d: [d.map(4, 12, 5, 6 + o)], still=still, channels=12, reduction=3, dilation=2, combine="sum")
    add("bam", Bam, lambda d: [d.map(1, 32, 9 + o, 6)], ("eval",), channels=32, combine="sum")

    # deformable convolution, RoI pooling
    v1, v2 = functools.partial(DeformConv, modulated=False), functools.partial(DeformConv, modulated=True)
    for name, make in (("deform_conv", v1), ("modulated_deform_conv", v2)):
        add(name, make, lambda d: [d.map(2, 8, 5 + o, 6)], in_channels=8, out_channels=10)
        add(name, make, lambda d: [d.map(1, 4, 9, 10 + o)], in_channels=4, out_channels=6, stride=2, padding=2, dilation=2, groups=2, deform_groups=4)
        add(name, make, lambda d: [d.map(2, 6, 6 + o, 5)], in_channels=6, out_channels=4, kernel_size=1, padding=0, deform_groups=2)
    boxes = lambda d: d.rois([0, 6, 3, 33, 40], [1, 1, 9, 19, 21], [0, 20, 10, 30, 15], [1, -6, -5, 60, 44])
    v1, v2 = functools.partial(DeformRoIPool, modulated=False), functools.partial(DeformRoIPool, modulated=True)
    pool = dict(channels=5, output_size=3, spatial_scale=0.25, fc_channels=12)
    add("deform_roi_pool", v1, lambda d: [d.map(2, 5, 11 + o, 13), boxes(d)], **pool)
    add("deform_roi_pool", v1, lambda d: [d.map(2, 5, 12, 11 + o), boxes(d)], **{**pool, "offset_head": "single", "sampling_ratio": 2, "gamma": 0.2})
    add("deform_roi_pool", v1, lambda d: [d.map(2, 5, 12 + o, 12), boxes(d), d.normal(4, 2, 3, 3)], **{**pool, "offset_head": "none"})
    add("modulated_deform_roi_pool", v2, lambda d: [d.map(2, 5, 11 + o, 13), boxes(d)], **pool)
    add("modulated_deform_roi_pool", v2, lambda d: [d.map(2, 5, 10, 12 + o), boxes(d)], **{**pool, "sampling_ratio": 2})
    ps = dict(output_dim=4, group_size=2, output_size=4, part_size=2, spatial_scale=0.25, sample_per_part=3)
    add("deform_psroi_pool", DeformPSRoIPool, lambda d: [d.map(2, 16, 9 + o, 10), boxes(d), d.normal(4, 4, 2, 2)], **ps)
    add("deform_psroi_pool", DeformPSRoIPool, lambda d: [d.map(2, 18, 9, 10 + o), boxes(d)],
        output_dim=2, group_size=3, output_size=3, part_size=3, spatial_scale=0.25, no_trans=True)
    add("psroi_pool", PSRoIPool, lambda d: [d.map(2, 18, 9 + o, 10), boxes(d)], output_size=(3, 3), spatial_scale=0.25)
    add("psroi_pool", PSRoIPool, lambda d: [d.map(2, 12, 10, 11 + o), boxes(d)], output_size=(3, 2), spatial_scale=0.25)

    # BlurPool
    blur1, blur2 = functools.partial(BlurPool, dims=1), functools.partial(BlurPool, dims=2)
    pads = itertools.cycle(("reflect", "replicate", "zero"))
    for n in range(1, 8):
        add("blurpool", blur2, lambda d: [d.map(2, 6, 7 + o, 6)], channels=6, filt_size=n, pad_type=next(pads))
    for n, s, pad, off in [(4, 2, "zero", 0), (4, 2, "replicate", 0), (3, 1, "reflect", 0), (5, 3, "reflect", 1), (2, 2, "reflect", 0)]:
        add("blurpool", blur2, lambda d: [d.map(1, 5, 9, 8 + o)], channels=5, filt_size=n, stride=s, pad_type=pad, pad_off=off)
    add("blurpool1d", blur1, lambda d: [d.map(2, 7, 14 + o)], channels=7, filt_size=3)
    add("blurpool1d", blur1, lambda d: [d.map(1, 5, 13 + o)], channels=5, filt_size=6, pad_type="zero")
    add("maxblurpool", maxblurpool, lambda d: [d.map(2, 6, 9 + o, 8)], channels=6)
    add("maxblurpool", maxblurpool, lambda d: [d.map(1, 5, 8, 9 + o)], channels=5, kernel_size=3, padding=1, filt_size=3)
    add("blurconv", blurconv, lambda d: [d.map(2, 8, 9 + o, 8)], both, in_channels=8, out_channels=10)

    # receptive field block
    still = ("branch?.?.bn.bias",)
    add("rfb", rfb, lambda d: [d.map(2, 32, 6 + o, 5)], both, still, in_channels=32, out_channels=16)
    add("rfb", rfb, lambda d: [d.map(2, 32, 7, 6 + o)], still=still, in_channels=32, out_channels=16, stride=2, scale=1.0, visual=2)
    add("rfb_s", rfb_s, lambda d: [d.map(2, 24, 5 + o, 6)], both, still, in_channels=24, out_channels=12, scale=1.0)
    add("rfb_s", rfb_s, lambda d: [d.map(1, 32, 6, 8 + o)], still=still, in_channels=32, out_channels=10, variant="seven")
    add("rfb_e", rfb_e, lambda d: [d.map(2, 24, 5 + o, 6)], still=still, in_channels=24, out_channels=12, stride=2)
    add("rfb_e", rfb_e, lambda d: [d.map(1, 24, 8, 7 + o)], ("eval",), in_channels=24, out_channels=12, variant="c", scale=1.0)
    add("rfb_asff", RfbAsff, lambda d: [d.map(2, 16, 5 + o, 6)], in_channels=16)
    add("rfb_asff", RfbAsff, lambda d: [d.map(1, 16, 9, 6 + o)], in_channels=16, residual=True)

    # feature pyramids
    levels = lambda d, c, h, w, n=2: [d.map(n, ci, h << i, w << i) for i, ci in enumerate(c)]
    for level, out in ((0, 16), (1, 12), (2, 8)):
        c = dict(channels=(16, 8, 8), weight_channels=4)
        add("asff", Asff, lambda d: levels(d, (16, 8, 8), 2 + o, 2), both if level == 1 else ("train",), level=level, out_channels=out, **c)
    add("asff", Asff, lambda d: levels(d, (16, 8, 6), 2, 3 + o, 1), ("eval",), level=2, channels=(16, 8, 6), weight_channels=3, out_channels=10, act="relu6")
    pyramid = lambda d, c, h, w, n=2: [d.map(n, ci, -(-h >> i), -(-w >> i)) for i, ci in enumerate(c)]
    add("fpn", Fpn, lambda d: pyramid(d, (6, 8, 10), 11 + o, 9), in_channels=(6, 8, 10), out_channels=8)
    add("fpn", Fpn, lambda d: pyramid(d, (6, 8, 10), 11, 12 + o, 1), in_channels=(6, 8, 10), out_channels=6, extra="max_pool")
    add("fpn", Fpn, lambda d: pyramid(d, (5, 7), 10 + o, 9), in_channels=(5, 7), out_channels=6, extra="p6p7")
    add("fpn", Fpn, lambda d: pyramid(d, (4, 6), 10, 9 + o), in_channels=(4, 6), out_channels=6, extra="p6p7")
    add("pan", Pan, lambda d: [d.map(1, c, (4 + o) * s, 3 * s) for c, s in ((6, 4), (8, 2), (10, 1))], in_channels=(6, 8, 10), out_channels=6)
    add("weighted_fusion", WeightedFusion, lambda d: [d.map(2, 6, 5 + o, 7) for _ in range(3)], count=3)
    add("spp", Spp, lambda d: [d.map(1, 5, 15 + o, 14)])
    add("sppf", Sppf, lambda d: [d.map(1, 5, 15 + o, 14)])

    # residual attention
    add("preact_bottleneck", PreActBottleneck, lambda d: [d.map(2, 16, 5 + o, 6)], both, in_channels=16, out_channels=16)
    add("preact_bottleneck", PreActBottleneck, lambda d: [d.map(2, 12, 9, 8 + o)], in_channels=12, out_channels=24, stride=2)
    add("preact_bottleneck", PreActBottleneck, lambda d: [d.map(1, 12, 6 + o, 5)], ("eval",), in_channels=12, out_channels=20)
    att = functools.partial(add, "attention_module", AttentionModule)
    att(lambda d: [d.map(2, 8, 13 + o, 10)], channels=8, depth=3)
    att(lambda d: [d.map(2, 8, 10 + o, 9)], channels=8, depth=3, dialect="extra_skips", learning="naive")
    att(lambda d: [d.map(2, 8, 7, 10 + o)], channels=8, depth=2, mask="channel")
    att(lambda d: [d.map(1, 12, 12 + o, 9)], ("eval",), channels=12, depth=2, dialect="extra_skips", mask="spatial")
    att(lambda d: [d.map(2, 12, 7 + o, 8)], channels=12, depth=1, mask="spatial", learning="naive")
    att(lambda d: [d.map(1, 12, 10, 9 + o)], ("eval",), channels=12, depth=1, pool="caffe_ceil")
    att(lambda d: [d.map(1, 12, 9 + o, 10)], ("eval",), channels=12, depth=2, pool="caffe_ceil", p=2, t=1, r=2)
    att(lambda d: [d.map(2, 12, 5 + o, 6)], channels=12, depth=0)
    att(lambda d: [d.map(1, 12, 17, 9 + o)], ("eval",), channels=12, depth=4, p=0)

    # dynamic convolutions
    add("condconv", CondConv, lambda d: [d.map(3, 8, 5 + o, 6)], in_channels=8, out_channels=10, num_experts=4)
    add("condconv", CondConv, lambda d: [d.map(2, 12, 8, 9 + o)], in_channels=12, out_channels=12, kernel_size=5, padding=2, stride=2, groups=12, bias=True)
    add("condconv", CondConv, lambda d: [d.map(2, 8, 6 + o, 5), d.uniform(2, 3)],
        in_channels=8, out_channels=6, kernel_size=1, padding=0, bias=True, num_experts=3, routing="given")
    dyn = {n: functools.partial(DynamicConv, dims=n) for n in (1, 2, 3)}
    add("dynamic_conv2d", dyn[2], lambda d: [d.map(3, 8, 5 + o, 6)], in_channels=8, out_channels=10)
    add("dynamic_conv2d", dyn[2], lambda d: [d.map(2, 8, 6, 7 + o)], in_channels=8, out_channels=6, bias=False, temperature=30.0, plus_one=False)
    add("dynamic_conv2d", dyn[2], lambda d: [d.map(2, 12, 9 + o, 8)],
        in_channels=12, out_channels=8, stride=2, dilation=2, padding=2, groups=4, kernel_num=3, temperature=4.0)
    add("dynamic_conv2d", dyn[2], lambda d: [d.map(1, 3, 8, 7 + o)], in_channels=3, out_channels=6, kernel_size=1, padding=0, kernel_num=2)
    add("dynamic_conv1d", dyn[1], lambda d: [d.map(2, 8, 17 + o)], in_channels=8, out_channels=6)
    add("dynamic_conv3d", dyn[3], lambda d: [d.map(2, 6, 3, 4 + o, 5)], in_channels=6, out_channels=5, kernel_num=3, ratio=0.5)
    add("odconv", OdConv, lambda d: [d.map(4, 8, 5 + o, 6)], both, in_channels=8, out_channels=10)
    add("odconv", OdConv, lambda d: [d.map(4, 8, 6, 7 + o)], in_channels=8, out_channels=12, kernel_num=1, temperature=30.0, stride=2)
    add("odconv", OdConv, lambda d: [d.map(4, 8, 5 + o, 6)], in_channels=8, out_channels=6, kernel_size=1, padding=0, kernel_num=1)
    add("odconv", OdConv, lambda d: [d.map(4, 12, 5, 6 + o)], in_channels=12, out_channels=8, kernel_size=1, padding=0, groups=4, reduction=1.5)
    add("odconv", OdConv, lambda d: [d.map(1, 12, 7 + o, 5)], ("eval",), in_channels=12, out_channels=12, groups=12, kernel_num=2)

    # named in passing
    add("doconv", DoConv, lambda d: [d.map(2, 8, 5 + o, 6)], in_channels=8, out_channels=10)
    add("doconv", DoConv, lambda d: [d.map(2, 8, 8, 7 + o)], in_channels=8, out_channels=8, stride=2, groups=8, bias=False, d_mul=11)
    add("doconv", DoConv, lambda d: [d.map(1, 12, 7 + o, 8)], in_channels=12, out_channels=8, groups=4, dilation=2, padding=2, d_mul=18)
    add("doconv", DoConv, lambda d: [d.map(2, 8, 5, 6 + o)], in_channels=8, out_channels=6, kernel_size=1, padding=0)
    add("dca_se", DcaSe, lambda d: [d.map(3, 16, 6 + o, 5), d.normal(3, 12)], still=("conv.0.bias",), in_channels=12, channels=16, reduction=4)
    add("dca_se", DcaSe, lambda d: [d.map(2, 16, 5, 6 + o), d.normal(2, 16)], still=("conv.0.bias",), in_channels=16, channels=16, reduction=4)
    add("dca_se", DcaSe, lambda d: [d.map(2, 12, 7 + o, 5)], in_channels=8, channels=12, reduction=2, connected=False)
    add("rfaconv", RfaConv, lambda d: [d.map(2, 6, 5 + o, 6)], both, in_channels=6, out_channels=8)
    add("rfaconv", RfaConv, lambda d: [d.map(2, 4, 8, 9 + o)], in_channels=4, out_channels=6, kernel_size=5, stride=2)
    add("dwsep", DwSep, lambda d: [d.map(2, 10, 7 + o, 6)], both, in_channels=10, out_channels=14)
    add("dwsep", DwSep, lambda d: [d.map(1, 12, 9, 8 + o)], in_channels=12, out_channels=8, kernel_size=5, stride=2)
    add("invres", invres, lambda d: [d.map(2, 8, 5 + o, 6)], both, in_channels=8, out_channels=8)
    add("invres", invres, lambda d: [d.map(2, 8, 8, 7 + o)], in_channels=8, out_channels=12, stride=2, expand_ratio=3)
    add("invres", invres, lambda d: [d.map(1, 8, 6 + o, 5)], in_channels=8, out_channels=6, expand_ratio=1)
    add("rowcol", RowCol, lambda d: [d.map(2, 6, 7 + o, 6)], in_channels=6, out_channels=8)
    add("rowcol", RowCol, lambda d: [d.map(1, 5, 9, 8 + o)], in_channels=5, out_channels=6, kernel_size=7, mid_channels=3, stride=2, bias=False)
    add("tcn", Tcn, lambda d: [d.map(2, 6, 20 + o)], in_channels=6, channels=(8,), kernel_size=3)
    add("tcn", Tcn, lambda d: [d.map(2, 4, 23 + o)], in_channels=4, channels=(8, 8, 6), kernel_size=2)
    add("tcn", Tcn, lambda d: [d.map(1, 5, 12 + o)], ("eval",), in_channels=5, channels=(5, 7), kernel_size=1, dropout=0.2)
    add("inception_v1_block", inception_v1_block, lambda d: [d.map(2, 12, 5 + o, 6)], both,
        in_channels=12, ch1x1=6, ch3x3red=5, ch3x3=8, ch5x5red=3, ch5x5=4, pool_proj=7)

    add("coordconv", CoordConv, lambda d: [d.map(2, 6, 7 + o, 9)], in_channels=6, out_channels=8)
    add("coordconv", CoordConv, lambda d: [d.map(1, 5, 8, 6 + o)], in_channels=5, out_channels=6, kernel_size=5, padding=0, stride=2, with_r=True, bias=False)
    add("coordconv", CoordConv, lambda d: [d.map(2, 5, 1, 7 + o)], in_channels=5, out_channels=4, groups=4, with_r=True, radius_centre=0.5)
    add("ghost_module", ghost_module, lambda d: [d.map(2, 10, 5 + o, 6)], both, in_channels=10, out_channels=13)
    add("ghost_module", ghost_module, lambda d: [d.map(1, 8, 8, 7 + o)], in_channels=8, out_channels=12, kernel_size=3, ratio=3, dw_size=5, stride=2, relu=False)
    add("ghost_bottleneck", ghost_bottleneck, lambda d: [d.map(2, 12, 5 + o, 6)], in_channels=12, mid_channels=20, out_channels=12, se_ratio=0.25)
    add("ghost_bottleneck", ghost_bottleneck, lambda d: [d.map(2, 8, 9, 8 + o)],
        both, ("bn_dw.bias", "shortcut.1.bias"), in_channels=8, mid_channels=18, out_channels=14, dw_size=5, stride=2)

    # related plug-ins
    add("gc", GlobalContextMmcv, lambda d: [d.map(2, 24, 5 + o, 4)], still=("conv_mask.bias",), channels=24, reduction=4)
    add("gc", GlobalContextMmcv, lambda d: [d.map(1, 16, 7, 5 + o)], still=("conv_mask.bias",), channels=16, reduction=2, fusion="mul")
    add("gc_timm", gc_timm, lambda d: [d.map(2, 32, 4 + o, 5)], still=("conv_attn.bias",), channels=32)
    add("gc_timm", gc_timm, lambda d: [d.map(1, 24, 6, 7 + o)], still=("conv_attn.bias",), channels=24, reduction=6, fusion="add")
    add("simam", SimAm, lambda d: [d.map(2, 8, 5 + o, 6)])
    add("simam", SimAm, lambda d: [d.map(1, 5, 5, 9 + o)], e_lambda=0.01)
    add("coord_attention", coord_attention, lambda d: [d.map(2, 16, 5 + o, 6)], both, still=("conv1.bias",), channels=16, rd_channels=8)
    add("coord_attention", coord_attention, lambda d: [d.map(1, 20, 6, 9 + o)], channels=20, rd_channels=6, bias=False)
    add("scse", ScSe, lambda d: [d.map(2, 14, 5 + o, 6)], channels=14)
    add("scse", ScSe, lambda d: [d.map(1, 12, 5, 8 + o)], channels=12, reduction=4, combine="max")
    add("gather_excite", GatherExcite, lambda d: [d.map(2, 10, 5 + o, 6)], channels=10)
    add("gather_excite", GatherExcite, lambda d: [d.map(2, 8, 9, 10 + o)], channels=8, extent=4)
    add("gather_excite", GatherExcite, lambda d: [d.map(2, 8, 11 + o, 9)], both, channels=8, extent=4, extra_params=True)
    add("gather_excite", GatherExcite, lambda d: [d.map(5, 8, 5 + o, 6)], both, channels=8, extra_params=True, use_mlp=True, reduction=2, feat_size=(5 + o, 6))
    add("gather_excite", GatherExcite, lambda d: [d.map(1, 16, 7 + o, 6)], channels=16, extent=2, extra_params=True, use_mlp=True, reduction=4)
    still = ("fc1.bias",)
    add("split_attention", split_attention, lambda d: [d.map(4, 8, 5 + o, 6)], both, still=still, in_channels=8, out_channels=8)
    add("split_attention", split_attention, lambda d: [d.map(4, 8, 6, 7 + o)],
        still=still, in_channels=8, out_channels=12, groups=2, radix=2, stride=2, rd_channels=8)
    add("split_attention", split_attention, lambda d: [d.map(1, 8, 6 + o, 5)], ("eval",), in_channels=8, out_channels=8, radix=1, rd_channels=8)
    add("split_attention", split_attention, lambda d: [d.map(1, 9, 5, 6 + o)], ("eval",), in_channels=9, out_channels=9, radix=3, groups=3, rd_channels=9)
    add("triplet", Triplet, lambda d: [d.map(2, 10, 8 + o, 9)], both)
    add("triplet", Triplet, lambda d: [d.map(1, 8, 6, 7 + o)], kernel_size=3, no_spatial=True)
    add("involution", Involution, lambda d: [d.map(2, 12, 7 + o, 6)], both, still=("conv1.bias",), channels=12, groups=3)
    add("involution", Involution, lambda d: [d.map(2, 8, 8 + 2 * o, 10)], still=("conv1.bias",), channels=8, kernel_size=5, stride=2, groups=2, reduction=2)
    add("shuffle_attention", ShuffleAttention, lambda d: [d.map(2, 16, 5 + o, 6)], channels=16, groups=4)
    add("shuffle_attention", ShuffleAttention, lambda d: [d.map(1, 48, 5, 4 + o)], channels=48)
    add("sge", SpatialGroupEnhance, lambda d: [d.map(2, 12, 5 + o, 6)], groups=3)
    add("double_attention", DoubleAttention, lambda d: [d.map(2, 10, 6 + o, 5)], still=("convB.bias",), channels=10, c_m=6, c_n=5)
    add("polarized_attention", PolarizedAttention, lambda d: [d.map(2, 10, 6 + o, 5)], still=("ch_wq.bias",), channels=10)
    add("polarized_attention", PolarizedAttention, lambda d: [d.map(1, 12, 7, 5 + o)], still=("ch_wq.bias",), channels=12, layout="sequential")
    add("danet", DaNet, lambda d: [0.4 * d.map(2, 16, 6 + o, 5)], still=("sa.key_conv.bias",), channels=16, reduction=4)
    add("ccnet", CrissCross, lambda d: [d.map(2, 16, 6 + o, 5)], still=("key_conv.bias",), channels=16, reduction=4)
    add("ccnet", CrissCross, lambda d: [d.map(1, 16, 5, 8 + o)], still=("key_conv.bias",), channels=16, recurrence=1)
    add("psp", PyramidPooling, lambda d: [d.map(4, 8, 7 + o, 8)], both, channels=8, reduced_channels=3)
    add("psp", PyramidPooling, lambda d: [d.map(1, 8, 7, 10 + o)], ("eval",), channels=8, reduced_channels=4, bins=(1, 3, 5), align_corners=False)
    add("grn", grn, lambda d: [d.map(2, 10, 6 + o, 5)], channels=10)
    add("frn", frn, lambda d: [d.map(2, 10, 6 + o, 5)], channels=10)
    add("layer_norm2d", layer_norm2d, lambda d: [d.map(2, 10, 6 + o, 5)], channels=10)
    add("instance_norm2d", instance_norm2d, lambda d: [d.map(2, 10, 6 + o, 5)], channels=10)
    add("std_conv", std_conv, lambda d: [d.map(2, 8, 5 + o, 6)], in_channels=8, out_channels=10)
    add("std_conv", std_conv, lambda d: [d.map(1, 8, 6, 7 + o)], in_channels=8, out_channels=12, kernel_size=5, padding=2, stride=2, groups=2, bias=True)
    add("pconv", pconv, lambda d: [d.map(2, 16, 5 + o, 6)], channels=16)
    add("repvgg", repvgg, lambda d: [d.map(2, 10, 5 + o, 6)], both, in_channels=10, out_channels=10)
    add("repvgg", repvgg, lambda d: [d.map(1, 8, 8, 7 + o)], in_channels=8, out_channels=12, stride=2, groups=2)
    add("acnet", AcBlock, lambda d: [d.map(2, 8, 5 + o, 6)], both, in_channels=8, out_channels=10)
    add("acnet", AcBlock, lambda d: [d.map(1, 8, 8, 7 + o)], in_channels=8, out_channels=6, kernel_size=5, stride=2, groups=2)
    add("mixconv", mixconv, lambda d: [d.map(2, 14, 5 + o, 6)], in_channels=14, out_channels=14)
    add("mixconv", mixconv, lambda d: [d.map(1, 8, 8, 9 + o)], in_channels=8, out_channels=10, kernel_sizes=(3, 5), stride=2, depthwise=False)
    add("res2net", res2net, lambda d: [d.map(2, 16, 5 + o, 6)], both, in_channels=16, width=4, scale=4, out_channels=16)
    add("res2net", res2net, lambda d: [d.map(2, 12, 7, 8 + o)], in_channels=12, width=4, scale=3, out_channels=16, stride=2)
    return cases


# ---------------------------------------------------------------- checks


def results(module, inputs, mode, seed, dtype=torch.float64, nudge=0.0, noise_seed=0):
    """Outputs and gradients by name. `nudge` moves every input and parameter by that factor of random noise."""
    module = copy.deepcopy(module).to(dtype).train(mode == "train")
    g = torch.Generator().manual_seed(seed + 7919)
    noise = torch.Generator().manual_seed(noise_seed)
    args = [t.to(dtype, copy=True) for t in inputs]
    if nudge:
        fixed = getattr(module, "fixed_inputs", ())
        with torch.no_grad():
            for t in [a for i, a in enumerate(args) if i not in fixed] + [p for p in module.parameters() if p.requires_grad]:
                t.add_(nudge * (t.square().mean().sqrt() * torch.randn(t.shape, generator=noise).to(dtype)))
    args = [t.requires_grad_() for t in args]
    out = module(*args)
    outs = list(out) if isinstance(out, (tuple, list)) else [out]
    sum((o * torch.randn(o.shape, generator=g).to(dtype)).sum() for o in outs).backward()
    named = {f"output.{i}": o.detach() for i, o in enumerate(outs)}
    named |= {f"grad.input.{i}": a.grad for i, a in enumerate(args) if a.grad is not None}
    return named | {f"grad.param.{k}": p.grad for k, p in module.named_parameters() if p.grad is not None}


def differ(a, b, floor):
    """Largest difference of two tensors relative to the size of the second."""
    return float((a - b).abs().max() / max(float(b.abs().max()), floor)) if b.numel() else 0.0


def inspect_case(case, module, inputs, seed):
    """(what is wrong or None, the float32 error, parameters whose gradient vanishes)."""
    base = results(module, inputs, case.mode, seed)
    if not all(t.isfinite().all() for t in base.values()):
        return "not finite", 0.0, []
    size = {k: float(t.abs().max()) for k, t in base.items()}
    largest = max(v for k, v in size.items() if k.startswith("grad"))
    used = [k.removeprefix("grad.param.") for k in base if k.startswith("grad.param.")]
    still = [k for k in used if size[f"grad.param.{k}"] < 1e-9 * largest]
    undeclared = [k for k in still if not any(fnmatch.fnmatch(k, pattern) for pattern in case.still)]
    if undeclared:
        return f"no gradient for {undeclared}", 0.0, still
    floor = 1e-4 * largest
    for k in range(3):
        plus, minus = (results(module, inputs, case.mode, seed, nudge=s * 2e-6, noise_seed=k) for s in (1, -1))
        # smooth functions have no second difference at this step; a crossed kink leaves its whole jump
        if any(differ(plus[n] + minus[n] - t, t, floor) > 1e-5 for n, t in base.items()):
            return "kink", 0.0, still
    single = results(module, inputs, case.mode, seed, torch.float32)
    error = max(differ(single[n].double(), t, floor) for n, t in base.items() if n.removeprefix("grad.param.") not in still)
    return ("ill-conditioned" if error > 2e-5 else None), error, still


def count(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def check_counts():
    """Known parameter counts."""
    with torch.device("meta"):
        check_worked_counts()


def check_worked_counts():
    worked = [
        (SE(256), 8464), (SE(256, bias=False), 8192), (ese(256), 65792),
        (SK(256, 256), 62528), (SK(64, 64, 3, "plain", 8, 2, fc_bn=False, fc_bias=True, conv_bias=True), 51488),
        (SK(64, 64, 3, "dilated", 8, 2, fc_bn=False, fc_bias=True, conv_bias=True), 22816),
        (SpatialTransformer(), 5520), (AsppV2(2048, 21), 1548372), (aspp_v3(2048), 15535104), (deeplabv3_head(2048, 21), 16130837),
        (NonLocal(2, 64), 8480), (NonLocal(2, 64, "dot"), 8480), (NonLocal(2, 64, "gaussian"), 4320), (NonLocal(2, 64, "concat"), 8544),
        (NonLocal(2, 512), 526592), (NonLocal(2, 1024), 2101760),
        (Cbam(256), 8564), (cbam_timm(256), 8292), (Bam(256), 17361),
        (DeformConv(False, 256, 256).conv_offset, 41490), (DeformConv(True, 256, 256).conv_offset, 62235),
        (DeformRoIPool(False, 256), 13996130), (DeformRoIPool(True, 256), 13996130 + 12896305),
        (rfb(1024, 1024), 5095296), (rfb(1024, 512, 2), 4175744), (rfb(512, 256, 2), 1045440), (rfb_s(512, 512), 1502016),
        (rfb_s(512, 512, variant="seven"), 1027648), (rfb_e(1024, 1024), 6596096), (rfb_e(1024, 1024, variant="c"), 4947840), (RfbAsff(1024), 5048576),
        (Asff(0), 7106803), (Asff(1, out_channels=512), 1915123), (Asff(2, out_channels=256), 734451),
        (Asff(0, weight_channels=8), 7094395), (Asff(1, weight_channels=8, out_channels=512), 1908859), (Asff(2, weight_channels=8, out_channels=256), 728187),
        *[(Asff(i, (512, 256, 128), 16, out, "relu6"), n) for i, out, n in ((0, 1024, 6516979), (1, 512, 1620211), (2, 256, 400627))],
        (Fpn((256, 512, 1024, 2048)), 3344384), (PreActBottleneck(256, 256), 70400), (PreActBottleneck(64, 256), 74112), (PreActBottleneck(512, 512), 280064),
        (AttentionModule(256, 3), 976896), (AttentionModule(512, 2), 3046912), (AttentionModule(1024, 1), 8804352),
        (DynamicConv(2, 64, 128), 296584), (OdConv(64, 128, kernel_num=1), 78201), (OdConv(64, 128), 299453),
        (DoConv(64, 64, bias=False), 42048), (DoConv(64, 64), 42112), (RfaConv(64, 64), 43840), (Tcn(1, [25] * 8, 7), 66650),
        (CoordConv(64, 64), 38080), (CoordConv(64, 64, with_r=True), 38656), (ghost_module(16, 32), 464),
        (ghost_bottleneck(16, 16, 16), 464), (ghost_bottleneck(16, 48, 24, stride=2), 2564), (ghost_bottleneck(40, 120, 40, 5, se_ratio=0.25), 13672),
        (eca(256), 5), (GlobalContextMmcv(256), 8753), (gc_timm(256), 16993), (coord_attention(256, 8), 6680), (coord_attention(256, 8, False), 6160),
        (split_attention(256, 256), 690048), (Triplet(), 300), (Involution(256, groups=16), 67536), (ShuffleAttention(256), 96), (SpatialGroupEnhance(8), 16),
        (CrissCross(256), 82241), (PolarizedAttention(256), 132481), (DoubleAttention(256), 131712),
    ]
    for module, expected in worked:
        assert count(module) == expected, (type(module).__name__, count(module), expected)


def check_against_packages():
    """The restated modules equal the packages' where those have the same module."""
    d = Draw(3)
    same = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    x = d.map(3, 16, 9, 8).double()

    def pair(ours, theirs, rename=lambda k: k):
        ours, theirs = casefile.settle(ours).double(), theirs.double()
        theirs.load_state_dict({rename(k): v for k, v in ours.state_dict().items()})
        return ours, theirs

    a, b = pair(SE(16, 4), tvo.SqueezeExcitation(16, 4))
    same(a(x), b(x))
    a, b = pair(SE(16, 4, no_squeeze=True), SE(16, 4))
    same(a(x.mean((2, 3), keepdim=True)), b(x.mean((2, 3), keepdim=True)))
    a, b = pair(SK(16, 16, groups=4, min_dim=8), tl.SelectiveKernel(16, groups=4, rd_channels=8, split_input=False))
    same(a(x), b(x))
    a, b = pair(deeplabv3_head(16, 5), DeepLabHead(16, 5, (12, 24, 36)))
    same(a.eval()(x), b.eval()(x))
    names = {"g": "g", "theta": "t", "phi": "p", "W.0": "z", "W.1": "norm"}
    a, b = pair(NonLocal(2, 16, inter_channels=8, scale="inv_sqrt_in"), tl.NonLocalAttn(16, rd_channels=8),
                lambda k: next(v + k.removeprefix(n) for n, v in names.items() if k.startswith(n)))
    same(a(x), b(x))
    names = {"ChannelGate.mlp.1": "channel.fc1", "ChannelGate.mlp.3": "channel.fc2", "SpatialGate.spatial": "spatial.conv"}
    a, b = casefile.settle(Cbam(16, 4, order="mean_max")).double(), CbamModule(16, 0.25, mlp_bias=True).double()
    b.load_state_dict({k: v.view(dict(b.state_dict())[k].shape) for k, v in
                       ((next(v + k.removeprefix(n) for n, v in names.items() if k.startswith(n)), v) for k, v in a.state_dict().items())})
    same(a.eval()(x), b.eval()(x))
    for n in (3, 5, 7):
        same(BlurPool(2, 16, n).double()(x), tl.BlurPool2d(16, n).double()(x))
    same(Spp()(x), Sppf()(x))
    rois = d.rois([0, 6, 3, 33, 40], [1, 1, 9, 19, 21], [2, -6, -5, 60, 44]).double()
    zero, off = torch.zeros(3, 2, 3, 3).double(), d.normal(3, 2, 3, 3).double()
    for ratio in (0, 2):
        same(deform_roi_pool(x, rois, zero, 3, 0.25, ratio, 0.1), tvo.roi_align(x, rois, 3, 0.25, ratio, True))
        moved = deform_roi_pool(x, rois, off, 3, 0.25, ratio, 0.1)
        for r, i, j in itertools.product(range(3), range(3), range(3)):
            bin_w, bin_h = (rois[r, 3:] - rois[r, 1:3]) / 3
            x1, y1 = rois[r, 1] + bin_w * (j + 0.3 * off[r, 0, i, j]), rois[r, 2] + bin_h * (i + 0.3 * off[r, 1, i, j])
            one = torch.stack([rois[r, 0], x1, y1, x1 + bin_w, y1 + bin_h])[None]
            same(moved[r, :, i, j], tvo.roi_align(x, one, 1, 0.25, ratio, True)[0, :, 0, 0])
    gs = [torch.autograd.functional.jacobian(lambda o: deform_roi_pool(x, rois, o, 3, 0.25, 2, 0.1).sum(), off)]
    step = torch.zeros_like(off)
    step[0, 1, 1, 2] = 1e-6
    difference = (deform_roi_pool(x, rois, off + step, 3, 0.25, 2, 0.1) - deform_roi_pool(x, rois, off - step, 3, 0.25, 2, 0.1)).sum() / 2e-6
    torch.testing.assert_close(difference, gs[0][0, 1, 1, 2], rtol=1e-5, atol=1e-6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--odd", type=int, default=0)
    parser.add_argument("--only", default="*", help="names or patterns of modules, with commas")
    args = parser.parse_args()
    torch.set_num_threads(1)
    check_counts()
    check_against_packages()
    only = args.only.split(",")
    origin = f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}"
    number, written, worst = {}, 0, (0.0, "")
    for case in build(args.odd):
        i = number[case.name] = number.get(case.name, -1) + 1
        if not any(fnmatch.fnmatch(case.name, pattern) for pattern in only):
            continue
        written += 1
        name = f"module-{case.name}-{i:02}"
        for attempt in range(40):
            seed = zlib.crc32(f"{args.seed}/{name}/{attempt}".encode())
            module, inputs = case.draw(seed)
            wrong, error, still = inspect_case(case, module, inputs, seed)
            if wrong is None:
                break
        else:
            raise AssertionError(f"{name}: {wrong} in the last of {attempt + 1} draws")
        worst = max(worst, (error, name))
        path = f"{args.out}/{name}.safetensors"
        casefile.module_case(path, case.name, module, inputs, case.config, case.mode, seed=seed, gradients=getattr(module, "gradients", True),
                             unchecked=still, origin=origin)
    print(f"{written} of {sum(v + 1 for v in number.values())} cases; largest float32 error {worst[0]:.1e} in {worst[1]}")


if __name__ == "__main__":
    main()
