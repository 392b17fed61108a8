// store.c -- see store.h.
#include "store.h"
#include "../codegen/cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { VERSION = 1, MAGIC = 8 };

static const char magic[MAGIC] = "tvcfeat\n";
static const char ending[] = ".features";

typedef struct Head { char magic[MAGIC]; uint32_t version, zero; uint64_t n, each; Key made_by; } Head;
typedef struct Index { Key key; uint64_t sum; } Index;

Key key_of(const void *data, size_t n, const Key *seed) {
    XXH128_hash_t h = XXH3_128bits(data, n);
    Key both[2] = {seed ? *seed : (Key){{0}}, {{h.low64, h.high64}}};
    if (seed) h = XXH3_128bits(both, sizeof both);
    return (Key){{h.low64, h.high64}};
}

static bool same_key(const Key *a, const Key *b) { return a->at[0] == b->at[0] && a->at[1] == b->at[1]; }
static bool is_key(const Key *k) { return k->at[0] || k->at[1]; }

// ---- reading ----

typedef struct Held { const Index *index; uint64_t n; const char *rows; } Held;

typedef struct Reading { Cx *cx; const Store *s; Rows *r; int damaged; } Reading;

static int by_key(const void *a, const void *b) {
    const Key *x = &((const Index *const *)a)[0]->key, *y = &((const Index *const *)b)[0]->key;
    return x->at[0] != y->at[0] ? (x->at[0] > y->at[0]) - (x->at[0] < y->at[0])
                                : (x->at[1] > y->at[1]) - (x->at[1] < y->at[1]);
}

static uint64_t sum_of(const Head *head, const Index *index) {
    return XXH3_64bits_withSeed(index, head->n * sizeof *index, XXH3_64bits(head, sizeof *head));
}

// The parts of a file whose sizes and sum fit; false: it is damaged, or of other rows.
static bool take_apart(Bytes b, const Store *s, size_t each, Held *h) {
    Head head;
    if (b.n < sizeof head) return false;
    memcpy(&head, b.at, sizeof head);
    bool mine = memcmp(head.magic, magic, MAGIC) == 0 && head.version == VERSION && head.each == each &&
                same_key(&head.made_by, &s->made_by);
    uint64_t room = b.n - sizeof head, per_row = sizeof(Index) + each, sum;
    if (!mine || room < sizeof sum || (room - sizeof sum) / per_row != head.n || (room - sizeof sum) % per_row)
        return false;
    *h = (Held){(const Index *)(b.at + sizeof head), head.n, NULL};
    const uint8_t *end = (const uint8_t *)(h->index + head.n);
    memcpy(&sum, end, sizeof sum);
    h->rows = (const char *)end + sizeof sum;
    return sum_of(&head, h->index) == sum;
}

static void copy_row(Reading *g, const Held *h, const Index *from, int64_t to) {
    const char *row = h->rows + (uint64_t)(from - h->index) * g->r->each;
    if (XXH3_64bits(row, g->r->each) != from->sum) {
        g->damaged++;
        return;
    }
    memcpy(g->r->at + (size_t)to * g->r->each, row, g->r->each);
    g->r->have[to] = true;
}

static void read_all(void *reading) {
    Reading *g = reading;
    Bytes b = file_map(g->cx, g->s->path);
    Held h;
    if (!take_apart(b, g->s, g->r->each, &h)) fail(g->cx, E_MALFORMED, "%s is damaged", cx_show(g->cx, g->s->path));
    const Index **sorted = NEW(g->cx, const Index *, h.n);
    for (uint64_t i = 0; i < h.n; i++) sorted[i] = &h.index[i];
    if (h.n) qsort(sorted, h.n, sizeof *sorted, by_key);
    for (int64_t i = 0; i < g->r->n; i++) {
        Index want = {.key = g->r->key[i]};
        const Index *p = &want,
                    **found = h.n && is_key(&want.key) ? bsearch(&p, sorted, h.n, sizeof *sorted, by_key) : NULL;
        if (found) copy_row(g, &h, *found, i);
    }
}

void store_read(Cx *cx, const Store *s, Rows *r) {
    if (!s->path || access(s->path, R_OK)) return;
    Reading g = {cx_new(), s, r, 0};
    if (!g.cx) return;
    if (!cx_guard(g.cx, read_all, &g)) cx_note(cx, "features kept before are computed again: %s", g.cx->error);
    if (g.damaged) cx_note(cx, "%d of the features kept before are damaged, and are computed again", g.damaged);
    cx_free(g.cx);
    utimensat(AT_FDCWD, s->path, NULL, 0);                // used just now
}

// ---- writing ----

typedef struct Writing { Cx *cx; const Store *s; const Rows *r; } Writing;

static void write_all(void *writing) {
    const Writing *w = writing;
    const Rows *r = w->r;
    Head head = {.version = VERSION, .each = r->each, .made_by = w->s->made_by};
    Index *index = NEW(w->cx, Index, r->n);
    memcpy(head.magic, magic, MAGIC);
    for (int64_t i = 0; i < r->n; i++)
        if (r->have[i] && is_key(&r->key[i]))
            index[head.n++] = (Index){r->key[i], XXH3_64bits(r->at + (size_t)i * r->each, r->each)};
    uint64_t bytes = sizeof head + head.n * (sizeof *index + r->each) + sizeof(uint64_t);
    if (head.n == 0 || bytes > w->s->limit) return;
    cache_trim(w->cx, w->s->folder, ending, w->s->path, w->s->limit - bytes);
    uint64_t sum = sum_of(&head, index);
    OutFile *f = file_create(w->cx, w->s->path);
    file_write(f, &head, sizeof head), file_write(f, index, head.n * sizeof *index), file_write(f, &sum, sizeof sum);
    for (int64_t i = 0; i < r->n; i++)
        if (r->have[i] && is_key(&r->key[i])) file_write(f, r->at + (size_t)i * r->each, r->each);
    file_commit(f);
}

void store_write(Cx *cx, const Store *s, const Rows *r) {
    Writing w = {cx_new(), s, r};
    if (s->path && w.cx && !cx_guard(w.cx, write_all, &w))
        cx_note(cx, "features are not kept for the next run: %s", w.cx->error);
    if (w.cx) cx_free(w.cx);
}
