// loop.c -- see loop.h.
#include "loop.h"
#include "stop.h"

#include <unistd.h>

typedef struct Run {
    Cx *cx;
    const TrainJob *job;
    const Watch *watch;
    Identity id;
    const atomic_int *stop;
    Progress p;
    Judged judged;                    // of the epoch under way
    int phase;
    Learner *l;
    Source *train, *val;
    int64_t steps, met;               // per epoch; images seen in this phase by this process
    double began, before, saved;      // times: of this process; seconds of earlier ones; of the last checkpoint
    double turning;                   // when the phase's first epoch began, its features computed
    const char *diverged;             // what was not finite; NULL: all is well
    bool warned;
    bool *known_bad[2];               // of training and validation examples: those told of, in whatever phase
    int64_t nbad;
} Run;

static const char *checkpoint_path(const Run *r) { return rundir_file(r->cx, &r->job->dir, "last.ckpt"); }

// ---- the parts of a phase ----

static int phase_at(const TrainJob *job, int64_t epoch) {
    int i = 0;
    while (i + 1 < job->nphase && job->phase[i + 1].from <= epoch) i++;
    return i;
}

// False: stopped meanwhile.
static bool open_sources(Run *r) {
    size_t room = job_room();
    r->train = job_source(r->job, r->l, true, r->stop, &room);
    r->val = r->train ? job_source(r->job, r->l, false, r->stop, &room) : NULL;
    r->turning = seconds_now(), r->met = 0;
    return r->val;
}

static void tell_bad(Run *r, const Source *s, bool training) {
    const Examples *examples = training ? &r->job->data->train : &r->job->data->val;
    const BadExample *bad;
    int n = s ? source_bad(s, &bad) : 0;
    for (int i = 0; i < n; i++) {
        bool *known = &r->known_bad[training][bad[i].sample];
        if (!*known && r->watch->bad)
            r->watch->bad(r->watch->user, examples->at[bad[i].sample].picture.name, bad[i].why);
        r->nbad += !*known, *known = true;
    }
}

static void close_phase(Run *r) {
    if (!r->l) return;
    tell_bad(r, r->train, true), tell_bad(r, r->val, false);
    source_close(r->train), source_close(r->val);
    r->train = r->val = NULL;
}

static void compile_phase(Run *r, int phase) {
    r->l = job_learner(r->job, phase);
    r->phase = phase;
}

// What the optimizer remembers of parameters that stay trained.
static void carry_state(Learner *to, Learner *from) {
    for (int i = 0; i < to->nkept; i++) {
        int old = session_slot(from->session, slot_name(to, to->kept[i]));
        if (old >= 0 && !model_init(to->model, slot_name(to, to->kept[i])) &&
            slot_bytes(to, to->kept[i]) == slot_bytes(from, old))
            session_write(to->session, to->kept[i], slot_peek(from, old));
    }
}

// The next phase begins with the weights this one ended with.
static void change_phase(Run *r, int phase) {
    Learner *old = r->l;
    close_phase(r);
    Weights w = weights_copy(old);
    weights_to_model(r->job->model, &w);
    compile_phase(r, phase);
    carry_state(r->l, old);
    learner_close(old);
}

// ---- checkpoints ----

static void save(Run *r) {
    Fault f;
    r->p.seconds = r->before + seconds_now() - r->began;
    r->saved = seconds_now();
    if (progress_save(&r->p, r->l, &r->id, checkpoint_path(r), &f)) {
        if (r->watch->saved) r->watch->saved(r->watch->user, &r->p);
        return;
    }
    if (!r->warned) cx_note(r->cx, "no checkpoint could be written, training goes on: %s", f.text);
    r->warned = true;
}

static void resume(Run *r) {
    const char *path = checkpoint_path(r);
    bool none = access(path, F_OK) && access(cx_fmt(r->cx, "%s.1", path), F_OK);
    Checkpoint c = {0};
    if (none)
        cx_note(r->cx, "%s has no checkpoint yet: the run starts from its beginning", cx_show(r->cx, r->job->dir.path));
    else c = checkpoint_read(r->cx, path), progress_numbers(r->cx, &r->p, &c, &r->id, path);
    compile_phase(r, phase_at(r->job, r->p.epoch < r->job->schedule.epochs ? r->p.epoch : r->job->schedule.epochs - 1));
    if (!none) progress_restore(&r->p, r->l, &c, path);
    r->before = r->p.seconds;
}

// ---- telling ----

static void tick(Run *r, bool validating, int64_t done, const Tally *t, double lr) {
    if (!r->watch->tick) return;
    const Dataset *d = r->job->data;
    double took = seconds_now() - r->turning, rate = took > 0 ? (double)r->met / took : 0;
    int64_t each = d->train.n + d->val.n, left = (r->job->schedule.epochs - r->p.epoch) * each - done;
    Tick k = {.epoch = r->p.epoch,
              .epochs = r->job->schedule.epochs,
              .step = r->p.step,
              .steps = r->steps,
              .validating = validating,
              .done = done,
              .loss = tally_loss(t),
              .top1 = tally_top1(t),
              .lr = lr,
              .loss_scale = r->l->o.scale.on ? r->p.scaler.scale : 0,
              .rate = rate,
              .left = rate > 0 ? (double)left / rate : 0};
    r->watch->tick(r->watch->user, &k);
}

