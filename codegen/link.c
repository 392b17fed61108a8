// link.c -- from printed kernels to a Program: every tensor gets a buffer, every leaf and root a
// slot, every kernel a step.
//
// A buffer lives in WEIGHT if it is a frozen leaf, in KEEP if it outlives a call (made by `init` for
// others, trained, stored into; inputs and outputs too, where there are several functions), in ARENA
// otherwise. Functions never run at once, so their ARENA parts overlap: a tensor that two of them
// compute has a buffer in each. Inputs are written after `init` has run. A kernel for a GPU brings its Grid.
#include "link.h"

typedef struct Link {
    Graph *g;
    Cx *cx;
    Program *p;
    Unit *u;
    int nunit, nfn;
    int *first, *last;                // unit range of each function
    int nlife;
    Life *life;
    int64_t keep, captext;
} Link;

static int32_t text_add(Link *k, const char *s) {
    if (!s || !*s) return 0;
    Program *p = k->p;
    size_t n = strlen(s) + 1;
    if (n > (size_t)(INT32_MAX - p->ntext)) fail(k->cx, E_LIMIT, "names of more than 2 GB");
    if (p->ntext + (int64_t)n > k->captext) {
        k->captext = 2 * (p->ntext + (int64_t)n);
        p->text = cx_grow(k->cx, p->text, (size_t)p->ntext, (size_t)k->captext);
    }
    memcpy(p->text + p->ntext, s, n);
    p->ntext += (int64_t)n;
    return (int32_t)(p->ntext - (int64_t)n);
}

static int64_t round_up(int64_t n) { return (n + TVC_ALIGN - 1) / TVC_ALIGN * TVC_ALIGN; }

static int64_t buffer_bytes(const Node *n) { return n->view.room * dtypes[n->type].bytes; }

// ---- buffers ----

static bool is_weight(const Node *n) { return (n->op == OP_Param && !n->train) || n->op == OP_Const; }

static Buffer *buffer_of(Link *k, Node *n) {
    n = owner(n);
    if (n->buffer < 0) {
        n->buffer = k->p->nbuffer;
        *VEC_PUSH(k->cx, k->p->buffers, k->p->nbuffer) =
            (Buffer){.bytes = buffer_bytes(n), .space = is_weight(n) ? SPACE_WEIGHT : SPACE_ARENA, .offset = -1};
    }
    return &k->p->buffers[n->buffer];
}

static void keep(Link *k, Node *n) {
    Buffer *b = buffer_of(k, n);
    if (b->space != SPACE_ARENA) return;
    b->space = SPACE_KEEP;
    b->offset = k->keep;
    k->keep += round_up(b->bytes);
}

static void find_kept(Link *k) {
    Graph *g = k->g;
    for (int i = 0; i < k->nunit; i++)
        for (int b = 0; b < k->u[i].k->nbuf; b++) {
            Node *n = owner(k->u[i].k->buf[b]);
            bool crosses = b >= k->u[i].k->nout && k->u[i].fn > 0 && n->frozen && !is_weight(n);
            if (crosses || (n->op == OP_Param && n->train)) keep(k, n);
        }
    for (int i = 0; i < g->nroot; i++) {
        bool several = g->nfn > 2 || g->root[i].value->frozen;
        if (several || g->root[i].store) keep(k, g->root[i].value);
        if (g->root[i].store) keep(k, g->root[i].store);
    }
    for (int i = 0; g->nfn > 2 && i < g->ninput; i++) keep(k, g->input[i]);
}

// Scratch is each function's own.
static void buffers_of(Link *k, int fn) {
    for (int i = k->first[fn]; i < k->last[fn]; i++)
        for (int b = 0; b < k->u[i].k->nbuf; b++) {
            Node *n = owner(k->u[i].k->buf[b]);
            if (n->buffer >= 0 && k->p->buffers[n->buffer].space == SPACE_ARENA && k->p->buffers[n->buffer].offset >= 0)
                n->buffer = -1;
        }
    for (int i = k->first[fn]; i < k->last[fn]; i++)
        for (int b = 0; b < k->u[i].k->nbuf; b++) buffer_of(k, k->u[i].k->buf[b]);
    for (int i = 0; fn == 1 && i < k->g->ninput; i++) buffer_of(k, k->g->input[i]);
}

