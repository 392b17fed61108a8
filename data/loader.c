// loader.c -- a ring of batches, filled by workers a few examples at a time.
//
// Batches are numbered through all epochs. Under the lock: a worker claims the next rows of the
// newest batch that has a place in the ring; outside: it decodes them; under the lock again: it
// counts them as done. The caller holds the oldest batch; its place is free again with the next
// call. Whatever is decided about an image, it is decided by pure functions of (epoch, position).
#include "loader.h"
#include "../runtime/fpstate.h"
#include "cache.h"
#include <pthread.h>
#include <signal.h>

enum { CLAIM = 4, DEFAULT_PREFETCH = 3, MAX_WORKERS = 256, ATTEMPTS = 32, WAIT_MS = 50, BAD_PERCENT = 5 };

typedef struct Slot { Batch batch; int rows, done; } Slot;       // rows: 0 while nobody has begun it

typedef struct Hand { Scratch scratch; AugmentScratch augment; } Hand;          // what one thread works with

struct Loader {
    LoaderOptions o;
    Order order;
    Cache cache;
    int64_t steps;                     // per epoch
    size_t each;                       // bytes of an example's pixels
    int moves;                         // from this step of the augmentation on, places are said
    Slot *slot;                        // [ring]
    int ring;
    Hand own;                          // the caller's, without workers
    int nworker;
    pthread_t worker[MAX_WORKERS];

    pthread_mutex_t lock;              // for what follows
    pthread_cond_t room, ready;
    bool quit, paused;
    int busy;                          // workers between claim and done
    int64_t claim_batch;               // where the next claim begins
    int claim_row;
    int64_t deliver;                   // the next batch for the caller
    bool holding;                      // the caller has batch deliver - 1

    _Atomic(char *) *why;              // [examples] the reason for those that cannot be read
    bool *counted;                     // [examples] of these, those in `bad`
    BadExample *bad;
    int nbad;
};

// ---- one example ----

// The image before anything random: cached, or decoded and, unless the augmentation makes sizes, cropped.
static Err load_image(Loader *l, Hand *h, int sample, Image *cached, const Image **out, Fault *f) {
    const Preparer *p = l->o.prepare;
    if (cache_get(&l->cache, sample, cached)) {
        *out = cached;
        return E_OK;
    }
    ImageOptions o = {p->in.channels, p->recipe.ignore_exif};
    *out = &h->scratch.image;
    Err e = picture_load(&l->o.examples->at[sample].picture, &o, &h->scratch.image, f);
    bool raw = l->o.augment && l->o.augment->sizes;
    if (!e && !raw) e = prepare_crop(p, &h->scratch, &h->scratch.image, out, f);
    if (!e) cache_put(&l->cache, sample, *out);
    return e;
}

static Err fill_pixels(Loader *l, Hand *h, int64_t epoch, int sample, void *out, Place *place, Fault *f) {
    static const Augment none;
    const Augment *a = l->o.augment ? l->o.augment : &none;
    Draw d = draw_from(l->o.seed, DRAW_AUGMENT, (uint64_t)epoch, (uint64_t)sample);
    Image cached;
    const Image *im;
    Err e = load_image(l, h, sample, &cached, &im, f);
    if (!e && l->o.augment) e = augment_apply(a, l->moves, l->o.prepare, &d, &h->augment, im, &im, f);
    if (!e) prepare_values(l->o.prepare, im, out);
    if (!e && place) augment_place(a, l->moves, &l->o.prepare->in, &d, place);
    return e;
}

static void fill_target(const Loader *l, const Example *e, float *target) {
    size_t n = (size_t)l->o.data->ntarget;
    if (e->target) {
        memcpy(target, e->target, n * sizeof *target);
        return;
    }
    memset(target, 0, n * sizeof *target);
    if (e->label >= 0) target[e->label] = 1;
}

static void remember_why(Loader *l, int sample, const char *text) {
    char *none = NULL, *copy = strdup(text);
    if (!atomic_compare_exchange_strong(&l->why[sample], &none, copy)) free(copy);
}

