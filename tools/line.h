// line.h -- one line on the terminal that tells how far something has come, renewed in its place.
#ifndef TVC_LINE_H
#define TVC_LINE_H
#include "options.h"

typedef struct Line {                 // start with line_new
    bool watched;                     // stderr is a terminal, and nobody asked for quiet
    bool shown;
    double told;                      // when it was last renewed
} Line;

Line line_new(const Args *a);
// Whether to renew it now: a few times a second are enough. `last`: the line is to be seen in any case.
bool line_due(Line *l, bool last);
// No longer than the terminal is wide: a longer one could not be taken back.
__attribute__((format(printf, 2, 3))) void line_show(Line *l, const char *fmt, ...);
void line_clear(Line *l);

typedef struct TimeText { char s[32]; } TimeText;
TimeText time_text(double seconds);   // "12 s", "3 min", "1.5 h"
// "120/397  35 images/s  8 s left", of images done so far.
void line_images(Line *l, const char *what, int64_t done, int64_t all, double seconds);

#endif