static void touch(Link *k, int *at, Node *n, int from, int to) {
    n = owner(n);
    if (k->p->buffers[n->buffer].space != SPACE_ARENA) return;
    if (at[n->buffer] < 0) {
        at[n->buffer] = k->nlife;
        *VEC_PUSH(k->cx, k->life, k->nlife) =
            (Life){.n = n, .bytes = round_up(buffer_bytes(n)), .from = from, .to = to};
    }
    Life *l = &k->life[at[n->buffer]];
    if (from < l->from) l->from = from;
    if (to > l->to) l->to = to;
}

static const char *label_of(Cx *cx, const Unit *u) {
    Kernel *k = u->k;
    return cx_fmt(cx, "%s%s%s%s %s %s", optab[k->out->op].name, k->anchor && k->anchor != k->out ? "/" : "",
                  k->anchor && k->anchor != k->out ? optab[k->anchor->op].name : "", k->nsum ? "+sums" : "",
                  shape_str(cx, k->out->shape),
                  u->text.schedule ? u->text.schedule : u->formula.code ? "formula" : "body");
}

// Which kernel of the function leaves the most bytes alive, and what they are.
static void tell_peak(const Link *k, int fn) {
    int steps = k->last[fn] - k->first[fn], at = 0;
    int64_t *alive = NEW(k->cx, int64_t, steps + 1);
    for (int i = 0; i < k->nlife; i++)
        for (int s = k->life[i].from; s <= k->life[i].to; s++) alive[s] += k->life[i].bytes;
    for (int s = 0; s < steps; s++) {
        at = alive[s] > alive[at] ? s : at;
        fprintf(stderr, "  %4d %9.3f MB  %s\n", s, (double)alive[s] / 1e6, label_of(k->cx, &k->u[k->first[fn] + s]));
    }
    fprintf(stderr, "%s: %.1f MB alive at kernel %d of %d, %.1f MB kept\n", k->g->fn[fn], (double)alive[at] / 1e6, at,
            steps, (double)k->keep / 1e6);
    for (int i = 0; i < k->nlife; i++)
        if (k->life[i].from <= at && k->life[i].to >= at)
            fprintf(stderr, "  %9.3f MB from %4d to %4d  %s %s\n", (double)k->life[i].bytes / 1e6, k->life[i].from,
                    k->life[i].to, optab[k->life[i].n->op].name, shape_str(k->cx, k->life[i].n->shape));
}

static void plan_function(Link *k, int fn) {
    int *at = NEW(k->cx, int, k->p->nbuffer), last = k->last[fn] - 1;
    for (int i = 0; i < k->p->nbuffer; i++) at[i] = -1;
    k->life = NULL, k->nlife = 0;
    for (int i = k->first[fn]; i < k->last[fn]; i++)
        for (int b = 0; b < k->u[i].k->nbuf; b++) {
            Node *n = k->u[i].k->buf[b];
            touch(k, at, n, n->op == OP_Input ? k->first[fn] : i, i);
        }
    for (int i = 0; fn > 0 && i < k->g->nroot; i++)
        if (k->g->root[i].fn == fn) touch(k, at, k->g->root[i].value, last, last);
    for (int i = 0; fn == 1 && i < k->g->ninput; i++)             // unused inputs still can be written
        touch(k, at, k->g->input[i], k->first[fn], k->first[fn]);
    for (int i = 0; i < k->nlife; i++) k->life[i].from -= k->first[fn], k->life[i].to -= k->first[fn];
    int64_t bound, top = plan(k->cx, k->life, k->nlife, &bound);
    for (int i = 0; i < k->nlife; i++) k->p->buffers[k->life[i].n->buffer].offset = k->life[i].offset;
    if (top > k->p->arena_bytes) k->p->arena_bytes = top;
    if (debug() >= 3) tell_peak(k, fn);
    *VEC_PUSH(k->cx, k->p->functions, k->p->nfunction) = (Function){.name = text_add(k, k->g->fn[fn]),
                                                                    .from = k->first[fn],
                                                                    .to = k->last[fn],
                                                                    .arena_bytes = top,
                                                                    .live_bound = bound};
}