static bool is_bad(const Loader *l, int sample) { return atomic_load(&l->why[sample]) != NULL; }

// The example tried at this position, first, second ...; -1: none is left to try.
static int candidate(const Loader *l, int64_t epoch, int64_t position, int attempt) {
    if (attempt == 0) return order_sample(&l->order, epoch, position);
    if (l->order.kind == ORDER_SEQUENTIAL || attempt == ATTEMPTS) return -1;
    return order_replacement(&l->order, epoch, position, attempt);
}

static void fill_row(Loader *l, Hand *h, Slot *slot, int row) {
    Batch *b = &slot->batch;
    int64_t position = b->step * l->o.batch + row;
    int sample;
    for (int attempt = 0; (sample = candidate(l, b->epoch, position, attempt)) >= 0; attempt++) {
        Fault f = {0};
        if (is_bad(l, sample)) continue;
        char *out = (char *)b->pixels + (size_t)row * l->each;
        if (!fill_pixels(l, h, b->epoch, sample, out, b->place ? b->place[row] : NULL, &f)) break;
        remember_why(l, sample, f.text);
    }
    b->sample[row] = sample;
    if (sample < 0) return;
    const Example *e = &l->o.examples->at[sample];
    b->label[row] = e->label;
    if (b->target) fill_target(l, e, b->target + (size_t)row * (size_t)l->o.data->ntarget);
}

// ---- claiming; with the lock held ----

typedef struct Claim { Slot *slot; int row, n; } Claim;

static bool stopped(const Loader *l) { return l->o.stop && atomic_load(l->o.stop); }

static int64_t last_batch(const Loader *l) { return l->o.epochs ? l->o.epochs * l->steps : INT64_MAX; }

static bool may_claim(const Loader *l) {
    return !l->paused && l->claim_batch < last_batch(l) && l->claim_batch < l->deliver - l->holding + l->ring;
}

static Slot *slot_of(Loader *l, int64_t batch) { return &l->slot[batch % l->ring]; }

static void begin_batch(Loader *l, Slot *s) {
    int64_t step = l->claim_batch % l->steps, left = l->order.n - step * l->o.batch;
    s->rows = (int)(left < l->o.batch ? left : l->o.batch);
    s->done = 0;
    s->batch.epoch = l->claim_batch / l->steps;
    s->batch.step = step;
}

static Claim claim(Loader *l) {
    Slot *s = slot_of(l, l->claim_batch);
    if (l->claim_row == 0) begin_batch(l, s);
    Claim c = {s, l->claim_row, s->rows - l->claim_row};
    if (c.n > CLAIM) c.n = CLAIM;
    l->claim_row += c.n;
    if (l->claim_row == s->rows) l->claim_batch++, l->claim_row = 0;
    return c;
}

static void work_once(Loader *l, Hand *h) {                      // lets the lock go meanwhile
    Claim c = claim(l);
    l->busy++;
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < c.n; i++) fill_row(l, h, c.slot, c.row + i);
    pthread_mutex_lock(&l->lock);
    l->busy--;
    c.slot->done += c.n;
    if (c.slot->done == c.slot->rows || l->paused) pthread_cond_broadcast(&l->ready);
}

static void *worker_main(void *arg) {
    Loader *l = arg;
    Hand h = {0};
    fp_enter();
    pthread_mutex_lock(&l->lock);
    while (!l->quit) {
        if (may_claim(l) && !stopped(l)) work_once(l, &h);
        else pthread_cond_wait(&l->room, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    scratch_free(&h.scratch);
    augment_scratch_free(&h.augment);
    return NULL;
}

// ---- delivering ----

static bool complete(Loader *l, int64_t batch) {
    const Slot *s = slot_of(l, batch);
    bool begun = batch < l->claim_batch || (batch == l->claim_batch && l->claim_row > 0);
    return begun && s->done == s->rows;
}

static void wait_ready(Loader *l) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) until.tv_nsec -= 1000000000L, until.tv_sec++;
    pthread_cond_timedwait(&l->ready, &l->lock, &until);
}

