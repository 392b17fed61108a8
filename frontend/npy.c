// npy.c -- see npy.h. The header is a Python dictionary of three known keys; nothing else is read.
#include "npy.h"

enum { NPY_MAX_RANK = 64 };
static const char MAGIC[] = "\x93NUMPY";

typedef struct Header {
    Cx *cx;
    const char *path;
    const uint8_t *begin, *at, *end;
    char descr[32];
    int64_t dim[NPY_MAX_RANK];
    int rank;
    bool fortran;
    unsigned seen; // keys, a bit each
} Header;

_Noreturn static void damaged(const Header *h, const char *why) {
    fail(h->cx, E_MALFORMED, "%s: damaged at byte %zu: %s", cx_show(h->cx, h->path), (size_t)(h->at - h->begin), why);
}

static void skip_spaces(Header *h) {
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\n' || *h->at == '\t')) h->at++;
}

static bool take(Header *h, char c) {
    skip_spaces(h);
    if (h->at == h->end || *h->at != c) return false;
    h->at++;
    return true;
}

static void need(Header *h, char c) {
    if (!take(h, c)) damaged(h, "the header is no dictionary of descr, fortran_order and shape");
}

static void read_text(Header *h, char *out, size_t size) {
    char quote = take(h, '"') ? '"' : '\'';
    if (quote == '\'') need(h, '\'');
    size_t n = 0;
    for (; h->at < h->end && *h->at != quote; h->at++) {
        if (n + 1 == size) damaged(h, "a text is too long");
        out[n++] = (char)*h->at;
    }
    out[n] = 0;
    need(h, quote);
}

static bool read_word(Header *h, const char *word) {
    size_t n = strlen(word);
    skip_spaces(h);
    if ((size_t)(h->end - h->at) < n || memcmp(h->at, word, n)) return false;
    h->at += n;
    return true;
}

static int64_t read_number(Header *h) {
    int64_t v = 0;
    skip_spaces(h);
    if (h->at == h->end || *h->at < '0' || *h->at > '9') damaged(h, "a dimension is no number");
    for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *h->at - '0', &v))
            damaged(h, "a dimension is too large");
    return v;
}

static void read_shape(Header *h) {
    need(h, '(');
    while (!take(h, ')')) {
        if (h->rank == NPY_MAX_RANK) damaged(h, "too many dimensions");
        h->dim[h->rank++] = read_number(h);
        if (!take(h, ',')) {
            need(h, ')');
            return;
        }
    }
}

static void read_entry(Header *h) {
    static const char *const key[] = {"descr", "fortran_order", "shape"};
    char name[32];
    read_text(h, name, sizeof name);
    unsigned k = 0;
    while (k < 3 && strcmp(name, key[k])) k++;
    if (k == 3 || h->seen & 1u << k) damaged(h, "a key is unknown or given twice");
    h->seen |= 1u << k;
    need(h, ':');
    skip_spaces(h);
    if (k == 0 && h->at < h->end && *h->at == '[')
        fail(h->cx, E_UNSUPPORTED, "%s: holds records, not a plain array", cx_show(h->cx, h->path));
    if (k == 0) read_text(h, h->descr, sizeof h->descr);
    else if (k == 2) read_shape(h);
    else if (!(h->fortran = read_word(h, "True")) && !read_word(h, "False"))
        damaged(h, "fortran_order is neither True nor False");
}

static DType type_of(const Header *h) {
    for (int t = 1; t < NDTYPES; t++)
        if (*h->descr && !strcmp(h->descr + 1, dtypes[t].numpy + 1)) {
            if (*h->descr == '>' && dtypes[t].bytes > 1)
                fail(h->cx, E_UNSUPPORTED, "%s: is big-endian: save it with a.astype('%s')", cx_show(h->cx, h->path),
                     dtypes[t].numpy);
            if (strchr("<|=>", *h->descr)) return (DType)t;
        }
    fail(h->cx, E_UNSUPPORTED, "%s: tvc does not compute with elements of type '%s'", cx_show(h->cx, h->path),
         cx_show(h->cx, h->descr));
}

// The header's text, between the fixed part and the elements.
static void find_header(Header *h, Bytes b) {
    if (b.n < 10 || memcmp(b.at, MAGIC, 6)) damaged(h, "is no .npy file");
    bool wide = b.at[6] >= 2;
    if (b.at[6] < 1 || b.at[6] > 3) damaged(h, "a .npy version that is not 1, 2 or 3");
    size_t start = wide ? 12 : 10, n = (size_t)b.at[8] | (size_t)b.at[9] << 8;
    if (wide && b.n < 12) damaged(h, "the header is cut off");
    if (wide) n |= (size_t)b.at[10] << 16 | (size_t)b.at[11] << 24;
    if (n > b.n - start) damaged(h, "the header is cut off");
    h->at = b.at + start, h->end = h->at + n;
}

Tensor *npy_read_bytes(Cx *cx, const char *path, Bytes b) {
    Header *h = NEW(cx, Header, 1);
    *h = (Header){.cx = cx, .path = path, .begin = b.at, .at = b.at};
    find_header(h, b);
    need(h, '{');
    while (!take(h, '}')) {
        read_entry(h);
        if (!take(h, ',')) {
            need(h, '}');
            break;
        }
    }
    if (h->seen != 7) damaged(h, "the header lacks descr, fortran_order or shape");
    Tensor *t = NEW(cx, Tensor, 1);
    *t = (Tensor){.name = "", .type = type_of(h), .rank = h->rank, .dim = h->dim, .count = 1, .data = h->end};
    t->onnx_type = dtypes[t->type].onnx;
    int64_t bytes = dtypes[t->type].bytes;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(t->count, h->dim[i], &t->count) || __builtin_mul_overflow(bytes, h->dim[i], &bytes))
            damaged(h, "the product of its dimensions does not fit in memory");
    if (h->fortran && t->rank > 1)
        fail(cx, E_UNSUPPORTED, "%s: is in Fortran order: save it with numpy.ascontiguousarray(a)", cx_show(cx, path));
    size_t left = b.n - (size_t)(h->end - b.at);
    if ((uint64_t)bytes != left)
        fail(cx, E_MALFORMED, "%s: %zu bytes of elements, its shape asks for %lld", cx_show(cx, path), left,
             (long long)bytes);
    return t;
}

Tensor *npy_read(Cx *cx, const char *path) {
    path = cx_str(cx, path, strlen(path));
    return npy_read_bytes(cx, path, file_map(cx, path));
}

void npy_write(Cx *cx, const char *path, const Tensor *t) {
    const char *shape = "";
    for (int i = 0; i < t->rank; i++)
        shape = cx_fmt(cx, "%s%lld%s", shape, (long long)t->dim[i], i + 1 < t->rank ? ", " : t->rank == 1 ? "," : "");
    char *text = cx_fmt(cx, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtypes[t->type].numpy, shape);
    size_t n = strlen(text), all = (10 + n + 1 + 63) / 64 * 64 - 10; // elements start at a multiple of 64
    uint8_t head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)all, (uint8_t)(all >> 8)};
    OutFile *f = file_create(cx, path);
    file_write(f, head, sizeof head);
    file_write(f, text, n);
    for (size_t i = n; i < all; i++) file_write(f, i + 1 < all ? " " : "\n", 1);
    file_write(f, t->data, tensor_bytes(t));
    file_commit(f);
}
