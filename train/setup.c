// setup.c -- from a document to a learner: what is frozen and in which group the rest is, where the
// loss is taken, the training program, its session and slots.
#include "learner.h"

#include <jansson.h>

enum { DEEP = 8 };                    // convolutions of a network that one would expect to have BatchNorm

typedef struct Setup {
    Cx *cx;
    Model *m;
    const LearnerOptions *o;
    Names frozen;                     // of initializers, sorted; thawed ones are not among them
    Names *group;                     // those of each group asked for
    Names shallow, head;              // by depth: of the backbone's first half; of the head
} Setup;

// ---- names ----

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void sort_names(Names *l) {
    if (l->n) qsort(l->at, (size_t)l->n, sizeof *l->at, by_name);
}

static bool among(const char *name, const Names *l) {
    return l->n && bsearch(&name, l->at, (size_t)l->n, sizeof *l->at, by_name);
}

static void free_json(void *v) { json_decref(v); }

// The names that surgery's patterns mean; the document keeps its own list.
static Names names_of(Cx *cx, Model *m, const char *patterns, const char *head) {
    Names l = {0};
    const char *before = model_meta(m, "tvc.frozen");
    surgery_apply(m, &(Surgery){.freeze = patterns, .head = head});
    json_t *names = json_loads(model_meta(m, "tvc.frozen"), 0, NULL);
    cx_defer(cx, free_json, names);
    for (size_t i = 0; i < json_array_size(names); i++)
        *VEC_PUSH(cx, l.at, l.n) = json_string_value(json_array_get(names, i));
    model_set_meta(m, "tvc.frozen", before);
    sort_names(&l);
    return l;
}

void learner_expect(Model *m, const char *patterns, const char *head) { names_of(m->cx, m, patterns, head); }

static Names without(Cx *cx, const Names *all, const Names *some) {
    Names l = {0};
    for (int i = 0; i < all->n; i++)
        if (!among(all->at[i], some)) *VEC_PUSH(cx, l.at, l.n) = all->at[i];
    return l;
}

// Which of the backbone's parameters stand in its first half, by the order of the nodes that use them.
static void find_depths(Setup *s) {
    Model *m = s->m;
    Names backbone = names_of(s->cx, m, "backbone", s->o->head), *near = &s->shallow;
    const int *order = model_order(m);
    for (int i = 0; i < m->nnode; i++)
        for (int k = 0; k < m->node[order[i]]->nin; k++)
            if (among(m->node[order[i]]->in[k], &backbone))
                *VEC_PUSH(s->cx, near->at, near->n) = m->node[order[i]]->in[k];
    near->n /= 2;
    sort_names(near);
    for (int i = 0; i < m->ninit; i++)
        if (!among(m->init[i]->name, &backbone)) *VEC_PUSH(s->cx, s->head.at, s->head.n) = m->init[i]->name;
    sort_names(&s->head);
}

static void find_names(Setup *s) {
    const LearnerOptions *o = s->o;
    if (o->freeze) s->frozen = names_of(s->cx, s->m, o->freeze, o->head);
    if (o->thaw) {
        Names thawed = names_of(s->cx, s->m, o->thaw, o->head);
        s->frozen = without(s->cx, &s->frozen, &thawed);
    }
    s->group = NEW(s->cx, Names, o->ngroup);
    for (int i = 0; i < o->ngroup; i++) s->group[i] = names_of(s->cx, s->m, o->group[i].pattern, o->head);
    if (o->by_depth) find_depths(s);
}

// ---- groups: those asked for, then the rest: head, later half, earlier half ----

static int group_of(void *user, const char *name) {
    const Setup *s = user;
    const LearnerOptions *o = s->o;
    if (among(name, &s->frozen)) return -1;
    for (int i = 0; i < o->ngroup; i++)
        if (among(name, &s->group[i])) return i;
    if (!o->by_depth || among(name, &s->head)) return o->ngroup;
    return o->ngroup + (among(name, &s->shallow) ? 2 : 1);
}

static void set_groups(Learner *l, const LearnerOptions *o) {
    static const double slower[] = {1, 0.1, 0.03};
    l->ngroup = o->ngroup + (o->by_depth ? 3 : 1);
    l->group = NEW(l->cx, ParamGroup, l->ngroup);
    for (int i = 0; i < l->ngroup; i++) {
        ParamGroup *g = &l->group[i];
        *g = i < o->ngroup ? o->group[i] : o->rates;
        if (i >= o->ngroup) g->lr *= slower[i - o->ngroup];
        if (isnan(g->lr)) g->lr = o->rates.lr;
        if (isnan(g->momentum)) g->momentum = o->rates.momentum;
        if (isnan(g->decay)) g->decay = o->rates.decay;
    }
}

