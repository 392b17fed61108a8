// program.c -- looking a Program over before anything of it is used.
//
// A Program comes from our own linker or from a package; either way these checks are cheap and
// come first. What they do not see: inside of compiled code, of bodies and of formulas (the
// interpreter checks its own bytecode).
#include "program.h"
#include <stdbool.h>
#include <string.h>

static const int64_t most_bytes = (int64_t)1 << 46;        // of a space: more than any machine here has

int64_t desc_elements(const TensorDesc *d) {
    int64_t n = 1;
    for (int i = 0; i < d->rank; i++)
        if (d->dim[i] < 0 || __builtin_mul_overflow(n, d->dim[i], &n)) return -1;
    return n;
}

int64_t desc_bytes(const TensorDesc *d) {
    int64_t n = desc_elements(d);
    if (d->type <= DT_NONE || d->type >= NDTYPES) return -1;
    return n < 0 || __builtin_mul_overflow(n, (int64_t)dtypes[d->type].bytes, &n) ? -1 : n;
}

int program_function(const Program *p, const char *name) {
    for (int i = 0; i < p->nfunction; i++)
        if (!strcmp(program_text(p, p->functions[i].name), name)) return i;
    return -1;
}

int64_t grid_blocks(const Grid *g, int axis, int64_t batch, int64_t max_batch) {
    const GridAxis *a = &g->axis[axis];
    int64_t n = a->grows ? a->items / max_batch * batch : a->items;
    return n / a->per_block + (n % a->per_block != 0);
}

static bool text_ok(const Program *p, int32_t at) { return at >= 0 && at < p->ntext; }

static bool range_ok(int64_t from, int64_t n, int64_t all) {
    return from >= 0 && n >= 0 && from <= all && n <= all - from;
}

static bool desc_ok(const Program *p, const TensorDesc *d) {
    if (d->rank < 0 || d->rank > TVC_MAXDIM || d->batch < 0 || d->batch > d->rank) return false;
    return !d->batch || d->dim[d->batch - 1] % p->max_batch == 0;
}

static Err check_ref(const Program *p, int i, Fault *f) {
    if (p->refs[i] < 0 || p->refs[i] >= p->nbuffer) return fault(f, E_MALFORMED, "tensor %d has no buffer", i);
    return desc_ok(p, &p->descs[i]) ? E_OK : fault(f, E_MALFORMED, "tensor %d makes no sense", i);
}

static Err check_sizes(const Program *p, Fault *f) {
    const struct { const char *what; int64_t n; const void *at; } arrays[] = {
        {"steps", p->nstep, p->steps},       {"buffers", p->nbuffer, p->buffers}, {"references", p->nref, p->refs},
        {"references", p->nref, p->descs},   {"parameters", p->nparam, p->params}, {"slots", p->nslot, p->slots},
        {"functions", p->nfunction, p->functions}, {"text", p->ntext, p->text},   {"code", p->code_bytes, p->code},
        {"grids", p->ngrid, p->grids},       {"binaries", p->npart, p->parts},
        {"products", p->nproduct, p->products}, {"numbers", p->nnumber, p->numbers},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i].n < 0 || (arrays[i].n && !arrays[i].at))
            return fault(f, E_MALFORMED, "the program has %lld %s", (long long)arrays[i].n, arrays[i].what);
    if (p->ntext < 1 || p->text[0] || p->text[p->ntext - 1])
        return fault(f, E_MALFORMED, "the program's text is not ended");
    if (p->nfunction < 1) return fault(f, E_MALFORMED, "the program has no function");
    if (p->max_batch < 1) return fault(f, E_MALFORMED, "a batch of at most %lld", (long long)p->max_batch);
    if (p->arena_bytes < 0 || p->arena_bytes > most_bytes || p->keep_bytes < 0 || p->keep_bytes > most_bytes)
        return fault(f, E_MALFORMED, "a session of %lld + %lld bytes", (long long)p->arena_bytes,
                     (long long)p->keep_bytes);
    if (!text_ok(p, p->target) || (p->target && strncmp(program_text(p, p->target), "cuda:", 5)))
        return fault(f, E_MALFORMED, "unknown target");
    if (p->isa < ISA_GENERIC || p->isa > ISA_AVX512) return fault(f, E_MALFORMED, "unknown instruction set %d", p->isa);
    return E_OK;
}

static Err check_buffer(const Program *p, int i, Fault *f) {
    const Buffer *b = &p->buffers[i];
    bool ok;
    if (b->space == SPACE_WEIGHT)
        ok = b->offset >= 0 && b->offset < p->nslot && p->slots[b->offset].role == SLOT_WEIGHT &&
             b->bytes == desc_bytes(&p->slots[b->offset].desc);
    else
        ok = (b->space == SPACE_ARENA || b->space == SPACE_KEEP) && b->offset % TVC_ALIGN == 0 &&
             range_ok(b->offset, b->bytes, b->space == SPACE_KEEP ? p->keep_bytes : p->arena_bytes);
    return ok ? E_OK : fault(f, E_MALFORMED, "buffer %d lies outside of its space", i);
}

