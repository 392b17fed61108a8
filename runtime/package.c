// package.c -- reading a package: map it, compare its hash, look at every number, use it in place.
#include "package.h"
#include "isa.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

// The format is the memory layout of these; a change needs another PACKAGE_VERSION.
_Static_assert(sizeof(PackageHeader) == 272 && sizeof(Step) == 88 && sizeof(Buffer) == 24 && sizeof(TensorDesc) == 80 &&
               sizeof(Slot) == 112 && sizeof(Function) == 32 && sizeof(Grid) == 96 && sizeof(Part) == 16, "the records of a package have moved");

static Err check_header(const PackageHeader *h, int64_t n, Fault *f) {
    if (n < (int64_t)sizeof *h + PACKAGE_HASH_BYTES || memcmp(h->magic, PACKAGE_MAGIC, sizeof h->magic))
        return fault(f, E_MALFORMED, "not a package of tvc");
    if (h->order != PACKAGE_ORDER) return fault(f, E_DEVICE, "made on a machine of the other byte order");
    if (h->version != PACKAGE_VERSION)
        return fault(f, E_MALFORMED, "a package of version %u; this tvc reads version %d", h->version, PACKAGE_VERSION);
    if (h->file_bytes != n)
        return fault(f, E_MALFORMED, "%lld bytes long, it should be %lld", (long long)n, (long long)h->file_bytes);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(h, (size_t)n - PACKAGE_HASH_BYTES));
    if (memcmp(hash.digest, (const char *)h + n - PACKAGE_HASH_BYTES, PACKAGE_HASH_BYTES))
        return fault(f, E_MALFORMED, "damaged: its hash does not match");
    return E_OK;
}

static bool section_ok(const PackageSection *s, int64_t end) {
    return s->offset >= 0 && s->bytes >= 0 && s->offset % TVC_ALIGN == 0 && s->offset <= end && s->bytes <= end - s->offset;
}

static const void *section_at(const PackageHeader *h, int i) {
    return h->section[i].bytes ? (const char *)h + h->section[i].offset : NULL;
}

// How many elements of `size` section i holds; -1: no whole number, or too many.
static int64_t section_count(const PackageHeader *h, int i, size_t size) {
    int64_t bytes = h->section[i].bytes, each = (int64_t)size;
    return bytes % each || bytes / each > INT32_MAX ? -1 : bytes / each;
}

static Err find_arrays(Package *p, const PackageHeader *h, Fault *f) {
    Program *r = &p->program;
    for (int i = 0; i < PACKAGE_NSECTIONS; i++)
        if (!section_ok(&h->section[i], h->file_bytes - PACKAGE_HASH_BYTES))
            return fault(f, E_MALFORMED, "damaged: section %d lies outside of the file", i);
    *r = (Program){
        .arena_bytes = h->arena_bytes, .keep_bytes = h->keep_bytes,
        .max_batch = h->max_batch, .target = h->target, .isa = h->isa, .lanes = h->lanes,
        .code = section_at(h, PACKAGE_CODE), .code_bytes = h->section[PACKAGE_CODE].bytes,
    };
    int64_t n;
#define X(name, array, count)                                                                          \
    n = section_count(h, PACKAGE_##name, sizeof *r->array);                                            \
    if (n < 0) return fault(f, E_MALFORMED, "damaged: section %d has an odd size", PACKAGE_##name);    \
    r->count = (int32_t)n;                                                                             \
    r->array = (void *)(uintptr_t)section_at(h, PACKAGE_##name);  /* never written to */
    PACKAGE_SECTIONS(X)
#undef X
    if (section_count(h, PACKAGE_REFS, sizeof *r->refs) != section_count(h, PACKAGE_DESCS, sizeof *r->descs))
        return fault(f, E_MALFORMED, "damaged: its tensors are incomplete");
    p->meta = section_at(h, PACKAGE_META);
    p->meta_bytes = h->section[PACKAGE_META].bytes;
    return E_OK;
}

static bool has_weight(const Slot *s) {
    return s->weight >= 0 && (s->role == SLOT_WEIGHT || s->role == SLOT_PARAM || s->role == SLOT_STATE);
}

// The slots have been checked.
static Err find_weights(Package *p, const PackageHeader *h, Fault *f) {
    const PackageSection *all = &h->section[PACKAGE_WEIGHTS];
    p->weights = calloc((size_t)p->program.nslot + 1, sizeof *p->weights);
    if (!p->weights) return fault(f, E_LIMIT, "no memory for %d slots", p->program.nslot);
    p->program.weights = p->weights;
    for (int i = 0; i < p->program.nslot; i++) {
        const Slot *s = &p->program.slots[i];
        if (!has_weight(s)) continue;
        PackageSection place = {s->weight, desc_bytes(&s->desc)};
        if (!section_ok(&place, all->bytes))
            return fault(f, E_MALFORMED, "damaged: '%s' lies outside of the weights", program_text(&p->program, s->name));
        p->weights[i] = (const char *)h + all->offset + s->weight;
    }
    return E_OK;
}

static Err check_machine(const PackageHeader *h, Fault *f) {
    if (!h->section[PACKAGE_CODE].bytes || h->target) return E_OK;
    const char *made_for = machine_name(h->machine), *lack = isa_lacking(h->isa);
    if (!made_for) return fault(f, E_MALFORMED, "damaged: unknown machine %d", h->machine);
    if (h->machine != (int32_t)machine_host())
        return fault(f, E_DEVICE, "made for %s, this machine is %s", made_for, machine_name(machine_host()));
    return lack ? fault(f, E_DEVICE, "made for %s; this machine has no %s", isa_name(h->isa), lack) : E_OK;
}

Err package_read(Package *p, const void *bytes, int64_t n, Fault *f) {
    const PackageHeader *h = bytes;
    *p = (Package){0};
    Err e = check_header(h, n, f);
    if (!e) e = find_arrays(p, h, f);
    if (!e) e = program_check(&p->program, f);
    if (!e) e = find_weights(p, h, f);
    return e ? e : check_machine(h, f);
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

Err package_open(Package *p, const char *path, Fault *f) {
    int64_t n;
    *p = (Package){0};
    const void *map = map_file(path, &n, f);
    if (!map) return f->code;
    Err e = package_read(p, map, n, f);
    p->map = map, p->map_bytes = n;
    return e;
}

void package_close(Package *p) {
    free(p->weights);
    if (p->map) munmap((void *)(uintptr_t)p->map, (size_t)p->map_bytes);
    *p = (Package){0};
}
