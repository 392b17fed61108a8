// help.c -- what the tables of options.c say, for people (help, manual page) and for shells (completion).
#include "commands.h"
#include "print.h"

static const struct { Err code; const char *meaning; } exit_codes[] = {
    {E_OK, "ok"},
    {E_CHECK, "a check failed"},
    {E_USAGE, "wrong usage"},
    {E_MALFORMED, "a malformed or refused file"},
    {E_UNSUPPORTED, "valid, but unsupported"},
    {E_IO, "the system would not read or write"},
    {E_LIMIT, "memory, or a limit on sizes and counts"},
    {E_DEVICE, "the machine lacks an instruction set, a driver, a library"},
    {E_DIVERGED, "training diverged"},
    {E_DATASET, "the data set does not fit"},
    {E_INTERNAL, "a mistake of tvc's own"},
    {130, "stopped by SIGINT"},
    {143, "stopped by SIGTERM"},
};
enum { NEXITS = sizeof exit_codes / sizeof exit_codes[0] };

static bool has_option(const Command *c, const Option *o) {
    return c ? (o->commands >> (c - commands)) & 1 : o->commands == C_ALL;
}

// ---- help ----
static void print_wrapped(const char *text, int indent, int at) {
    enum { WIDTH = 100 };
    for (const char *p = text; *p; p += *p == ' ') {
        int n = (int)strcspn(p, " "), blank = at > indent;
        if (blank && at + blank + n > WIDTH) printf("\n%*s", indent, ""), at = indent, blank = 0;
        at += printf("%*s%.*s", blank, "", n, p);
        p += n;
    }
    putchar('\n');
}

static void print_examples(const char *examples) {
    printf("Examples:\n");
    for (const char *p = examples; *p; p += strcspn(p, "\n") + 1) printf("  %.*s\n", (int)strcspn(p, "\n"), p);
}

static void print_option(const Option *o) {
    enum { COLUMN = 34 };
    char letter[8] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    int n = printf("  %s--%s%s%s", letter, o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    if (n >= COLUMN - 1) printf("\n"), n = 0;
    printf("%*s", COLUMN - n, "");
    print_wrapped(o->help, COLUMN, COLUMN);
}

static void print_options(const Command *c) {
    for (int g = 0; g < NGROUPS; g++) {
        bool any = false;
        for (int i = 0; i < NOPTIONS; i++) {
            if (options[i].group != (GroupId)g || !has_option(c, &options[i])) continue;
            if (!any) printf("\n%s:\n", group_heading[g]);
            any = true;
            print_option(&options[i]);
        }
    }
}

static void print_overview(void) {
    print_examples("tvc inspect resnet50.onnx\n"
                   "tvc edit resnet50.onnx --replace-head 10 -o mine.onnx\n"
                   "tvc compile resnet50.onnx --replace-head 10 -o mine.tvc\n"
                   "tvc run mine.tvc cat.jpg\n");
    printf("\nUsage: tvc COMMAND [ARGUMENT ...] [OPTION ...]\n\nCommands:\n");
    for (int i = 0; i < NCOMMANDS; i++) printf("  %-12s%s\n", commands[i].name, commands[i].summary);
    print_options(NULL);
    printf("\nExit codes:\n");
    for (int i = 0; i < NEXITS; i++) printf("  %-5d%s\n", exit_codes[i].code, exit_codes[i].meaning);
    printf("\n`tvc COMMAND --help` shows the options of one command.\n");
}

void help_print(const Command *c) {
    if (!c) {
        print_overview();
        return;
    }
    print_examples(c->examples);
    printf("\nUsage: tvc %s%s%s [OPTION ...]\n\n", c->name, c->arguments[0] ? " " : "", c->arguments);
    print_wrapped(c->about, 0, 0);
    print_options(c);
}

// ---- manual page ----
// Text as roff: hyphens that are typed, backslashes, and lines that look like requests.
static void roff(const char *s) {
    for (const char *p = s; *p; p++) {
        bool first = p == s || p[-1] == '\n';
        if (*p == '\\') printf("\\e");
        else if (*p == '-') printf("\\-");
        else if (first && (*p == '.' || *p == '\'')) printf("\\&%c", *p);
        else putchar(*p);
    }
}

static void man_option(const Option *o) {
    printf(".TP\n");
    if (o->letter) printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-"), roff(o->name), printf("\\fR");
    if (o->argument) printf(" \\fI"), roff(o->argument), printf("\\fR");
    printf("\n"), roff(o->help), printf("\n");
}

static void man_command(const Command *c) {
    printf(".SS tvc %s ", c->name), roff(c->arguments), printf("\n"), roff(c->about), printf("\n");
    for (int i = 0; i < NOPTIONS; i++)
        if (has_option(c, &options[i]) && options[i].commands != C_ALL) man_option(&options[i]);
    printf(".PP\n.nf\n"), roff(c->examples), printf(".fi\n");
}

Err run_man(const Args *a) {
    arg_count(a, 0, 0);
    printf(".TH TVC 1 \"\" \"tvc " TVC_VERSION "\" \"User Commands\"\n.SH NAME\ntvc \\- adapts, compiles and runs "
           "pretrained ONNX models\n.SH SYNOPSIS\n.B tvc\n.I COMMAND\n[\\fIARGUMENT\\fR ...] [\\fIOPTION\\fR ...]\n"
           ".SH COMMANDS\n");
    for (int i = 0; i < NCOMMANDS; i++) man_command(&commands[i]);
    printf(".SH COMMON OPTIONS\n");
    for (int i = 0; i < NOPTIONS; i++)
        if (options[i].commands == C_ALL) man_option(&options[i]);
    printf(".SH EXIT STATUS\n");
    for (int i = 0; i < NEXITS; i++) printf(".TP\n%d\n", exit_codes[i].code), roff(exit_codes[i].meaning), printf("\n");
    printf(
        ".SH ENVIRONMENT\n.TP\nXDG_CACHE_HOME\nwhere compiled kernels are kept, in its folder tvc (default ~/.cache)\n"
        ".TP\nNO_COLOR\nno colours in messages\n");
    return E_OK;
}

// ---- completion ----
// The words of "a|b|GLOB,...", a blank between them, the lower-case ones only.
static void print_choices(const char *choices) {
    for (const char *p = choices; *p;) {
        int n = (int)strcspn(p, "|");
        if (!(*p >= 'A' && *p <= 'Z')) printf("%s%.*s", p == choices ? "" : " ", n, p);
        p += n + (p[n] == '|');
    }
}

static void print_command_names(void) {
    for (int i = 0; i < NCOMMANDS; i++) printf("%s%s", i ? " " : "", commands[i].name);
}

static void complete_bash(void) {
    printf("_tvc() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n        words='");
    print_command_names();
    printf("'\n        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n        return\n    fi\n    case $prev in\n");
    for (int i = 0; i < NOPTIONS; i++)
        if (option_has_choices(&options[i])) {
            printf("    --%s) COMPREPLY=($(compgen -W '", options[i].name);
            print_choices(options[i].argument);
            printf("' -- \"$cur\")); return ;;\n");
        }
    printf("    completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")); return ;;\n    esac\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < NCOMMANDS; i++) {
        printf("    %s) words='", commands[i].name);
        for (int k = 0; k < NOPTIONS; k++)
            if (has_option(&commands[i], &options[k])) printf("--%s ", options[k].name);
        printf("' ;;\n");
    }
    printf("    esac\n    case $cur in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
           "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n    esac\n}\n"
           "complete -o filenames -F _tvc tvc\n");
}

