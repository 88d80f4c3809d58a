"""The models as runtimes of MLServer, which speak the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from bench_models import work
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Echo(MLModel):
    async def load(self) -> bool:
        return True

    def answer(self, *outputs: Any) -> InferenceResponse:
        return InferenceResponse(model_name=self.name, outputs=list(outputs))

    def compute(self, request: InferenceRequest) -> Any:
        return StringCodec.encode_output("prediction", StringCodec.decode_input(request.inputs[0]))

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        return self.answer(self.compute(payload))


class Block(Echo):
    def compute(self, request: InferenceRequest) -> Any:
        return StringCodec.encode_output("prediction", [work.block(StringCodec.decode_input(request.inputs[0])[0])])


class Mean(Echo):
    def compute(self, request: InferenceRequest) -> Any:
        import numpy as np

        return NumpyCodec.encode_output("prediction", np.array([work.mean(NumpyCodec.decode_input(request.inputs[0]))]))


class Digest(Echo):
    def compute(self, request: InferenceRequest) -> Any:
        found = work.digest_bytes(Base64Codec.decode_input(request.inputs[0])[0])
        return StringCodec.encode_output("prediction", [str(found["length"]), found["sha256"]])


class Estimator(Echo):
    async def load(self) -> bool:
        self.estimator = getattr(work, self.name)()
        return True

    def compute(self, request: InferenceRequest) -> Any:
        return NumpyCodec.encode_output(
            "prediction", self.estimator.predict(NumpyCodec.decode_input(request.inputs[0]))
        )
