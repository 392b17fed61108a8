// report.h -- the JSON of things that several commands tell about.
#ifndef TVC_REPORT_H
#define TVC_REPORT_H
#include "../passes/surgery.h"
#include "../runtime/program.h"
#include "print.h"

// Puts head (null with head_why where there is none) and heads into o.
void report_heads(Model *m, json_t *o, const Heads *h);
json_t *report_shape(Cx *cx, Shape s);                    // [1, 3, 224, 224], "N" for the batch
json_t *report_value(Cx *cx, const ValueInfo *v);         // {name, type, shape}
// {buffers: [{space, offset, bytes}], slots: [{name, role, buffer}], and for each function its kernels in order:
// [{kernel, writes, reads}]}
json_t *report_plan(Cx *cx, const Program *p);
const char *value_shown(Cx *cx, const ValueInfo *v);       // "input f32 [N,3,224,224]", to be shown
const char *node_name(const DocNode *n);                  // its name, else that of its first output

#endif