// ---- where the loss is taken ----

static bool only_moves(const Node *n) { return n->op == OP_Reshape || n->op == OP_Cast; }

// Before a final Softmax, LogSoftmax or Sigmoid, where the loss contains it.
static Node *before_tail(Node *n, LossKind loss) {
    Node *x = n;
    while (only_moves(x)) x = x->in[0];
    bool class = loss == LOSS_CROSS_ENTROPY && (x->op == OP_Softmax || x->op == OP_LogSoftmax || x->op == OP_Sigmoid);
    bool labels = loss == LOSS_BCE && x->op == OP_Sigmoid;
    return class || labels ? x->in[0] : n;
}

static int root_named(const Graph *g, const char *name) {
    for (int i = 0; name && i < g->nroot; i++)
        if (g->root[i].name && strcmp(g->root[i].name, name) == 0) return i;
    return -1;
}

Node **scores_find(Model *m, Graph *g, const char *head, LossKind loss, int *count) {
    Heads h = heads_find(m, head);
    Node **list = NULL;
    bool *taken = NEW(m->cx, bool, g->nroot + 1);
    *count = 0;
    for (int i = 0; i < h.n; i++) {
        int at = root_named(g, h.head[i].output);
        if (at < 0 || taken[at]) continue;
        taken[at] = true;
        *VEC_PUSH(m->cx, list, *count) = before_tail(g->root[at].value, loss);
    }
    if (*count == 0) *VEC_PUSH(m->cx, list, *count) = before_tail(g->root[0].value, loss);
    return list;
}

// ---- the program ----

static Node *wide_param(Graph *g, const Node *n) {
    int64_t count = numel(n->shape), size = dtypes[n->type].bytes;
    float *wide = NEW(g->cx, float, count);
    for (int64_t i = 0; n->data && i < count; i++)
        wide[i] = (float)dtype_get_f(n->type, (const char *)n->data + i * size);
    return graph_param(g, n->name, DT_F32, n->shape, wide);
}

// In 16 bits, small steps and small gradients would be lost and sums overflow: all is computed in float32, from
// float32 copies of what is trained. The exported document keeps its types.
static Node *widen(Graph *g, Node *n, void *setup) {
    if (n->type != DT_F16 && n->type != DT_BF16) return NULL;
    if (n->op == OP_Cast) return node_cast(g, n->in[0], DT_F32);
    if (n->op == OP_Param && n->name && group_of(setup, n->name) >= 0) return wide_param(g, n);
    return node_cast(g, n, DT_F32);
}

// What looks like BatchNorm merged into convolutions still trains, only less readily.
static void tell_folded(const Setup *s, Graph *g) {
    int norms = 0, layers = 0;
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        const Node *n = g->order[i], *w = n->op == OP_Conv ? n->in[1] : NULL;
        norms += n->op == OP_BatchNorm;
        layers += w && w->op == OP_Param && w->name && group_of((void *)(uintptr_t)s, w->name) >= 0;
    }
    if (norms == 0 && layers >= DEEP)
        cx_note(s->cx,
                "%s has no BatchNormalization: if its exporter folded it into the %d convolutions that are trained, "
                "they train as they are; "
                "a smaller --lr is safer then",
                cx_show(s->cx, s->m->path), layers);
}

// Imported, the scores found.
static Graph *import(Learner *l, Setup *s, TrainOptions *t) {
    const LearnerOptions *o = s->o;
    ImportOptions sizes = o->import;
    sizes.max_batch = o->batch;
    Graph *g = model_import(l->model, &sizes);
    graph_map(g, widen, s);
    tell_folded(s, g);
    *t = (TrainOptions){.loss = o->loss,
                        .optimizer = o->optimizer,
                        .bn = o->bn,
                        .ngroup = l->ngroup,
                        .group = group_of,
                        .user = s,
                        .clip = o->clip,
                        .ema = o->ema,
                        .accumulate = o->accumulate,
                        .bare = o->bare,
                        .scaled = o->scale.on};
    if (o->pixels) t->picture = pixels_input(g, o->pixels, o->place);
    Node **scores = scores_find(l->model, g, o->head, o->loss.kind, &t->nscores);
    t->scores = scores;
    t->aux_weight = o->aux_weight >= 0 ? o->aux_weight : t->nscores == 2 ? 0.4 : 0.3;
    Shape z = scores[0]->shape;
    if (o->batch > 1 && z.batch != 1)
        fail(l->cx, E_UNSUPPORTED, "%s: the scores %s are not one row for each picture", cx_show(l->cx, l->model->path),
             shape_str(l->cx, z));
    l->nclass = (int)(numel(z) / (z.n ? z.d[0] : 1));
    g->nroot = 0;
    graph_root(g, "tvc.eval", scores[0], NULL, FN_FORWARD);
    return g;
}

