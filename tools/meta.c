// meta.c -- recipe, labels and scores, from a model to a package and back.
#include "meta.h"
#include "print.h"

static const char *const score_names[] = {[SCORES_LOGITS] = "logits", [SCORES_PROBABILITIES] = "probabilities",
                                          [SCORES_LOG] = "log-probabilities"};

const ValueInfo *picture_input(const Model *m) {
    for (int i = 0; i < m->ninput; i++)
        if (!model_init(m, m->input[i]->name)) return m->input[i];
    return NULL;
}

RunMeta meta_of_model(Cx *cx, Model *m) {
    return (RunMeta){recipe_of_model(cx, m), labels_of_model(cx, m), output_scores(m, m->output[0]->name),
                     target_of_model(m)};
}

const char *meta_json(Cx *cx, const Model *m, const RunMeta *r) {
    json_t *o = json_start(cx), *labels = json_array();
    const ValueInfo *v = picture_input(m);
    ImageInput in;
    const char *why;
    if (r->recipe.given && v && image_input(v, &in, &why)) {
        Recipe whole = r->recipe, none = {0};
        recipe_complete(cx, &whole, &none, &in);
        json_put(o, "tvc.preprocess", text_json(cx, recipe_json(cx, &whole, &in)));
    }
    for (int i = 0; i < r->labels.n; i++) json_array_append_new(labels, text_json(cx, r->labels.name[i]));
    json_put(o, "labels", labels);
    json_put(o, "scores", json_string(score_names[r->scores]));
    json_put(o, "target", text_json(cx, target_name(r->target)));
    char *text = json_dumps(o, JSON_COMPACT);
    if (!text) fail(cx, E_LIMIT, "out of memory");
    cx_defer(cx, free, text);
    return text;
}

// Read back through the reader of documents: a document that has nothing but this metadata.
static Recipe recipe_of_text(Cx *cx, const char *text) {
    Meta meta = {"tvc.preprocess", text}, *list[] = {&meta};
    Model m = {.cx = cx, .path = "", .nmeta = 1, .meta = list};
    return recipe_of_model(cx, &m);
}

RunMeta meta_of_package(Cx *cx, const Package *p, const char *path) {
    RunMeta r = {0};
    json_t *o = json_start(cx), *said = json_loadb(p->meta, (size_t)p->meta_bytes, 0, NULL);
    if (!json_is_object(said)) {
        json_decref(said);
        fail(cx, E_MALFORMED, "%s: its description is no JSON object", cx_show(cx, path));
    }
    json_put(o, "meta", said);
    const char *recipe = json_string_value(json_object_get(said, "tvc.preprocess"));
    const char *scores = json_string_value(json_object_get(said, "scores"));
    if (recipe) r.recipe = recipe_of_text(cx, recipe);
    for (int i = SCORES_LOGITS; i <= SCORES_LOG; i++)
        if (scores && strcmp(scores, score_names[i]) == 0) r.scores = (Scores)i;
    r.target = target_named(json_string_value(json_object_get(said, "target")));
    const json_t *labels = json_object_get(said, "labels");
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const char *s = json_string_value(json_array_get(labels, i));
        *VEC_PUSH(cx, r.labels.name, r.labels.n) = s ? s : "";
    }
    r.labels.source = path;
    return r;
}
