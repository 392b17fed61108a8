// labels.h -- what a model tells of a picture: one class or several, whose names these are, or numbers.
#ifndef TVC_LABELS_H
#define TVC_LABELS_H
#include "../frontend/model.h"

enum { LABELS_MAX = 1000000 };

typedef enum TargetKind {
    TARGET_AUTO,                       // not stated: of a source, what it has; of a model, classes
    TARGET_CLASS,                      // one class per example
    TARGET_LABELS,                     // any number of classes: 0 or 1 for each
    TARGET_NUMBERS,                    // numbers to be predicted
} TargetKind;

typedef struct Labels {
    int n;
    const char **name;                 // [n], in the arena; "" where there is none; any text: cx_show() it
    const char *source;                // "tvc.labels", "config.json (id2label)", a file ...; NULL: none
} Labels;

// From the model's metadata or the Hugging Face config.json beside it; n == 0 if they are silent.
// Damaged labels are ignored, with a note.
Labels labels_of_model(Cx *cx, const Model *m);

// A file of one label a line, a JSON array, or a JSON object {"0": "cat"} or {"cat": 0}; fails naming it.
Labels labels_read(Cx *cx, const char *path);

// The same from text in memory: lines, JSON, or a Python literal {0: 'cat', 1: 'dog'}. False if damaged.
bool labels_parse(Cx *cx, const char *text, size_t n, Labels *out);

// Write them in every dialect, or remove them with l->n == 0.
void labels_to_model(Model *m, const Labels *l);

// In the metadata tvc.target, where it is not one class: "labels" or "numbers".
TargetKind target_of_model(const Model *m);
void target_to_model(Model *m, TargetKind kind);
const char *target_name(TargetKind kind);                        // NULL where it is one class
TargetKind target_named(const char *name);                       // NULL is fine

// The label of a class, or NULL.
const char *label_name(const Labels *l, int64_t index);

#endif
