// package.c -- reading a package: map it, compare its hash, look at every number of every target, choose one,
// use it in place.
#include "package.h"
#include "isa.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

// The format is the memory layout of these; a change needs another PACKAGE_VERSION.
_Static_assert(sizeof(PackageHeader) == 64 && sizeof(PackageTarget) == 248 && sizeof(Step) == 88 &&
                   sizeof(Buffer) == 24 && sizeof(TensorDesc) == 80 && sizeof(Slot) == 112 && sizeof(Function) == 32 &&
                   sizeof(Grid) == 112 && sizeof(Product) == 296 && sizeof(Part) == 16,
               "the records of a package have moved");

static Err check_header(const PackageHeader *h, int64_t n, Fault *f) {
    if (n < (int64_t)sizeof *h + PACKAGE_HASH_BYTES || memcmp(h->magic, PACKAGE_MAGIC, sizeof h->magic))
        return fault(f, E_MALFORMED, "not a package of tvc");
    if (h->order != PACKAGE_ORDER) return fault(f, E_DEVICE, "made on a machine of the other byte order");
    if (h->version != PACKAGE_VERSION)
        return fault(f, E_MALFORMED, "a package of version %u; this tvc reads version %d", h->version, PACKAGE_VERSION);
    if (h->file_bytes != n)
        return fault(f, E_MALFORMED, "%lld bytes long, it should be %lld", (long long)n, (long long)h->file_bytes);
    if (h->ntarget < 1 || h->ntarget > PACKAGE_MOST_TARGETS ||
        n < (int64_t)sizeof *h + h->ntarget * (int64_t)sizeof(PackageTarget) + PACKAGE_HASH_BYTES)
        return fault(f, E_MALFORMED, "damaged: it has %d targets", h->ntarget);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(h, (size_t)n - PACKAGE_HASH_BYTES));
    if (memcmp(hash.digest, (const char *)h + n - PACKAGE_HASH_BYTES, PACKAGE_HASH_BYTES))
        return fault(f, E_MALFORMED, "damaged: its hash does not match");
    return E_OK;
}

static bool section_ok(const PackageSection *s, int64_t end) {
    return s->offset >= 0 && s->bytes >= 0 && s->offset % TVC_ALIGN == 0 && s->offset <= end &&
           s->bytes <= end - s->offset;
}

static const void *section_at(const PackageHeader *h, const PackageSection *s) {
    return s->bytes ? (const char *)h + s->offset : NULL;
}

// How many elements of `size` a section holds; -1: no whole number, or too many.
static int64_t section_count(const PackageSection *s, size_t size) {
    int64_t each = (int64_t)size;
    return s->bytes % each || s->bytes / each > INT32_MAX ? -1 : s->bytes / each;
}

