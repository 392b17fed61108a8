// draft.h -- a dataset while it is being read: sets of examples with one numbering of classes.
// The sources (folder.c, pairs.c, lists.c) fill it in, dataset.c makes the Dataset of it.
#ifndef TVC_DRAFT_H
#define TVC_DRAFT_H
#include "dataset.h"

typedef struct Draft {
    Cx *cx;
    const char *path;
    const DatasetOptions *o;
    bool training;                     // train and val are wanted; else one set
    TargetKind kind;
    int ntarget;
    Labels classes;
    bool numbered;                     // a label such as "3" may also mean class number 3
    int nset;
    Examples *set;                     // by name; "" for an undivided one
    int nproblem;
    const char **problem;
} Draft;

Examples *draft_set(Draft *d, const char *name);                 // found or made; valid until the next one is made
void draft_add(Draft *d, Examples *set, Example e);
bool draft_wants(const Draft *d, const char *name);              // is this set one of those asked for?
bool is_validation(const char *name);                            // val, valid, validation

// E_DATASET, or one more line of problems where these are only collected.
void draft_problem(Draft *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// classes.c
int class_find(const Labels *sorted, const char *name);          // -1: not there
void classes_select(Draft *d);         // only those of options.classes, in their order
void classes_name(Draft *d);           // the numbers of a numbered draft become options.names
void classes_match(Draft *d);          // numbered as options.match does

void folder_read(Draft *d);            // folder.c
bool pairs_read(Draft *d);             // pairs.c: idx files; false if there are none
void list_read(Draft *d);              // lists.c: CSV, JSON lines
void list_parse(Draft *d, const char *text, size_t n, bool json);

#endif
