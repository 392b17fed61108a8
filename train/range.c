// range.c -- see range.h.
#include "range.h"
#include "stop.h"

static const double keep = 0.98, too_much = 4;
enum { LAST_LEFT_OUT = 5, FIRST_LEFT_OUT = 10 };        // steps; a share of the steps: one in so many

// ---- what the losses say ----

static void smooth(Range *r) {
    double mean = 0;
    for (int i = 0; i < r->n; i++) {
        mean = keep * mean + (1 - keep) * r->loss[i];
        r->smooth[i] = mean / (1 - pow(keep, i + 1));
    }
}

// The middle of the longest run of falling losses within [from, to), which may skip some: fastai's "valley".
static int valley(Cx *cx, const Range *r, int from, int to) {
    int *length = NEW(cx, int, to), last = from;
    for (int i = from; i < to; i++) {
        length[i] = 1;
        for (int k = from; k < i; k++)
            if (r->smooth[i] < r->smooth[k] && length[k] + 1 > length[i]) length[i] = length[k] + 1;
        if (length[i] > length[last]) last = i;
    }
    int first = last - length[last] < from ? from : last - length[last];
    return first + (last - first) / 3 + (last - first) / 6;
}

static double slope(const Range *r, int i) {
    return (r->smooth[i + 1] - r->smooth[i]) / log(r->rate[i + 1] / r->rate[i]);
}

void range_judge(Cx *cx, Range *r, int steps) {
    int from = steps / FIRST_LEFT_OUT, to = r->n - LAST_LEFT_OUT;
    r->valley = r->steepest = r->least = -1;
    smooth(r);
    if (to - from < LAST_LEFT_OUT) return;
    r->valley = valley(cx, r, from, to);
    r->steepest = r->least = from;
    for (int i = from; i < to; i++) {
        if (i + 1 < to && slope(r, i) < slope(r, r->steepest)) r->steepest = i;
        if (r->smooth[i] < r->smooth[r->least]) r->least = i;
    }
}

// ---- the steps ----

typedef struct Test {
    const TrainJob *job;
    const RangeOptions *o;
    Learner *l;
    Source *source;
    Scaler scaler;
    int64_t epoch, batches;           // the epoch under way; batches done in all
    Range r;
    double smooth, least;
} Test;

static double rate_at(const RangeOptions *o, int i) {
    return o->from * pow(o->to / o->from, (double)i / (o->steps - 1));
}

// The next batch, of the next epoch where one is over. False: stopped.
static bool next(Test *t, const Portion **b) {
    for (int tries = 0; !source_next(t->source, b); tries++) {
        if (tries) return false;
        source_start(t->source, ++t->epoch, 0);
    }
    return true;
}

// One update at this rate, of one batch or of a group. False: stopped. *loss: NaN where it was not finite.
static bool step(Test *t, int number, double rate, double *loss) {
    Pace pace = {number, rate / t->job->learner.rates.lr, -1};
    double total = 0, sum = 0;
    for (int64_t k = 0; k < t->job->accumulate;) {
        const Portion *b;
        if (!next(t, &b)) return false;
        double weight = job_weight(t->job, b);
        t->batches++, t->l->loss_scale = t->scaler.scale;
        if (t->l->o.accumulate) learner_gather(t->l, t->batches, weight, k == 0);
        else learner_step(t->l, t->batches, &pace);
        source_ahead(t->source);
        StepResult s = learner_result(t->l);
        if (!scaler_next(&t->scaler, &t->l->o.scale, s.finite)) return *loss = NAN, true;
        if (s.finite) k++, total += weight, sum += weight * s.loss;
    }
    if (t->l->o.accumulate) learner_apply(t->l, total, &pace);
    *loss = sum / total;
    return true;
}

static bool too_high(Test *t, double loss) {
    t->smooth = keep * t->smooth + (1 - keep) * loss;
    double now = t->smooth / (1 - pow(keep, t->r.n));
    t->least = fmin(t->least, now);
    return now > too_much * t->least;
}

static void sweep(Test *t) {
    Range *r = &t->r;
    double loss;
    source_start(t->source, 0, 0);
    for (int i = 0; i < t->o->steps && !r->diverged; i++) {
        double rate = rate_at(t->o, i);
        if (!step(t, i + 1, rate, &loss)) break;
        r->diverged = isnan(loss);
        if (r->diverged) break;
        r->rate[r->n] = rate, r->loss[r->n++] = loss;
        r->diverged = too_high(t, loss);
        if (t->o->step) t->o->step(t->o->user, i + 1, t->o->steps, rate, loss);
    }
}

Range range_test(Cx *cx, const TrainJob *job, const RangeOptions *o) {
    TrainJob mine = *job;
    Test *t = NEW(cx, Test, 1);
    size_t room = job_room();
    mine.schedule.epochs = 0;          // no end
    *t = (Test){
        .job = &mine, .o = o, .l = job_learner(&mine, 0), .scaler = scaler_new(&job->learner.scale), .least = INFINITY};
    t->r = (Range){
        .rate = NEW(cx, double, o->steps), .loss = NEW(cx, double, o->steps), .smooth = NEW(cx, double, o->steps)};
    const atomic_int *stop = stop_watch();
    t->source = job_source(&mine, t->l, true, stop, &room);
    if (t->source) sweep(t);
    t->r.stopped = atomic_load(stop);
    stop_unwatch();
    source_close(t->source);
    range_judge(cx, &t->r, o->steps);
    return t->r;
}