// ---- an epoch ----

static int asked_to_stop(const Run *r) {
    int signal_number = atomic_load(r->stop);
    bool ends = r->diverged || (r->job->stop_at && r->p.number >= r->job->stop_at);
    return signal_number ? signal_number : ends ? -1 : 0;
}

// Found before anything was changed: the weights are those of the step before.
static void diverged(Run *r, double loss) {
    const char *what = learner_blame(r->l);
    const char *scaled = r->l->o.scale.on ? cx_fmt(r->cx, " even though it is scaled by %g", r->p.scaler.scale) : "";
    r->diverged =
        cx_fmt(r->cx, "step %lld (epoch %lld, step %lld): %s is not finite (loss %g%s)", (long long)r->p.number + 1,
               (long long)r->p.epoch + 1, (long long)r->p.step + 1, what, loss, scaled);
}

static Pace pace_at(const Run *r, int64_t epoch, int64_t step) {
    Pace p = {.update = r->p.updates + 1};
    p.lr_factor =
        schedule_factor(r->cx, &r->job->schedule, &r->p.plateau, epoch, step / r->job->accumulate, &p.momentum);
    return p;
}

// The group that ends with batch number `step` of the epoch: one update.
static void apply_group(Run *r, int64_t epoch, int64_t step) {
    Pace pace = pace_at(r, epoch, step);
    learner_apply(r->l, r->p.group, &pace);
    r->p.updates++, r->p.group = 0;
}

// What a batch that was not finite means: only that the loss was scaled too much, or the end.
static void judge_step(Run *r, const StepResult *s) {
    if (!scaler_next(&r->p.scaler, &r->l->o.scale, s->finite)) diverged(r, s->loss);
}

// A batch none of whose images can be read does not come: its group may end before it.
static void gather(Run *r, const Portion *b, double weight) {
    int64_t every = r->job->accumulate;
    if (r->p.group > 0 && (r->p.step - 1) / every != b->step / every) apply_group(r, b->epoch, r->p.step - 1);
    learner_gather(r->l, r->p.number + 1, weight, r->p.group == 0);
}

// One that is skipped (weight 0) is none of its group.
static void gathered(Run *r, const Portion *b, double weight) {
    r->p.group += weight;
    if ((b->step + 1) % r->job->accumulate == 0 && r->p.group > 0) apply_group(r, b->epoch, b->step);
}

// While a device computes, the next batch is on its way.
static StepResult compute(Run *r, const Portion *b) {
    bool groups = r->l->o.accumulate;
    double weight = groups ? job_weight(r->job, b) : 1;
    Pace pace = pace_at(r, b->epoch, b->step);
    r->l->loss_scale = r->p.scaler.scale;
    if (groups) gather(r, b, weight);
    else learner_step(r->l, r->p.number + 1, &pace);
    source_ahead(r->train);
    StepResult s = learner_result(r->l);
    judge_step(r, &s);
    if (groups && !r->diverged) gathered(r, b, s.finite ? weight : 0);
    if (!groups) r->p.updates += s.finite;
    return s;
}

static void step(Run *r, const Portion *b) {
    StepResult s = compute(r, b);
    if (r->diverged) return;
    for (int i = 0; i < b->n && isfinite(s.loss); i++) {
        Verdict v = judge(&r->l->o.loss, s.scores + (int64_t)i * r->l->nclass, r->l->nclass, b->label[i],
                          b->target ? b->target + (int64_t)i * r->l->nclass : NULL);
        v.loss = s.loss * v.weight;   // the mean of the batch, of which every example has its weight
        tally_add(&r->p.train, &v);
    }
    r->p.number++, r->p.step = b->step + 1, r->met += b->n;
}

// False: stopped before its end.
static bool train_epoch(Run *r) {
    const Portion *b;
    if (asked_to_stop(r)) return false;
    source_start(r->train, r->p.epoch, r->p.step);
    while (source_next(r->train, &b)) {
        step(r, b);
        double lr = pace_at(r, b->epoch, b->step).lr_factor * r->job->learner.rates.lr;
        tick(r, false, r->p.step * r->job->learner.batch, &r->p.train, lr);
        if (asked_to_stop(r)) return false;
        if (seconds_now() - r->saved >= r->job->save_every) save(r);
    }
    if (r->p.group > 0 && !asked_to_stop(r)) apply_group(r, r->p.epoch, r->p.step - 1);
    return !asked_to_stop(r);
}

static double last_rate(const Run *r) {
    return r->job->learner.rates.lr * pace_at(r, r->p.epoch, r->steps - 1).lr_factor;
}

