// asked_train.c -- see asked_train.h.
#include "asked_train.h"
#include "asked.h"

#include <unistd.h>

enum {
    MOST_EPOCHS = 1000000,
    MOST_BATCH = 65536,
    DEFAULT_BATCH = 32,
    MOST_ACCUMULATE = 65536,
    DEFAULT_SAVE_EVERY = 30
};

// What a recipe chooses. `head_part`: the share of the epochs in which the head learns alone.
typedef struct Choice {
    const char *name, *freeze, *schedule;
    OptimizerKind optimizer;
    int64_t epochs;
    double lr, momentum, decay, head_part;
} Choice;

static const Choice choices[] = {
    {"head", "backbone", "cosine", OPT_ADAM, 20, 3e-3, 0, 0, 0},
    {"finetune", "backbone", "cosine", OPT_ADAMW, 15, 1e-3, 0, 0.01, 0.2},
    {"full", "none", "cosine", OPT_SGD, 30, 0.01, 0.9, 1e-4, 0},
};

static const Choice *choice_of(const Args *a) {
    const char *name = arg_text(a, OPT_RECIPE, "head");
    size_t i = 0;
    while (strcmp(choices[i].name, name) != 0) i++;
    return &choices[i];
}

// ---- words to numbers ----

// "KEY=X,KEY=X": the next pair; false at the end.
static bool next_pair(Cx *cx, const char *what, const char **at, const char **key, double *value) {
    if (!**at) return false;
    size_t n = strcspn(*at, ","), k = strcspn(*at, "=");
    if (k >= n) fail(cx, E_USAGE, "%s: '%s' is not of the form KEY=X", what, cx_show(cx, cx_str(cx, *at, n)));
    *key = cx_str(cx, *at, k);
    *value = parse_float(cx, what, cx_str(cx, *at + k + 1, n - k - 1));
    *at += n + ((*at)[n] == ',');
    return true;
}

static void optimizer_key(Cx *cx, Optimizer *o, const char *key, double v) {
    struct { const char *name; double *number; bool *flag; } keys[] = {
        {"beta1", &o->beta1, NULL}, {"beta2", &o->beta2, NULL}, {"eps", &o->eps, NULL}, {"rho", &o->rho, NULL},
        {"dampening", &o->dampening, NULL}, {"lr_decay", &o->lr_decay, NULL}, {"nesterov", NULL, &o->nesterov},
        {"amsgrad", NULL, &o->amsgrad}, {"centered", NULL, &o->centered}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(key, keys[i].name) != 0) continue;
        if (keys[i].number) *keys[i].number = v;
        else *keys[i].flag = v != 0;
        return;
    }
    fail(cx, E_USAGE, "--optimizer: no key '%s'; `tvc train --help` lists them", cx_show(cx, key));
}

static OptimizerKind optimizer_kind(Cx *cx, const char *name) {
    static const char *const names[] = {
#define X(id, text) text,
        TVC_OPTIMIZERS(X)
#undef X
    };
    for (int k = 0; k < NOPTIMIZERS; k++)
        if (strcmp(names[k], name) == 0) return (OptimizerKind)k;
    fail(cx, E_USAGE, "--optimizer '%s': there are sgd, adam, adamw, adamax, adadelta, adagrad, rmsprop and rprop",
         cx_show(cx, name));
}

// The recipe's rates belong to the recipe's optimizer; another one brings its own.
static void asked_optimizer(const Args *a, const Choice *c, LearnerOptions *o) {
    Cx *cx = a->cx;
    const char *text = arg_text(a, OPT_OPTIMIZER, NULL), *key;
    size_t n = text ? strcspn(text, ":") : 0;
    OptimizerKind kind = text ? optimizer_kind(cx, cx_str(cx, text, n)) : c->optimizer;
    double v;
    o->optimizer = optimizer_default(kind, &o->rates.lr, &o->rates.momentum, &o->rates.decay);
    if (kind == c->optimizer) o->rates.lr = c->lr, o->rates.momentum = c->momentum, o->rates.decay = c->decay;
    o->rates.lr = arg_float(a, OPT_LR, o->rates.lr);
    o->rates.momentum = arg_float(a, OPT_MOMENTUM, o->rates.momentum);
    o->rates.decay = arg_float(a, OPT_WEIGHT_DECAY, o->rates.decay);
    for (const char *p = text && text[n] ? text + n + 1 : ""; next_pair(cx, "--optimizer", &p, &key, &v);)
        optimizer_key(cx, &o->optimizer, key, v);
    if (o->rates.lr < 0 || o->rates.momentum < 0 || o->rates.decay < 0) fail(cx, E_USAGE, "rates below zero");
}

