// net.h -- a network being built, layer behind layer, with the nodes and weights that surgery makes.
//
// Weights of convolutions are uniform with He's variance for the layer's outputs (kaiming, fan_out), as torchvision
// begins ResNets; a linear layer begins as PyTorch's; BatchNorm with scale 1, shift 0, mean 0, variance 1.
#ifndef TVC_NET_H
#define TVC_NET_H
#include "../passes/surgery_graph.h"

typedef struct Net {
    Maker k;
    int at;                           // where the next node goes
    const char *x;                    // the value so far, [N, channels, ...]
    int64_t channels;
} Net;

Net net_begin(Cx *cx, const char *name, const Surgery *s, int64_t channels, int64_t side);
// Square kernels without bias, padded by half their size; followed by BatchNorm `bn`.
void net_conv_bn(Net *n, const char *conv, const char *bn, int64_t channels, int64_t kernel, int64_t stride);
void net_relu(Net *n, const char *name);
void net_max_pool(Net *n, const char *name, int64_t kernel, int64_t stride);
void net_add(Net *n, const char *name, const char *other);
// Averages over all pixels, and the layer that classifies; the end of the network.
void net_classify(Net *n, const char *name, int64_t classes);

#endif
