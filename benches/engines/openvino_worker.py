"""OpenVINO's CPU plugin. The argument is the precision to compute in, f32 or bf16, which it takes by itself where the processor
has it."""

import sys

import openvino as ov

from worker import THREADS, only_models, serve

CORE = ov.Core()
SETTINGS = {
    "INFERENCE_NUM_THREADS": THREADS,
    "INFERENCE_PRECISION_HINT": sys.argv[1],
    "NUM_STREAMS": 1,
    "PERFORMANCE_HINT": "LATENCY",
}


class Model:
    def __init__(self, case, mode: str):
        only_models(case, mode)
        model = CORE.compile_model(CORE.read_model(case.onnx), "CPU", SETTINGS)
        self.request = model.create_infer_request()
        given = {f"x{i}": x for i, x in enumerate(case.inputs())}
        # The tensors are this memory.
        self.inputs = [given[wanted.any_name] for wanted in model.inputs]
        for i, x in enumerate(self.inputs):
            self.request.set_input_tensor(i, ov.Tensor(x, shared_memory=True))

    def run(self) -> None:
        self.request.infer()

    def output(self):
        return [self.request.get_output_tensor().data]


serve(Model)