// Help in single quotes: the tables hold none, and no bracket either where zsh would take it for its own.
static void complete_zsh(void) {
    printf("#compdef tvc\n_tvc() {\n    local -a commands\n    commands=(\n");
    for (int i = 0; i < NCOMMANDS; i++) printf("        '%s:%s'\n", commands[i].name, commands[i].summary);
    printf("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
           "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n");
    for (int i = 0; i < NCOMMANDS; i++) {
        printf("    %s)\n        _arguments", commands[i].name);
        for (int k = 0; k < NOPTIONS; k++) {
            const Option *o = &options[k];
            if (!has_option(&commands[i], o)) continue;
            printf(" \\\n            '--%s[", o->name);
            for (const char *p = o->help; *p; p++) printf(*p == ':' ? "\\:" : "%c", *p);
            printf("]");
            if (option_has_choices(o)) printf(":value:("), print_choices(o->argument), printf(")");
            else if (o->argument) printf(":%s:_files", strstr(o->argument, "FILE") ? "file" : "value");
            printf("'");
        }
        printf(strcmp(commands[i].name, "completion") == 0 ? " \\\n            '*:shell:(bash zsh fish)' ;;\n"
                                                           : " \\\n            '*:file:_files' ;;\n");
    }
    printf("    esac\n}\n_tvc \"$@\"\n");
}

static void complete_fish(void) {
    printf("complete -c tvc -n __fish_use_subcommand -f\n");
    for (int i = 0; i < NCOMMANDS; i++)
        printf("complete -c tvc -n __fish_use_subcommand -a %s -d '%s'\n", commands[i].name, commands[i].summary);
    printf("complete -c tvc -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n");
    for (int k = 0; k < NOPTIONS; k++) {
        const Option *o = &options[k];
        printf("complete -c tvc -n '__fish_seen_subcommand_from");
        for (int i = 0; i < NCOMMANDS; i++)
            if (has_option(&commands[i], o)) printf(" %s", commands[i].name);
        printf("' -l %s", o->name);
        if (o->letter) printf(" -s %c", o->letter);
        if (option_has_choices(o)) printf(" -x -a '"), print_choices(o->argument), printf("'");
        else if (o->argument) printf(" -r");
        printf(" -d '%s'\n", o->help);
    }
}

Err run_completion(const Args *a) {
    arg_count(a, 1, 1);
    const char *shell = a->pos[0];
    if (strcmp(shell, "bash") == 0) complete_bash();
    else if (strcmp(shell, "zsh") == 0) complete_zsh();
    else if (strcmp(shell, "fish") == 0) complete_fish();
    else fail(a->cx, E_USAGE, "no completion for '%s'; there is bash, zsh and fish", cx_show(a->cx, shell));
    return E_OK;
}
