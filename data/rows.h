// rows.h -- the rows of a list of examples, from CSV or JSON lines: text only, nothing is looked up.
#ifndef TVC_ROWS_H
#define TVC_ROWS_H
#include "../ir/base.h"

typedef struct Row {
    int line;                          // in the file, from 1
    const char *path, *split;          // split: NULL where the row has none
    int nlabel;
    const char **label;                // numbers as text, too
    bool several;                      // written as a list, however many there are
} Row;

typedef struct Rows { int n; Row *at; } Rows;

// What is damaged fails with E_MALFORMED, naming `shown` and the line. Columns with other names are
// passed over.
//   CSV         RFC 4180, first line with the columns' names; several labels with ';' between them
//   JSON lines  an object a line; label is text, a number, or an array of these
Rows rows_of_csv(Cx *cx, const char *shown, const char *text, size_t n);
Rows rows_of_jsonl(Cx *cx, const char *shown, const char *text, size_t n);

#endif
