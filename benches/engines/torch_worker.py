"""PyTorch. The argument is the memory format, contiguous or channels_last; it is eager unless `compiled` follows."""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d, roi_align

from case import DATA, HERE, LEARNING_RATE, MOMENTUM, Case, Network, Operation, Plugin, fill
from networks import loaded
from worker import THREADS, serve

FORMAT = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[sys.argv[1]]
COMPILED = sys.argv[2:] == ["compiled"]
OPERATIONS = {
    "max_pool2d": lambda x, kernel, stride, padding: F.max_pool2d(x, kernel, stride, padding),
    "avg_pool2d": lambda x, kernel, stride, padding: F.avg_pool2d(x, kernel, stride, padding),
    "adaptive_avg_pool2d": lambda x, size: F.adaptive_avg_pool2d(x, size),
    "grid_sample": lambda x, grid: F.grid_sample(x, grid, "bilinear", "zeros", align_corners=False),
    "interpolate": lambda x, scale: F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False),
    "deform_conv2d": lambda x, offset, weight, mask=None, padding=0: deform_conv2d(x, offset, weight, padding=padding, mask=mask),
    "roi_align": lambda x, rois, size, sampling_ratio: roi_align(x, rois, size, 1.0, sampling_ratio, aligned=True),
    "batch_norm_eval": lambda x, weight, bias: F.batch_norm(x, torch.zeros_like(bias), torch.ones_like(bias), weight, bias),
    "batch_norm_train": lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True),
    "softmax": lambda x: F.softmax(x, -1),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "exp": torch.exp,
    "tanh": torch.tanh,
    "add": torch.add,
}


def laid_out(numbers) -> torch.Tensor:
    x = torch.as_tensor(numbers)
    return x.contiguous(memory_format=FORMAT) if x.dim() == 4 else x


class Loaded:
    """A function, what it reads, and of which of that gradients are wanted."""

    def __init__(self, function, inputs, leaves, gradients=None, training=False):
        self.function, self.inputs, self.leaves, self.training = function, inputs, leaves, training
        self.found = ()
        if training:
            for leaf in leaves:
                leaf.requires_grad_()
            outputs = self.outputs()
            drawn = gradients or [fill(y.shape, 4 + i, 2.0) for i, y in enumerate(outputs)]
            self.gradients = [laid_out(gradient) for gradient in drawn]

    def outputs(self):
        found = self.function(*self.inputs)
        return list(found) if isinstance(found, (tuple, list)) else [found]

    def run(self) -> None:
        self.found = ()
        if self.training:
            found = torch.autograd.grad(self.outputs(), self.leaves, self.gradients, allow_unused=True)
            self.found = [torch.zeros_like(x) if g is None else g for g, x in zip(found, self.leaves)]
        else:
            with torch.inference_mode():
                self.found = self.outputs()

    def output(self):
        return [found.detach().contiguous().numpy() for found in self.found]


def convolution(case: Case, training: bool) -> Loaded:
    def run(x, weight, bias):
        if case.transposed:
            return F.conv_transpose2d(x, weight, bias, case.s, case.p, 0, case.g, case.d)
        return F.conv2d(x, weight, bias, case.s, case.p, case.d, case.g)

    operands = [laid_out(numbers) for numbers in (case.input(), case.weight(), case.bias())]
    return Loaded(run, operands, operands, [case.output_gradient()], training)


def operation(case: Operation, training: bool) -> Loaded:
    function = OPERATIONS[case.op]
    inputs = [laid_out(numbers) for numbers in case.inputs()]
    leaves = [x for x, given in zip(inputs, case.given) if "shape" in given]
    return Loaded(lambda *x: function(*x, **case.attributes), inputs, leaves, training=training)


def plugin(case: Plugin, training: bool) -> Loaded:
    sys.path.insert(0, str(HERE.parent.parent / "golden"))
    import modules

    make = {each.name: each.make for each in modules.build(0)}[case.module]
    module = make(**case.config).train(training)
    # As Module.to does, which fails on five dimensions: the weights of experts.
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = laid_out(tensor.data)
    parameters = sorted(module.named_parameters())
    with torch.no_grad():
        for place, (name, parameter) in enumerate(parameters):
            parameter.copy_(torch.from_numpy(case.parameter(place, name, tuple(parameter.shape))))
    inputs = [laid_out(numbers) for numbers in case.inputs()]
    return Loaded(module, inputs, [*inputs, *(parameter for _, parameter in parameters)], training=training)


def network(case: Network, training: bool):
    if training:
        return Step(case)
    net = loaded(case).eval().to(memory_format=FORMAT)
    if COMPILED:
        net = compiled(net)
    return Loaded(net, [laid_out(numbers) for numbers in case.inputs()], [])


def compiled(net: torch.nn.Module):
    """As inductor takes a network for inference: with its weights as constants. What it has compiled once it finds in data/."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(DATA / "inductor")
    import torch._inductor.config

    torch._inductor.config.freezing = True
    torch._dynamo.reset()
    return torch.compile(net, dynamic=False)


class Step:
    """A step of training on one batch."""

    def __init__(self, case: Network):
        self.case = case
        (self.x,) = map(laid_out, case.inputs())
        self.labels = torch.from_numpy(case.labels())
        self.begin()

    def begin(self) -> None:
        self.net = loaded(self.case).train().to(memory_format=FORMAT)
        self.optimizer = torch.optim.SGD(self.net.parameters(), LEARNING_RATE, MOMENTUM)

    def run(self) -> float:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(self.x), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def output(self):
        self.begin()
        losses = [self.run()]
        gradients = [p.grad.contiguous().numpy() for _, p in sorted(self.net.named_parameters())]
        losses += [self.run() for _ in range(2)]
        return [np.array(losses), *gradients]


LOADERS = {Case: convolution, Operation: operation, Plugin: plugin, Network: network}
torch.set_num_threads(THREADS)
serve(lambda case, mode: LOADERS[type(case)](case, mode == "fwdbwd"))
