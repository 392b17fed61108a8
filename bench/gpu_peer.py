"""PyTorch's and ONNX Runtime's side of gpu.py: one measurement in a process of its own, a line of JSON as the answer.

usage: gpu_peer.py WAY NETWORK MODE BATCH PRECISION FILE
  WAY   eager, compile: PyTorch in channels_last with autocast, on the GPU if it has one; ort-cuda, ort-trt: ONNX Runtime
  MODE  infer: from pictures in host memory to scores in host memory; train: a step of all weights, head: of the last layer
        behind a backbone without gradients, both with pictures on the device
  FILE  the network's .onnx file, for ONNX Runtime
"""
import contextlib
import json
import statistics
import sys
import time

WARMUP, LEAST, MOST, ENOUGH = 5, 10, 50, 4.0                # calls before the clock; calls timed; seconds of them


class Absent(Exception):
    """This machine has not got what it takes."""


def timed(call):
    """Median milliseconds of a call, and the seconds that the first one took."""
    began = time.perf_counter()
    call()
    first = time.perf_counter() - began
    for _ in range(WARMUP - 1):
        call()
    took = []
    while len(took) < LEAST or (len(took) < MOST and sum(took) < ENOUGH):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return 1e3 * statistics.median(took), first


# ---- PyTorch ----
class Torch:
    def __init__(self, network, batch, precision, compiled):
        import networks
        import torch
        self.torch, self.compiled = torch, compiled
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cudnn.benchmark = True
        if precision == "tf32":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.net = networks.network(network).to(self.device, memory_format=torch.channels_last)
        side = networks.NETWORKS[network].side
        self.x = torch.randn(batch, 3, side, side)
        if self.device == "cuda":
            self.x = self.x.pin_memory()
        self.y = (torch.arange(batch) % networks.CLASSES).to(self.device)
        self.head = networks.NETWORKS[network].head

    def autocast(self):
        return self.torch.autocast(self.device, self.dtype) if self.dtype else contextlib.nullcontext()

    def ready(self, net, **how):
        return self.torch.compile(net, **how) if self.compiled else net

    def there(self):
        return self.x.to(self.device, non_blocking=True).contiguous(memory_format=self.torch.channels_last)

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def infer(self):
        net = self.ready(self.net.eval(), **({"mode": "reduce-overhead"} if self.device == "cuda" else {}))

        def call():
            with self.torch.inference_mode(), self.autocast():
                net(self.there()).float().cpu()
        return call

    def step(self, parameters, scores):
        torch = self.torch
        optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
        Scaler = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler       # it moved
        scaler = Scaler(enabled=self.dtype == torch.float16 and self.device == "cuda")

        def call():
            optimizer.zero_grad()
            with self.autocast():
                loss = torch.nn.functional.cross_entropy(scores(), self.y)
            scaler.scale(loss).backward()
            scaler.step(optimizer), scaler.update()
            self.wait()
        return call

    def train(self):
        net, x = self.ready(self.net.train()), self.there()
        return self.step(self.net.parameters(), lambda: net(x))

    def head_alone(self):
        torch = self.torch
        *path, name = self.head.split(".")
        inner = self.net
        for part in path:
            inner = getattr(inner, part) if not part.isdigit() else inner[int(part)]
        last = getattr(inner, name) if not name.isdigit() else inner[int(name)]
        if name.isdigit():
            inner[int(name)] = torch.nn.Identity()
        else:
            setattr(inner, name, torch.nn.Identity())
        net, x = self.ready(self.net.eval()), self.there()

        def scores():
            with torch.no_grad():
                features = net(x)
            return last(features)
        return self.step(last.parameters(), scores)


def torch_side(network, mode, batch, precision, compiled):
    try:
        peer = Torch(network, batch, precision, compiled)
    except ImportError as e:
        raise Absent(str(e))
    if compiled and not hasattr(peer.torch, "compile"):
        raise Absent(f"PyTorch {peer.torch.__version__} has no torch.compile")
    call = {"infer": peer.infer, "train": peer.train, "head": peer.head_alone}[mode]()
    ms, first = timed(call)
    return {"ms": ms, "open_s": first - 1e-3 * ms, "version": peer.torch.__version__, "on": peer.device}


# ---- ONNX Runtime ----
def ort_side(network, batch, precision, path, tensorrt):
    try:
        import networks
        import numpy as np
        import onnxruntime as ort
    except ImportError as e:
        raise Absent(str(e))
    provider = "TensorrtExecutionProvider" if tensorrt else "CUDAExecutionProvider"
    if provider not in ort.get_available_providers():
        raise Absent(f"ONNX Runtime {ort.__version__} has no {provider}")
    options = {"trt_fp16_enable": precision in ("bf16", "fp16")} if tensorrt else {"use_tf32": precision != "fp32"}
    side = networks.NETWORKS[network].side
    x = np.random.default_rng(0).standard_normal((batch, 3, side, side), np.float32)
    began = time.perf_counter()
    session = ort.InferenceSession(path, providers=[(provider, options)])
    opened = time.perf_counter() - began
    if session.get_providers()[0] != provider:
        raise Absent(f"{provider} does not start here")
    name = session.get_inputs()[0].name
    ms, first = timed(lambda: session.run(None, {name: x}))
    return {"ms": ms, "open_s": opened + first - 1e-3 * ms, "version": ort.__version__, "on": "cuda",
            "precision": "fp16" if tensorrt and options["trt_fp16_enable"] else "fp32" if precision == "fp32" else "tf32"}


def main():
    way, network, mode, batch, precision, path = sys.argv[1:7]
    try:
        if way.startswith("ort"):
            row = ort_side(network, int(batch), precision, path, way == "ort-trt")
        else:
            row = torch_side(network, mode, int(batch), precision, way == "compile")
    except Absent as e:
        row = {"absent": str(e)}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
