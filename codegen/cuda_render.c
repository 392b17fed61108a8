// cuda_render.c -- which schedule prints a kernel for a grid, and what schedules share.
#include "cuda.h"
#include <xxhash.h>

// Whose numbers are arguments. Of several in a launch only those with equal numbers share their text, so small
// kernels, which come in hundreds there, have them in it, but for `size`.
typedef enum Arguments { NEVER, ALONE, ALWAYS } Arguments;

static const struct { const char *name; CudaSchedule *fn; Arguments numbers; } schedules[] = {
    {"tile", cuda_tile, ALWAYS},
    {"rows", cuda_rows, NEVER},                       // unrolled by the length of a row
    {"fold", cuda_fold, ALONE},
    {"taps", cuda_taps, NEVER},                       // unrolled by what the filter reads
    {"each", cuda_each, ALONE},
};
enum { NSCHEDULES = sizeof schedules / sizeof *schedules };

// ---- variables ----

int64_t vars_size(const Kernel *k, Expr **v, int n) {
    int64_t size = 1;
    for (int i = 0; i < n; i++) size *= k->extent[v[i]->i];
    return size;
}

bool vars_grow(const Kernel *k, Expr **v, int n) {
    bool grows = false;
    for (int i = 0; i < n; i++) grows |= var_is_open(k, v[i]);
    return grows;
}

const char *size_text(Out *o, const void *of, int64_t size, bool grows) {
    const char *x = numeral_text(o, of, NUMBER_EXTENT, grows ? size / o->k->max_batch : size);
    return grows ? cx_fmt(o->cx, "(%s)(%s * ctx->batch)", o->index, x) : x;
}

int cuda_axes(Out *o, Expr **v) {
    Kernel *k = o->k;
    int64_t stride[MAXDIM];
    int n = 0;
    for (int d = 0; d < k->out->shape.n; d++) {
        if (k->axis[d]->op != I_VAR) continue;
        int64_t s = var_is_open(k, k->axis[d]) ? INT64_MAX : k->out->view.stride[d];
        int i = n++;
        for (; i && stride[i - 1] < s; i--) stride[i] = stride[i - 1], v[i] = v[i - 1];
        stride[i] = s, v[i] = k->axis[d];
    }
    return n;
}

void unflatten_from(Out *o, Expr **v, int n, const char *flat, int first) {
    for (int i = n - 1; i >= first; i--) {
        int x = (int)v[i]->i;
        if (i == 0) { line(o, "const %s v%d = (%s)%s;", o->index, x, o->index, flat); return; }
        const char *rest = cx_fmt(o->cx, "r%d", o->nname++);
        divide(o, v[i], o->k->extent[x], true, flat, cx_fmt(o->cx, "v%d", x), i > first ? rest : NULL);
        flat = rest;
    }
}

void unflatten(Out *o, Expr **v, int n, const char *flat) { unflatten_from(o, v, n, flat, 0); }

// ---- indices ----

bool touches(const Expr *e, const Expr *v) {
    if (!e) return false;
    if (e->is_index && e->op == I_VAR) return e->i == v->i;
    return touches(e->a, v) || (!expr_is_reduce(e) && touches(e->b, v)) || touches(e->c, v);
}

int64_t index_at_zero(const Expr *e) {
    if (e->op == I_IMM) return e->i;
    if (e->op == I_VAR) return 0;
    return e->op == I_ADD ? index_at_zero(e->a) + index_at_zero(e->b) : index_at_zero(e->a) * index_at_zero(e->b);
}

bool contiguous(Kernel *k, Expr *index, Expr *v, int64_t n) {
    if (index_has_data(index) || ix_coef(index, v) != 1) return false;
    for (int i = 0; i < k->nvar; i++) {
        int64_t c = ix_coef(index, &(Expr){.is_index = true, .op = I_VAR, .i = i});
        if (c == IX_WILD || (i != v->i && c % n)) return false;
    }
    return index_at_zero(index) % n == 0;
}

// ---- a kernel ----