static Err check_slot(const Program *p, int i, Fault *f) {
    const Slot *s = &p->slots[i];
    if (!text_ok(p, s->name)) return fault(f, E_MALFORMED, "slot %d has no name", i);
    const char *name = program_text(p, s->name);
    if (s->role < SLOT_INPUT || s->role > SLOT_VALUE || s->weight < -1 || !desc_ok(p, &s->desc) ||
        desc_bytes(&s->desc) < 0)
        return fault(f, E_MALFORMED, "slot '%s' makes no sense", name);
    if (s->buffer < -1 || s->buffer >= p->nbuffer || s->update < -1 || s->update >= p->nbuffer)
        return fault(f, E_MALFORMED, "slot '%s' names a buffer that is not there", name);
    if (s->buffer < 0) return s->update < 0 ? E_OK : fault(f, E_MALFORMED, "slot '%s' is updated but nowhere", name);
    const Buffer *b = &p->buffers[s->buffer];
    bool writable = s->role == SLOT_INPUT || s->role == SLOT_PARAM || s->role == SLOT_STATE || s->update >= 0;
    bool kept = s->role == SLOT_PARAM || s->role == SLOT_STATE;
    if ((writable && b->space == SPACE_WEIGHT) || (kept && b->space != SPACE_KEEP) || b->bytes < desc_bytes(&s->desc) ||
        (s->role == SLOT_WEIGHT && (b->space != SPACE_WEIGHT || b->offset != i)) ||
        (s->update >= 0 && p->buffers[s->update].bytes < desc_bytes(&s->desc)))
        return fault(f, E_MALFORMED, "slot '%s' does not fit its buffer", name);
    return E_OK;
}

// A body goes by its descs alone.
static bool body_fits(const Program *p, int r) {
    int64_t bytes = desc_bytes(&p->descs[r]);
    return bytes >= 0 && bytes <= p->buffers[p->refs[r]].bytes;
}

static Err check_step_refs(const Program *p, const Step *s, const char *label, Fault *f) {
    for (int r = s->ref; r < s->ref + s->nref; r++) {
        if (r - s->ref < s->nwritten && p->buffers[p->refs[r]].space == SPACE_WEIGHT)
            return fault(f, E_MALFORMED, "step '%s' would write a weight", label);
        if (s->kind == STEP_BODY && !body_fits(p, r))
            return fault(f, E_MALFORMED, "step '%s': tensor %d does not fit its buffer", label, r - s->ref);
    }
    return E_OK;
}

static Err check_part(const Program *p, int i, Fault *f) {
    const Part *a = &p->parts[i];
    bool ok = range_ok(a->offset, a->bytes, p->code_bytes) && a->offset % TVC_ALIGN == 0 && a->bytes > 0;
    return ok ? E_OK : fault(f, E_MALFORMED, "binary %d lies outside of the code", i);
}

// What every GPU can start.
static Err check_grid(const Program *p, int i, Fault *f) {
    static const int64_t most[3] = {INT32_MAX, 65535, 65535};
    const Grid *g = &p->grids[i];
    bool ok = g->threads > 0 && g->threads <= 1024 && g->shared >= 0 && g->shared <= 48 << 10 &&
              g->part >= 0 && g->part < p->npart && g->workspace >= 0 && g->workspace <= INT32_MAX &&
              g->nnumber <= TVC_MOST_NUMBERS && range_ok(g->number, g->nnumber, p->nnumber);
    for (int d = 0; d < 3 && ok; d++) {
        const GridAxis *a = &g->axis[d];
        ok = a->items >= 0 && a->per_block > 0 && (a->grows == 0 || (a->grows == 1 && a->items % p->max_batch == 0)) &&
             grid_blocks(g, d, p->max_batch, p->max_batch) <= most[d];
    }
    return ok ? E_OK : fault(f, E_MALFORMED, "grid %d makes no sense", i);
}

// Does every element of a product's operand lie in its buffer?
static bool operand_lies(const Program *p, const Step *s, const Product *x, const Operand *o) {
    if (o->ref < 0 || o->ref >= s->nref || o->at < 0) return false;
    DType type = p->descs[s->ref + o->ref].type;
    int64_t last = o->at, span;
    for (int i = 0; i < PRODUCT_AXES; i++)
        if (o->step[i] < 0 || __builtin_mul_overflow(o->step[i], x->size[i] - 1, &span) ||
            __builtin_add_overflow(last, span, &last))
            return false;
    return (type == DT_F32 || dtype_is_narrow(type)) &&
           last < p->buffers[p->refs[s->ref + o->ref]].bytes / dtypes[type].bytes;
}

