"""ONNX Runtime's CPU provider."""

import onnxruntime as ort

from case import Case
from worker import THREADS, InferenceOnly, serve


class Model:
    def __init__(self, case: Case, mode: str):
        if mode != "fwd":
            raise InferenceOnly
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = ort.InferenceSession(case.onnx, options, providers=["CPUExecutionProvider"])
        self.inputs = {"x": ort.OrtValue.ortvalue_from_numpy(case.input())}
        self.y = None

    def run(self) -> None:
        (self.y,) = self.session.run_with_ort_values(["y"], self.inputs)

    def output(self):
        return [self.y.numpy()]


serve(Model)