static void finish_batch(Loader *l, int64_t batch) {
    while (!complete(l, batch) && !stopped(l)) {
        if (l->nworker) {
            wait_ready(l);
            continue;
        }
        FpState caller = fp_enter();
        work_once(l, &l->own);
        fp_leave(caller);
    }
}

static void count_bad(Loader *l, int sample) {
    if (l->counted[sample]) return;
    l->counted[sample] = true;
    const char *why = atomic_load(&l->why[sample]);
    l->bad[l->nbad++] = (BadExample){sample, why ? why : "it cannot be read"};
}

// Count what was tried in vain for this batch, by going the same way again.
static void count_batch(Loader *l, const Slot *s) {
    for (int row = 0; row < s->rows; row++) {
        int64_t position = s->batch.step * l->o.batch + row;
        int sample;
        for (int attempt = 0; (sample = candidate(l, s->batch.epoch, position, attempt)) >= 0; attempt++) {
            if (sample == s->batch.sample[row]) break;
            count_bad(l, sample);
        }
    }
}

static Err check_share(const Loader *l, Fault *f) {
    int all = l->o.among ? l->o.among : l->order.n;
    if ((int64_t)l->nbad * 100 <= (int64_t)all * BAD_PERCENT) return E_OK;
    const BadExample *last = &l->bad[l->nbad - 1];
    fault(
        f, E_DATASET,
        "%d of %d images cannot be read, more than %d %%; the last one: '%.160s': %.160s (`tvc data check` lists them)",
        l->nbad, all, BAD_PERCENT, l->o.examples->at[last->sample].picture.name, last->why);
    for (char *p = f->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';    // files may be called anything
    return E_DATASET;
}

static void move_row(const Loader *l, Batch *b, int to, int from) {
    size_t t = (size_t)l->o.data->ntarget;
    memcpy((char *)b->pixels + (size_t)to * l->each, (char *)b->pixels + (size_t)from * l->each, l->each);
    if (b->place) memcpy(b->place[to], b->place[from], sizeof b->place[to]);
    if (b->target) memcpy(b->target + (size_t)to * t, b->target + (size_t)from * t, t * sizeof(float));
    b->label[to] = b->label[from];
    b->sample[to] = b->sample[from];
}

static void leave_out_bad(const Loader *l, Slot *s) {
    Batch *b = &s->batch;
    b->n = 0;
    for (int row = 0; row < s->rows; row++) {
        if (b->sample[row] < 0) continue;
        if (row != b->n) move_row(l, b, b->n, row);
        b->n++;
    }
}

static Err next_batch(Loader *l, const Batch **out, Fault *f) {
    do {                                                         // again where nothing of a batch could be read
        *out = NULL;
        if (l->holding) {
            l->holding = false;
            pthread_cond_broadcast(&l->room);
        }
        if (l->deliver >= last_batch(l)) return E_OK;
        finish_batch(l, l->deliver);
        if (!complete(l, l->deliver)) return E_OK;               // stopped
        Slot *s = slot_of(l, l->deliver++);
        l->holding = true;
        count_batch(l, s);
        leave_out_bad(l, s);
        if (check_share(l, f)) return f->code;
        *out = &s->batch;
    } while ((*out)->n == 0);
    return E_OK;
}

Err loader_next(Loader *l, const Batch **out, Fault *f) {
    *out = NULL;
    pthread_mutex_lock(&l->lock);
    Err e = stopped(l) ? E_OK : next_batch(l, out, f);
    pthread_mutex_unlock(&l->lock);
    if (e) *out = NULL;
    return e;
}

int loader_bad(const Loader *l, const BadExample **out) {
    *out = l->bad;
    return l->nbad;
}

int64_t loader_steps(const Loader *l) { return l->steps; }

void loader_start(Loader *l, int64_t epoch, int64_t step) {
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->busy) pthread_cond_wait(&l->ready, &l->lock);
    l->deliver = l->claim_batch = epoch * l->steps + step;
    l->claim_row = 0;
    l->holding = l->paused = false;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
}