// False: stopped before its end.
static bool validate(Run *r, Judged *j) {
    const Portion *b;
    Learner *l = r->l;
    source_start(r->val, 0, 0);
    if (l->o.ema > 0) learner_swap_ema(l);
    while (source_next(r->val, &b)) {
        learner_infer(l);
        source_ahead(r->val);
        const double *z = learner_scores(l);
        for (int64_t i = 0; i < b->n; i++) {
            const float *target = b->target ? b->target + i * l->nclass : NULL;
            judged_add(j, b->sample[i], &l->o.loss, z + i * l->nclass, l->nclass, b->label[i], target);
        }
        r->met += b->n;
        tick(r, true, r->job->data->train.n + j->tally.count, &j->tally, last_rate(r));
    }
    if (l->o.ema > 0) learner_swap_ema(l);
    return !atomic_load(r->stop);
}

static bool is_better(const Progress *p, double value, double loss) {
    return p->best_epoch < 0 || value > p->best_value || (value == p->best_value && loss < p->best_loss);
}

static void keep_best(Run *r, const Judged *j, double value) {
    Progress *p = &r->p;
    if (r->l->o.ema > 0) learner_swap_ema(r->l);
    if (p->best_of == r->l) weights_again(&p->best, r->l);
    else p->best = weights_copy(r->l), p->best_of = r->l;
    if (r->l->o.ema > 0) learner_swap_ema(r->l);
    judged_copy(&p->judged, j);
    p->best_value = value, p->best_loss = tally_loss(&j->tally), p->best_epoch = p->epoch;
}

// Classes are told apart by hits; several labels and numbers by the loss.
static double value_of(const Run *r, const Tally *t) {
    return r->job->data->kind == TARGET_CLASS ? tally_top1(t) : -tally_loss(t);
}

static void end_epoch(Run *r, const Judged *j) {
    Progress *p = &r->p;
    double value = value_of(r, &j->tally), lr = last_rate(r);
    bool best = is_better(p, value, tally_loss(&j->tally));
    if (best) keep_best(r, j, value);
    EpochRow row = {(double)p->epoch + 1,
                    tally_loss(&p->train),
                    tally_top1(&p->train),
                    tally_loss(&j->tally),
                    tally_top1(&j->tally),
                    tally_top5(&j->tally),
                    lr,
                    p->scaler.scale,
                    r->before + seconds_now() - r->began};
    *VEC_PUSH(r->cx, p->row, p->nrow) = row;
    schedule_epoch_done(&r->job->schedule, &p->plateau, row.val_loss);
    p->epoch++, p->step = 0, p->train = (Tally){0};
    if (r->job->patience && p->epoch - p->best_epoch > r->job->patience) p->done = 1;
    if (p->epoch >= r->job->schedule.epochs) p->done = 1;
    if (r->watch->epoch) r->watch->epoch(r->watch->user, &row, best);
}

// False: stopped before its end.
static bool epoch(Run *r) {
    int phase = phase_at(r->job, r->p.epoch);
    if (phase != r->phase) change_phase(r, phase);
    if (!r->train && !open_sources(r)) return false;
    judged_clear(&r->judged);
    if (!train_epoch(r) || !validate(r, &r->judged)) return false;
    end_epoch(r, &r->judged);
    if (r->p.done || seconds_now() - r->saved >= r->job->save_every) save(r);
    return true;
}

// ---- the run ----

static void begin(Run *r) {
    const TrainJob *job = r->job;
    r->p = (Progress){.plateau = {INFINITY, 1, 0}, .best_epoch = -1, .scaler = scaler_new(&job->learner.scale),
                      .judged = judged_new(r->cx, job->data)};
    r->id = (Identity){
        .data = dataset_hash(job->data), .seed = job->seed, .batch = job->learner.batch, .settings = job->settings};
    r->judged = judged_new(r->cx, job->data);
    r->known_bad[true] = NEW(r->cx, bool, job->data->train.n), r->known_bad[false] = NEW(r->cx, bool, job->data->val.n);
    for (int i = 0; i < job->nphase; i++)                  // a mistake comes out now, not when the phase begins
        if (job->phase[i].thaw) learner_expect(job->model, job->phase[i].thaw, job->learner.head);
    r->id.model = weights_hash(job->origin);
    if (job->resume) resume(r);
    else compile_phase(r, 0);
    r->steps = (job->data->train.n + job->learner.batch - 1) / job->learner.batch;
    r->began = r->saved = seconds_now();
}

TrainResult train_run(Cx *cx, const TrainJob *job, const Watch *watch) {
    Run *r = NEW(cx, Run, 1);
    bool whole = true;
    *r = (Run){.cx = cx, .job = job, .watch = watch, .phase = -1};
    begin(r);
    r->stop = stop_watch();
    while (whole && !r->p.done) whole = epoch(r);
    int stopped = whole ? 0 : asked_to_stop(r);
    if (!whole) save(r);
    close_phase(r);
    stop_unwatch();
    r->p.seconds = r->before + seconds_now() - r->began;
    return (TrainResult){.stopped = stopped,
                         .epochs = r->p.nrow,
                         .nbad = r->nbad,
                         .progress = &r->p,
                         .learner = r->l,
                         .diverged = r->diverged};
}
