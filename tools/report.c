// report.c -- heads, values and shapes as JSON.
#include "report.h"

const char *node_name(const DocNode *n) { return n->name[0] || n->nout == 0 ? n->name : n->out[0]; }

static json_t *head_json(Cx *cx, const Head *h) {
    json_t *o = json_object();
    json_put(o, "kind", text_json(cx, h->kind));
    json_put(o, "node", text_json(cx, node_name(h->node)));
    json_put(o, "weight", text_json(cx, h->weight));
    json_put(o, "bias", text_json(cx, h->bias));
    json_put(o, "in_features", json_integer(h->in_features));
    json_put(o, "classes", json_integer(h->classes));
    json_put(o, "output", text_json(cx, h->output));
    json_put(o, "why", text_json(cx, h->why));
    return o;
}

void report_heads(Model *m, json_t *o, const Heads *h) {
    json_t *list = json_array();
    for (int i = 0; i < h->n; i++) json_array_append_new(list, head_json(m->cx, &h->head[i]));
    json_put(o, "head", h->n ? head_json(m->cx, &h->head[0]) : json_null());
    if (h->n == 0) json_put(o, "head_why", text_json(m->cx, h->why_none));
    json_put(o, "heads", list);
}

json_t *report_shape(Cx *cx, Shape s) {
    json_t *list = json_array();
    for (int d = 0; d < s.n; d++)
        json_array_append_new(list, s.batch == d + 1
                                        ? text_json(cx, s.d[d] == 1 ? "N" : cx_fmt(cx, "%lldN", (long long)s.d[d]))
                                        : json_integer(s.d[d]));
    return list;
}

static const char *dim_text(Cx *cx, const Dim *d) {
    if (d->value >= 0) return cx_fmt(cx, "%lld", (long long)d->value);
    return d->param && d->param[0] ? cx_show(cx, d->param) : "?";
}

json_t *report_value(Cx *cx, const ValueInfo *v) {
    json_t *o = json_object(), *shape = v->rank < 0 ? json_null() : json_array();
    for (int d = 0; d < v->rank; d++)
        json_array_append_new(shape, v->dim[d].value >= 0 ? json_integer(v->dim[d].value)
                                                          : text_json(cx, dim_text(cx, &v->dim[d])));
    json_put(o, "name", text_json(cx, v->name));
    json_put(o, "type", text_json(cx, v->type ? dtypes[v->type].name : v->kind));
    json_put(o, "shape", shape);
    return o;
}

const char *value_shown(Cx *cx, const ValueInfo *v) {
    const char *s = cx_fmt(cx, "%s %s", cx_show(cx, v->name), v->type ? dtypes[v->type].name : v->kind);
    for (int d = 0; d < v->rank; d++) s = cx_fmt(cx, "%s%s%s", s, d ? "," : " [", dim_text(cx, &v->dim[d]));
    return v->rank > 0 ? cx_fmt(cx, "%s]", s) : s;
}
