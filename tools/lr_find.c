// lr_find.c -- tvc lr-find: a range test of learning rates, drawn and judged.
#include "../train/range.h"
#include "commands.h"
#include "print.h"
#include "training.h"

enum { WIDTH = 60, HEIGHT = 12 };

// ---- the curve ----

// Smoothed losses over the rate's logarithm; what lies above the first one is cut off.
static void draw(const Range *r) {
    double least = r->smooth[r->least], most = least;
    for (int i = 0; i < r->least; i++) most = fmax(most, r->smooth[i]);
    double height = most > least ? most - least : 1, width = log(r->rate[r->n - 1] / r->rate[0]);
    char row[HEIGHT][WIDTH + 1];
    for (int y = 0; y < HEIGHT; y++) memset(row[y], ' ', WIDTH), row[y][WIDTH] = 0;
    int mark = (int)(log(r->rate[r->valley] / r->rate[0]) / width * (WIDTH - 1) + 0.5);
    for (int y = 0; y < HEIGHT; y++) row[y][mark] = ':';
    for (int i = 0; i < r->n; i++) {
        int x = (int)(log(r->rate[i] / r->rate[0]) / width * (WIDTH - 1) + 0.5);
        double y = (most - r->smooth[i]) / height * (HEIGHT - 1) + 0.5;
        if (y >= 0) row[(int)fmin(y, HEIGHT - 1)][x] = '*';
    }
    for (int y = 0; y < HEIGHT; y++) printf("%9.3g |%s\n", most - height * y / (HEIGHT - 1), row[y]);
    printf("%9s +%.*s\n", "loss", WIDTH, "------------------------------------------------------------");
    printf("%9s  %-*.2g%*.2g  learning rate\n", "", WIDTH / 2, r->rate[0], WIDTH - WIDTH / 2, r->rate[r->n - 1]);
}

// ---- what to do with it ----

static void suggest(const Args *a, double rate) {
    const char *rest = "";
    for (int i = 0; i < a->ngiven; i++) {
        OptionId id = a->given[i].id;
        bool mine = !(options[id].commands & C_train);
        if (!mine && id != OPT_LR && id != OPT_JSON)
            rest = cx_fmt(a->cx, "%s %s", rest, shell_word(a->cx, arg_word(a, i)));
    }
    print_next("tvc train %s %s --lr %.2g%s -o mine.onnx", shell_word(a->cx, a->pos[0]), shell_word(a->cx, a->pos[1]),
               rate, rest);
}

static json_t *rate_json(const Range *r, int at) { return at < 0 ? json_null() : json_real(r->rate[at]); }

static json_t *list_json(int n, const double *v) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real(v[i]));
    return list;
}

static void print_all(Cx *cx, const Range *r) {
    json_t *o = json_start(cx);
    json_put(o, "suggestion", rate_json(r, r->valley));
    json_put(o, "valley", rate_json(r, r->valley));
    json_put(o, "steepest", rate_json(r, r->steepest));
    json_put(o, "least", rate_json(r, r->least));
    json_put(o, "diverged", json_boolean(r->diverged));
    json_put(o, "rates", list_json(r->n, r->rate));
    json_put(o, "losses", list_json(r->n, r->loss));
    json_put(o, "smoothed", list_json(r->n, r->smooth));
    json_print(o);
}

static void print_text(const Range *r) {
    draw(r);
    printf("%d steps%s; the loss falls fastest at %.2g and is least at %.2g\n", r->n,
           r->diverged ? ", then it ran away" : "", r->rate[r->steepest], r->rate[r->least]);
    printf("suggested: --lr %.2g\n", r->rate[r->valley]);
}

static void on_step(void *training, int done, int steps, double rate, double loss) {
    Line *l = &((Training *)training)->line;
    if (line_due(l, done == steps)) line_show(l, "step %d/%d  lr %.2e  loss %.4f", done, steps, rate, loss);
}

Err run_lr_find(const Args *a) {
    enum { MOST_STEPS = 100000 };
    arg_count(a, 2, 2);
    Training *t = NEW(a->cx, Training, 1);
    *t = (Training){.a = a, .cx = a->cx};
    RangeOptions o = {.from = arg_float(a, OPT_FROM, 1e-7), .to = arg_float(a, OPT_TO, 10),
                      .steps = (int)arg_int(a, OPT_STEPS, 100, RANGE_LEAST, MOST_STEPS)};
    if (!(o.from > 0 && o.to > o.from))
        fail(a->cx, E_USAGE, "--from %g --to %g: the rates grow from above zero", o.from, o.to);
    training_open(t);
    if (!(t->job.learner.rates.lr > 0)) fail(a->cx, E_USAGE, "--lr 0: the rates of groups are shares of it");
    training_tell(t);
    o.user = t, o.step = on_step;
    Range r = range_test(a->cx, &t->job, &o);
    line_clear(&t->line);
    if (arg_given(a, OPT_JSON)) print_all(a->cx, &r);
    if (r.stopped) return (Err)(128 + r.stopped);
    if (r.valley < 0) fail(a->cx, E_DIVERGED, "the loss ran away after %d steps, too few to judge: lower --from", r.n);
    if (!arg_given(a, OPT_JSON)) print_text(&r);
    suggest(a, r.rate[r.valley]);
    return E_OK;
}
