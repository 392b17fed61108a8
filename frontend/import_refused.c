// import_refused.c -- operators tvc knows and cannot serve, and why.
#include "import.h"

void import_sized_by_data(Import *im, const DocNode *n) {
    (void)n;
    import_fail(im, E_UNSUPPORTED, "the size of its result depends on the data");
}

void import_of_sequences(Import *im, const DocNode *n) {
    (void)n;
    import_fail(im, E_UNSUPPORTED, "sequences and optional values are not supported");
}

void import_of_strings(Import *im, const DocNode *n) {
    (void)n, import_fail(im, E_UNSUPPORTED, "strings are not supported");
}
