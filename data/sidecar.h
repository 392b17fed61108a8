// sidecar.h -- JSON from metadata and from the small files beside a model. Private to data/.
#ifndef TVC_SIDECAR_H
#define TVC_SIDECAR_H
#include "../frontend/model.h"
#include <jansson.h>

enum { SIDECAR_MAX = 2 << 20 };        // bytes: parsed JSON takes up to 50 times that of its text

// A value that is released with the Cx; NULL (out of memory) fails.
json_t *json_own(Cx *cx, json_t *v);
// Parse; NULL if it is no JSON array or object.
json_t *json_text(Cx *cx, const char *text, size_t n);
// The file of this name in the model's folder; NULL if there is none, or with a note if it is no JSON object.
json_t *sidecar_json(Cx *cx, const Model *m, const char *name);
// A string value, whatever the bytes: what is not UTF-8 is replaced.
json_t *json_text_value(Cx *cx, const char *s);
// On one line, living as long as the Cx, with as few digits as read back the same.
const char *json_dump(Cx *cx, const json_t *v);

#endif
