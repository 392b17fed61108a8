"""Peak memory of training steps beside PyTorch, each in a process of its own: all weights, and a new head alone.

usage: train_memory.py TVC TRAIN_TOOL TRAINER BATCH NETWORK ...

Prints a table of peak resident memory in MB. All weights: SGD with momentum, BatchNorm trains; tvc by
tests/train_tool, PyTorch in its default and its channels_last layout. Head: two new classes on a frozen backbone in
inference form, Adam; tvc by examples/trainer from a package of `tvc compile --train`. Two steps are as many as forty.
"""
import os
import subprocess
import sys
import tempfile

STEPS = 2


def network(name, classes, head):
    import torch
    import torchvision.models as zoo
    torch.manual_seed(0)
    net = getattr(zoo, name)(num_classes=classes)
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    if head:
        net.eval()
        for p in net.parameters():
            p.requires_grad = p.shape[0] == classes
    else:
        net.train()
    return net


def torch_steps(name, batch, head, last):
    import torch
    torch.set_num_threads(2)
    net, x = network(name, 2 if head else 1000, head), torch.randn(batch, 3, 224, 224)
    y = torch.arange(batch) % (2 if head else 1000)
    if last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained) if head else torch.optim.SGD(trained, lr=0.01, momentum=0.9)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()


def peak(command):
    """Peak resident memory of a process in MB."""
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(p.pid, 0)
    assert status == 0, command
    return usage.ru_maxrss / 1024


def row(name, what, tvc, head, batch):
    again = [sys.executable, __file__, "--torch", name, str(batch), str(int(head))]
    plain, last = peak(again + ["0"]), peak(again + ["1"])
    print(f"| {name} | {what} | {tvc:.0f} | {plain:.0f} | {last:.0f} | **{tvc / plain:.2f}** | {tvc / last:.2f} |", flush=True)


def compare(tvc, tool, trainer, name, batch):
    import numpy as np
    import torch
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
    from training import export
    with tempfile.TemporaryDirectory() as folder:
        model, package, x = os.path.join(folder, "m.onnx"), os.path.join(folder, "m.tvc"), torch.randn(batch, 3, 224, 224)
        export(network(name, 1000, False), x[:2], model)
        np.save(os.path.join(folder, "x.npy"), x.numpy())
        np.save(os.path.join(folder, "target.npy"), np.arange(batch))
        full = peak([tool, model, str(batch), str(STEPS), folder, os.path.join(folder, "out"), "bn=train", "momentum=0.9", "threads=2", "profile=2"])
        row(name, "all weights", full, False, batch)
        subprocess.run([tvc, "compile", model, "--train", "--replace-head", "2", "--batch", str(batch), "-o", package, "-q"], check=True,
                       stdout=subprocess.DEVNULL)
        row(name, "head", peak([trainer, package]), True, batch)


if sys.argv[1] == "--torch":
    torch_steps(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1", sys.argv[5] == "1")
else:
    print("| network | trained | tvc MB | PyTorch MB | channels_last MB | of PyTorch's | of channels_last's |\n|---|---|--:|--:|--:|--:|--:|")
    for each in sys.argv[5:]:
        compare(*sys.argv[1:4], each, int(sys.argv[4]))
