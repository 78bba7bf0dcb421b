"""PyTorch, eager. The argument is the memory format: contiguous or channels_last."""

import sys

import torch
import torch.nn.functional as F

from case import Case
from worker import THREADS, serve

FORMAT = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[sys.argv[1]]


class Convolution:
    def __init__(self, case: Case, mode: str):
        self.case, self.training = case, mode == "fwdbwd"
        x, weight, gradient = (
            torch.from_numpy(numbers).contiguous(memory_format=FORMAT)
            for numbers in (case.input(), case.weight(), case.output_gradient())
        )
        self.operands = x, weight, torch.from_numpy(case.bias())
        self.gradient = gradient
        self.found = ()
        for operand in self.operands:
            operand.requires_grad_(self.training)

    def forward(self) -> torch.Tensor:
        case = self.case
        if case.transposed:
            return F.conv_transpose2d(*self.operands, case.s, case.p, 0, case.g, case.d)
        return F.conv2d(*self.operands, case.s, case.p, case.d, case.g)

    def run(self) -> None:
        if self.training:
            self.found = torch.autograd.grad(self.forward(), self.operands, self.gradient)
        else:
            with torch.inference_mode():
                self.found = (self.forward(),)

    def output(self):
        return [found.contiguous().numpy() for found in self.found]


torch.set_num_threads(THREADS)
serve(Convolution)