// 32-bit indices are faster; they are enough if every buffer and every index is within them.
static const char *index_type(Kernel *k) {
    bool fits = true;
    for (int i = 0; i < k->nbuf; i++) fits &= k->buf[i]->view.room <= INT32_MAX;
    fits &= numel(k->out->shape) <= INT32_MAX - (1 << 16);    // the last block may reach beyond
    for (int i = 0; i < k->nexpr; i++) {
        int64_t lo, hi;
        if (!k->expr[i]->is_index || k->expr[i]->op == I_DATA) continue;
        ix_range(k, k->expr[i], &lo, &hi);
        bool known = hi < INT64_MAX / 4;              // else a quotient, smaller than what it is made of
        fits &= !known || (lo >= INT32_MIN && hi <= INT32_MAX);
    }
    return fits ? "int" : "long";
}

// A result may lie where something that is read does: updates.
static bool is_shared(const Kernel *k, int b) {
    bool shared = false;
    for (int i = 0; i < k->nbuf; i++)
        shared |= i != b && (i < k->nout || b < k->nout) && owner(k->buf[i]) == owner(k->buf[b]);
    return shared;
}

static const char *parameters(Kernel *k, bool alone) {
    Out o = {.cx = k->cx, .text = ""};
    for (int i = 0; i < k->nbuf; i++) {
        const char *type = memory_type(k->buf[i]->type), *restricted = alone && !is_shared(k, i) ? "__restrict__ " : "";
        append(&o, "%s%s *%sb%d, ", i < k->nout ? "" : "const ", type, restricted, i);
    }
    append(&o, "const Ctx run");
    return o.text;
}

static void forget_names(Kernel *k) {
    for (int i = 0; i < k->nexpr; i++) k->expr[i]->as = NULL;
}

typedef struct Printed {
    const char *body, *parameters, *schedule;
    int64_t flat;
    int pool;
    Grid grid;
    Product product;
    Numbers *numbers;
} Printed;

static Printed print_kernel(Cx *cx, Kernel *k, const CudaOptions *options, bool alone) {
    CudaOptions unshared = *options;
    unshared.parts = 1;
    Out o = {0};
    Grid l;
    int i = 0;
    for (int r = 0; r < k->nout; r++) assert(padded_from(k->outs[r]) == k->outs[r]->shape.n);
    k = kernel_merged(k);
    const char *index = index_type(k), *schedule = NULL;
    for (; i < (k->nsum ? 1 : NSCHEDULES); i++) {     // sums of what is stored: tiles have them
        forget_names(k);
        o = (Out){.cx = cx, .k = k, .index = index, .before = "", .text = "", .depth = 1};
        l = (Grid){.axis = {{.items = 1, .per_block = 1}, {.items = 1, .per_block = 1}, {.items = 1, .per_block = 1}}};
        line(&o, "const Ctx *const ctx = &run;");
        if (schedules[i].numbers == ALWAYS || (schedules[i].numbers == ALONE && alone)) use_numbers(&o);
        if (schedules[i].fn(&o, &l, alone ? options : &unshared)) {
            schedule = schedules[i].name;
            break;
        }
    }
    return (Printed){o.text, parameters(k, alone), schedule, o.flat, o.pool, l, o.product, o.numbers};
}

// ---- several in one launch: blocks find their part, and its pointers, by their number ----

typedef struct LaunchPart {
    Printed p;
    int buffer, result, blocks, first;  // where its buffers and results begin in the launch; its blocks
} LaunchPart;

// As a part: its blocks have one number. Of a batch smaller than the greatest some have nothing to do.
static Printed print_part(Cx *cx, Kernel *k, const CudaOptions *options) {
    static const char *const name[] = {"block", "block_y", "block_z"};
    Printed p = print_kernel(cx, k, options, false);
    Out o = {.cx = cx, .k = k, .index = "int", .before = "", .text = "", .depth = 1, .numbers = p.numbers};
    const char *rest = "number";
    GridAxis *axis = NEW(cx, GridAxis, 3);            // numbers are known by its address
    memcpy(axis, p.grid.axis, sizeof p.grid.axis);
    int last = 0;
    for (int d = 1; d < 3; d++)
        if (axis[d].items > 1) last = d;
    for (int d = 0; d <= last; d++) {
        const GridAxis *a = &axis[d];
        const char *next = cx_fmt(cx, "rest%d", d), *at = cx_fmt(cx, "block%d", d);
        if (d < last) divide(&o, a, grid_blocks(&p.grid, d, 1, 1), false, rest, at, next);
        line(&o, "const unsigned %s = (unsigned)%s;", name[d], d < last ? at : rest);
        if (a->grows)
            line(&o, "if (%s * %lldull >= (u64)%s * run.batch) return;", name[d], (long long)a->per_block,
                 numeral_text(&o, a, NUMBER_BLOCKS, a->items / k->max_batch));
        rest = next;
    }
    p.body = cx_fmt(cx, "%s%s", o.text, p.body);
    return p;
}

