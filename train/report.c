// report.c -- see report.h. What a folder or a file is called goes into HTML through put_escaped alone.
#include "report.h"
#include "thumb.h"

enum { WORST = 20, PAIRS = 20, MATRIX_MOST = 50, WIDTH = 640, HEIGHT = 240, MARGIN = 40 };

typedef struct Text { Cx *cx; char *at; size_t n, room; } Text;

__attribute__((format(printf, 2, 3))) static void put(Text *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (t->n + (size_t)n + 1 > t->room) {
        size_t room = 2 * t->room + (size_t)n + 256;
        t->at = cx_grow(t->cx, t->at, t->n, room), t->room = room;
    }
    va_start(ap, fmt);
    vsnprintf(t->at + t->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
}

static void put_escaped(Text *t, const char *s) {
    for (const char *p = cx_show(t->cx, s); *p; p++) {
        if (*p == '<') put(t, "&lt;");
        else if (*p == '>') put(t, "&gt;");
        else if (*p == '&') put(t, "&amp;");
        else if (*p == '"') put(t, "&quot;");
        else put(t, "%c", *p);
    }
}

// ---- what there is to tell ----

typedef struct Pair { int64_t truth, guess, count; } Pair;

typedef struct Facts {
    Cx *cx;
    const RunReport *r;
    int k;                            // classes; 0: there are none to be confused
    int nclass;                       // classes, or labels; 0: numbers are told
    int64_t *confusion;               // [truth][guess], at the best epoch
    int npair, nworst;
    Pair *pair;                       // the most frequent first
    int *worst;                       // examples, the greatest loss first
} Facts;

static const char *class_name(const Facts *f, int64_t i) { return label_name(&f->r->data->classes, i); }

static int by_count(const void *a, const void *b) {
    const Pair *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return x->truth != y->truth ? (x->truth > y->truth) - (x->truth < y->truth)
                                : (x->guess > y->guess) - (x->guess < y->guess);
}

static void count_confusion(Facts *f) {
    const Dataset *d = f->r->data;
    const Judged *j = &f->r->progress->judged;
    if (f->r->progress->best_epoch < 0) return;
    f->nclass = d->kind == TARGET_NUMBERS ? 0 : d->ntarget;
    if (d->kind != TARGET_CLASS) return;
    f->k = d->ntarget;
    f->confusion = NEW(f->cx, int64_t, ck_mul(f->cx, (size_t)f->k, (size_t)f->k));
    for (int i = 0; i < j->n; i++)
        if (d->val.at[i].label >= 0 && j->predicted[i] >= 0 && j->predicted[i] < f->k)
            f->confusion[d->val.at[i].label * f->k + j->predicted[i]]++;
    for (int t = 0; t < f->k; t++)
        for (int g = 0; g < f->k; g++)
            if (t != g && f->confusion[t * f->k + g])
                *VEC_PUSH(f->cx, f->pair, f->npair) = (Pair){t, g, f->confusion[t * f->k + g]};
    if (f->npair) qsort(f->pair, (size_t)f->npair, sizeof *f->pair, by_count);
    if (f->npair > PAIRS) f->npair = PAIRS;
}

// The few examples of greatest loss, by insertion.
static void find_worst(Facts *f) {
    const Judged *j = &f->r->progress->judged;
    f->worst = NEW(f->cx, int, WORST + 1);
    for (int i = 0; i < j->n && f->r->progress->best_epoch >= 0; i++) {
        if (isnan(j->loss[i])) continue;
        int at = f->nworst;
        for (; at > 0 && j->loss[f->worst[at - 1]] < j->loss[i]; at--) f->worst[at] = f->worst[at - 1];
        f->worst[at] = i;
        if (f->nworst < WORST) f->nworst++;
    }
}

static int64_t of_class(const Facts *f, int truth, int64_t *hits, int64_t *guesses) {
    int64_t n = 0;
    const LabelTally *label = f->r->progress->judged.label;
    if (!f->k) return *hits = label[truth].right, *guesses = label[truth].said, label[truth].count;
    *hits = f->confusion[truth * f->k + truth], *guesses = 0;
    for (int g = 0; g < f->k; g++) n += f->confusion[truth * f->k + g], *guesses += f->confusion[g * f->k + truth];
    return n;
}

// ---- rows ----

typedef struct Share { char s[32]; } Share;

// Of hits; what is no number there is told by `none`.
static Share share(const Facts *f, double v, bool told, const char *none) {
    Share s;
    snprintf(s.s, sizeof s.s, "%.9g", v);
    if (!told || !hit_name(f->r->data->kind)) snprintf(s.s, sizeof s.s, "%s", none);
    return s;
}

static const char *rows(const Facts *f, const char *fmt, const char *none) {
    Text t = {.cx = f->cx, .at = ""};
    bool ranked = f->r->data->kind == TARGET_CLASS;
    for (int i = 0; i < f->r->progress->nrow; i++) {
        const EpochRow *e = &f->r->progress->row[i];
        put(&t, fmt, e->epoch, e->train_loss, share(f, e->train_top1, true, none).s, e->val_loss,
            share(f, e->val_top1, true, none).s, share(f, e->val_top5, ranked, none).s, e->lr, e->loss_scale,
            e->seconds);
    }
    return t.at;
}

static const char *rows_jsonl(const Facts *f) {
    return rows(f,
                "{\"epoch\": %.0f, \"train_loss\": %.9g, \"train_top1\": %s, \"val_loss\": %.9g, \"val_top1\": %s, "
                "\"val_top5\": %s, "
                "\"lr\": %.9g, \"loss_scale\": %.9g, \"seconds\": %.3f}\n",
                "null");
}

static const char *rows_csv(const Facts *f) {
    static const char head[] = "epoch,train_loss,train_top1,val_loss,val_top1,val_top5,lr,loss_scale,seconds\n";
    return cx_fmt(f->cx, "%s%s", head, rows(f, "%.0f,%.9g,%s,%.9g,%s,%s,%.9g,%.9g,%.3f\n", ""));
}

// ---- text ----

static const char *as_text(const Facts *f) {
    Text t = {.cx = f->cx};
    const Progress *p = f->r->progress;
    const Dataset *d = f->r->data;
    put(&t, "model   %s\nphotos  %s: %d to learn from, %d to validate with\n", cx_show(f->cx, f->r->model),
        cx_show(f->cx, d->path), d->train.n, d->val.n);
    put(&t, "epochs  %d%s, %.1f s\n", p->nrow, f->r->finished ? "" : " so far", p->seconds);
    if (p->best_epoch >= 0) {
        const EpochRow *b = &p->row[p->best_epoch];
        put(&t, "best    epoch %.0f: loss %.4f", b->epoch, b->val_loss);
        if (hit_name(d->kind)) put(&t, ", %s %.4f", hit_name(d->kind), b->val_top1);
        put(&t, d->kind == TARGET_CLASS ? ", top5 %.4f\n" : "\n", b->val_top5);
    }
    if (f->nclass) put(&t, "\n%-32s %8s %9s %9s\n", "class", "images", "recall", "precision");
    for (int c = 0; c < f->nclass; c++) {
        int64_t hits, guesses, n = of_class(f, c, &hits, &guesses);
        put(&t, "%-32s %8lld %9.4f %9.4f\n", cx_show(f->cx, class_name(f, c)), (long long)n,
            n ? (double)hits / (double)n : 0, guesses ? (double)hits / (double)guesses : 0);
    }
    if (f->npair) put(&t, "\nmost confused\n");
    for (int i = 0; i < f->npair; i++) {
        put(&t, "  %6lld  %s", (long long)f->pair[i].count, cx_show(f->cx, class_name(f, f->pair[i].truth)));
        put(&t, " taken for %s\n", cx_show(f->cx, class_name(f, f->pair[i].guess)));
    }
    if (f->nworst) put(&t, "\ngreatest loss\n");
    for (int i = 0; i < f->nworst; i++)
        put(&t, "  %8.4f  %s\n", p->judged.loss[f->worst[i]], cx_show(f->cx, d->val.at[f->worst[i]].picture.name));
    if (f->r->nbad) put(&t, "\nleft out, since they cannot be read\n");
    for (int i = 0; i < f->r->nbad; i++) {
        put(&t, "  %s", cx_show(f->cx, f->r->bad[i].picture));
        put(&t, ": %s\n", cx_show(f->cx, f->r->bad[i].why));
    }
    return t.at;
}

// ---- HTML ----

typedef double RowNumber(const EpochRow *e);
static double train_loss(const EpochRow *e) { return e->train_loss; }
static double val_loss(const EpochRow *e) { return e->val_loss; }
static double train_top1(const EpochRow *e) { return e->train_top1; }
static double val_top1(const EpochRow *e) { return e->val_top1; }

static void put_line(Text *t, const Progress *p, RowNumber *number, double most, const char *colour) {
    double step = p->nrow > 1 ? (double)(WIDTH - 2 * MARGIN) / (p->nrow - 1) : 0;
    put(t, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
    for (int i = 0; i < p->nrow; i++)
        put(t, "%.1f,%.1f ", MARGIN + step * i, HEIGHT - MARGIN - number(&p->row[i]) / most * (HEIGHT - 2 * MARGIN));
    put(t, "\"/>\n");
}

static void put_curves(Text *t, const Progress *p, const char *title, RowNumber *train, RowNumber *val, double least) {
    double most = least;
    for (int i = 0; i < p->nrow; i++) most = fmax(most, fmax(train(&p->row[i]), val(&p->row[i])));
    put(t, "<h2>%s</h2>\n<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n", title, WIDTH, HEIGHT, WIDTH);
    put(t, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#bbb\"/>\n", MARGIN, MARGIN,
        WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN);
    put(t, "<text x=\"2\" y=\"%d\">%.3g</text><text x=\"2\" y=\"%d\">0</text>\n", MARGIN + 5, most, HEIGHT - MARGIN);
    put(t, "<text x=\"%d\" y=\"%d\">epoch 1</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d</text>\n", MARGIN,
        HEIGHT - 20, WIDTH - MARGIN, HEIGHT - 20, p->nrow);
    put(t,
        "<text x=\"%d\" y=\"25\" fill=\"#1f6fb4\">training</text><text x=\"%d\" y=\"25\" "
        "fill=\"#c0392b\">validation</text>\n",
        MARGIN, MARGIN + 90);
    put_line(t, p, train, most, "#1f6fb4"), put_line(t, p, val, most, "#c0392b");
    put(t, "</svg>\n");
}

static void put_classes(Text *t, const Facts *f) {
    put(t, "<h2>Classes</h2>\n<table><tr><th>class</th><th>images</th><th>recall</th><th>precision</th></tr>\n");
    for (int c = 0; c < f->nclass; c++) {
        int64_t hits, guesses, n = of_class(f, c, &hits, &guesses);
        put(t, "<tr><td>"), put_escaped(t, class_name(f, c));
        put(t, "</td><td>%lld</td><td>%.4f</td><td>%.4f</td></tr>\n", (long long)n, n ? (double)hits / (double)n : 0,
            guesses ? (double)hits / (double)guesses : 0);
    }
    put(t, "</table>\n");
}

static void put_matrix(Text *t, const Facts *f) {
    put(t, "<h2>Confusion</h2>\n<p>Rows: what it is; columns: what it was taken for.</p>\n<table "
           "class=\"m\"><tr><td></td>");
    for (int c = 0; c < f->k; c++) put(t, "<th>"), put_escaped(t, class_name(f, c)), put(t, "</th>");
    put(t, "</tr>\n");
    for (int c = 0; c < f->k; c++) {
        int64_t hits, guesses, n = of_class(f, c, &hits, &guesses);
        put(t, "<tr><th>"), put_escaped(t, class_name(f, c)), put(t, "</th>");
        for (int g = 0; g < f->k; g++) {
            int64_t count = f->confusion[c * f->k + g];
            put(t, "<td style=\"background:rgba(%s,%.2f)\">%lld</td>", c == g ? "31,111,180" : "192,57,43",
                n ? (double)count / (double)n : 0, (long long)count);
        }
        put(t, "</tr>\n");
    }
    put(t, "</table>\n");
}

static void put_pairs(Text *t, const Facts *f) {
    if (f->npair) put(t, "<h2>Most confused</h2>\n<table>\n");
    for (int i = 0; i < f->npair; i++) {
        put(t, "<tr><td>%lld</td><td>", (long long)f->pair[i].count), put_escaped(t, class_name(f, f->pair[i].truth));
        put(t, " taken for "), put_escaped(t, class_name(f, f->pair[i].guess)), put(t, "</td></tr>\n");
    }
    if (f->npair) put(t, "</table>\n");
}

static void put_verdict(Text *t, const Facts *f, int64_t truth, int64_t guess) {
    put_escaped(t, class_name(f, truth));
    if (guess != truth) put(t, " taken for "), put_escaped(t, class_name(f, guess));
    else put(t, ", recognised");
    put(t, "<br>");
}

// The pictures themselves, small, with what they are and what they were taken for.
static void put_worst(Text *t, const Facts *f) {
    const Judged *j = &f->r->progress->judged;
    if (f->nworst) put(t, "<h2>Greatest loss</h2>\n<table>\n");
    for (int i = 0; i < f->nworst; i++) {
        int at = f->worst[i];
        const Example *e = &f->r->data->val.at[at];
        const char *picture = thumb_uri(f->cx, &e->picture);
        put(t, "<tr><td>%.4f</td><td>", j->loss[at]);
        if (picture) put(t, "<img alt=\"\" src=\"%s\">", picture);
        put(t, "</td><td>");
        if (f->k) put_verdict(t, f, e->label, j->predicted[at]);
        put_escaped(t, e->picture.name), put(t, "</td></tr>\n");
    }
    if (f->nworst) put(t, "</table>\n");
}

static void put_left_out(Text *t, const Facts *f) {
    if (f->r->nbad) put(t, "<h2>Left out, since they cannot be read</h2>\n<table>\n");
    for (int i = 0; i < f->r->nbad; i++) {
        put(t, "<tr><td>"), put_escaped(t, f->r->bad[i].picture);
        put(t, "</td><td>"), put_escaped(t, f->r->bad[i].why), put(t, "</td></tr>\n");
    }
    if (f->r->nbad) put(t, "</table>\n");
}

static const char *as_html(const Facts *f) {
    Text t = {.cx = f->cx};
    const Progress *p = f->r->progress;
    put(&t, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>tvc train: ");
    put_escaped(&t, f->r->model);
    put(&t, "</title>\n<style>body{font:14px sans-serif;max-width:60em;margin:2em auto;padding:0 "
            "1em}table{border-collapse:collapse}"
            "td,th{padding:2px 8px;text-align:left}.m td{text-align:right;border:1px solid #ddd}svg text{font:12px "
            "sans-serif}</style></head><body>\n<h1>");
    put_escaped(&t, f->r->model), put(&t, "</h1>\n<p>"), put_escaped(&t, f->r->data->path);
    put(&t, ": %d images to learn from, %d to validate with. ", f->r->data->train.n, f->r->data->val.n);
    if (p->best_epoch >= 0)
        put(&t, "Best: epoch %lld of %d, loss %.4f", (long long)p->best_epoch + 1, p->nrow,
            p->row[p->best_epoch].val_loss);
    if (p->best_epoch >= 0 && hit_name(f->r->data->kind))
        put(&t, ", %s %.4f", hit_name(f->r->data->kind), p->row[p->best_epoch].val_top1);
    put(&t, ".</p>\n");
    put_curves(&t, p, "Loss", train_loss, val_loss, 1e-9);
    if (f->r->data->kind != TARGET_NUMBERS)
        put_curves(&t, p, f->k ? "Top-1 accuracy" : "Pictures of which all labels are right", train_top1, val_top1, 1);
    if (f->nclass) put_classes(&t, f);
    if (f->k && f->k <= MATRIX_MOST) put_matrix(&t, f);
    put_pairs(&t, f);
    put_worst(&t, f);
    put_left_out(&t, f);
    put(&t, "</body></html>\n");
    return t.at;
}

void report_rows(Cx *cx, const RunDir *dir, const RunReport *r) {
    Facts f = {.cx = cx, .r = r};
    rundir_write(cx, dir, "metrics.jsonl", rows_jsonl(&f));
    rundir_write(cx, dir, "results.csv", rows_csv(&f));
}

void report_write(Cx *cx, const RunDir *dir, const RunReport *r) {
    Facts f = {.cx = cx, .r = r};
    count_confusion(&f), find_worst(&f);
    report_rows(cx, dir, r);
    rundir_write(cx, dir, "report.txt", as_text(&f));
    rundir_write(cx, dir, "report.html", as_html(&f));
}
