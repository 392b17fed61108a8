// print.h -- how commands say things: data to stdout, messages to stderr.
#ifndef TVC_PRINT_H
#define TVC_PRINT_H
#include "../ir/base.h"
#include <jansson.h>

typedef enum Loudness { QUIET, NORMAL, VERBOSE } Loudness;
void print_setup(Loudness loudness);

void print_error(const char *line);                          // always
void print_note(void *unused, const char *line);             // a Cx's log; not when quiet
void print_more(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   // when verbose
// What to do next, where somebody is there to read it.
void print_next(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *shell_word(Cx *cx, const char *s);               // in quotes where it is not of plain letters

// JSON. Objects from json_start live until the Cx goes.
json_t *json_start(Cx *cx);
json_t *text_json(Cx *cx, const char *s);                    // escaped where it is no UTF-8; NULL: null
void json_put(json_t *object, const char *key, json_t *value);               // takes value
void json_print(json_t *value);                              // to stdout, indented

// Ends stdout: a reader who went away is fine, a full disk is E_IO.
Err print_finish(Err code);

#endif