static void asked_groups(const Args *a, LearnerOptions *o) {
    Cx *cx = a->cx;
    ParamGroup *list = NULL;
    const char *key;
    double v;
    int at = 0;
    for (const char *s; (s = arg_next(a, OPT_GROUP, &at));) {
        const char *colon = strrchr(s, ':');
        if (!colon || colon == s)
            fail(cx, E_USAGE, "--group '%s' is not of the form GLOB:lr=1e-4,weight_decay=0", cx_show(cx, s));
        ParamGroup g = {cx_str(cx, s, (size_t)(colon - s)), NAN, NAN, NAN};
        for (const char *p = colon + 1; next_pair(cx, "--group", &p, &key, &v);) {
            double *to = strcmp(key, "lr") == 0             ? &g.lr
                         : strcmp(key, "momentum") == 0     ? &g.momentum
                         : strcmp(key, "weight_decay") == 0 ? &g.decay
                                                            : NULL;
            if (!to)
                fail(cx, E_USAGE, "--group: no key '%s'; there are lr, momentum and weight_decay", cx_show(cx, key));
            *to = v;
        }
        *VEC_PUSH(cx, list, o->ngroup) = g;
    }
    o->group = list;
}

// Momentum is kept where any group wants some, or the schedule turns it.
static bool wants_momentum(const LearnerOptions *o, const Schedule *s) {
    bool any = o->rates.momentum > 0 || s->kind == SCHEDULE_ONE_CYCLE;
    for (int i = 0; i < o->ngroup; i++) any |= o->group[i].momentum > 0;
    return any && (o->optimizer.kind == OPT_SGD || o->optimizer.kind == OPT_RMSPROP);
}

// ---- phases ----

static int by_start(const void *a, const void *b) {
    const Phase *x = a, *y = b;
    return x->from != y->from ? (x->from > y->from) - (x->from < y->from) : (x->thaw != NULL) - (y->thaw != NULL);
}

static const char *frozen_too(Cx *cx, const char *freeze, const char *always) {
    return strcmp(always, "none") == 0 ? freeze : strcmp(freeze, "none") == 0 ? always : cx_fmt(cx, "%s,%s", freeze, always);
}

// What the file lists as frozen stays so, whatever the recipe, where --freeze does not say otherwise.
static void asked_phases(const Args *a, const Model *m, const Choice *c, TrainJob *job) {
    Cx *cx = a->cx;
    Phase *list = NULL;
    const char *always = arg_text(a, OPT_FREEZE, model_meta(m, "tvc.frozen") ? "file" : "none"), *thawed = "";
    const char *freeze = arg_given(a, OPT_FREEZE) ? always : frozen_too(cx, c->freeze, always);
    *VEC_PUSH(cx, list, job->nphase) = (Phase){.freeze = freeze};
    int at = 0;
    for (const char *s; (s = arg_next(a, OPT_UNFREEZE_AT, &at));) {
        size_t n = strcspn(s, "=");
        if (!s[n] || !s[n + 1]) fail(cx, E_USAGE, "--unfreeze-at '%s' is not of the form EPOCH=GLOB", cx_show(cx, s));
        int64_t epoch = parse_int(cx, "--unfreeze-at", cx_str(cx, s, n), 1, job->schedule.epochs);       // as shown: from 1
        *VEC_PUSH(cx, list, job->nphase) = (Phase){.from = epoch - 1, .freeze = freeze, .thaw = s + n + 1};
    }
    qsort(list, (size_t)job->nphase, sizeof *list, by_start);
    for (int i = 0; i < job->nphase; i++)                  // what was thawed once stays so
        if (list[i].thaw) thawed = list[i].thaw = cx_fmt(cx, "%s%s%s", thawed, *thawed ? "," : "", list[i].thaw);
    int64_t alone = (int64_t)ceil(c->head_part * (double)job->schedule.epochs);
    if (alone && job->nphase == 1 && alone < job->schedule.epochs) {
        list[0].freeze = frozen_too(cx, c->freeze, always);
        *VEC_PUSH(cx, list, job->nphase) = (Phase){.from = alone, .freeze = always, .by_depth = true};
    }
    job->phase = list;
}

