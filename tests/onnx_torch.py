"""A small ONNX document as a PyTorch module: what the stored CIFAR networks consist of, and no more.

Parameters are the document's float initializers under their own names, running statistics its buffers; a name's dots
are slashes in the module, where PyTorch allows no dots (name_of undoes it). update() writes them back to a document.
"""
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F


def key_of(name):
    return name.replace(".", "/")


def name_of(key):
    return key.replace("/", ".")


class Network(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        graph = onnx.load(path).graph
        self.nodes, self.x, self.y, self.constants, self.batch_training = graph.node, graph.input[0].name, graph.output[0].name, {}, True
        statistics = {n.input[k] for n in self.nodes if n.op_type == "BatchNormalization" for k in (3, 4)}
        for t in graph.initializer:
            value = torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
            if not value.is_floating_point():
                self.constants[t.name] = value.tolist()
            elif t.name in statistics:
                self.register_buffer(key_of(t.name), value)
            else:
                self.register_parameter(key_of(t.name), torch.nn.Parameter(value))

    def forward(self, x):
        known = dict(self.constants, **{name_of(k): v for k, v in [*self.named_parameters(), *self.named_buffers()]})
        known[self.x] = x
        for n in self.nodes:
            attr = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
            known[n.output[0]] = getattr(self, n.op_type)(attr, *(known.get(i) for i in n.input))
        return known[self.y]

    def Constant(self, attr):
        return onnx.numpy_helper.to_array(attr["value"]).tolist()

    def Conv(self, attr, x, w, b=None):
        return F.conv2d(x, w, b, attr["strides"], attr["pads"][:2], attr["dilations"], attr["group"])

    def BatchNormalization(self, attr, x, scale, shift, mean, var):
        return F.batch_norm(x, mean, var, scale, shift, self.batch_training, 1 - attr["momentum"], attr["epsilon"])

    def Relu(self, attr, x):
        return torch.relu(x)

    def Add(self, attr, a, b):
        return a + b

    def Concat(self, attr, *x):
        return torch.cat(x, attr["axis"])

    def Slice(self, attr, x, starts, ends, axes, steps):
        for start, end, axis, step in zip(starts, ends, axes, steps):
            index = [slice(None)] * axis + [slice(start, end, step)]
            x = x[tuple(index)]
        return x

    def Pad(self, attr, x, pads, value=None):
        rank = x.dim()
        return F.pad(x, [p for d in reversed(range(rank)) for p in (pads[d], pads[rank + d])])

    def AveragePool(self, attr, x):
        return F.avg_pool2d(x, attr["kernel_shape"], attr["strides"])

    def GlobalAveragePool(self, attr, x):
        return x.mean((2, 3), keepdim=True)

    def Flatten(self, attr, x):
        return x.flatten(attr["axis"])

    def Gemm(self, attr, a, b, c):
        return F.linear(a, b, c)


def update(path, net, into):
    """The document of `path` with the module's values, all of its numbers in the module's type."""
    document = onnx.load(path)
    state = {name_of(k): v for k, v in net.state_dict().items()}
    for t in document.graph.initializer:
        if t.name in state:
            t.CopyFrom(onnx.numpy_helper.from_array(state[t.name].numpy(), t.name))
    kind = onnx.TensorProto.DOUBLE if next(net.parameters()).dtype == torch.float64 else onnx.TensorProto.FLOAT
    for v in [*document.graph.input, *document.graph.output]:
        v.type.tensor_type.elem_type = kind
    del document.graph.value_info[:]
    onnx.save(document, into)