// ---- slots ----

static Slot *slot_add(Link *k, const char *name, Node *n, SlotRole role) {
    Program *p = k->p;
    Slot *s = VEC_PUSH(k->cx, p->slots, p->nslot);
    *s = (Slot){.name = text_add(k, name), .role = role, .buffer = owner(n)->buffer, .update = -1,
                .desc = node_desc(n), .weight = -1};
    if (p->buffers[s->buffer].space == SPACE_WEIGHT) p->buffers[s->buffer].offset = p->nslot - 1;
    return s;
}

static int slot_of(Link *k, const Node *leaf) {
    int i = 0;
    while (k->p->slots[i].buffer != leaf->buffer) i++;
    return i;
}

static void slots(Link *k) {
    Program *p = k->p;
    bool *done = NEW(k->cx, bool, p->nbuffer);
    const void **data = NULL;
    int ndata = 0;
    for (int i = 0; i < k->g->ninput; i++) {
        Node *n = k->g->input[i];
        slot_add(k, n->name, n, SLOT_INPUT);
        done[n->buffer] = true;
        *VEC_PUSH(k->cx, data, ndata) = NULL;
    }
    for (int i = 0; i < k->nunit; i++)
        for (int b = 0; b < k->u[i].k->nbuf; b++) {
            Node *n = k->u[i].k->buf[b];
            if (!op_is_leaf(n) || done[n->buffer]) continue;
            done[n->buffer] = true;                       // a leaf's buffer is its own for good
            slot_add(k, n->name, n, is_weight(n) ? SLOT_WEIGHT : SLOT_PARAM);
            *VEC_PUSH(k->cx, data, ndata) = n->data;
        }
    for (int i = 0; i < k->g->nroot; i++) {
        Root *r = &k->g->root[i];
        Slot *s = slot_add(k, r->store ? "" : r->name, r->value, SLOT_OUTPUT);
        s->fns = 1 << r->fn;
        if (r->store && s->buffer != owner(r->store)->buffer) p->slots[slot_of(k, r->store)].update = s->buffer;
        *VEC_PUSH(k->cx, data, ndata) = NULL;
    }
    p->weights = data;
}

// ---- steps ----

static double terms(Expr *e) {                         // of the sums of a formula
    double n = 1;
    for (; e && expr_is_reduce(e); e = e->a) n *= (double)e->i;
    return n;
}

static double flops_alone(const Kernel *k) {
    if (!k->anchor || !k->body) return k->body ? (double)numel(k->out->shape) : 0;
    Expr *sum = expr_find(k->body, expr_is_reduce);
    double per = sum ? terms(sum) : 1;
    bool product = op_kind(k->anchor) == CONTRACT;
    if (product && k->anchor->attr.f > 0) per *= k->anchor->attr.f;
    if (product) return (2 * per + (k->nsum > 0)) * (double)numel(k->out->shape);
    return per * (double)numel(k->anchor->shape);     // a row's sum, whatever is computed of it for each element
}

static double flops_of(const Kernel *k) {
    double sum = k->npart ? 0 : flops_alone(k);
    for (int i = 0; i < k->npart; i++) sum += flops_alone(k->part[i]);
    return sum;
}