// ---- the loss ----

TargetKind asked_target(const Args *a) {
    const char *loss = arg_text(a, OPT_LOSS, "");
    bool numbers = strcmp(loss, "mse") == 0 || strcmp(loss, "l1") == 0,
         classes = strcmp(loss, "cross-entropy") == 0 || strcmp(loss, "nll") == 0;
    return numbers ? TARGET_NUMBERS : strcmp(loss, "bce") == 0 ? TARGET_LABELS : classes ? TARGET_CLASS : TARGET_AUTO;
}

DatasetOptions asked_dataset(const Args *a) {
    enum { MOST_PICTURES = 1000000000 };
    DatasetOptions o = {.target = asked_target(a),
                        .val_split = arg_float(a, OPT_VAL_SPLIT, 0),
                        .seed = (uint64_t)arg_int(a, OPT_SEED, 0, 0, INT64_MAX),
                        .classes = arg_text(a, OPT_CLASSES, NULL),
                        .per_class = (int)arg_int(a, OPT_PER_CLASS, 0, 1, MOST_PICTURES),
                        .split = arg_text(a, OPT_SPLIT, NULL)};
    if (!arg_given(a, OPT_CLASS_NAMES)) return o;
    Labels *names = NEW(a->cx, Labels, 1);
    *names = labels_read(a->cx, arg_text(a, OPT_CLASS_NAMES, NULL));
    o.names = names;
    return o;
}

static const double *balanced_weights(Cx *cx, const Dataset *d) {
    double *w = NEW(cx, double, d->ntarget);
    for (int i = 0; i < d->train.n; i++)
        if (d->train.at[i].label >= 0) w[d->train.at[i].label]++;
    for (int i = 0; i < d->ntarget; i++) w[i] = w[i] > 0 ? d->train.n / (w[i] * d->ntarget) : 0;
    return w;
}

Loss asked_loss(const Args *a, const Dataset *d) {
    static const char *const names[] = {
#define X(id, text) text,
        TVC_LOSSES(X)
#undef X
    };
    static const LossKind usual[] = {
        [TARGET_CLASS] = LOSS_CROSS_ENTROPY, [TARGET_LABELS] = LOSS_BCE, [TARGET_NUMBERS] = LOSS_MSE};
    Loss l = {.kind = usual[d->kind], .smoothing = arg_float(a, OPT_LABEL_SMOOTHING, 0)};
    for (int k = 0; k < NLOSSES; k++)
        if (strcmp(arg_text(a, OPT_LOSS, ""), names[k]) == 0) l.kind = (LossKind)k;
    bool classes = l.kind == LOSS_CROSS_ENTROPY || l.kind == LOSS_NLL;
    if (l.smoothing < 0 || l.smoothing >= 1)
        fail(a->cx, E_USAGE, "--label-smoothing %g is not within 0 to 1", l.smoothing);
    if (l.smoothing > 0 && l.kind != LOSS_CROSS_ENTROPY) fail(a->cx, E_USAGE, "--label-smoothing is for cross entropy");
    if (!arg_given(a, OPT_CLASS_WEIGHTS)) return l;
    if (!classes) fail(a->cx, E_USAGE, "--class-weights is for cross entropy and nll");
    double *w = NULL;
    if (strcmp(arg_text(a, OPT_CLASS_WEIGHTS, ""), "auto") == 0) l.class_weights = balanced_weights(a->cx, d);
    else if (arg_floats(a, OPT_CLASS_WEIGHTS, &w) == d->ntarget) l.class_weights = w;
    else fail(a->cx, E_USAGE, "--class-weights: %d numbers are needed, one for each class", d->ntarget);
    return l;
}

// ---- all of it ----

int asked_workers(const Args *a) {
    enum { MOST = 256 };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return (int)arg_int(a, OPT_WORKERS, processors < 1 ? 1 : processors > MOST ? MOST : processors, 1, MOST);
}


