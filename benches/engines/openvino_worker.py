"""OpenVINO's CPU plugin, told to compute in float32: by itself it takes bfloat16 where the processor has it."""

import openvino as ov

from case import Case
from worker import THREADS, InferenceOnly, serve

CORE = ov.Core()
SETTINGS = {
    "INFERENCE_NUM_THREADS": THREADS,
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": 1,
    "PERFORMANCE_HINT": "LATENCY",
}


class Model:
    def __init__(self, case: Case, mode: str):
        if mode != "fwd":
            raise InferenceOnly
        model = CORE.compile_model(CORE.read_model(case.onnx), "CPU", SETTINGS)
        self.request = model.create_infer_request()
        self.x = case.input()  # the tensor is this memory
        self.request.set_input_tensor(0, ov.Tensor(self.x, shared_memory=True))

    def run(self) -> None:
        self.request.infer()

    def output(self):
        return [self.request.get_output_tensor().data]


serve(Model)
