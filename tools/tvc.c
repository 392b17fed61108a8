// tvc.c -- one request: parse, guard, run, say what went wrong, exit with its code.
#include "../ir/leftover.h"
#include "commands.h"
#include "print.h"

#include <signal.h>

typedef struct Request {
    Cx *cx;
    int argc;
    char **argv;
    Err result;
} Request;

static void serve(void *arg) {
    Request *r = arg;
    Args *a = args_parse(r->cx, r->argc, r->argv);
    print_setup(arg_given(a, OPT_QUIET) ? QUIET : arg_given(a, OPT_VERBOSE) ? VERBOSE : NORMAL);
    if (arg_given(a, OPT_VERSION)) printf("tvc " TVC_VERSION "\n");
    else if (arg_given(a, OPT_HELP)) help_print(a->command);
    else if (a->command) r->result = a->command->run(a);
    else fail(r->cx, E_USAGE, "which command? `tvc --help` lists them");
}

// Stopped: what is half written goes, and the signal ends the process as it would have. Flags of sigaction() would not
// do for that: NVRTC puts handlers of its own in place while it compiles, and this one back without its flags.
static void on_signal(int number) {
    leftovers_remove();
    signal(number, SIG_DFL);
    raise(number);
}

static void clean_up_when_stopped(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction a = {.sa_handler = on_signal};
    struct sigaction before;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (!sigaction(signals[i], NULL, &before) && before.sa_handler != SIG_IGN) sigaction(signals[i], &a, NULL);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);                    // a reader who leaves is noticed when stdout ends
    clean_up_when_stopped();
    Cx *cx = cx_new();
    if (!cx) {
        print_error("out of memory");
        return E_LIMIT;
    }
    print_setup(NORMAL);
    cx->log = print_note;
    Request r = {cx, argc, argv, E_OK};
    if (!cx_guard(cx, serve, &r)) {
        fflush(stdout);
        print_error(cx->error);
        r.result = cx->code;
    }
    cx_free(cx);
    return print_finish(r.result);
}
