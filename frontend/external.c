// external.c -- see external.h.
#define _GNU_SOURCE // O_PATH
#include "external.h"
#include "sha1.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// ---- the opener ----

const char *location_fault(const char *location) {
    if (!*location) return "is empty";
    if (*location == '/') return "is an absolute path";
    if (strchr(location, '\\')) return "holds a backslash";
    for (const char *p = location;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && *p == '.')) return "has an empty component";
        if (n == 2 && p[0] == '.' && p[1] == '.') return "leads out of the model's folder";
        p += n;
        if (!*p) return NULL;
    }
}

// Without openat2: component by component, none of them a link.
static int open_stepwise(int folder, const char *location, int flags) {
    char name[256];
    int at = folder;
    for (const char *p = location;;) {
        size_t n = strcspn(p, "/");
        if (n >= sizeof name) return errno = ENAMETOOLONG, -1;
        memcpy(name, p, n), name[n] = 0;
        bool last = p[n] == 0;
        int fd = openat(at, name, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        if (at != folder) close(at);
        errno = error;
        if (fd < 0 || last) return fd;
        at = fd, p += n + 1;
    }
}

static int open_resolved(int folder, const char *location, int flags) {
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, folder, location, &how, sizeof how);
    bool lacking = fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL);
    return lacking ? open_stepwise(folder, location, flags) : fd;
}

static const char *stat_fault(const struct stat *st) {
    if (!S_ISREG(st->st_mode)) return "is no regular file";
    return st->st_nlink == 1 ? NULL : "has several names (hard links)";
}

int open_beneath(int folder, const char *location, const char **why) {
    struct stat looked, opened;
    errno = 0;
    if ((*why = location_fault(location))) return -1;
    int path = open_resolved(folder, location, O_PATH | O_NOFOLLOW); // looks without touching devices
    int fd = -1;
    if (path >= 0 && !fstat(path, &looked)) {
        if (!(*why = stat_fault(&looked))) fd = open_resolved(folder, location, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
        bool same = fd < 0 || (!fstat(fd, &opened) && opened.st_dev == looked.st_dev && opened.st_ino == looked.st_ino);
        if (!same) *why = "was exchanged while being opened";
        else if (fd >= 0) *why = stat_fault(&opened);
    }
    if (!*why && fd < 0)
        *why = errno == ELOOP || errno == EXDEV || errno == ENOTDIR ? "goes through a link" : strerror(errno);
    if (path >= 0) close(path);
    if (*why && fd >= 0) close(fd), fd = -1;
    return fd;
}

// ---- what the model says ----

enum { KEY_LOCATION, KEY_OFFSET, KEY_LENGTH, KEY_CHECKSUM, KEY_BASEPATH, NKEYS };
static const char *const KEYS[NKEYS] = {"location", "offset", "length", "checksum", "basepath"};

static int64_t decimal(const Wire *w, const Field *f, const char *key, const char *s) {
    int64_t v = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v)) break;
    if (p == s || *p)
        wire_damage(w, f->whole.at, "external_data", "%s '%s' is no size in bytes", key, cx_show(w->cx, s));
    return v;
}

void external_entry(Document *d, const Wire *w, const Field *f, External *e) {
    if (!e->seen) e->offset = e->length = -1;
    Wire in = wire_into(w, f, "external_data[]");
    Meta entry = read_entry(d, &in);
    const char *key = entry.key, *value = entry.value;
    int k = 0;
    while (k < NKEYS && strcmp(key, KEYS[k])) k++;
    if (k == NKEYS) {
        cx_note(d->cx, "%s: %s: key '%s' is unknown and ignored", cx_show(d->cx, d->file), wire_path(&in, NULL),
                cx_show(d->cx, key));
        return;
    }
    if (e->seen & 1u << k) wire_damage(w, f->whole.at, "external_data", "%s is given twice", KEYS[k]);
    e->seen |= 1u << k;
    switch (k) {
    case KEY_LOCATION: e->location = value; break;
    case KEY_OFFSET: e->offset = decimal(w, f, key, value); break;
    case KEY_LENGTH: e->length = decimal(w, f, key, value); break;
    case KEY_CHECKSUM: e->checksum = value; break;
    default: break; // a base path is the writer's business
    }
}

int doc_folder(Document *d) {
    const char *base;
    if (d->folder < 0) d->folder = file_folder(d->cx, d->file, &base);
    return d->folder;
}

static SideFile *side_file(Document *d, const Wire *w, const char *location) {
    for (SideFile *s = d->side; s; s = s->next)
        if (!strcmp(s->location, location)) return s;
    const char *why;
    int *fd = file_descriptor(d->cx);
    *fd = open_beneath(doc_folder(d), location, &why);
    if (*fd < 0 && errno == ENOENT)
        fail(d->cx, E_IO, "%s: its side file '%s' is missing: it belongs beside the model", cx_show(d->cx, d->file),
             cx_show(d->cx, location));
    if (*fd < 0) wire_damage(w, w->begin, "external_data", "side file '%s' %s", cx_show(d->cx, location), why);
    SideFile *s = DOC_NEW(d, SideFile, 1);
    *s = (SideFile){.next = d->side, .location = location, .bytes = file_map_fd(d->cx, *fd, location)};
    close(*fd);
    *fd = -1;
    return d->side = s;
}

static void verify(const Document *d, const Wire *w, SideFile *s, const char *checksum) {
    char text[SHA1_TEXT];
    Sha1 h = sha1_start();
    sha1_add(&h, s->bytes.at, s->bytes.n);
    sha1_text(&h, text);
    if (strcasecmp(text, checksum))
        wire_damage(w, w->begin, "external_data", "side file '%s' is not what the checksum was made of",
                    cx_show(d->cx, s->location));
    s->verified = true;
}

const void *external_data(Document *d, const Wire *w, const External *e, SideFile **side, int64_t size) {
    if (!e->location) wire_damage(w, w->begin, "external_data", "no location is given");
    SideFile *s = *side = side_file(d, w, e->location);
    uint64_t all = s->bytes.n, offset = e->offset < 0 ? 0 : (uint64_t)e->offset;
    uint64_t length = e->length >= 0 ? (uint64_t)e->length : size >= 0 ? (uint64_t)size : 0;
    if (offset > all || length > all - offset)
        wire_damage(w, w->begin, "external_data", "bytes %llu + %llu lie beyond the %llu of '%s'",
                    (unsigned long long)offset, (unsigned long long)length, (unsigned long long)all,
                    cx_show(d->cx, e->location));
    if (size >= 0 && length != (uint64_t)size)
        wire_damage(w, w->begin, "external_data", "%llu bytes, its dimensions ask for %lld", (unsigned long long)length,
                    (long long)size);
    if (e->checksum && !s->verified) verify(d, w, s, e->checksum);
    return s->bytes.at + offset;
}
