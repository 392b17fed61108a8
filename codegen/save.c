// save.c -- writing a package: first where everything goes, then one pass over it, hashed on the way.
#include "save.h"
#include "ir/file.h"
#include "runtime/isa.h"
#include "runtime/package.h"
#include <xxhash.h>

typedef struct Target {
    const Program *p;
    PackageTarget record;
    Slot *slots;                       // the program's, with places for their weights
    const void *data[PACKAGE_NSECTIONS];
} Target;

typedef struct Stored { const void *at; int64_t bytes, place; uint64_t hash; } Stored;

typedef struct Saving {
    Cx *cx;
    int n;
    Target *target;
    PackageHeader header;
    const char *meta;
    int nstored;
    Stored *stored;                    // weights, in the order of their places
    OutFile *file;
    XXH3_state_t *hash;
} Saving;

static int64_t align_up(int64_t n) { return (n + TVC_ALIGN - 1) / TVC_ALIGN * TVC_ALIGN; }

// ---- where everything goes ----

static const void *weight_of(const Target *t, int slot) {
    int role = t->slots[slot].role;
    bool has = t->p->weights && (role == SLOT_WEIGHT || role == SLOT_PARAM || role == SLOT_STATE);
    return has ? t->p->weights[slot] : NULL;
}

// The place of a weight: where the same bytes already are, or behind all others.
static int64_t place_of(Saving *s, const void *at, int64_t bytes) {
    Stored w = {.at = at, .bytes = bytes, .hash = XXH3_64bits(at, (size_t)bytes)};
    for (int i = 0; i < s->nstored; i++) {
        const Stored *x = &s->stored[i];
        if (x->hash == w.hash && x->bytes == bytes && (x->at == at || !memcmp(x->at, at, (size_t)bytes)))
            return x->place;
    }
    w.place = s->header.weights.bytes;
    s->header.weights.bytes += align_up(bytes);
    *VEC_PUSH(s->cx, s->stored, s->nstored) = w;
    return w.place;
}

static void place_weights(Saving *s, Target *t) {
    for (int i = 0; i < t->p->nslot; i++) {
        const void *at = weight_of(t, i);
        t->slots[i].weight = at ? place_of(s, at, desc_bytes(&t->slots[i].desc)) : -1;
    }
}

static void set_section(Target *t, int i, const void *data, int64_t bytes) {
    t->data[i] = data;
    t->record.section[i].bytes = bytes;
}

static void set_target(Saving *s, Target *t, const Program *p) {
    Fault f;
    if (program_check(p, &f)) fail(s->cx, f.code, "%s", f.text);
    *t = (Target){.p = p, .slots = NEW(s->cx, Slot, p->nslot), .record = {
        .machine = (int32_t)machine_host(), .isa = p->isa, .lanes = p->lanes, .target = p->target,
        .arena_bytes = p->arena_bytes, .keep_bytes = p->keep_bytes, .max_batch = p->max_batch,
    }};
    if (p->nslot) memcpy(t->slots, p->slots, sizeof(Slot) * (size_t)p->nslot);
    Bytes code = {p->code, (size_t)p->code_bytes};
    if (!p->code && p->code_path) code = file_map(s->cx, p->code_path);
#define X(name, array, count) set_section(t, PACKAGE_##name, p->array, (int64_t)p->count * (int64_t)sizeof *p->array);
    PACKAGE_SECTIONS(X)
#undef X
    t->data[PACKAGE_SLOTS] = t->slots;
    set_section(t, PACKAGE_CODE, code.at, (int64_t)code.n);
    place_weights(s, t);
}

static int64_t place_section(PackageSection *s, int64_t end) {
    s->offset = end;
    return align_up(end + s->bytes);
}

static void set_offsets(Saving *s) {
    int64_t end = align_up((int64_t)sizeof s->header + s->n * (int64_t)sizeof(PackageTarget));
    for (int t = 0; t < s->n; t++)
        for (int i = 0; i < PACKAGE_NSECTIONS; i++) end = place_section(&s->target[t].record.section[i], end);
    end = place_section(&s->header.meta, end);
    end = place_section(&s->header.weights, end);
    s->header.file_bytes = end + PACKAGE_HASH_BYTES;
}

// ---- writing ----

static void put_bytes(Saving *s, const void *data, int64_t n) {
    if (n && XXH3_128bits_update(s->hash, data, (size_t)n) != XXH_OK) fail(s->cx, E_INTERNAL, "hashing failed");
    file_write(s->file, data, (size_t)n);
}

static void pad(Saving *s, int64_t n) {
    static const char zeros[TVC_ALIGN];
    put_bytes(s, zeros, align_up(n) - n);
}

static void put(Saving *s, const void *data, int64_t n) {
    put_bytes(s, data, n);
    pad(s, n);
}

static void put_all(Saving *s) {
    put_bytes(s, &s->header, sizeof s->header);
    for (int t = 0; t < s->n; t++) put_bytes(s, &s->target[t].record, sizeof(PackageTarget));
    pad(s, (int64_t)sizeof s->header + s->n * (int64_t)sizeof(PackageTarget));
    for (int t = 0; t < s->n; t++)
        for (int i = 0; i < PACKAGE_NSECTIONS; i++) put(s, s->target[t].data[i], s->target[t].record.section[i].bytes);
    put(s, s->meta, s->header.meta.bytes);
    for (int i = 0; i < s->nstored; i++) put(s, s->stored[i].at, s->stored[i].bytes);
}

static void put_hash(Saving *s) {
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(s->hash));
    file_write(s->file, hash.digest, sizeof hash.digest);
}

static void free_hash(void *state) { XXH3_freeState(state); }

static void start_hash(Saving *s) {
    s->hash = XXH3_createState();
    if (!s->hash) fail(s->cx, E_LIMIT, "no memory");
    cx_defer(s->cx, free_hash, s->hash);
    XXH3_128bits_reset(s->hash);
}

void program_save(Cx *cx, const char *path, const Program *const *p, int n, const char *meta, size_t meta_bytes) {
    Saving s = {.cx = cx,
                .n = n,
                .target = NEW(cx, Target, n),
                .meta = meta,
                .header = {
                    .magic = PACKAGE_MAGIC,
                    .order = PACKAGE_ORDER,
                    .version = PACKAGE_VERSION,
                    .ntarget = n,
                    .meta.bytes = (int64_t)meta_bytes,
                }};
    if (n < 1 || n > PACKAGE_MOST_TARGETS)
        fail(cx, E_USAGE, "a package of %d targets: at most %d", n, PACKAGE_MOST_TARGETS);
    for (int i = 0; i < n; i++) set_target(&s, &s.target[i], p[i]);
    set_offsets(&s);
    start_hash(&s);
    s.file = file_create(cx, path);
    put_all(&s);
    put_hash(&s);
    file_commit(s.file);
}
