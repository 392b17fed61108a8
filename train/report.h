// report.h -- a run told: metrics.jsonl and results.csv (a row for every epoch), report.txt and
// report.html (self-contained) in its folder.
#ifndef TVC_RUN_REPORT_H
#define TVC_RUN_REPORT_H
#include "progress.h"
#include "rundir.h"

typedef struct LeftOut { const char *picture, *why; } LeftOut;

typedef struct RunReport {
    const char *model;                // its path, for the title
    const Dataset *data;
    const Progress *progress;
    bool finished;
    int nbad;                         // pictures that cannot be read
    const LeftOut *bad;
} RunReport;

// The rows alone, while it goes on.
void report_rows(Cx *cx, const RunDir *dir, const RunReport *r);
void report_write(Cx *cx, const RunDir *dir, const RunReport *r);

#endif
