// Small models for the tests of reading: one node and whatever else is asked for, and how reading them ends.
#ifndef SMALL_MODELS_H
#define SMALL_MODELS_H
#include "onnx_build.h"
#include "reading.h"

static const int64_t TWO[] = {2};

// x -> Relu -> y with anything else in the graph.
static inline Pb graph_with(Pb extra) {
    Pb g = {0};
    pb_message(&g, 1, onnx_node("Relu", "relu", "x", "y"));
    pb_message(&g, 11, onnx_value("x", 1, 1, TWO));
    pb_message(&g, 12, onnx_value("y", 1, 1, TWO));
    pb_raw(&g, extra.at, extra.n);
    free(extra.at);
    return g;
}

static inline Pb model_with(Pb extra) { return onnx_model(graph_with(extra), 8, 13); }

// Reads p as a model, frees it; the error must say `says` if that is given.
static inline Err outcome(Pb p, const char *says) {
    char error[1024];
    Err e = model_outcome(p.at, p.n, error, sizeof error);
    free(p.at);
    if (says && !strstr(error, says)) fail_msg("'%s' is not in: %s", says, error);
    return e;
}

static inline Pb as_field(uint32_t field, Pb message) {
    Pb p = {0};
    pb_message(&p, field, message);
    return p;
}
#endif