static int asked_features(const Args *a) {
    const char *s = arg_text(a, OPT_CACHE_FEATURES, "auto");
    if (strcmp(s, "auto") == 0) return FEATURES_AUTO;
    return strcmp(s, "off") == 0 ? FEATURES_OFF : (int)parse_int(a->cx, "--cache-features", s, 1, FEATURES_MOST);
}

// Gigabytes to bytes.
static uint64_t asked_cache_size(const Args *a) {
    enum { USUAL = 4, MOST = 1 << 20 };
    double gb = arg_float(a, OPT_CACHE_SIZE, USUAL);
    if (!(gb >= 0 && gb <= MOST)) fail(a->cx, E_USAGE, "--cache-size %g is not within 0 to %d", gb, MOST);
    return (uint64_t)(gb * 1e9);
}

// auto, auto:N or N; as a rule what 16-bit gradients of 5 exponent bits need.
static ScaleOptions asked_scale(const Args *a, const CompileOptions *o) {
    const char *s = arg_text(a, OPT_LOSS_SCALE, NULL);
    ScaleOptions scale = scale_usual;
    if (!s) return scale.on = o->target && o->precision == PRECISION_FP16, scale;
    if (strcmp(s, "auto") == 0) return scale;
    scale.fixed = strncmp(s, "auto:", 5) != 0;
    scale.first = parse_float(a->cx, "--loss-scale", scale.fixed ? s : s + 5);
    if (!(scale.first >= scale_least && isfinite(scale.first)))
        fail(a->cx, E_USAGE, "--loss-scale %g: at least 2^-13", scale.first);
    return scale;
}

static BnMode asked_bn(const Args *a) {
    const char *s = arg_text(a, OPT_BN, "auto");
    return strcmp(s, "train") == 0    ? BN_TRAIN
           : strcmp(s, "stats") == 0  ? BN_STATS
           : strcmp(s, "frozen") == 0 ? BN_FROZEN
                                      : BN_AUTO;
}

// Where there are few pictures, a batch is a sixth of them: an epoch has several updates then. BatchNorm that trains
// needs some pictures to take statistics of.
int asked_batch(const Args *a, int pictures) {
    enum { PARTS = 6, LEAST = 4, LEAST_TRAINING = 8 };
    int least = strcmp(arg_text(a, OPT_RECIPE, "head"), "head") == 0 ? LEAST : LEAST_TRAINING, batch = DEFAULT_BATCH;
    while (pictures >= 0 && batch > least && batch > pictures / PARTS) batch /= 2;
    batch = (int)arg_int(a, OPT_BATCH, batch, 1, MOST_BATCH);
    return pictures >= 0 && batch > pictures ? pictures : batch;
}

void asked_job(const Args *a, const Model *m, TrainJob *job) {
    const Choice *c = choice_of(a);
    LearnerOptions *l = &job->learner;
    job->schedule = schedule_parse(a->cx, arg_text(a, OPT_SCHEDULE, c->schedule));
    job->schedule.epochs = arg_int(a, OPT_EPOCHS, c->epochs, 1, MOST_EPOCHS);
    job->schedule.warmup = arg_int(a, OPT_WARMUP_EPOCHS, 0, 0, job->schedule.epochs);
    l->batch = asked_batch(a, -1);
    l->head = arg_text(a, OPT_HEAD, NULL);
    l->bn = asked_bn(a);
    l->clip = arg_float(a, OPT_CLIP, 0), l->ema = arg_float(a, OPT_EMA, 0),
    l->aux_weight = arg_float(a, OPT_AUX_WEIGHT, -1);
    if (l->clip < 0 || l->ema < 0 || l->ema >= 1)
        fail(a->cx, E_USAGE, "--clip is not below zero, --ema is within 0 to 1");
    asked_optimizer(a, c, l);
    asked_groups(a, l);
    asked_phases(a, m, c, job);
    l->optimizer.has_momentum = wants_momentum(l, &job->schedule);
    EngineOptions e = asked_engine(a, 0);
    l->compile = e.compile, l->session = e.session;
    l->scale = asked_scale(a, &l->compile);
    job->seed = (uint64_t)arg_int(a, OPT_SEED, 0, 0, INT64_MAX);
    job->workers = asked_workers(a);
    job->accumulate = arg_int(a, OPT_ACCUMULATE, 1, 1, MOST_ACCUMULATE);
    job->balance = arg_given(a, OPT_BALANCE);
    job->features = asked_features(a);
    job->cache_bytes = asked_cache_size(a);
    job->patience = arg_int(a, OPT_PATIENCE, 0, 1, MOST_EPOCHS);
    job->save_every = arg_float(a, OPT_SAVE_EVERY, DEFAULT_SAVE_EVERY);
    job->stop_at = arg_int(a, OPT_STOP_AT, 0, 1, INT64_MAX);
    job->settings = asked_settings(a);
}

