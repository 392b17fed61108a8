"""One full training step (all weights, SGD with momentum) beside PyTorch, in turn on the same machine.

usage: train_step.py TRAIN_TOOL NETWORK BATCH [ROUNDS [THREADS]]
Prints milliseconds a step (medians and least of all rounds) and the peak memory of each process. PyTorch
runs in its default and in its channels_last layout, each in a process of its own, as tvc does.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

STEPS = 4


def network(name):
    import torch
    import torchvision.models as zoo
    torch.manual_seed(0)
    net = getattr(zoo, name)(num_classes=1000)
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    return net.train()


def torch_steps(name, batch, threads, last):
    """Seconds of each step, on stdout."""
    import torch
    torch.set_num_threads(threads)
    net, x, y = network(name), torch.randn(batch, 3, 224, 224), torch.arange(batch)
    if last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    print("seconds", *seconds)


def run(command):
    """Least seconds of a step but the first, and the peak memory in MB."""
    p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    text = p.stdout.read()
    usage = os.wait4(p.pid, 0)[2]
    seconds = [float(s) for s in text.splitlines()[0].split()[1:]]
    return min(seconds[1:]), usage.ru_maxrss / 1024


def compare(tool, name, batch, rounds, threads):
    import numpy as np
    import torch
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
    from training import export
    with tempfile.TemporaryDirectory() as folder:
        x, model = torch.randn(batch, 3, 224, 224), os.path.join(folder, "m.onnx")
        export(network(name), x[:2], model)
        np.save(os.path.join(folder, "x.npy"), x.numpy())
        np.save(os.path.join(folder, "target.npy"), np.arange(batch))
        again = [sys.executable, __file__, "--torch", name, str(batch), str(threads)]
        ways = {"tvc": [tool, model, str(batch), str(STEPS), folder, os.path.join(folder, "out"), "bn=train", "momentum=0.9",
                        f"threads={threads}", "profile=2"],
                "torch": again + ["0"], "torch channels_last": again + ["1"]}
        found = {way: [] for way in ways}
        for _ in range(rounds):
            for way, command in ways.items():
                found[way].append(run(command))
    base = [s for s, _ in found["tvc"]]
    for way, results in found.items():
        seconds = [s for s, _ in results]
        ratio = statistics.median(s / b for s, b in zip(seconds, base))
        print(f"{name} b={batch} {way:20} median {1e3 * statistics.median(seconds):8.1f} ms  least {1e3 * min(seconds):8.1f} ms  "
              f"{ratio:5.2f} x tvc  peak {max(m for _, m in results):7.0f} MB", flush=True)


if sys.argv[1] == "--torch":
    torch_steps(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "1")
else:
    words = sys.argv[4:]
    compare(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(words[0]) if words else 3, int(words[1]) if len(words) > 1 else 2)
