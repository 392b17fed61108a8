// saved.c -- how much of a function's scratch lies in memory from what makes one of its results to what follows.
#include "saved.h"
#include <string.h>

static int buffer_of(const Program *p, const char *slot) {
    int i = 0;
    while (i < p->nslot && strcmp(program_text(p, p->slots[i].name), slot) != 0) i++;
    return i < p->nslot ? p->slots[i].buffer : -1;
}

// By step of the function: the result is made of it. Stores into what was read before come last and are not.
static bool *steps_before(Cx *cx, const Program *p, const Function *f, int result) {
    bool *needed = NEW(cx, bool, p->nbuffer), *before = NEW(cx, bool, f->to - f->from);
    needed[result] = true;
    for (int i = f->to - 1; i >= f->from; i--) {
        const Step *s = &p->steps[i];
        for (int k = 0; k < s->nwritten; k++) before[i - f->from] |= needed[p->refs[s->ref + k]];
        for (int k = s->nwritten; before[i - f->from] && k < s->nref; k++) needed[p->refs[s->ref + k]] = true;
    }
    return before;
}

int64_t program_saved_bytes(Cx *cx, const Program *p, int fn, const char *slot) {
    const Function *f = &p->functions[fn];
    int result = buffer_of(p, slot);
    if (result < 0) return 0;
    bool *before = steps_before(cx, p, f, result), *made = NEW(cx, bool, p->nbuffer), *read = NEW(cx, bool, p->nbuffer);
    int64_t sum = 0;
    for (int i = f->from; i < f->to; i++) {
        const Step *s = &p->steps[i];
        for (int k = 0; k < s->nref; k++) {
            int b = p->refs[s->ref + k];
            if (before[i - f->from]) made[b] |= k < s->nwritten;
            else read[b] |= k >= s->nwritten;
        }
    }
    for (int b = 0; b < p->nbuffer; b++)
        if (made[b] && read[b] && p->buffers[b].space == SPACE_ARENA) sum += p->buffers[b].bytes;
    return sum;
}