static void close_learner(void *l) { learner_close(l); }

static void open_session(Learner *l) {
    Fault f;
    l->session = session_new(l->program, &l->o.session, &f);
    if (!l->session) fail(l->cx, f.code, "%s", f.text);
    if (*session_note(l->session)) cx_note(l->cx, "%s", session_note(l->session));
    model_rest(l->model);
    cx_defer(l->cx, close_learner, l);
}

// ---- slots ----

static int slot(Learner *l, const char *name) {
    int i = session_slot(l->session, name);
    assert(i >= 0);
    return i;
}

static void find_slots(Learner *l) {
    const Program *p = l->program;
    if (l->o.bare) return;                                // whoever wants it finds them by name
    l->input = 0;                                         // the picture is the first input
    l->place = l->o.place ? slot(l, "tvc.place") : -1;
    l->target = slot(l, "tvc.target"), l->step = slot(l, "tvc.step"), l->loss = slot(l, "tvc.loss");
    l->finite = slot(l, "tvc.finite"), l->scores = slot(l, "tvc.scores"), l->eval = slot(l, "tvc.eval");
    if (l->o.accumulate)
        l->keep = slot(l, "tvc.keep"), l->weight = slot(l, "tvc.weight"), l->total = slot(l, "tvc.total");
    if (l->o.scale.on) l->scale = slot(l, "tvc.scale"), l->loss_scale = l->o.scale.first;
    l->lr = NEW(l->cx, int, 3 * l->ngroup), l->momentum = l->lr + l->ngroup, l->decay = l->momentum + l->ngroup;
    for (int k = 0; k < l->ngroup; k++) {
        l->lr[k] = slot(l, cx_fmt(l->cx, "lr.%d", k));
        l->momentum[k] = slot(l, cx_fmt(l->cx, "momentum.%d", k));
        l->decay[k] = slot(l, cx_fmt(l->cx, "weight_decay.%d", k));
    }
    l->nfeature = l->graph->nfeature;
    l->feature = NEW(l->cx, int, l->nfeature);
    for (int i = 0; i < l->nfeature; i++) l->feature[i] = slot(l, l->graph->feature[i]->name);
    for (int i = 0; i < p->nslot; i++)
        if (p->slots[i].role == SLOT_PARAM || p->slots[i].role == SLOT_STATE) *VEC_PUSH(l->cx, l->kept, l->nkept) = i;
}

static void make_room(Learner *l) {
    if (l->o.bare) return;
    TensorDesc in = l->program->slots[l->input].desc, to = l->program->slots[l->target].desc;
    int64_t most = desc_elements(&in) > desc_elements(&to) ? desc_elements(&in) : desc_elements(&to);
    l->typed = cx_alloc(l->cx, ck_mul(l->cx, 8, (size_t)most));
    l->scored = NEW(l->cx, double, (int64_t)l->o.batch * l->nclass);
}

static Learner *start(Model *m, const LearnerOptions *o, Setup *s) {
    Cx *cx = m->cx;
    Learner *l = NEW(cx, Learner, 1);
    *s = (Setup){.cx = cx, .m = m, .o = o};
    *l = (Learner){.cx = cx, .model = m, .o = *o};
    find_names(s);
    set_groups(l, o);
    return l;
}

TrainGaps learner_gaps(Model *m, const LearnerOptions *o) {
    Setup s;
    TrainOptions t;
    Graph *g = import(start(m, o, &s), &s, &t);
    return train_gaps(g, &t);
}

Learner *learner_compile(Model *m, const LearnerOptions *o) {
    Setup s;
    TrainOptions t;
    Learner *l = start(m, o, &s);
    Graph *g = import(l, &s, &t);
    l->graph = train_graph(g, &t);
    l->compiled = graph_compile(g, &o->compile);
    l->program = l->compiled->program;
    return l;
}

Learner *learner_new(Model *m, const LearnerOptions *o) {
    Learner *l = learner_compile(m, o);
    open_session(l);
    find_slots(l);
    make_room(l);
    return l;
}
