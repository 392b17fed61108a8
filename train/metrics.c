// metrics.c -- see metrics.h. The losses are those of passes/losses.c, written once more as plain
// loops: validation needs them per example.
#include "metrics.h"

static double log_sum_exp(const double *z, int n) {
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) most = fmax(most, z[i]);
    for (int i = 0; i < n; i++) sum += exp(z[i] - most);
    return most + log(sum);
}

// - sum t log p, t = w ((1 - s) onehot + s / classes); the divisor is w[label].
static void class_loss(const Loss *l, const double *z, int n, int64_t label, Verdict *v) {
    double norm = l->kind == LOSS_NLL ? 0 : log_sum_exp(z, n);
    for (int i = 0; i < n; i++) {
        double t = (i == label ? 1 - l->smoothing : 0) + l->smoothing / n,
               w = l->class_weights ? l->class_weights[i] : 1;
        if (t != 0) v->loss -= w * t * (z[i] - norm);
    }
    v->weight = l->class_weights ? l->class_weights[label] : 1;
}

static double number_loss(LossKind kind, double z, double y) {
    if (kind == LOSS_BCE) return fmax(z, 0) - z * y + log1p(exp(-fabs(z)));
    return kind == LOSS_MSE ? (z - y) * (z - y) : fabs(z - y);
}

static int64_t rank_of(const double *z, int n, int64_t label) {
    int64_t better = 0;
    for (int i = 0; i < n; i++) better += z[i] > z[label] || (z[i] == z[label] && i < label);
    return better;
}

static int64_t best_of(const double *z, int n) {
    int64_t best = 0;
    for (int i = 1; i < n; i++)
        if (z[i] > z[best]) best = i;
    return best;
}

Verdict judge(const Loss *l, const double *z, int nclass, int64_t label, const float *target) {
    Verdict v = {.weight = 1, .predicted = best_of(z, nclass)};
    if (!target) {
        int64_t rank = rank_of(z, nclass, label);
        class_loss(l, z, nclass, label, &v);
        v.top1 = rank == 0, v.top5 = rank < 5;
        return v;
    }
    int64_t right = 0;
    for (int i = 0; i < nclass; i++) {
        v.loss += number_loss(l->kind, z[i], (double)target[i]) / nclass;
        right += (z[i] > 0) == (target[i] > 0.5f);
    }
    v.top1 = v.top5 = l->kind == LOSS_BCE && right == nclass;
    return v;
}

Judged judged_new(Cx *cx, const Dataset *d) {
    int n = d->val.n, nlabel = d->kind == TARGET_LABELS ? d->ntarget : 0;
    Judged j = {n, nlabel, NEW(cx, int64_t, n), NEW(cx, double, n), NEW(cx, LabelTally, nlabel), {0}};
    judged_clear(&j);
    return j;
}

void judged_clear(Judged *j) {
    for (int i = 0; i < j->n; i++) j->predicted[i] = -1, j->loss[i] = NAN;
    if (j->nlabel) memset(j->label, 0, sizeof *j->label * (size_t)j->nlabel);
    j->tally = (Tally){0};
}

void judged_copy(Judged *to, const Judged *from) {
    assert(to->n == from->n && to->nlabel == from->nlabel);
    memcpy(to->predicted, from->predicted, sizeof *to->predicted * (size_t)to->n);
    memcpy(to->loss, from->loss, sizeof *to->loss * (size_t)to->n);
    if (to->nlabel) memcpy(to->label, from->label, sizeof *to->label * (size_t)to->nlabel);
    to->tally = from->tally;
}

void tally_add(Tally *t, const Verdict *v) {
    t->count++, t->top1 += v->top1, t->top5 += v->top5;
    t->loss += v->loss, t->weight += v->weight;
}

void judged_add(Judged *j, int64_t sample, const Loss *l, const double *z, int nclass, int64_t label,
                const float *target) {
    Verdict v = judge(l, z, nclass, label, target);
    j->predicted[sample] = v.predicted, j->loss[sample] = v.loss;
    for (int i = 0; i < j->nlabel; i++) {
        bool has = target[i] > 0.5f, said = z[i] > 0;
        j->label[i].count += has, j->label[i].said += said, j->label[i].right += has && said;
    }
    tally_add(&j->tally, &v);
}

const char *hit_name(TargetKind kind) {
    return kind == TARGET_NUMBERS ? NULL : kind == TARGET_LABELS ? "exact" : "top1";
}

double tally_loss(const Tally *t) { return t->weight > 0 ? t->loss / t->weight : 0; }
double tally_top1(const Tally *t) { return t->count ? (double)t->top1 / (double)t->count : 0; }
double tally_top5(const Tally *t) { return t->count ? (double)t->top5 / (double)t->count : 0; }
