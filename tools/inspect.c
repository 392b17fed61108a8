// inspect.c -- tvc inspect: what is in a model.
#include "../data/recipe.h"
#include "../passes/summary.h"
#include "asked.h"
#include "commands.h"
#include "report.h"

typedef struct Inspection {
    const Args *a;
    Model *m;
    Graph *g;                            // NULL: it cannot be imported
    Summary s;
    Heads heads;
    Labels labels;
    json_t *o;                           // what is told as JSON
    const char *recipe;                  // for people; NULL where the file says nothing
} Inspection;

// ---- gathering ----
static void import_all(void *arg) {
    Inspection *i = arg;
    ImportOptions o = asked_import(i->a);
    o.keep = summary_values(i->m);
    i->g = model_import(i->m, &o);
}

// What cannot be compiled can still be looked at.
static void try_import(Inspection *i) {
    Cx *cx = i->a->cx;
    if (cx_guard(cx, import_all, i)) return;
    if (cx->code != E_UNSUPPORTED) fail(cx, cx->code, "%s", cx_str(cx, cx->error, strlen(cx->error)));
    cx_note(cx, "no shapes and FLOPs: %s", cx->error);
    i->g = NULL;
}

static const ValueInfo *first_input(const Model *m) {
    for (int i = 0; i < m->ninput; i++)
        if (!model_init(m, m->input[i]->name)) return m->input[i];
    return NULL;
}

static void find_recipe(Inspection *i) {
    Cx *cx = i->a->cx;
    const ValueInfo *v = first_input(i->m);
    Recipe r = recipe_of_model(cx, i->m), none = {0};
    ImageInput in;
    const char *why;
    json_put(i->o, "preprocess", json_null());
    if (!r.given || !v || !image_input(v, &in, &why)) return;
    recipe_complete(cx, &r, &none, &in);
    json_t *said = json_loads(recipe_json(cx, &r, &in), 0, NULL);
    if (said) json_put(i->o, "preprocess", said);
    i->recipe = cx_fmt(cx, "%s (%s)", recipe_text(cx, &r, &in), r.source);
}