// Along one of its axes neighbours touch, and what runs along it does not overlap.
static bool matrix_ok(const Program *p, const Step *s, const Product *x, const Operand *o, int row, int column) {
    int fast = o->step[row] == 1 ? row : column, slow = fast == row ? column : row;
    return operand_lies(p, s, x, o) && o->step[fast] == 1 && o->step[slow] >= x->size[fast] &&
           o->step[slow] <= INT32_MAX;
}

static bool product_ok(const Program *p, const Step *s, const Product *x) {
    static const int M = PRODUCT_M, N = PRODUCT_N, K = PRODUCT_K;
    const TensorDesc *desc = p->descs + s->ref;
    for (int i = 0; i < PRODUCT_AXES; i++)
        if (x->size[i] < 1 || x->size[i] > INT32_MAX) return false;
    bool ok = x->grows >= -1 && x->grows < PRODUCT_AXES && (x->grows < 0 || x->size[x->grows] % p->max_batch == 0) &&
              matrix_ok(p, s, x, &x->a, M, K) && matrix_ok(p, s, x, &x->b, K, N) &&
              matrix_ok(p, s, x, &x->d, M, N) && x->d.step[N] == 1 && x->d.ref < s->nwritten;
    ok = ok && (x->c.ref == -1 || (matrix_ok(p, s, x, &x->c, M, N) && x->c.step[N] == 1)) &&
         (x->bias.ref == -1 || (operand_lies(p, s, x, &x->bias) && x->bias.step[N] == 1));
    return ok && desc[x->a.ref].type == desc[x->b.ref].type &&
           (x->c.ref < 0 || desc[x->c.ref].type == desc[x->d.ref].type);
}

static bool grid_ok(const Program *p, const Step *s) {
    if (s->grid < 0 || s->grid >= p->ngrid) return false;
    int product = p->grids[s->grid].product;
    if (product < 0 || product > p->nproduct) return false;
    return !product || product_ok(p, s, &p->products[product - 1]);
}

static bool code_ok(const Program *p, const Step *s) {
    return p->target ? grid_ok(p, s) : p->code || p->code_path;
}

static Err check_step(const Program *p, int i, Fault *f) {
    const Step *s = &p->steps[i];
    if (!text_ok(p, s->label) || !text_ok(p, s->entry)) return fault(f, E_MALFORMED, "step %d has no name", i);
    const char *label = program_text(p, s->label);
    bool ok = s->kind >= STEP_CODE && s->kind <= STEP_FORMULA && s->units >= 0 &&
              (s->per_batch == 0 || (s->per_batch == 1 && s->units % p->max_batch == 0)) &&
              range_ok(s->ref, s->nref, p->nref) && s->nwritten >= 0 && s->nwritten <= s->nref &&
              (s->kind != STEP_BODY || range_ok(s->param, s->nparam, p->nparam)) &&
              (s->kind != STEP_FORMULA || range_ok(s->formula, s->nformula, p->nparam)) &&
              (s->kind != STEP_CODE || code_ok(p, s));
    return ok ? check_step_refs(p, s, label, f) : fault(f, E_MALFORMED, "step %d '%s' makes no sense", i, label);
}

static Err check_function(const Program *p, int i, Fault *f) {
    const Function *fn = &p->functions[i];
    bool ok = text_ok(p, fn->name) && fn->from >= 0 && fn->from <= fn->to && fn->to <= p->nstep &&
              fn->arena_bytes >= 0 && fn->arena_bytes <= p->arena_bytes;
    return ok ? E_OK : fault(f, E_MALFORMED, "function %d names steps that are not there", i);
}

// check(p, i, f) for every i below n; references, slots, buffers, parts, grids, steps: each relies on the last.
static Err check_each(const Program *p, int n, Err (*check)(const Program *, int, Fault *), Fault *f) {
    for (int i = 0; i < n; i++) {
        Err e = check(p, i, f);
        if (e) return e;
    }
    return E_OK;
}

Err program_check(const Program *p, Fault *f) {
    Err e = check_sizes(p, f);
    if (!e) e = check_each(p, p->nref, check_ref, f);
    if (!e) e = check_each(p, p->nslot, check_slot, f);
    if (!e) e = check_each(p, p->nbuffer, check_buffer, f);
    if (!e) e = check_each(p, p->npart, check_part, f);
    if (!e) e = check_each(p, p->ngrid, check_grid, f);
    if (!e) e = check_each(p, p->nstep, check_step, f);
    if (!e) e = check_each(p, p->nfunction, check_function, f);
    return e;
}
