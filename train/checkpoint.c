// checkpoint.c -- see checkpoint.h.
#include "checkpoint.h"

#include <errno.h>
#include <unistd.h>
#include <xxhash.h>

enum { VERSION = 1, ALIGN = 64, MAGIC = 8, HASH = 16, NAME_MAX_BYTES = 1 << 16 };

static const char magic[MAGIC] = "tvcckpt\n";

// ---- writing ----

typedef struct Writing { Cx *cx; const char *path; const Checkpoint *c; } Writing;

typedef struct Out { OutFile *file; XXH3_state_t *hash; } Out;

static void put(Out *o, const void *data, size_t n) {
    file_write(o->file, data, n);
    XXH3_128bits_update(o->hash, data, n);
}

static void put_u32(Out *o, uint32_t v) { put(o, &v, sizeof v); }

static void put_entry(Out *o, const Entry *e) {
    static const char zeros[ALIGN];
    put_u32(o, (uint32_t)strlen(e->name)), put_u32(o, (uint32_t)e->desc.type);
    put_u32(o, (uint32_t)e->desc.rank), put_u32(o, 0);
    put(o, e->desc.dim, sizeof *e->desc.dim * (size_t)e->desc.rank);
    put(o, e->name, strlen(e->name));
    put(o, zeros, (ALIGN - file_written(o->file) % ALIGN) % ALIGN);
    put(o, e->data, (size_t)desc_bytes(&e->desc));
}

static void free_hash(void *h) { XXH3_freeState(h); }

// The file there now becomes the one before.
static void keep_former(Cx *cx, const char *path) {
    if (rename(path, cx_fmt(cx, "%s.1", path)) && errno != ENOENT)
        fail(cx, E_IO, "%s: cannot be kept as the one before: %s", cx_show(cx, path), strerror(errno));
}

static void write_all(void *arg) {
    const Writing *w = arg;
    Out o = {file_create(w->cx, w->path), XXH3_createState()};
    if (!o.hash) fail(w->cx, E_LIMIT, "out of memory");
    cx_defer(w->cx, free_hash, o.hash);
    XXH3_128bits_reset(o.hash);
    put(&o, magic, MAGIC), put_u32(&o, VERSION), put_u32(&o, (uint32_t)w->c->n);
    for (int i = 0; i < w->c->n; i++) put_entry(&o, &w->c->at[i]);
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits_digest(o.hash));
    file_write(o.file, &sum, HASH);
    file_sync(o.file);
    keep_former(w->cx, w->path);
    file_commit(o.file);
}

// In a request of its own, so that a full disk ends this one alone.
bool checkpoint_write(const char *path, const Checkpoint *c, Fault *f) {
    Cx *cx = cx_new();
    if (!cx) return fault(f, E_LIMIT, "out of memory"), false;
    bool ok = cx_guard(cx, write_all, &(Writing){cx, path, c});
    if (!ok) fault(f, cx->code, "%s", cx->error);
    cx_free(cx);
    return ok;
}

// ---- reading ----

typedef struct In { Cx *cx; const char *shown; const uint8_t *at; size_t pos, n; } In;

_Noreturn static void damaged(const In *in, const char *why) {
    fail(in->cx, E_MALFORMED, "checkpoint %s, byte %zu: %s", cx_show(in->cx, in->shown), in->pos, why);
}

static const void *take(In *in, size_t n) {
    if (n > in->n - in->pos) damaged(in, "it ends too early");
    const void *p = in->at + in->pos;
    in->pos += n;
    return p;
}

static uint32_t take_u32(In *in) {
    uint32_t v;
    memcpy(&v, take(in, sizeof v), sizeof v);
    return v;
}