// ---- JSON ----
static json_t *nodes_json(const Inspection *i) {
    Cx *cx = i->a->cx;
    json_t *list = json_array();
    for (int k = 0; k < i->m->nnode; k++) {
        const DocNode *n = i->m->node[k];
        const LayerCost *l = &i->s.layer[k];
        json_t *o = json_object();
        json_put(o, "name", text_json(cx, node_name(n)));
        json_put(o, "op", text_json(cx, n->op));
        json_put(o, "type", l->known ? text_json(cx, dtypes[l->type].name) : json_null());
        json_put(o, "shape", l->known ? report_shape(cx, l->shape) : json_null());
        json_put(o, "parameters", json_integer(l->params));
        json_put(o, "flops", json_integer((json_int_t)l->flops));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *labels_json(const Inspection *i) {
    if (i->labels.n == 0) return json_null();
    json_t *list = json_array();
    for (int k = 0; k < i->labels.n; k++) json_array_append_new(list, text_json(i->a->cx, i->labels.name[k]));
    return list;
}

static void print_json(const Inspection *i) {
    Cx *cx = i->a->cx;
    json_t *o = i->o, *in = json_array(), *out = json_array();
    for (int k = 0; k < i->m->ninput; k++)
        if (!model_init(i->m, i->m->input[k]->name)) json_array_append_new(in, report_value(cx, i->m->input[k]));
    for (int k = 0; k < i->m->noutput; k++) json_array_append_new(out, report_value(cx, i->m->output[k]));
    json_put(o, "file", text_json(cx, i->m->path));
    json_put(o, "producer", text_json(cx, i->m->producer));
    json_put(o, "ir_version", json_integer(i->m->ir_version));
    json_put(o, "opset", json_integer(model_opset(i->m, "")));
    json_put(o, "inputs", in);
    json_put(o, "outputs", out);
    json_put(o, "parameters", json_integer(i->s.params));
    json_put(o, "flops", i->g ? json_integer((json_int_t)i->s.flops) : json_null());
    report_heads(i->m, o, &i->heads);
    json_put(o, "labels", labels_json(i));
    json_put(o, "frozen", text_json(cx, model_meta(i->m, "tvc.frozen")));
    json_put(o, "nodes", nodes_json(i));
    json_print(o);
}

// ---- text ----
static const char *count_text(Cx *cx, double n) {
    if (n == 0) return "";
    if (n < 1e4) return cx_fmt(cx, "%.0f", n);
    return n < 1e6   ? cx_fmt(cx, "%.1f k", n / 1e3)
           : n < 1e9 ? cx_fmt(cx, "%.2f M", n / 1e6)
                     : cx_fmt(cx, "%.2f G", n / 1e9);
}

static void print_layers(const Inspection *i) {
    Cx *cx = i->a->cx;
    printf("%5s  %-22s %-36s %-22s %11s %11s\n", "", "operator", "name", "shape", "parameters", "FLOPs");
    for (int k = 0; k < i->m->nnode; k++) {
        const DocNode *n = i->m->node[k];
        const LayerCost *l = &i->s.layer[k];
        printf("%5d  %-22s %-36s %-22s %11s %11s\n", k, cx_show(cx, n->op), cx_show(cx, node_name(n)),
               l->known ? shape_str(cx, l->shape) : "?", count_text(cx, (double)l->params), count_text(cx, l->flops));
    }
    putchar('\n');
}

static void print_heads(const Inspection *i) {
    if (i->heads.n == 0) printf("head         none: %s\n", i->heads.why_none);
    for (int k = 0; k < i->heads.n; k++)
        printf("%-12s %s: %s\n", k ? "auxiliary" : "head", node_label(i->a->cx, i->heads.head[k].node),
               i->heads.head[k].why);
}

static void print_labels(const Inspection *i) {
    enum { SHOWN = 6 };
    if (i->labels.n == 0) {
        printf("labels       none\n");
        return;
    }
    printf("labels       %d (%s):", i->labels.n, cx_show(i->a->cx, i->labels.source));
    for (int k = 0; k < i->labels.n && k < SHOWN; k++)
        printf("%s %s", k ? "," : "", cx_show(i->a->cx, i->labels.name[k]));
    printf(i->labels.n > SHOWN ? ", ...\n" : "\n");
}

static void print_text(const Inspection *i) {
    Cx *cx = i->a->cx;
    print_layers(i);
    for (int k = 0; k < i->m->ninput; k++)
        if (!model_init(i->m, i->m->input[k]->name)) printf("input        %s\n", value_shown(cx, i->m->input[k]));
    for (int k = 0; k < i->m->noutput; k++) printf("output       %s\n", value_shown(cx, i->m->output[k]));
    printf("opset        %lld%s%s\n", (long long)model_opset(i->m, ""), i->m->producer[0] ? ", written by " : "",
           cx_show(cx, i->m->producer));
    printf("parameters   %s\n", i->s.params ? count_text(cx, (double)i->s.params) : "0");
    if (i->g) printf("FLOPs        %s\n", i->s.flops > 0 ? count_text(cx, i->s.flops) : "0");
    print_heads(i);
    printf("preprocess   %s\n", i->recipe ? i->recipe : "not stated");
    print_labels(i);
    if (model_meta(i->m, "tvc.frozen")) printf("frozen       %s\n", cx_show(cx, model_meta(i->m, "tvc.frozen")));
}

// ---- Graphviz ----
static void print_quoted(Cx *cx, const char *s) {
    putchar('"');
    for (const char *p = cx_show(cx, s); *p; p++) {
        if (*p == '"' || *p == '\\') putchar('\\');
        putchar(*p);
    }
    putchar('"');
}

static void print_dot(const Inspection *i) {
    Cx *cx = i->a->cx;
    printf("digraph model {\n  node [shape=box, fontsize=10];\n");
    for (int k = 0; k < i->m->nnode; k++) {
        const DocNode *n = i->m->node[k];
        printf("  n%d [label=", k);
        print_quoted(cx, cx_fmt(cx, "%s %s %s", n->op, node_name(n),
                                i->s.layer[k].known ? shape_str(cx, i->s.layer[k].shape) : ""));
        printf("];\n");
        for (int j = 0; j < n->nin; j++) {
            const DocNode *from = model_producer(i->m, n->in[j]);
            const ValueInfo *v = from || model_init(i->m, n->in[j]) ? NULL : model_value(i->m, n->in[j]);
            if (from) printf("  n%d -> n%d;\n", from->index, k);
            if (v) printf("  "), print_quoted(cx, v->name), printf(" -> n%d;\n", k);
        }
    }
    for (int k = 0; k < i->m->noutput; k++) {
        const DocNode *from = model_producer(i->m, i->m->output[k]->name);
        if (from) printf("  n%d -> ", from->index), print_quoted(cx, i->m->output[k]->name), printf(";\n");
    }
    printf("}\n");
}

Err run_inspect(const Args *a) {
    arg_count(a, 1, 1);
    Inspection i = {.a = a, .m = asked_model(a, a->pos[0]), .o = json_start(a->cx)};
    try_import(&i);
    if (arg_given(a, OPT_TEXT)) {
        if (!i.g) fail(a->cx, E_UNSUPPORTED, "%s", cx_str(a->cx, a->cx->error, strlen(a->cx->error)));
        graph_print(i.g, stdout);
        return E_OK;
    }
    i.s = summary_make(i.m, i.g);
    i.heads = heads_find(i.m, arg_text(a, OPT_HEAD, NULL));
    if (arg_given(a, OPT_DOT)) {
        print_dot(&i);
        return E_OK;
    }
    find_recipe(&i);
    i.labels = asked_labels(a, i.m);
    if (arg_given(a, OPT_JSON)) print_json(&i);
    else print_text(&i);
    if (i.heads.n) print_next("tvc edit %s --replace-head 10 -o mine.onnx", cx_show(a->cx, a->pos[0]));
    return E_OK;
}
