// What lies in 16 bits on a GPU and what stays float32, by the table in passes/precision.c: every value of ResNet-8's
// training step that has a buffer, and an attention's.
#include "frontend/import.h"
#include "passes/passes.h"
#include "passes/train.h"
#include "zoo/zoo.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

typedef struct Counts { int factors, images, sums, weights, rest; } Counts;
typedef struct Case Case;
struct Case {
    Graph *(*build)(Case *c);
    DType product, prefix;
    bool head;
    Cx *cx;
    Counts narrow, wide;
};

static int group_of(void *user, const char *name) { return ((Case *)user)->head && strncmp(name, "fc", 2) ? -1 : 0; }

static Graph *training(Case *c) {
    Graph *g = model_import(zoo_make(c->cx, "resnet8", &(ZooOptions){0}), &(ImportOptions){.max_batch = 4});
    double lr, momentum, decay;
    Node *scores = g->root[0].value;
    TrainOptions o = {.ngroup = 1, .group = group_of, .user = c, .nscores = 1, .scores = &scores};
    o.optimizer = optimizer_default(OPT_SGD, &lr, &momentum, &decay);
    g->nroot = 0;
    graph_root(g, "tvc.eval", scores, NULL, FN_FORWARD);
    train_graph(g, &o);
    return g;
}

static Graph *attention(Case *c) {
    Graph *g = graph_new(c->cx, 2);
    Shape s = {.n = 3, .batch = 1, .d = {2, 16, 32}};
    Node *x = graph_input(g, "x", DT_F32, s), *y = op2(g, MatMul, x, op1a(g, Transpose, x, AXES(0, 2, 1)));
    graph_root(g, "y", op2(g, MatMul, op1a(g, Softmax, y, AXES(2)), x), NULL, 1);
    return g;
}

static void passes_for_gpu(Graph *g, const Case *c) {
    g->gpu = true, g->lanes = 1, g->product = c->product, g->prefix_product = c->prefix;
    expand_ops(g);
    run_passes(g);
}

static bool is_product(const Node *n) { return n->op == OP_Conv || n->op == OP_ConvDw || n->op == OP_MatMul; }

static bool is_factor(const Graph *g, const Node *x) {
    for (int i = 0; i < g->norder; i++)
        for (int k = 0; k < g->order[i]->nin && is_product(g->order[i]); k++) {
            const Node *in = g->order[i]->in[k];
            while (!in->stored && op_kind(in) == MOVE) in = in->in[0];
            if (in == x) return true;
        }
    return false;
}

static bool is_root(const Graph *g, const Node *x) {
    for (int i = 0; i < g->nroot; i++)
        if (g->root[i].value == x) return true;
    return false;
}

static bool is_sum(const Node *n) { return n->op == OP_ReduceSum || n->op == OP_ReduceMax || n->op == OP_SumPool; }
static bool is_image(const Node *n) { return n->shape.n == 4 && n->shape.batch && n->shape.d[2] * n->shape.d[3] > 1; }

static void count(Graph *g, Case *c) {
    for (int i = 0; i < g->norder; i++) {
        const Node *n = g->order[i];
        if (!n->stored || (n->type != DT_F32 && !dtype_is_narrow(n->type))) continue;
        Counts *to = dtype_is_narrow(n->type) ? &c->narrow : &c->wide;
        if (op_is_leaf(n) || is_root(g, n)) to->weights++;
        else if (is_factor(g, n)) to->factors++;
        else if (n->op == OP_ConvDw) to->weights++;
        else if (is_sum(n)) to->sums++;
        else if (is_image(n)) to->images++;
        else to->rest++;
    }
}

static void work(void *arg) {
    Case *c = arg;
    Graph *g = c->build(c);
    passes_for_gpu(g, c);
    count(g, c);
}

static void run(Case *c) {
    c->cx = cx_new();
    bool ok = cx_guard(c->cx, work, c);
    if (!ok) print_error("%s\n", c->cx->error);
    cx_free(c->cx);
    assert_true(ok);
    print_message("16 bits: %d factors, %d images, %d sums, %d weights, %d others; float32: %d, %d, %d, %d, %d\n",
                  c->narrow.factors, c->narrow.images, c->narrow.sums, c->narrow.weights, c->narrow.rest,
                  c->wide.factors, c->wide.images, c->wide.sums, c->wide.weights, c->wide.rest);
}

static void a_training_step(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        Case c = {.build = training, .product = t ? DT_F16 : DT_BF16, .prefix = t ? DT_F16 : DT_BF16};
        run(&c);
        assert_true(c.narrow.factors > 10 && c.narrow.images > 0 &&
                    c.narrow.sums + c.narrow.weights + c.narrow.rest == 0);
        assert_true(c.wide.sums > 10 && c.wide.weights > 10 && c.wide.factors == 0 && c.wide.images == 0);
    }
}

static void an_attention(void **state) {
    (void)state;
    Case c = {.build = attention, .product = DT_BF16, .prefix = DT_BF16};
    run(&c);
    assert_true(c.narrow.factors > 0 && c.narrow.sums + c.narrow.weights + c.narrow.rest == 0);
    assert_true(c.wide.sums == 0);                        // the whole softmax is one kernel
}

// The prefix of a head's training has a type of its own, and nothing else has it.
static void a_frozen_prefix(void **state) {
    (void)state;
    Case low = {.build = training, .product = DT_NONE, .prefix = DT_BF16, .head = true},
         high = {.build = training, .product = DT_BF16, .prefix = DT_NONE, .head = true};
    run(&low), run(&high);
    assert_true(low.narrow.factors > 5 && low.wide.factors > 0);
    assert_true(high.narrow.factors > 0 && high.narrow.factors < low.narrow.factors && high.wide.factors > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_training_step), cmocka_unit_test(an_attention),
                                       cmocka_unit_test(a_frozen_prefix)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
