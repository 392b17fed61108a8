// scores.c -- see scores.h.
#include "scores.h"

static int by_value(const void *a, const void *b) {
    const Score *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value) - (x->value > y->value)
                                : (x->index > y->index) - (x->index < y->index);
}

static void to_probabilities(Score *s, int64_t n, Scores kind) {
    double most = -INFINITY, sum = 0;
    if (kind == SCORES_PROBABILITIES) return;
    for (int64_t i = 0; i < n; i++) most = fmax(most, s[i].value);
    for (int64_t i = 0; i < n; i++) sum += s[i].value = exp(s[i].value - (kind == SCORES_LOG ? 0 : most));
    for (int64_t i = 0; i < n && kind == SCORES_LOGITS; i++) s[i].value /= sum;
}

static void each_to_probability(Score *s, int64_t n, Scores kind) {
    for (int64_t i = 0; i < n && kind == SCORES_LOGITS; i++) s[i].value = 1 / (1 + exp(-s[i].value));
}

void scores_read(Score *s, int64_t n, DType t, const char *data, const RunMeta *m) {
    for (int64_t i = 0; i < n; i++) s[i] = (Score){i, dtype_get_f(t, data + i * dtypes[t].bytes)};
    if (m->target == TARGET_NUMBERS) return;
    if (m->target == TARGET_LABELS) each_to_probability(s, n, m->scores);
    else to_probabilities(s, n, m->scores);
    qsort(s, (size_t)n, sizeof *s, by_value);
}

int64_t scores_likely(const Score *s, int64_t n) {
    int64_t k = 0;
    while (k < n && s[k].value > 0.5) k++;
    return k;
}
