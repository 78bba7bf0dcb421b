"""Writes every convolution of the suite as an ONNX model of one node, its weights inside, to data/."""

import onnx
from onnx import TensorProto, helper, numpy_helper

from case import DATA, Case, cases


def model(case: Case) -> onnx.ModelProto:
    node = helper.make_node(
        "ConvTranspose" if case.transposed else "Conv",
        ["x", "weight", "bias"],
        ["y"],
        kernel_shape=case.k,
        strides=case.s,
        pads=case.p * 2,
        dilations=case.d,
        group=case.g,
    )
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        case.op,
        [tensor("x", TensorProto.FLOAT, case.input_shape)],
        [tensor("y", TensorProto.FLOAT, case.output_shape)],
        [numpy_helper.from_array(case.weight(), "weight"), numpy_helper.from_array(case.bias(), "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


DATA.mkdir(exist_ok=True)
for case in cases():
    written = model(case)
    onnx.checker.check_model(written)
    onnx.save(written, case.onnx)
