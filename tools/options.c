// options.c -- the tables of table.h, and the command line read by them.
#include "options.h"
#include "../ir/near.h"
#include "commands.h"

#include <errno.h>

const Command commands[NCOMMANDS] = {
#define COMMAND(id, name, arguments, summary, about, examples) {name, arguments, summary, about, examples, run_##id},
#include "table.h"
};

const Option options[NOPTIONS] = {
#define OPTION(id, name, letter, argument, group, set, help) {name, letter, argument, GROUP_##group, set, help},
#include "table.h"
};

const char *const group_heading[NGROUPS] = {
#define GROUP(id, heading) heading,
#include "table.h"
};

static int command_bit(const Command *c) { return c ? 1 << (c - commands) : C_ALL; }

// ---- what was meant? ----
static _Noreturn void unknown_command(Cx *cx, const char *s) {
    const char *name[NCOMMANDS];
    for (int i = 0; i < NCOMMANDS; i++) name[i] = commands[i].name;
    int k = near_name(s, NCOMMANDS, name);
    if (k >= 0) fail(cx, E_USAGE, "no command '%s'; did you mean '%s'?", cx_show(cx, s), name[k]);
    fail(cx, E_USAGE, "no command '%s'; `tvc --help` lists them", cx_show(cx, s));
}

static const Command *command_find(Cx *cx, const char *s) {
    for (int i = 0; i < NCOMMANDS; i++)
        if (strcmp(commands[i].name, s) == 0) return &commands[i];
    unknown_command(cx, s);
}

static _Noreturn void unknown_option(Cx *cx, const Command *c, const char *s) {
    const char *name[NOPTIONS], *of = c ? c->name : "COMMAND";
    int n = 0;
    for (int i = 0; i < NOPTIONS; i++) {
        if (strcmp(options[i].name, s) == 0)
            fail(cx, E_USAGE, "`tvc %s` has no option --%s; `tvc %s --help` lists those it has", of, s, of);
        if (options[i].commands & command_bit(c)) name[n++] = options[i].name;
    }
    int k = near_name(s, n, name);
    if (k >= 0) fail(cx, E_USAGE, "no option --%s; did you mean --%s?", cx_show(cx, s), name[k]);
    fail(cx, E_USAGE, "no option --%s; `tvc %s --help` lists those there are", cx_show(cx, s), of);
}

static OptionId option_find(Cx *cx, const Command *c, const char *name, size_t len) {
    for (int i = 0; i < NOPTIONS; i++)
        if ((options[i].commands & command_bit(c)) && strlen(options[i].name) == len &&
            memcmp(options[i].name, name, len) == 0)
            return i;
    unknown_option(cx, c, cx_str(cx, name, len));
}

static OptionId letter_find(Cx *cx, const Command *c, char letter) {
    for (int i = 0; i < NOPTIONS; i++)
        if ((options[i].commands & command_bit(c)) && options[i].letter == letter) return i;
    const char s[2] = {letter, 0};
    fail(cx, E_USAGE, "no option -%s; `tvc %s --help` lists those there are", cx_show(cx, s), c ? c->name : "COMMAND");
}

// ---- reading ----
bool option_has_choices(const Option *o) { return o->argument && o->argument[0] >= 'a' && o->argument[0] <= 'z'; }

