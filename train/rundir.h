// rundir.h -- the folder a run keeps its things in, and the lock on it.
//
//   args.json       what was asked for, and where
//   last.ckpt       where the run stands (train/checkpoint.h), last.ckpt.1 the one before
//   metrics.jsonl, results.csv    a row for every epoch, as of the last checkpoint
// and, when it ends, diverges or is stopped: best.onnx (the model at its best epoch), and what else train/report.h writes
#ifndef TVC_RUNDIR_H
#define TVC_RUNDIR_H
#include "../ir/file.h"

typedef struct RunDir { const char *path; } RunDir;

// Makes the folder if need be. Fails with E_USAGE while another process has it.
RunDir rundir_open(Cx *cx, const char *path);
const char *rundir_file(Cx *cx, const RunDir *r, const char *name);
void rundir_write(Cx *cx, const RunDir *r, const char *name, const char *text);      // whole or not at all
void rundir_forget(Cx *cx, const RunDir *r);              // remove what an earlier run left

#endif
