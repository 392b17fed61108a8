// options.h -- the command line: what was asked for, as the rest of tools/ sees it.
//
// The commands and options themselves are rows of table.h. A wrong command line fails with
// E_USAGE, naming the nearest thing that exists.
#ifndef TVC_OPTIONS_H
#define TVC_OPTIONS_H
#include "../ir/base.h"

typedef enum CommandId {
#define COMMAND(id, ...) CMD_##id,
#include "table.h"
    NCOMMANDS
} CommandId;

enum {                                    // sets of commands
#define COMMAND(id, ...) C_##id = 1 << CMD_##id,
#include "table.h"
    C_PHOTOS = C_run | C_data | C_train | C_lr_find | C_eval | C_predict,     // that prepare pictures
    C_PLAN = C_compile | C_check,                                 // that only look at training
    C_LEARN = C_train | C_lr_find,                                // that train
    C_SESSIONS = C_run | C_bench | C_LEARN | C_eval | C_predict,  // that open a session on a device
    C_ALL = (1 << NCOMMANDS) - 1
};

typedef enum GroupId {
#define GROUP(id, heading) GROUP_##id,
#include "table.h"
    NGROUPS
} GroupId;

typedef enum OptionId {
#define OPTION(id, ...) OPT_##id,
#include "table.h"
    NOPTIONS
} OptionId;

typedef struct Args Args;

typedef struct Command {
    const char *name, *arguments, *summary, *about, *examples;    // examples: one a line
    Err (*run)(const Args *a);            // E_OK, or E_CHECK where a comparison did not hold; else fails
} Command;

typedef struct Option {
    const char *name;
    char letter;                          // 0: none
    const char *argument;                 // NULL: takes none
    GroupId group;
    int commands;                         // set of those that have it
    const char *help;
} Option;

extern const Command commands[NCOMMANDS];
extern const Option options[NOPTIONS];
extern const char *const group_heading[NGROUPS];
bool option_has_choices(const Option *o);                // its argument is words to choose from

struct Args {
    Cx *cx;
    const Command *command;               // NULL: none was named
    int npos;
    const char **pos;                     // what is no option, the command excepted
    int ngiven;
    struct GivenOption { OptionId id; const char *value; } *given;      // in order
};

Args *args_parse(Cx *cx, int argc, char **argv);

bool arg_given(const Args *a, OptionId id);
int arg_times(const Args *a, OptionId id);
const char *arg_text(const Args *a, OptionId id, const char *otherwise);      // of the last one given
const char *arg_next(const Args *a, OptionId id, int *at);                    // one after another from *at = 0; NULL: no more
int64_t arg_int(const Args *a, OptionId id, int64_t otherwise, int64_t least, int64_t most);
double arg_float(const Args *a, OptionId id, double otherwise);
char *arg_word(const Args *a, int i);                                         // the i-th given, as "--name=value"
int arg_ints(const Args *a, OptionId id, int64_t least, int64_t most, int64_t **v);    // "8,16": their count, 0 if absent
int arg_floats(const Args *a, OptionId id, double **v);

// Fails unless between least and most arguments were given (most -1: any number).
void arg_count(const Args *a, int least, int most);

// Numbers written in full, within bounds; `what` is for the message.
int64_t parse_int(Cx *cx, const char *what, const char *s, int64_t least, int64_t most);
double parse_float(Cx *cx, const char *what, const char *s);

#endif
