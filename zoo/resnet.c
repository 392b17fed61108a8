// resnet.c -- residual networks: those for ImageNet as torchvision builds them (He, Zhang, Ren, Sun: "Deep residual
// learning for image recognition", 2015; the stride in a bottleneck's 3x3 convolution), and the paper's small ones for
// pictures of 32 x 32, with 1x1 convolutions where a shortcut changes its shape.
#include "families.h"
#include "net.h"

// In pixels of the input, what the last stage's one pixel stands for.
int64_t resnet_least_side(const ResNet *r) { return (int64_t)(r->small ? 1 : 4) << (r->nstage - 1); }

static void block(Net *n, const char *name, const ResNet *r, int64_t width, int64_t stride) {
    Cx *cx = n->k.m->cx;
    const char *x = n->x, *straight;
    int64_t from = n->channels, to = r->bottleneck ? 4 * width : width;
#define PART(part) cx_fmt(cx, "%s." part, name)
    net_conv_bn(n, PART("conv1"), PART("bn1"), width, r->bottleneck ? 1 : 3, r->bottleneck ? 1 : stride);
    net_relu(n, PART("relu1"));
    net_conv_bn(n, PART("conv2"), PART("bn2"), width, 3, r->bottleneck ? stride : 1);
    if (r->bottleneck) net_relu(n, PART("relu2")), net_conv_bn(n, PART("conv3"), PART("bn3"), to, 1, 1);
    straight = n->x;
    n->x = x, n->channels = from;
    if (from != to || stride != 1) net_conv_bn(n, PART("downsample.0"), PART("downsample.1"), to, 1, stride);
    x = n->x, n->x = straight, n->channels = to;
    net_add(n, PART("add"), x);
    net_relu(n, PART("relu"));
#undef PART
}

void resnet_build(Net *n, const ResNet *r, int64_t classes) {
    net_conv_bn(n, "conv1", "bn1", r->width, r->small ? 3 : 7, r->small ? 1 : 2);
    net_relu(n, "relu");
    if (!r->small) net_max_pool(n, "maxpool", 3, 2);
    for (int stage = 0; stage < r->nstage; stage++)
        for (int i = 0; i < r->blocks[stage]; i++)
            block(n, cx_fmt(n->k.m->cx, "layer%d.%d", stage + 1, i), r, (int64_t)r->width << stage,
                  stage && !i ? 2 : 1);
    net_classify(n, "fc", classes);
}