// In text and numbers: those of different kernels would have to be looked up, and take registers.
static bool is_same(const Printed *a, const Printed *b) {
    int n = number_count(a->numbers);
    return !strcmp(a->body, b->body) && !strcmp(a->parameters, b->parameters) && n == number_count(b->numbers) &&
           (!n || !memcmp(number_values(a->numbers), number_values(b->numbers), sizeof(int32_t) * (size_t)n));
}

// The part's buffer b has which number in the launch? Results of all parts stand before what they read.
static int number_in_launch(const Kernel *k, const LaunchPart *x, int b) {
    return b < k->nout ? x->result + b : x->buffer + b - k->nout;
}

static const char *first_block(Out *o, const LaunchPart *x) { return numeral_text(o, x, NUMBER_EXTENT, x->first); }

static void select_part(Out *o, const Kernel *k, const LaunchPart *x, int n) {
    if (n > 1) {
        begin(o, "if (block < (unsigned)%s) {", first_block(o, &x[n / 2]));
        select_part(o, k, x, n / 2);
        o->depth--;
        begin(o, "} else {");
        select_part(o, k, x + n / 2, n - n / 2);
        end(o);
        return;
    }
    const char *s = cx_fmt(o->cx, "first = (unsigned)%s, size = %lld;", first_block(o, x), (long long)x->p.flat);
    for (int b = 0; b < k->nbuf; b++) s = cx_fmt(o->cx, "%s p%d = b%d;", s, b, number_in_launch(k, x, b));
    line(o, "%s", s);
}

// Before the buffers: what a part's function takes, and what it is given.
static const char *taken_by(Cx *cx, const LaunchPart *x) {
    return cx_fmt(cx, "%s%s", x->p.numbers ? "const i32 *const num, " : "", x->p.pool ? "char *const pool, " : "");
}

// Its numbers follow those that the launch has so far.
static const char *given_to(Out *o, const LaunchPart *x) {
    int n = number_count(x->p.numbers);
    const char *numbers = n ? cx_fmt(o->cx, "num + %d, ", number_count(o->numbers)) : "";
    if (n) add_numbers(o->cx, o->numbers, number_values(x->p.numbers), n);
    return cx_fmt(o->cx, "%s%s", numbers, x->p.pool ? "pool, " : "");
}

static void print_class(Out *o, const Kernel *k, const LaunchPart *x, int n, int class) {
    const char *end_ = numeral_text(o, x, NUMBER_BLOCKS, x[n - 1].first + x[n - 1].blocks);
    begin(o, "if (block < (unsigned)%s) {", end_);
    line(o, "unsigned first; long size;");
    for (int b = 0; b < k->nbuf; b++)
        line(o, "%s%s *p%d;", b < k->nout ? "" : "const ", memory_type(k->buf[b]->type), b);
    select_part(o, k, x, n);
    const char *s = cx_fmt(o->cx, "$_%d(block - first, size, %s", class, given_to(o, x));
    for (int b = 0; b < k->nbuf; b++) s = cx_fmt(o->cx, "%sp%d, ", s, b);
    line(o, "%srun);", s);
    line(o, "return;");
    end(o);
}

static const char *pool_text(Cx *cx, int bytes) {
    return bytes ? cx_fmt(cx, "    __shared__ __align__(128) char pool[%d];\n", bytes) : "";
}

// Numbers are the last argument, in a type of their own.
static const char *kernel_head(Cx *cx, int threads, const char *taken, const Numbers *numbers) {
    int n = number_count(numbers);
    if (!n) return cx_fmt(cx, "TVC_KERNEL(%d) $(%s) {\n", threads, taken);
    return cx_fmt(cx, "typedef struct { i32 x[%d]; } $_numbers;\nTVC_KERNEL(%d) $(%s, const $_numbers numbers) {\n"
                      "    const i32 *const num = numbers.x;\n", n, threads, taken);
}

static Text text_of(const char *s, const char *schedule, Grid l, Product product, const Numbers *numbers) {
    return (Text){.s = s, .units = 1, .schedule = schedule, .grid = l, .product = product,
                  .number = number_values(numbers), .nnumber = number_count(numbers)};
}