static void add_grid(Link *k, Step *s, const Text *t) {
    Program *p = k->p;
    s->grid = p->ngrid;
    Grid *g = VEC_PUSH(k->cx, p->grids, p->ngrid);
    *g = t->grid;
    g->number = p->nnumber, g->nnumber = t->nnumber;
    for (int i = 0; i < t->nnumber; i++) *VEC_PUSH(k->cx, p->numbers, p->nnumber) = t->number[i];
    if (!t->product.size[PRODUCT_M]) return;
    *VEC_PUSH(k->cx, p->products, p->nproduct) = t->product;
    g->product = p->nproduct;
}

// What runs the kernel: a symbol of the code, a hand-written body, or bytecode.
static void set_kind(Link *k, Step *s, const Unit *u) {
    Program *p = k->p;
    const Formula *f = &u->formula;
    if (u->k->hand) {
        Attr a = u->k->out->attr;
        s->kind = STEP_BODY, s->entry = text_add(k, u->k->hand);
        s->units = 1, s->per_batch = 0, s->param = p->nparam, s->nparam = a.n, s->f = a.f, s->f2 = a.f2;
        for (int i = 0; i < a.n; i++) *VEC_PUSH(k->cx, p->params, p->nparam) = a.i[i];
    } else if (f->code) {
        s->kind = STEP_FORMULA;
        s->units = f->units, s->per_batch = f->per_batch, s->formula = p->nparam, s->nformula = f->n;
        for (int i = 0; i < f->n; i++) *VEC_PUSH(k->cx, p->params, p->nparam) = f->code[i];
    } else {
        s->kind = STEP_CODE, s->entry = text_add(k, u->name);
        s->units = u->text.units, s->per_batch = u->text.per_batch;
        if (p->target) add_grid(k, s, &u->text);
    }
}

static void add_step(Link *k, Unit *u) {
    Program *p = k->p;
    Kernel *kn = u->k;
    Step *s = VEC_PUSH(k->cx, p->steps, p->nstep);
    *s = (Step){.label = text_add(k, label_of(k->cx, u)), .ref = p->nref, .nref = kn->nbuf, .nwritten = kn->nout,
                .flops = flops_of(kn)};
    set_kind(k, s, u);
    int ndesc = p->nref;
    for (int b = 0; b < kn->nbuf; b++) {
        Node *n = kn->buf[b];
        s->bytes += (double)numel(n->shape) * dtypes[n->type].bytes;
        *VEC_PUSH(k->cx, p->refs, p->nref) = owner(n)->buffer;
        *VEC_PUSH(k->cx, p->descs, ndesc) = node_desc(n);
    }
}

static void ranges(Link *k) {
    k->first = NEW(k->cx, int, k->nfn), k->last = NEW(k->cx, int, k->nfn);
    for (int fn = 0, i = 0; fn < k->nfn; fn++) {
        k->first[fn] = i;
        while (i < k->nunit && k->u[i].fn == fn) i++;
        k->last[fn] = i;
    }
}

Program *program_of(Graph *g, Unit *u, int nunit, const char *target) {
    Cx *cx = g->cx;
    Link k = {.g = g, .cx = cx, .p = NEW(cx, Program, 1), .u = u, .nunit = nunit, .nfn = g->nfn};
    Program *p = k.p;
    *p = (Program){.max_batch = g->max_batch, .isa = g->isa, .lanes = g->lanes, .ntext = 1, .text = NEW(cx, char, 1)};
    p->target = text_add(&k, target);
    ranges(&k);
    for (int i = 0; i < nunit; i++)
        for (int b = 0; b < u[i].k->nbuf; b++) owner(u[i].k->buf[b])->buffer = -1;
    for (int i = 0; i < g->ninput; i++) g->input[i]->buffer = -1;
    find_kept(&k);
    p->keep_bytes = k.keep;
    for (int fn = 0; fn < k.nfn; fn++) {
        buffers_of(&k, fn);
        plan_function(&k, fn);
        for (int i = k.first[fn]; i < k.last[fn]; i++) add_step(&k, &u[i]);
    }
    slots(&k);
    return p;
}
