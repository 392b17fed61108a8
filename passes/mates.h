// mates.h -- what mates.c, which finds kernels of several results, and its rules share; private to them.
#ifndef TVC_MATES_H
#define TVC_MATES_H
#include "passes.h"

enum { MOSTSUMS = 6, MOSTRESULTS = 12, MOSTNODES = 64, LOOKBACK = 6 };

typedef enum ClusterKind { CLUSTER_SUMS, CLUSTER_UPDATES, CLUSTER_ROWS } ClusterKind;

typedef struct Cluster {
    ClusterKind kind;
    Node **n;                         // in the graph's order
    int count, nsum;                  // nsum: what its kind has few of
    const Node *row;                  // of rows: what the first reduction reads
} Cluster;

typedef struct Mates {
    Graph *g;
    Cluster *c;
    int nc;
    int *of;                          // by id: 1 + its cluster
    uint32_t *fns;                    // by id: a bit for each function that needs it
    Node **leaf;                      // by id: what it replaces, or NULL
    bool *root, *first;               // by id; first: it replaces something, or is one number and a root
    bool *plain;                      // by id: its formula has neither sum nor product
    bool *exposed;                    // by id, of rows: kernels outside compute it again
    double *size;                     // by id: of its formula, nothing shared
    int **user, *nuser;               // by id
    uint32_t *seen, *met, stamp;      // by id: reached in the walk of that number
    int *todo;
} Mates;

// ---- mates.c ----
void walk(Mates *m, int id);          // a new one: seen is everything that depends on it, all of a kernel at once
bool independent(Mates *m, const Cluster *c, const Node *n);         // no way leads from one to the other
bool made_before(Mates *m, int c, const Node *n);     // n reads what kernel c makes, or what is there before it
Cluster *open_cluster(Mates *m, ClusterKind kind);                   // the last one
void join(Mates *m, int c, Node *n, bool sum);        // to kernel c, from 0
int reads_cluster(const Mates *m, const Node *n);      // 1 + the latest kernel n reads from, place by place; or 0
void place_formula(Mates *m, Node *n);                // with that one, if it can

// ---- rules: each puts a node into a kernel, or not ----
void place_update(Mates *m, Node *n);                                // mates_update.c
bool replaces_too_soon(Mates *m, const Cluster *c);                  // something that another kernel reads after it
bool place_row(Mates *m, Node *n);                                   // mates_rows.c
void bind_rows(Mates *m, Cluster *c);                 // makes one kernel of it, if it would be several

#endif
