"""ONNX Runtime's CPU provider."""

import onnxruntime as ort

from worker import THREADS, only_models, serve


class Model:
    def __init__(self, case, mode: str):
        only_models(case, mode)
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = ort.InferenceSession(case.onnx, options, providers=["CPUExecutionProvider"])
        given = {f"x{i}": x for i, x in enumerate(case.inputs())}
        wanted = [wanted.name for wanted in self.session.get_inputs()]
        self.inputs = {name: ort.OrtValue.ortvalue_from_numpy(given[name]) for name in wanted}
        self.y = None

    def run(self) -> None:
        self.y = None
        (self.y,) = self.session.run_with_ort_values(["y"], self.inputs)

    def output(self):
        return [self.y.numpy()]


serve(Model)
