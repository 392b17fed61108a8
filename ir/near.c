// near.c -- edit distance (Damerau-Levenshtein, neighbours only) over short names.
#include "near.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 63 };                       // of names compared at all

static int least(int a, int b) { return a < b ? a : b; }
static int alike(char a, char b) { return tolower((unsigned char)a) == tolower((unsigned char)b); }

static int distance(const char *a, int na, const char *b, int nb) {
    int row[3][LONGEST + 1];                 // before last, last, this
    for (int j = 0; j <= nb; j++) row[1][j] = j;
    for (int i = 1; i <= na; i++) {
        row[2][0] = i;
        for (int j = 1; j <= nb; j++) {
            int d = least(row[1][j], row[2][j - 1]) + 1;
            d = least(d, row[1][j - 1] + !alike(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && alike(a[i - 1], b[j - 2]) && alike(a[i - 2], b[j - 1]))
                d = least(d, row[0][j - 2] + 1);
            row[2][j] = d;
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
    }
    return row[1][nb];
}

int near_name(const char *wanted, int n, const char *const *name) {
    size_t len = strlen(wanted);
    if (len == 0 || len > LONGEST) return -1;
    int best = -1, best_distance = 1 + (int)(len < 3 ? 1 : len / 3 + 1);
    for (int i = 0; i < n; i++) {
        size_t other = strlen(name[i]);
        if (other > LONGEST) continue;
        int d = distance(wanted, (int)len, name[i], (int)other);
        if (d == (int)len && d == (int)other) continue;                     // nothing in common
        if (d < best_distance) best = i, best_distance = d;
    }
    return best;
}
