// report_plan.c -- the memory plan of a program as JSON, so that anybody can recompute arena, bound and what is saved.
#include "report.h"

static json_t *buffers_json(const Program *p) {
    static const char *const spaces[] = {[SPACE_ARENA] = "arena", [SPACE_KEEP] = "keep", [SPACE_WEIGHT] = "weight"};
    json_t *list = json_array();
    for (int i = 0; i < p->nbuffer; i++) {
        json_t *o = json_object();
        json_put(o, "space", json_string(spaces[p->buffers[i].space]));
        json_put(o, "offset", json_integer(p->buffers[i].offset));
        json_put(o, "bytes", json_integer(p->buffers[i].bytes));
        json_array_append_new(list, o);
    }
    return list;
}

static void grid_json(json_t *o, const Program *p, const Grid *g) {
    json_t *blocks = json_array();
    for (int d = 0; d < 3; d++)
        json_array_append_new(blocks, json_integer(grid_blocks(g, d, p->max_batch, p->max_batch)));
    json_put(o, "blocks", blocks);
    json_put(o, "threads", json_integer(g->threads));
    json_put(o, "registers", json_integer(g->registers));
    json_put(o, "spilled_bytes", json_integer(g->spilled));
}

// The product of matrices that a library could compute instead, at maximum batch.
static json_t *product_json(Cx *cx, const Program *p, const Step *s) {
    const Product *x = &p->products[p->grids[s->grid].product - 1];
    json_t *o = json_object();
    json_put(o, "m", json_integer(x->size[PRODUCT_M]));
    json_put(o, "n", json_integer(x->size[PRODUCT_N]));
    json_put(o, "k", json_integer(x->size[PRODUCT_K]));
    json_put(o, "count", json_integer(x->size[PRODUCT_COUNT]));
    json_put(o, "factors", text_json(cx, x->tf32 ? "tf32" : dtypes[p->descs[s->ref + x->a.ref].type].name));
    json_put(o, "result", text_json(cx, dtypes[p->descs[s->ref + x->d.ref].type].name));
    const char *bias = x->bias.ref < 0 ? NULL : dtypes[p->descs[s->ref + x->bias.ref].type].name;
    json_put(o, "bias", text_json(cx, bias));
    json_put(o, "residual", json_boolean(x->c.ref >= 0));
    json_put(o, "relu", json_boolean(x->relu));
    return o;
}

static json_t *steps_json(Cx *cx, const Program *p, const Function *f) {
    json_t *list = json_array();
    for (int i = f->from; i < f->to; i++) {
        const Step *s = &p->steps[i];
        json_t *o = json_object(), *writes = json_array(), *reads = json_array();
        for (int k = 0; k < s->nref; k++)
            json_array_append_new(k < s->nwritten ? writes : reads, json_integer(p->refs[s->ref + k]));
        const char *label = program_text(p, s->label), *schedule = strrchr(label, ' ');
        json_put(o, "kernel", text_json(cx, label));
        json_put(o, "schedule", text_json(cx, schedule ? schedule + 1 : label));
        json_put(o, "flops", json_real(s->flops));
        json_put(o, "bytes", json_real(s->bytes));
        bool gpu = p->target && s->kind == STEP_CODE;
        if (gpu) grid_json(o, p, &p->grids[s->grid]);
        if (gpu && p->grids[s->grid].product) json_put(o, "product", product_json(cx, p, s));
        json_put(o, "writes", writes);
        json_put(o, "reads", reads);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *slots_json(Cx *cx, const Program *p) {
    static const char *const roles[] = {"input", "output", "weight", "param", "state", "value"};
    json_t *list = json_array();
    for (int i = 0; i < p->nslot; i++) {
        const Slot *s = &p->slots[i];
        if (s->buffer < 0 || s->role == SLOT_WEIGHT) continue;
        json_t *o = json_object();
        json_put(o, "name", text_json(cx, program_text(p, s->name)));
        json_put(o, "role", json_string(roles[s->role]));
        json_put(o, "buffer", json_integer(s->buffer));
        json_array_append_new(list, o);
    }
    return list;
}

json_t *report_plan(Cx *cx, const Program *p) {
    json_t *o = json_object();
    json_put(o, "buffers", buffers_json(p));
    for (int i = 0; i < p->nfunction; i++)
        json_put(o, program_text(p, p->functions[i].name), steps_json(cx, p, &p->functions[i]));
    json_put(o, "slots", slots_json(cx, p));
    return o;
}
