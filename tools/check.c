// check.c -- tvc check: can this be compiled, can it be trained, and if not, from where on?
#include "../train/job.h"
#include "asked.h"
#include "asked_train.h"
#include "commands.h"
#include "print.h"
#include "report.h"

// ---- patterns that name some parameters and no others ----

static bool shared(const char *name, size_t len, Node *const *param, const bool *behind, int n) {
    for (int i = 0; i < n; i++)
        if (!behind[i] && strncmp(param[i]->name, name, len) == 0) return true;
    return false;
}

// For a list of globs: every character that means something there stands for itself, or for any.
static const char *literal(Cx *cx, const char *s, size_t n) {
    char *out = cx_alloc(cx, 2 * n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (strchr("*?[]\\", s[i])) out[k++] = '\\';
        out[k++] = s[i] == ',' ? '?' : s[i];
    }
    out[k] = 0;
    return out;
}

// The shortest beginning, ending where a part of the name does, that no other parameter shares; else the name.
static const char *pattern_of(Cx *cx, const char *name, Node *const *param, const bool *behind, int n) {
    size_t len = strlen(name);
    for (size_t i = 1; i < len; i++)
        if (strchr("._/", name[i]) && !shared(name, i + 1, param, behind, n))
            return cx_fmt(cx, "%s*", literal(cx, name, i + 1));
    return literal(cx, name, len);
}

static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list; *p;) {
        size_t k = strcspn(p, ",");
        if (k == n && memcmp(p, word, n) == 0) return true;
        p += k + (p[k] == ',');
    }
    return false;
}

// What --freeze has to say so that nothing behind the gaps is trained; NULL: then nothing would be.
static const char *freeze_point(Cx *cx, const TrainGaps *t, const char *frozen) {
    const char *list = frozen && strcmp(frozen, "none") != 0 ? frozen : "";
    bool any = false;
    for (int i = 0; i < t->nparam; i++) any |= !t->gaps.behind[i];
    for (int i = 0; any && i < t->nparam; i++) {
        if (!t->gaps.behind[i]) continue;
        const char *pattern = pattern_of(cx, t->param[i]->name, t->param, t->gaps.behind, t->nparam);
        if (!has_word(list, pattern)) list = cx_fmt(cx, "%s%s%s", list, *list ? "," : "", pattern);
    }
    return any ? list : NULL;
}

// ---- telling ----

static const DocNode *doc_node(const Model *m, const Node *n) { return n->doc ? m->node[n->doc - 1] : NULL; }

static const char *gap_name(const Model *m, const Node *n) {
    const DocNode *d = doc_node(m, n);
    return d ? node_name(d) : n->name;
}

static const char *gap_operator(const Model *m, const Node *n) {
    const DocNode *d = doc_node(m, n);
    return d ? d->op : optab[n->op].name;
}

// A node of the document may be several of the graph's.
static bool is_told(const TrainGaps *t, int at) {
    bool told = false;
    for (int i = 0; i < at; i++) told |= t->gaps.node[at]->doc && t->gaps.node[i]->doc == t->gaps.node[at]->doc;
    return told;
}

static json_t *names_json(Cx *cx, const TrainGaps *t, const bool *of, bool is) {
    json_t *list = json_array();
    for (int i = 0; i < t->nparam; i++)
        if (of[i] == is) json_array_append_new(list, text_json(cx, t->param[i]->name));
    return list;
}

static void print_json(const Args *a, const Model *m, const TrainGaps *t, const char *freeze) {
    json_t *o = json_start(a->cx), *gaps = json_array();
    for (int i = 0; i < t->gaps.n; i++) {
        if (is_told(t, i)) continue;
        json_t *row = json_object();
        json_put(row, "operator", text_json(a->cx, gap_operator(m, t->gaps.node[i])));
        json_put(row, "node", text_json(a->cx, gap_name(m, t->gaps.node[i])));
        json_array_append_new(gaps, row);
    }
    json_put(o, "trainable", json_boolean(t->gaps.n == 0));
    json_put(o, "parameters", json_integer(t->nparam));
    json_put(o, "no_gradient", gaps);
    json_put(o, "behind", names_json(a->cx, t, t->gaps.behind, true));
    json_put(o, "never_reached", t->gaps.n ? json_array() : names_json(a->cx, t, t->gaps.reached, false));
    json_put(o, "freeze", text_json(a->cx, freeze));
    json_print(o);
}

static void print_text(const Args *a, const Model *m, const TrainGaps *t, const char *freeze) {
    Cx *cx = a->cx;
    int behind = 0;
    for (int i = 0; i < t->nparam; i++) behind += t->gaps.behind[i];
    for (int i = 0; i < t->gaps.n; i++)
        if (!is_told(t, i))
            printf("%s '%s' has no gradient\n", gap_operator(m, t->gaps.node[i]),
                   cx_show(cx, gap_name(m, t->gaps.node[i])));
    for (int i = 0; t->gaps.n == 0 && i < t->nparam; i++)
        if (!t->gaps.reached[i])
            printf("'%s' would never change: no gradient comes to it\n", cx_show(cx, t->param[i]->name));
    if (t->gaps.n == 0) printf("%d parameters can be trained\n", t->nparam);
    else if (freeze)
        printf("%d of %d parameters stand before that; to train the others: --freeze '%s'\n", behind, t->nparam,
               cx_show(cx, freeze));
    else printf("all %d parameters stand before that: no --freeze leaves anything to train\n", t->nparam);
}

static Err check_train(const Args *a, Model *m) {
    asked_train_edits(a, m);
    LearnerOptions o = asked_learner(a, m, 0);
    TrainGaps t = learner_gaps(m, &o);
    const char *freeze = t.gaps.n ? freeze_point(a->cx, &t, o.freeze) : o.freeze;
    if (arg_given(a, OPT_JSON)) print_json(a, m, &t, freeze);
    else print_text(a, m, &t, freeze);
    return t.gaps.n ? E_CHECK : E_OK;
}

Err run_check(const Args *a) {
    arg_count(a, 1, 1);
    Model *m = asked_model(a, a->pos[0]);
    if (arg_given(a, OPT_TRAIN)) return check_train(a, m);
    asked_no_training(a);
    ImportOptions import = asked_import(a);
    Graph *g = model_import(m, &import);
    graph_sort(g);
    if (arg_given(a, OPT_JSON)) {
        json_t *o = json_start(a->cx);
        json_put(o, "nodes", json_integer(m->nnode));
        json_print(o);
    } else printf("every operator is known: %d nodes\n", m->nnode);
    return E_OK;
}