static Entry take_entry(In *in) {
    uint32_t name = take_u32(in), type = take_u32(in), rank = take_u32(in);
    Entry e = {.desc = {.type = (DType)type, .rank = (int32_t)rank}};
    take_u32(in);
    if (name == 0 || name > NAME_MAX_BYTES) damaged(in, "the name of an array has no sensible length");
    if (type == DT_NONE || type >= NDTYPES) damaged(in, "an array has a type that does not exist");
    if (rank > TVC_MAXDIM) damaged(in, "an array has too many axes");
    memcpy(e.desc.dim, take(in, sizeof *e.desc.dim * rank), sizeof *e.desc.dim * rank);
    e.name = cx_str(in->cx, take(in, name), name);
    if (strlen(e.name) != name) damaged(in, "a name has a NUL within");
    take(in, (ALIGN - in->pos % ALIGN) % ALIGN);
    int64_t bytes = desc_bytes(&e.desc);
    if (bytes < 0) damaged(in, "the size of an array does not fit");
    e.data = take(in, (size_t)bytes);
    return e;
}

static int by_name(const void *a, const void *b) { return strcmp(((const Entry *)a)->name, ((const Entry *)b)->name); }

static void check_sum(In *in) {
    XXH128_canonical_t sum;
    if (in->n < MAGIC + 2 * sizeof(uint32_t) + HASH || memcmp(in->at, magic, MAGIC) != 0)
        damaged(in, "this is no checkpoint");
    in->n -= HASH;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(in->at, in->n));
    if (memcmp(&sum, in->at + in->n, HASH) != 0) damaged(in, "its checksum does not fit: it is damaged or cut off");
}

Checkpoint checkpoint_parse(Cx *cx, const char *shown, Bytes bytes) {
    In in = {cx, shown, bytes.at, 0, bytes.n};
    Checkpoint c = {0};
    check_sum(&in);
    take(&in, MAGIC);
    uint32_t version = take_u32(&in), n = take_u32(&in);
    if (version != VERSION) damaged(&in, cx_fmt(cx, "format %u, this tvc reads format %d", version, VERSION));
    for (uint32_t i = 0; i < n; i++) {
        Entry e = take_entry(&in);
        *VEC_PUSH(cx, c.at, c.n) = e;
    }
    if (in.pos != in.n) damaged(&in, "there is more behind the last array");
    if (c.n) qsort(c.at, (size_t)c.n, sizeof *c.at, by_name);
    for (int i = 1; i < c.n; i++)
        if (by_name(&c.at[i - 1], &c.at[i]) == 0) damaged(&in, "two arrays have one name");
    return c;
}

const Entry *checkpoint_find(const Checkpoint *c, const char *name) {
    Entry key = {.name = name};
    return c->n ? bsearch(&key, c->at, (size_t)c->n, sizeof *c->at, by_name) : NULL;
}

// ---- the newest one that is whole ----

typedef struct Attempt { Cx *cx, *own; const char *path; } Attempt;

static void try_it(void *arg) {
    const Attempt *a = arg;
    checkpoint_parse(a->own, a->path, file_map(a->own, a->path));
}

// Looked at in a request of its own: a damaged one must not end this one.
static bool is_whole(Cx *cx, const char *path, Err *code, const char **why) {
    Attempt a = {cx, cx_new(), path};
    if (!a.own) fail(cx, E_LIMIT, "out of memory");
    bool ok = cx_guard(a.own, try_it, &a);
    if (!ok) *why = cx_fmt(cx, "%s", a.own->error), *code = a.own->code;
    cx_free(a.own);
    return ok;
}

Checkpoint checkpoint_read(Cx *cx, const char *path) {
    const char *why, *why_former, *former = cx_fmt(cx, "%s.1", path);
    Err code, code_former;
    if (is_whole(cx, path, &code, &why)) return checkpoint_parse(cx, path, file_map(cx, path));
    if (!is_whole(cx, former, &code_former, &why_former)) fail(cx, code, "%s", why);
    cx_note(cx, "%s; going on from the one before", why);
    return checkpoint_parse(cx, former, file_map(cx, former));
}