// ---- without data ----

void asked_train_edits(const Args *a, Model *m) {
    Surgery s = asked_surgery(a);
    s.freeze = NULL, s.dropout = arg_float(a, OPT_DROPOUT, s.dropout);
    surgery_apply(m, &s);
}

LearnerOptions asked_learner(const Args *a, Model *m, int which) {
    TrainJob job = {0};
    asked_job(a, m, &job);
    LearnerOptions o = job_options(&job, 0);
    Heads heads = heads_find(m, o.head);
    TargetKind kind = asked_target(a);
    Dataset none = {.kind = kind == TARGET_AUTO ? TARGET_CLASS : kind,
                    .ntarget = heads.n ? (int)heads.head[0].classes : 0};
    if (strcmp(arg_text(a, OPT_CLASS_WEIGHTS, ""), "auto") == 0)
        fail(a->cx, E_USAGE,
             "--class-weights auto counts the classes of data, and there are none here; give the numbers");
    o.loss = asked_loss(a, &none);
    o.import = asked_import(a), o.compile = asked_compile(a, which);
    o.compile.threads = (int)arg_int(a, OPT_THREADS, 0, 1, 4096);
    o.scale = asked_scale(a, &o.compile);
    return o;
}

void asked_no_training(const Args *a) {
    for (int i = 0; i < a->ngiven; i++) {
        const Option *o = &options[a->given[i].id];
        if (o->group == GROUP_TRAINING) fail(a->cx, E_USAGE, "--%s is for training: add --train", o->name);
    }
}

const char *asked_settings(const Args *a) {
    static const OptionId matter[] = {OPT_RECIPE,
                                      OPT_LR,
                                      OPT_OPTIMIZER,
                                      OPT_MOMENTUM,
                                      OPT_WEIGHT_DECAY,
                                      OPT_SCHEDULE,
                                      OPT_WARMUP_EPOCHS,
                                      OPT_GROUP,
                                      OPT_UNFREEZE_AT,
                                      OPT_LOSS,
                                      OPT_LABEL_SMOOTHING,
                                      OPT_CLASS_WEIGHTS,
                                      OPT_BN,
                                      OPT_DROPOUT,
                                      OPT_CLIP,
                                      OPT_ACCUMULATE,
                                      OPT_EMA,
                                      OPT_AUX_WEIGHT,
                                      OPT_KEEP_HEAD,
                                      OPT_HEAD,
                                      OPT_HEAD_SCOPE,
                                      OPT_HEAD_HIDDEN,
                                      OPT_HEAD_DROPOUT,
                                      OPT_VAL_SPLIT,
                                      OPT_CLASSES,
                                      OPT_FREEZE,
                                      OPT_AUGMENT,
                                      OPT_BALANCE,
                                      OPT_PRESET,
                                      OPT_RESIZE,
                                      OPT_CROP,
                                      OPT_INTERPOLATION,
                                      OPT_ORDER,
                                      OPT_SCALE,
                                      OPT_MEAN,
                                      OPT_STD,
                                      OPT_EXIF,
                                      OPT_PRECISION,
                                      OPT_FROZEN_PRECISION,
                                      OPT_LOSS_SCALE};
    Cx *cx = a->cx;
    const char *text = "";
    for (size_t i = 0; i < sizeof matter / sizeof *matter; i++)
        for (int k = 0; k < a->ngiven; k++)
            if (a->given[k].id == matter[i]) text = cx_fmt(cx, "%s%s%s", text, *text ? "\n" : "", arg_word(a, k));
    return text;
}