static Text render_parts(Cx *cx, Kernel *k, const CudaOptions *options) {
    LaunchPart *x = NEW(cx, LaunchPart, k->npart), *sorted = NEW(cx, LaunchPart, k->npart);
    Kernel **kernel = NEW(cx, Kernel *, k->npart);
    bool *taken = NEW(cx, bool, k->npart);
    int result = 0, buffer = k->nout, n = 0, first = 0, class = 0, pool = 0;
    bool tiles = true;
    for (int i = 0; i < k->npart; i++) {
        x[i] = (LaunchPart){.p = print_part(cx, k->part[i], options), .result = result, .buffer = buffer, .blocks = 1};
        for (int d = 0; d < 3; d++) x[i].blocks *= (int)grid_blocks(&x[i].p.grid, d, 1, 1);
        result += k->part[i]->nout, buffer += k->part[i]->nbuf - k->part[i]->nout;
    }
    Out o = {.cx = cx, .k = k, .index = "int", .before = "", .text = "", .depth = 1};
    bool any = false;
    for (int i = 0; i < k->npart; i++) any |= x[i].p.numbers != NULL;
    if (any) use_numbers(&o);
    Grid l = {.axis = {{.per_block = 1}, {.items = 1, .per_block = 1}, {.items = 1, .per_block = 1}},
              .threads = x[0].p.grid.threads};
    const char *functions = "";
    for (int i = 0; i < k->npart; i++) {
        int from = n;
        for (int j = i; j < k->npart; j++)
            if (!taken[j] && is_same(&x[i].p, &x[j].p))
                taken[j] = true, kernel[n] = k->part[j], sorted[n] = x[j], sorted[n].first = first,
                first += x[j].blocks, n++;
        if (from == n) continue;
        functions = cx_fmt(cx, "%sHELPER void $_%d(const unsigned number, const long size, %s%s) {\n%s}\n", functions,
                           class, taken_by(cx, &x[i]), x[i].p.parameters, x[i].p.body);
        print_class(&o, kernel[from], sorted + from, n - from, class++);
        l.shared += x[i].p.grid.shared - x[i].p.pool;
        pool = x[i].p.pool > pool ? x[i].p.pool : pool, tiles &= x[i].p.pool > 0;
        assert(x[i].p.grid.threads == l.threads);
    }
    l.axis[0].items = first, l.shared += pool;
    const char *s = cx_fmt(cx, "%s%s    const unsigned block = blockIdx.x;\n%s%s}\n", functions,
                           kernel_head(cx, l.threads, parameters(k, false), o.numbers), pool_text(cx, pool), o.text);
    return text_of(s, tiles ? "tiles" : "parts", l, (Product){.size = {0}}, o.numbers);
}

CudaForm cuda_form(Cx *cx, Kernel *k, const CudaOptions *options) {
    Kernel before = *k;
    CxMark mark = cx_mark(cx);
    Printed p = print_part(cx, k, options);
    XXH64_hash_t numbers = XXH3_64bits(number_values(p.numbers), sizeof(int32_t) * (size_t)number_count(p.numbers));
    XXH64_hash_t body = XXH3_64bits_withSeed(p.body, strlen(p.body), numbers);
    CudaForm f = {.text = XXH3_64bits_withSeed(p.parameters, strlen(p.parameters), body), .threads = p.grid.threads,
                  .tile = p.schedule && p.pool > 0, .library = p.product.size[PRODUCT_M] > 0};
    cx_release(cx, mark);
    *k = before;
    return f;
}

Text render_cuda(Cx *cx, Kernel *k, const CudaOptions *options) {
    if (k->npart) return render_parts(cx, k, options);
    Printed p = print_kernel(cx, k, options, true);
    const char *size = p.flat ? cx_fmt(cx, "    const long size = %lld;\n", (long long)p.flat) : "";
    const char *rest =
        p.grid.axis[1].items > 1 || p.grid.axis[2].items > 1 ? ", block_y = blockIdx.y, block_z = blockIdx.z" : "";
    const char *head = kernel_head(cx, p.grid.threads, p.parameters, p.numbers);
    const char *s = cx_fmt(cx, "%s    const unsigned block = blockIdx.x%s;\n%s%s%s}\n", head, rest,
                           pool_text(cx, p.pool), size, p.body);
    return text_of(s, p.schedule, p.grid, p.product, p.numbers);
}
