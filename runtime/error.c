// error.c -- one line about a failure, fit for a terminal whatever text it quotes.
#include "error.h"
#include <stdarg.h>
#include <stdio.h>

Err fault(Fault *f, Err code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, args);
    va_end(args);
    for (unsigned char *c = (unsigned char *)f->text; *c; c++)
        if (*c < ' ' || *c == 127 || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)) *c = '?';   // C0, DEL, C1
    return f->code = code;
}
