// line.c -- see line.h.
#include "line.h"

#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Line line_new(const Args *a) { return (Line){.watched = isatty(STDERR_FILENO) && !arg_given(a, OPT_QUIET)}; }

bool line_due(Line *l, bool last) {
    const double often = 0.1;
    double t = now();
    if (!l->watched || (l->shown && !last && t - l->told < often)) return false;
    l->told = t;
    return true;
}

void line_show(Line *l, const char *fmt, ...) {
    enum { USUAL_WIDTH = 80 };
    char text[256];
    struct winsize w = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || w.ws_col == 0 ? USUAL_WIDTH : w.ws_col;
    fprintf(stderr, "\r\033[K%.*s", width - 1, text);
    fflush(stderr);
    l->shown = true;
}

void line_clear(Line *l) {
    if (l->shown) fprintf(stderr, "\r\033[K");
    l->shown = false;
}

TimeText time_text(double seconds) {
    enum { MINUTE = 60, HOUR = 3600, FEW = 100 };
    TimeText t;
    if (seconds < FEW) snprintf(t.s, sizeof t.s, "%.0f s", seconds);
    else if (seconds < FEW * MINUTE) snprintf(t.s, sizeof t.s, "%.0f min", seconds / MINUTE);
    else snprintf(t.s, sizeof t.s, "%.1f h", seconds / HOUR);
    return t;
}

void line_images(Line *l, const char *what, int64_t done, int64_t all, double seconds) {
    if (!line_due(l, done == all)) return;
    double rate = done > 0 && seconds > 0 ? (double)done / seconds : 0;
    if (rate > 0)
        line_show(l, "%s %lld/%lld  %.0f images/s  %s left", what, (long long)done, (long long)all, rate,
                  time_text((double)(all - done) / rate).s);
    else line_show(l, "%s %lld/%lld", what, (long long)done, (long long)all);
}
