// save.c -- writing a package: first where everything goes, then one pass over it, hashed on the way.
#include "save.h"
#include "ir/file.h"
#include "runtime/isa.h"
#include "runtime/package.h"
#include <xxhash.h>

typedef struct Saving {
    Cx *cx;
    const Program *p;
    PackageHeader header;
    Slot *slots;                       // the program's, with places for their weights
    const void *data[PACKAGE_NSECTIONS];
    OutFile *file;
    XXH3_state_t *hash;
} Saving;

static int64_t align_up(int64_t n) { return (n + TVC_ALIGN - 1) / TVC_ALIGN * TVC_ALIGN; }

// ---- where everything goes ----

static const void *weight_of(const Saving *s, int slot) {
    int role = s->slots[slot].role;
    bool has = s->p->weights && (role == SLOT_WEIGHT || role == SLOT_PARAM || role == SLOT_STATE);
    return has ? s->p->weights[slot] : NULL;
}

static int slot_sharing(const Saving *s, int slot) {
    for (int i = 0; i < slot; i++)
        if (weight_of(s, i) == weight_of(s, slot) && desc_bytes(&s->slots[i].desc) == desc_bytes(&s->slots[slot].desc)) return i;
    return slot;
}

static int64_t place_weights(Saving *s) {
    int64_t end = 0;
    for (int i = 0; i < s->p->nslot; i++) {
        s->slots[i].weight = -1;
        if (!weight_of(s, i)) continue;
        int first = slot_sharing(s, i);
        s->slots[i].weight = first < i ? s->slots[first].weight : end;
        if (first == i) end += align_up(desc_bytes(&s->slots[i].desc));
    }
    return end;
}

static void set_section(Saving *s, int i, const void *data, int64_t bytes) {
    s->data[i] = data;
    s->header.section[i].bytes = bytes;
}

static void set_sections(Saving *s, const char *meta, size_t meta_bytes) {
    const Program *p = s->p;
    Bytes code = {p->code, (size_t)p->code_bytes};
    if (!p->code && p->code_path) code = file_map(s->cx, p->code_path);
#define X(name, array, count) set_section(s, PACKAGE_##name, p->array, (int64_t)p->count * (int64_t)sizeof *p->array);
    PACKAGE_SECTIONS(X)
#undef X
    s->data[PACKAGE_SLOTS] = s->slots;
    set_section(s, PACKAGE_CODE, code.at, (int64_t)code.n);
    set_section(s, PACKAGE_META, meta, (int64_t)meta_bytes);
    set_section(s, PACKAGE_WEIGHTS, NULL, place_weights(s));
}

static void set_offsets(Saving *s) {
    int64_t end = align_up(sizeof s->header);
    for (int i = 0; i < PACKAGE_NSECTIONS; i++) {
        s->header.section[i].offset = end;
        end = align_up(end + s->header.section[i].bytes);
    }
    s->header.file_bytes = end + PACKAGE_HASH_BYTES;
}

// ---- writing ----

static void put(Saving *s, const void *data, int64_t n) {
    static const char zeros[TVC_ALIGN];
    if (n && XXH3_128bits_update(s->hash, data, (size_t)n) != XXH_OK) fail(s->cx, E_INTERNAL, "hashing failed");
    file_write(s->file, data, (size_t)n);
    int64_t pad = align_up(n) - n;
    XXH3_128bits_update(s->hash, zeros, (size_t)pad);
    file_write(s->file, zeros, (size_t)pad);
}

static void put_weights(Saving *s) {
    int64_t end = 0;
    for (int i = 0; i < s->p->nslot; i++) {
        if (s->slots[i].weight < end) continue;                  // none, or shared with an earlier one
        int64_t bytes = desc_bytes(&s->slots[i].desc);
        put(s, weight_of(s, i), bytes);
        end += align_up(bytes);
    }
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

void program_save(Cx *cx, const char *path, const Program *p, const char *meta, size_t meta_bytes) {
    Fault f;
    if (program_check(p, &f)) fail(cx, f.code, "%s", f.text);
    Saving s = {.cx = cx, .p = p, .slots = NEW(cx, Slot, p->nslot), .header = {
        .magic = PACKAGE_MAGIC, .order = PACKAGE_ORDER, .version = PACKAGE_VERSION, .machine = (int32_t)machine_host(),
        .target = p->target, .isa = p->isa, .lanes = p->lanes, .arena_bytes = p->arena_bytes, .keep_bytes = p->keep_bytes,
        .max_batch = p->max_batch,
    }};
    if (p->nslot) memcpy(s.slots, p->slots, sizeof(Slot) * (size_t)p->nslot);
    set_sections(&s, meta, meta_bytes);
    set_offsets(&s);
    start_hash(&s);
    s.file = file_create(cx, path);
    put(&s, &s.header, sizeof s.header);
    for (int i = 0; i < PACKAGE_WEIGHTS; i++) put(&s, s.data[i], s.header.section[i].bytes);
    put_weights(&s);
    put_hash(&s);
    file_commit(s.file);
}
