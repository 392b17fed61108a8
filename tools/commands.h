// commands.h -- one function a command, each in the file of its name, and help.c.
#ifndef TVC_COMMANDS_H
#define TVC_COMMANDS_H
#include "options.h"

#define COMMAND(id, ...) Err run_##id(const Args *a);
#include "table.h"

Err compile_train(const Args *a);         // compile_train.c: tvc compile --train
void help_print(const Command *c);        // to stdout; NULL: of tvc as a whole

#endif