static Err find_arrays(Program *r, const PackageHeader *h, const PackageTarget *t, Fault *f) {
    for (int i = 0; i < PACKAGE_NSECTIONS; i++)
        if (!section_ok(&t->section[i], h->file_bytes - PACKAGE_HASH_BYTES))
            return fault(f, E_MALFORMED, "damaged: section %d lies outside of the file", i);
    *r = (Program){
        .arena_bytes = t->arena_bytes, .keep_bytes = t->keep_bytes,
        .max_batch = t->max_batch, .target = t->target, .isa = t->isa, .lanes = t->lanes,
        .code = section_at(h, &t->section[PACKAGE_CODE]), .code_bytes = t->section[PACKAGE_CODE].bytes,
    };
    int64_t n;
#define X(name, array, count)                                                                          \
    n = section_count(&t->section[PACKAGE_##name], sizeof *r->array);                                  \
    if (n < 0) return fault(f, E_MALFORMED, "damaged: section %d has an odd size", PACKAGE_##name);    \
    r->count = (int32_t)n;                                                                             \
    r->array = (void *)(uintptr_t)section_at(h, &t->section[PACKAGE_##name]);  /* never written to */
    PACKAGE_SECTIONS(X)
#undef X
    if (section_count(&t->section[PACKAGE_REFS], sizeof *r->refs) !=
        section_count(&t->section[PACKAGE_DESCS], sizeof *r->descs))
        return fault(f, E_MALFORMED, "damaged: its tensors are incomplete");
    return program_check(r, f);
}

static bool has_weight(const Slot *s) {
    return s->weight >= 0 && (s->role == SLOT_WEIGHT || s->role == SLOT_PARAM || s->role == SLOT_STATE);
}

// The slots have been checked.
static Err check_weights(const Program *p, const PackageHeader *h, Fault *f) {
    for (int i = 0; i < p->nslot; i++) {
        const Slot *s = &p->slots[i];
        PackageSection place = {s->weight, desc_bytes(&s->desc)};
        if (has_weight(s) && !section_ok(&place, h->weights.bytes))
            return fault(f, E_MALFORMED, "damaged: '%s' lies outside of the weights", program_text(p, s->name));
    }
    return E_OK;
}

static Err find_weights(Package *p, const PackageHeader *h, Fault *f) {
    p->weights = calloc((size_t)p->program.nslot + 1, sizeof *p->weights);
    if (!p->weights) return fault(f, E_LIMIT, "no memory for %d slots", p->program.nslot);
    p->program.weights = p->weights;
    for (int i = 0; i < p->program.nslot; i++) {
        const Slot *s = &p->program.slots[i];
        if (has_weight(s)) p->weights[i] = (const char *)h + h->weights.offset + s->weight;
    }
    return E_OK;
}

// ---- which target ----

static Err check_machine(const PackageTarget *t, Fault *f) {
    if (!t->section[PACKAGE_CODE].bytes) return E_OK;
    const char *made_for = machine_name(t->machine), *lack = isa_lacking(t->isa);
    if (!made_for) return fault(f, E_MALFORMED, "damaged: unknown machine %d", t->machine);
    if (t->machine != (int32_t)machine_host())
        return fault(f, E_DEVICE, "made for %s, this machine is %s", made_for, machine_name(machine_host()));
    return lack ? fault(f, E_DEVICE, "made for %s; this machine has no %s", isa_name(t->isa), lack) : E_OK;
}

// How well code for one GPU runs on another, both as "cuda:sm_90": 0, not at all. A binary runs on later GPUs of the
// same generation (sm_80 on sm_86), PTX on all later ones; "sm_90a" on nothing else.
static int gpu_rank(const char *made_for, const char *gpu) {
    int has = 0, is = 0;
    char end;
    if (sscanf(gpu, "cuda:sm_%d", &is) != 1) return 0;
    if (sscanf(made_for, "cuda:compute_%d%c", &has, &end) == 1) return has <= is ? 1 : 0;
    if (sscanf(made_for, "cuda:sm_%d%c", &has, &end) == 2) return has == is && end == 'a' ? 1000 : 0;
    return has / 10 == is / 10 && has <= is ? 1 + has : 0;
}

static int rank_of(const Program *p, const PackageTarget *t, const char *device, Fault *f) {
    const char *made_for = program_text(p, p->target);
    bool cpu = !p->target;
    if (!device && !cpu) return 1;
    if (!device || !strcmp(device, "cpu")) {
        if (!cpu) return fault(f, E_DEVICE, "made for %s, not for the CPU", made_for), 0;
        return check_machine(t, f) ? 0 : 2 + t->isa;
    }
    int rank = cpu ? 0 : gpu_rank(made_for, device);
    if (!rank)
        fault(f, E_DEVICE, "made for %s, not for %s: compile with --target %s", cpu ? "the CPU" : made_for, device,
              device);
    return rank;
}

// Every target is looked over; the best one counts. With only one, *f says what is wrong with it.
static Err choose(Package *p, const PackageHeader *h, const char *device, Fault *f) {
    const PackageTarget *t = (const PackageTarget *)(h + 1);
    int best = 0;
    for (int i = 0; i < h->ntarget; i++) {
        Program r;
        Fault why = {0};
        Err e = find_arrays(&r, h, &t[i], f);
        if (!e) e = check_weights(&r, h, f);
        if (e) return e;
        int rank = rank_of(&r, &t[i], device, &why);
        if (why.code == E_MALFORMED || (!rank && !best)) *f = why;
        if (why.code == E_MALFORMED) return f->code;
        if (rank > best) best = rank, p->program = r;
    }
    if (best) return E_OK;
    if (h->ntarget > 1)
        return fault(f, E_DEVICE, "none of its %d targets fits %s", h->ntarget, device ? device : "this machine");
    return f->code;
}

Err package_read(Package *p, const void *bytes, int64_t n, const char *device, Fault *f) {
    const PackageHeader *h = bytes;
    *p = (Package){0};
    Err e = check_header(h, n, f);
    if (e) return e;
    if (!section_ok(&h->meta, n - PACKAGE_HASH_BYTES) || !section_ok(&h->weights, n - PACKAGE_HASH_BYTES))
        return fault(f, E_MALFORMED, "damaged: its weights lie outside of the file");
    p->ntarget = h->ntarget, p->meta = section_at(h, &h->meta), p->meta_bytes = h->meta.bytes;
    e = choose(p, h, device, f);
    return e ? e : find_weights(p, h, f);
}

static const void *map_file(const char *path, int64_t *n, Fault *f) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    void *map = MAP_FAILED;
    if (fd < 0 || fstat(fd, &st)) {
        fault(f, E_IO, "%s", strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        fault(f, E_IO, "not a file");
    } else if (!st.st_size) {
        fault(f, E_MALFORMED, "empty");
    } else {
        *n = st.st_size;
        map = mmap(NULL, (size_t)*n, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED) fault(f, E_IO, "cannot be mapped: %s", strerror(errno));
    }
    if (fd >= 0) close(fd);
    return map == MAP_FAILED ? NULL : map;
}

Err package_open(Package *p, const char *path, const char *device, Fault *f) {
    int64_t n;
    *p = (Package){0};
    const void *map = map_file(path, &n, f);
    if (!map) return f->code;
    Err e = package_read(p, map, n, device, f);
    p->map = map, p->map_bytes = n;
    return e;
}

void package_close(Package *p) {
    free(p->weights);
    if (p->map) munmap((void *)(uintptr_t)p->map, (size_t)p->map_bytes);
    *p = (Package){0};
}