// ---- from beginning to end ----

static void *aligned(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 64) return NULL;
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static bool slots_new(Loader *l) {
    size_t n = (size_t)l->o.batch, targets = (size_t)l->o.data->ntarget;
    if (!(l->slot = calloc((size_t)l->ring, sizeof *l->slot))) return false;
    for (int i = 0; i < l->ring; i++) {
        Batch *b = &l->slot[i].batch;
        b->pixels = aligned(n, l->each);
        b->label = aligned(n, sizeof *b->label);
        b->sample = aligned(n, sizeof *b->sample);
        bool classes = l->o.data->kind == TARGET_CLASS;
        if (!classes) b->target = aligned(n, targets * sizeof *b->target);
        if (l->o.place) b->place = aligned(n, sizeof *b->place);
        if (!b->pixels || !b->label || !b->sample) return false;
        if ((!classes && !b->target) || (l->o.place && !b->place)) return false;
    }
    return true;
}

static bool tables_new(Loader *l) {
    size_t n = (size_t)l->order.n + 1;
    l->why = calloc(n, sizeof *l->why);
    l->counted = calloc(n, sizeof *l->counted);
    l->bad = calloc(n, sizeof *l->bad);
    return l->why && l->counted && l->bad && cache_init(&l->cache, l->order.n, l->o.cache_bytes) && slots_new(l);
}

// Workers take no signals: handlers run in the program's own threads.
static void start_workers(Loader *l) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int want = l->o.workers < MAX_WORKERS ? l->o.workers : MAX_WORKERS;
    while (l->nworker < want && !pthread_create(&l->worker[l->nworker], NULL, worker_main, l)) l->nworker++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void init_waiting(Loader *l) {
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->room, NULL);
    pthread_cond_init(&l->ready, &clock);
    pthread_condattr_destroy(&clock);
}

Err loader_new(const LoaderOptions *o, Loader **out, Fault *f) {
    *out = NULL;
    int64_t n = o->examples->n, steps = o->batch < 1 ? 0 : o->drop_last ? n / o->batch : (n + o->batch - 1) / o->batch;
    if (steps < 1) return fault(f, E_USAGE, "%d examples make no batch of %d", o->examples->n, o->batch);
    Loader *l = calloc(1, sizeof *l);
    if (!l) return fault(f, E_LIMIT, "out of memory");
    l->o = *o;
    l->steps = steps;
    l->ring = o->prefetch > 0 ? o->prefetch : DEFAULT_PREFETCH;
    l->each = preparer_size(o->prepare);
    l->moves = !o->augment ? 0 : o->place ? augment_moves(o->augment) : o->augment->n;
    init_waiting(l);
    Err e = order_init(&l->order, o->order, o->seed, o->examples, f);
    if (!e && !tables_new(l)) e = fault(f, E_LIMIT, "out of memory for batches of %d", o->batch);
    if (e) {
        loader_free(l);
        return e;
    }
    start_workers(l);
    *out = l;
    return E_OK;
}

static void stop_workers(Loader *l) {
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->nworker; i++) pthread_join(l->worker[i], NULL);
}

void loader_free(Loader *l) {
    if (!l) return;
    stop_workers(l);
    for (int i = 0; l->slot && i < l->ring; i++) {
        Batch *b = &l->slot[i].batch;
        free(b->pixels), free(b->label), free(b->sample), free(b->target), free(b->place);
    }
    for (int i = 0; l->why && i < l->o.examples->n; i++) free(atomic_load(&l->why[i]));
    free(l->slot), free(l->why), free(l->counted), free(l->bad);
    cache_free(&l->cache);
    order_free(&l->order);
    scratch_free(&l->own.scratch);
    augment_scratch_free(&l->own.augment);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->ready);
    free(l);
}
