"""Writes every convolution and operation of the suites as an ONNX model of a node or two to data/; weights are inside."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from case import DATA, Case, Operation, convolutions, operations

OPSET = 20


def convolution(case: Case) -> onnx.ModelProto:
    node = helper.make_node(
        "ConvTranspose" if case.transposed else "Conv",
        ["x0", "weight", "bias"],
        ["y"],
        kernel_shape=case.k,
        strides=case.s,
        pads=case.p * 2,
        dilations=case.d,
        group=case.g,
    )
    constants = {"weight": case.weight(), "bias": case.bias()}
    return model([node], {"x0": case.input_shape}, constants, case.output_shape, 17)


def operation(case: Operation) -> onnx.ModelProto:
    inputs = {f"x{i}": x for i, x in enumerate(case.inputs())}
    constants: dict[str, np.ndarray] = {}
    names = list(inputs)
    of = case.attributes

    def node(op: str, *operands: str, result: str = "y", **attributes):
        return helper.make_node(op, list(operands), [result], **attributes)

    def constant(name: str, value) -> str:
        constants[name] = np.asarray(value)
        return name

    window = {"kernel_shape": [of.get("kernel")] * 2, "strides": [of.get("stride")] * 2, "pads": [of.get("padding")] * 4}
    if case.op == "max_pool2d":
        nodes = [node("MaxPool", "x0", **window)]
    elif case.op == "avg_pool2d":
        nodes = [node("AveragePool", "x0", **window)]
    elif case.op == "adaptive_avg_pool2d":
        if of["size"] == 1:
            nodes = [node("GlobalAveragePool", "x0")]
        else:  # the size divides the map
            step = case.given[0]["shape"][2] // of["size"]
            nodes = [node("AveragePool", "x0", kernel_shape=[step] * 2, strides=[step] * 2)]
    elif case.op == "grid_sample":
        nodes = [node("GridSample", "x0", "x1", mode="linear", padding_mode="zeros", align_corners=0)]
    elif case.op == "interpolate":
        scales = constant("scales", np.array([1, 1, of["scale"], of["scale"]], np.float32))
        nodes = [node("Resize", "x0", "", scales, mode="linear", coordinate_transformation_mode="half_pixel")]
    elif case.op == "deform_conv2d":
        constant("x2", inputs.pop("x2"))
        nodes = [node("DeformConv", "x0", "x2", "x1", *(["", "x3"] if "x3" in inputs else []), pads=[of["padding"]] * 4)]
    elif case.op == "roi_align":
        rois = inputs.pop("x1")
        boxes, images = constant("boxes", rois[:, 1:]), constant("images", rois[:, 0].astype(np.int64))
        size = {"output_height": of["size"], "output_width": of["size"], "sampling_ratio": of["sampling_ratio"]}
        nodes = [node("RoiAlign", "x0", boxes, images, coordinate_transformation_mode="half_pixel", **size)]
    elif case.op == "batch_norm_eval":
        scale, bias = inputs.pop("x1"), inputs.pop("x2")
        parts = [constant("scale", scale), constant("bias", bias), constant("mean", 0 * bias), constant("var", 0 * bias + 1)]
        nodes = [node("BatchNormalization", "x0", *parts)]
    elif case.op == "softmax":
        nodes = [node("Softmax", "x0", axis=-1)]
    elif case.op == "silu":
        nodes = [node("Sigmoid", "x0", result="gate"), node("Mul", "x0", "gate")]
    else:  # relu, sigmoid, ...
        nodes = [node(case.op.capitalize(), *names)]
    return model(nodes, {name: x.shape for name, x in inputs.items()}, constants, None, OPSET)


def model(nodes, inputs: dict, constants: dict, output, opset: int) -> onnx.ModelProto:
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "case",
        [tensor(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [tensor("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 9)
    return made if output else onnx.shape_inference.infer_shapes(made)


DATA.mkdir(exist_ok=True)
for case in convolutions() + operations():
    if case.onnx:
        made = convolution(case) if case.kind == "convolution" else operation(case)
        onnx.checker.check_model(made)
        onnx.save(made, case.onnx)
