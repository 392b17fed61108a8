// schedule.c -- see schedule.h.
#include "schedule.h"
#include "formula.h"

enum { DEFAULT_PATIENCE = 10 };

static const char *const names[] = {"constant", "step",      "multi-step", "exponential",
                                    "cosine",   "one-cycle", "plateau",    "formula"};
static const double warmup_from = 0.01, plateau_threshold = 1e-4;

// ---- reading ----

static double number(Cx *cx, const char *text, size_t n) {
    char *word = cx_str(cx, text, n), *end;
    double v = strtod(word, &end);
    if (end == word || *end || !isfinite(v)) fail(cx, E_USAGE, "--schedule: '%s' is no number", cx_show(cx, word));
    return v;
}

// "A,B,...": the numbers, with "gamma=G" put apart.
static int numbers(Cx *cx, const char *text, double *v, int most, double *gamma) {
    int n = 0;
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ",");
        bool named = strncmp(p, "gamma=", 6) == 0;
        if (!named && n == most) fail(cx, E_USAGE, "--schedule: more than %d numbers in '%s'", most, cx_show(cx, text));
        if (named) *gamma = number(cx, p + 6, len - 6);
        else v[n++] = number(cx, p, len);
        p += len + (p[len] == ',');
    }
    return n;
}

static void need(Cx *cx, bool ok, const char *text, const char *form) {
    if (!ok) fail(cx, E_USAGE, "--schedule '%s' is not of the form %s", cx_show(cx, text), form);
}

static ScheduleKind kind_of(Cx *cx, const char *text, size_t n) {
    for (int k = 0; k <= SCHEDULE_FORMULA; k++)
        if (strlen(names[k]) == n && strncmp(text, names[k], n) == 0) return (ScheduleKind)k;
    fail(cx, E_USAGE,
         "--schedule '%s': there are constant, step, multi-step, exponential, cosine, one-cycle, plateau, formula",
         cx_show(cx, text));
}

Schedule schedule_parse(Cx *cx, const char *text) {
    size_t len = strcspn(text, ":");
    const char *rest = text[len] ? text + len + 1 : "";
    Schedule s = {.kind = kind_of(cx, text, len), .gamma = 0.1, .size = DEFAULT_PATIENCE};
    double v[SCHEDULE_MARKS];
    if (s.kind == SCHEDULE_FORMULA) {
        need(cx, *rest, text, "formula:0.95^epoch");
        s.formula = rest;
        formula_value(cx, "--schedule", rest, 2, (Variable[]){{"epoch", 0}, {"epochs", 1}});
        return s;
    }
    int n = numbers(cx, rest, v, SCHEDULE_MARKS, &s.gamma);
    switch (s.kind) {
    case SCHEDULE_STEP:
        need(cx, (n == 1 || n == 2) && v[0] >= 1, text, "step:SIZE[,GAMMA]");
        s.size = v[0], s.gamma = n > 1 ? v[1] : s.gamma;
        break;
    case SCHEDULE_MULTI_STEP:
        need(cx, n > 0, text, "multi-step:EPOCH,EPOCH,...[,gamma=G]");
        memcpy(s.mark, v, sizeof *v * (size_t)n), s.nmark = n;
        break;
    case SCHEDULE_EXPONENTIAL: need(cx, n == 1, text, "exponential:GAMMA"), s.gamma = v[0]; break;
    case SCHEDULE_COSINE: need(cx, n < 2, text, "cosine[:LEAST]"), s.gamma = n ? v[0] : 0; break;
    case SCHEDULE_ONE_CYCLE: need(cx, n < 2, text, "one-cycle[:MOST]"), s.gamma = n ? v[0] : 1; break;
    case SCHEDULE_PLATEAU:
        need(cx, n < 3, text, "plateau[:FACTOR[,PATIENCE]]");
        s.gamma = n ? v[0] : s.gamma, s.size = n > 1 ? v[1] : s.size;
        break;
    default: need(cx, n == 0, text, "constant"); break;
    }
    return s;
}

// ---- the rate ----

static double between(double from, double to, double share) { return to + (from - to) / 2 * (1 + cos(M_PI * share)); }

// OneCycleLR's defaults: up for 30 % of the steps from 1/25, then down to 1/25 of 1e-4; momentum
// the other way, 0.95 to 0.85.
static double one_cycle(const Schedule *s, int64_t at, double *momentum) {
    double total = (double)(s->epochs * s->steps), up = 0.3 * total - 1, down = total - 1, x = (double)at;
    bool first = x <= up;
    double share = first ? x / (up > 0 ? up : 1) : (x - up) / (down - up);
    *momentum = first ? between(0.95, 0.85, share) : between(0.85, 0.95, share);
    return s->gamma * (first ? between(1.0 / 25, 1, share) : between(1, 1.0 / 25 * 1e-4, share));
}

static double by_epoch(Cx *cx, const Schedule *s, const Plateau *p, int64_t epoch) {
    double e = (double)epoch, epochs = (double)(s->epochs - s->warmup), f = 1;
    switch (s->kind) {
    case SCHEDULE_STEP: return pow(s->gamma, floor(e / s->size));
    case SCHEDULE_MULTI_STEP:
        for (int i = 0; i < s->nmark; i++) f *= e >= s->mark[i] ? s->gamma : 1;
        return f;
    case SCHEDULE_EXPONENTIAL: return pow(s->gamma, e);
    case SCHEDULE_COSINE: return between(1, s->gamma, epochs > 0 ? e / epochs : 0);
    case SCHEDULE_PLATEAU: return p->factor;
    case SCHEDULE_FORMULA:
        f = formula_value(cx, "--schedule", s->formula, 2, (Variable[]){{"epoch", e}, {"epochs", epochs}});
        if (!isfinite(f))
            fail(cx, E_USAGE, "--schedule '%s' is %g at epoch %lld", cx_show(cx, s->formula), f, (long long)epoch);
        return f;
    default: return 1;
    }
}

double schedule_factor(Cx *cx, const Schedule *s, const Plateau *p, int64_t epoch, int64_t step, double *momentum) {
    int64_t at = epoch * s->steps + step, warm = s->warmup * s->steps;
    *momentum = -1;
    if (s->kind == SCHEDULE_ONE_CYCLE) return one_cycle(s, at, momentum);
    if (at < warm) return warmup_from + (1 - warmup_from) * (double)at / (double)warm;
    return by_epoch(cx, s, p, epoch - s->warmup);
}

void schedule_epoch_done(const Schedule *s, Plateau *p, double loss) {
    if (s->kind != SCHEDULE_PLATEAU) return;
    if (loss < p->best * (1 - plateau_threshold)) p->best = loss, p->bad = 0;
    else p->bad++;
    if (p->bad > (int64_t)s->size) p->factor *= s->gamma, p->bad = 0;
}
