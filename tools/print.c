// print.c -- messages, JSON and the end of stdout.
#include "print.h"

#include <errno.h>
#include <unistd.h>

// How loud, whether stderr may be coloured, and what a message begins with: on a terminal it takes the place of a line
// that tells how far something has come. Set once, before anything is printed.
static Loudness loud = NORMAL;
static bool colour;
static const char *fresh = "";

void print_setup(Loudness loudness) {
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    loud = loudness;
    if (isatty(STDERR_FILENO)) fresh = "\r\033[K";
    colour = isatty(STDERR_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

void print_error(const char *line) {
    fprintf(stderr, colour ? "%s\033[31mtvc: %s\033[0m\n" : "%stvc: %s\n", fresh, line);
}

void print_note(void *unused, const char *line) {
    static char last[1024];               // what both of two models lack is said once
    (void)unused;
    if (loud > QUIET && strcmp(line, last) != 0) fprintf(stderr, "%snote: %s\n", fresh, line);
    snprintf(last, sizeof last, "%s", line);
}

void print_more(const char *fmt, ...) {
    if (loud < VERBOSE) return;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void print_next(const char *fmt, ...) {
    if (loud == QUIET || !isatty(STDERR_FILENO)) return;
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, colour ? "\033[2mnext: " : "next: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, colour ? "\033[0m\n" : "\n");
    va_end(ap);
}

static void let_go(void *value) { json_decref(value); }

const char *shell_word(Cx *cx, const char *s) {
    const char *shown = cx_show(cx, s),
               *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    return shown[strspn(shown, plain)] ? cx_fmt(cx, "'%s'", shown) : shown;
}

json_t *json_start(Cx *cx) {
    json_t *o = json_object();
    if (!o) fail(cx, E_LIMIT, "out of memory");
    cx_defer(cx, let_go, o);
    return o;
}

json_t *text_json(Cx *cx, const char *s) {
    if (!s) return json_null();
    json_t *v = json_string(s);
    return v ? v : json_string(cx_show(cx, s));
}

void json_put(json_t *object, const char *key, json_t *value) { json_object_set_new(object, key, value); }

void json_print(json_t *value) {
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
}

Err print_finish(Err code) {
    errno = 0;
    bool ok = fflush(stdout) == 0 && !ferror(stdout);
    if (ok || errno == EPIPE) return code;
    fprintf(stderr, "tvc: stdout: %s\n", strerror(errno ? errno : EIO));
    return E_IO;
}
