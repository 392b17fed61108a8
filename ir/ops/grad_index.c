// Gradients of operators whose indices are data: what was taken from a place is added there, and the other way round.
#include "../grad.h"

#define X n->in[0]
#define INDEX n->in[1]
#define UPDATES n->in[2]

enum { REPLACE, ADD, MUL, GREATER, LESSER };             // how a scatter meets what is there

GRADIENT(gather_elements) {
    dx[0] = graph_op(g, OP_ScatterElements, AXES(n->attr.i[0], ADD), 3, (Node *[]){node_zeros(g, X), n->in[1], dy});
}

// Gather is GatherElements with the indices spread over the other axes: both are brought to rank
// [outer, indices, inner], where one scatter adds up.
GRADIENT(gather) {
    int axis = (int)n->attr.i[0];
    Shape x = X->shape, t = n->in[1]->shape;
    int64_t outer = 1, inner = 1, count = numel(t);
    for (int d = 0; d < axis; d++) outer *= x.d[d];
    for (int d = axis + 1; d < x.n; d++) inner *= x.d[d];
    bool batch_outside = x.batch && x.batch <= axis;
    Shape flat = SHAPE(outer, count, inner), table = SHAPE(outer, x.d[axis], inner);
    flat.batch = batch_outside ? 1 : t.batch ? 2 : x.batch ? 3 : 0, table.batch = batch_outside ? 1 : x.batch ? 3 : 0;
    Shape index = SHAPE(1, count, 1);
    index.batch = t.batch ? 2 : 0;
    Node *i = op1a(g, Expand, node_reshape(g, n->in[1], index), shape_attr(&flat));
    Node *base = op1a(g, Expand, node_like(g, n, 0), shape_attr(&table));
    Node *sum = graph_op(g, OP_ScatterElements, AXES(1, ADD), 3, (Node *[]){base, i, node_reshape(g, dy, flat)});
    dx[0] = node_reshape(g, sum, x);
}

// The place each index names, as one number of the indexed axes taken as one: [lead, count].
static Node *flat_places(Graph *g, Node *n, Shape rows) {
    Shape x = X->shape, t = INDEX->shape;
    int lead = (int)n->attr.i[0];
    Node *flat = graph_scalar_i(g, DT_I64, 0), *index = node_cast(g, INDEX, DT_I64);
    for (int d = 0; d < t.d[t.n - 1]; d++) {
        Node *size = graph_scalar_i(g, DT_I64, x.d[lead + d]);
        Node *i = op2(g, Mod, node_slice(g, index, t.n - 1, d, 1), size);      // those below 0 count from the end
        flat = op2(g, Add, op2(g, Mul, flat, size), i);
    }
    return node_reshape(g, flat, rows);
}

// One scatter that adds up, of rows [lead, places, rest].
GRADIENT(gather_nd) {
    Shape x = X->shape, t = INDEX->shape;
    int lead = (int)n->attr.i[0], depth = (int)t.d[t.n - 1];
    Shape table = {.n = 3, .batch = x.batch ? 1 : 0, .d = {1, 1, 1}}, places = table;
    for (int d = 0; d < x.n; d++) table.d[d < lead ? 0 : d < lead + depth ? 1 : 2] *= x.d[d];
    for (int d = 0; d < t.n - 1; d++) places.d[d < lead ? 0 : 1] *= t.d[d];
    if (x.batch > lead) table.batch = 3;
    places.batch = t.batch ? t.batch > lead ? 2 : 1 : 0;
    Shape flow = places;
    flow.d[2] = table.d[2], flow.batch = places.batch ? places.batch : table.batch;
    Node *at = node_expand(g, flat_places(g, n, places), flow), *base = node_expand(g, node_like(g, n, 0), table);
    Node *sum = graph_op(g, OP_ScatterElements, AXES(1, ADD), 3, (Node *[]){base, at, node_reshape(g, dy, flow)});
    dx[0] = node_reshape(g, sum, x);
}

GRADIENT(top_k) {
    Node *at = graph_op(g, OP_TopKIndices, n->attr, 1, &X);
    dx[0] = graph_op(g, OP_ScatterElements, AXES(n->attr.i[0], ADD), 3, (Node *[]){node_zeros(g, X), at, dy});
}

// ---- scatters ----

// As scatter n does, `updates` meet x; and what stands at the places of its indices.
static Node *scattered(Graph *g, const Node *n, Node *x, Node *updates, int64_t how) {
    Attr a = n->op == OP_ScatterND ? AXES(how) : AXES(n->attr.i[0], how);
    return graph_op(g, n->op, a, 3, (Node *[]){x, INDEX, updates});
}

static Node *picked(Graph *g, const Node *n, Node *x) {
    bool nd = n->op == OP_ScatterND;
    return graph_op(g, nd ? OP_GatherND : OP_GatherElements, AXES(nd ? 0 : n->attr.i[0]), 2, (Node *[]){x, INDEX});
}

// Products: the others', of which a single zero leaves only its own, and two leave none (as ReduceProd).
static void multiplied(Graph *g, Node *n, Node *dy, Node **dx) {
    Node *u = UPDATES, *zero = node_like(g, u, 0), *one = node_like(g, u, 1);
    dx[0] = op2(g, Mul, dy, scattered(g, n, node_expand(g, one, X->shape), u, MUL));
    Node *is_zero = op2(g, Equal, u, zero), *zeros = node_cast(g, is_zero, u->type);
    Node *safe = op3(g, Where, is_zero, one, u);
    Node *others = op2(g, Sub, picked(g, n, scattered(g, n, node_zeros(g, X), zeros, ADD)), zeros);
    Node *rest = op2(g, Div, picked(g, n, scattered(g, n, X, safe, MUL)), safe);
    dx[2] = op2(g, Mul, picked(g, n, dy), op3(g, Where, op2(g, Equal, others, zero), rest, zero));
}

// To the greatest (least) that met at a place; equal ones share, as PyTorch's do.
static void met_extreme(Graph *g, Node *n, Node *dy, Node **dx) {
    Node *stayed = node_cast(g, op2(g, Equal, X, n), n->type);
    Node *came = node_cast(g, op2(g, Equal, UPDATES, picked(g, n, n)), n->type);
    Node *count = scattered(g, n, stayed, came, ADD), *share = op2(g, Div, dy, count);
    dx[0] = op2(g, Mul, stayed, share);
    dx[2] = op2(g, Mul, came, picked(g, n, share));
}

static void scatter(Graph *g, Node *n, Node *dy, Node **dx, int64_t how) {
    if (how == MUL) multiplied(g, n, dy, dx);
    else if (how == GREATER || how == LESSER) met_extreme(g, n, dy, dx);
    else {                                               // what was replaced gets nothing
        dx[0] = how == ADD ? dy : scattered(g, n, dy, node_zeros(g, UPDATES), REPLACE);
        dx[2] = picked(g, n, dy);
    }
}

GRADIENT(scatter_elements) { scatter(g, n, dy, dx, n->attr.i[1]); }
GRADIENT(scatter_nd)       { scatter(g, n, dy, dx, n->attr.i[0]); }