// Is value one of the words of "a|b|c"? Capitals stand for anything: "GLOB,...", "cuda:N".
static bool choice_holds(const char *choices, const char *value) {
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|"), fixed = strcspn(p, "|ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (fixed < n && strncmp(value, p, fixed) == 0) return true;
        if (strlen(value) == n && memcmp(p, value, n) == 0) return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static void option_add(Args *a, OptionId id, const char *value) {
    const Option *o = &options[id];
    if (value && option_has_choices(o) && !choice_holds(o->argument, value))
        fail(a->cx, E_USAGE, "--%s is one of %s, not '%s'", o->name, o->argument, cx_show(a->cx, value));
    *VEC_PUSH(a->cx, a->given, a->ngiven) = (struct GivenOption){id, value};
}

// Takes one option at argv[i]; returns the number of the last argument it used.
static int option_read(Args *a, int argc, char **argv, int i) {
    const char *s = argv[i], *value = NULL;
    bool is_long = s[1] == '-';
    OptionId id;
    if (is_long) {
        size_t n = strcspn(s + 2, "=");
        id = option_find(a->cx, a->command, s + 2, n);
        if (s[2 + n]) value = s + 2 + n + 1;
    } else {
        id = letter_find(a->cx, a->command, s[1]);
        if (s[2]) value = s + 2;
    }
    const Option *o = &options[id];
    if (!o->argument && value) {
        if (is_long) fail(a->cx, E_USAGE, "--%s takes no value", o->name);
        fail(a->cx, E_USAGE, "-%c takes no value, and letters are not run together: -%c%s", o->letter, o->letter,
             cx_show(a->cx, value));
    }
    if (o->argument && !value) {
        if (i + 1 >= argc) fail(a->cx, E_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
        value = argv[++i];
    }
    option_add(a, id, value);
    return i;
}

// The command is the first argument that is no option: found before options are read, since it
// decides which there are.
static int command_place(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-') return i;
    return 0;
}

Args *args_parse(Cx *cx, int argc, char **argv) {
    Args *a = NEW(cx, Args, 1);
    a->cx = cx;
    int at = command_place(argc, argv);
    if (at) a->command = command_find(cx, argv[at]);
    bool only_positions = false;
    for (int i = 1; i < argc; i++) {
        if (i == at) continue;
        if (!only_positions && strcmp(argv[i], "--") == 0) only_positions = true;
        else if (!only_positions && argv[i][0] == '-' && argv[i][1]) i = option_read(a, argc, argv, i);
        else *VEC_PUSH(cx, a->pos, a->npos) = argv[i];
    }
    return a;
}

// ---- asking ----
const char *arg_next(const Args *a, OptionId id, int *at) {
    for (; *at < a->ngiven; ++*at)
        if (a->given[*at].id == id) return a->given[(*at)++].value;
    return NULL;
}

int arg_times(const Args *a, OptionId id) {
    int n = 0;
    for (int at = 0; arg_next(a, id, &at);) n++;
    return n;
}

bool arg_given(const Args *a, OptionId id) {
    for (int i = 0; i < a->ngiven; i++)
        if (a->given[i].id == id) return true;
    return false;
}

const char *arg_text(const Args *a, OptionId id, const char *otherwise) {
    for (int i = a->ngiven; i-- > 0;)
        if (a->given[i].id == id) return a->given[i].value;
    return otherwise;
}

int64_t parse_int(Cx *cx, const char *what, const char *s, int64_t least, int64_t most) {
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (end == s || *end || errno) fail(cx, E_USAGE, "%s: '%s' is no whole number", what, cx_show(cx, s));
    if (v < least || v > most)
        fail(cx, E_USAGE, "%s: %lld is not within %lld to %lld", what, v, (long long)least, (long long)most);
    return v;
}

double parse_float(Cx *cx, const char *what, const char *s) {
    char *end;
    double v = strtod(s, &end);
    if (*end == '/' && end != s) {                              // 1/255
        const char *below = end + 1;
        double d = strtod(below, &end);
        if (end == below || d == 0) end = (char *)s;
        else v /= d;
    }
    if (end == s || *end || !isfinite(v)) fail(cx, E_USAGE, "%s: '%s' is no number", what, cx_show(cx, s));
    return v;
}

static const char *dashed(const Args *a, OptionId id) { return cx_fmt(a->cx, "--%s", options[id].name); }

int64_t arg_int(const Args *a, OptionId id, int64_t otherwise, int64_t least, int64_t most) {
    const char *s = arg_text(a, id, NULL);
    return s ? parse_int(a->cx, dashed(a, id), s, least, most) : otherwise;
}

double arg_float(const Args *a, OptionId id, double otherwise) {
    const char *s = arg_text(a, id, NULL);
    return s ? parse_float(a->cx, dashed(a, id), s) : otherwise;
}

char *arg_word(const Args *a, int i) {
    const Option *o = &options[a->given[i].id];
    return cx_fmt(a->cx, "--%s%s%s", o->name, o->argument ? "=" : "", o->argument ? a->given[i].value : "");
}

// The parts of "a,b,c", each with a NUL behind.
static int split(Cx *cx, const char *s, const char ***part) {
    int n = 0;
    *part = NULL;
    for (;; s++) {
        size_t len = strcspn(s, ",");
        *VEC_PUSH(cx, *part, n) = cx_str(cx, s, len);
        if (!s[len]) return n;
        s += len;
    }
}

int arg_ints(const Args *a, OptionId id, int64_t least, int64_t most, int64_t **v) {
    const char *s = arg_text(a, id, NULL), **part;
    if (!s) return 0;
    int n = split(a->cx, s, &part);
    *v = NEW(a->cx, int64_t, n);
    for (int i = 0; i < n; i++) (*v)[i] = parse_int(a->cx, dashed(a, id), part[i], least, most);
    return n;
}

int arg_floats(const Args *a, OptionId id, double **v) {
    const char *s = arg_text(a, id, NULL), **part;
    if (!s) return 0;
    int n = split(a->cx, s, &part);
    *v = NEW(a->cx, double, n);
    for (int i = 0; i < n; i++) (*v)[i] = parse_float(a->cx, dashed(a, id), part[i]);
    return n;
}

void arg_count(const Args *a, int least, int most) {
    if (a->npos < least)
        fail(a->cx, E_USAGE, "an argument is missing: tvc %s %s", a->command->name, a->command->arguments);
    if (most >= 0 && a->npos > most)
        fail(a->cx, E_USAGE, "'%s' is one argument too many: tvc %s %s", cx_show(a->cx, a->pos[most]), a->command->name,
             a->command->arguments);
}
