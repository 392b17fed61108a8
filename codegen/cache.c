// cache.c -- the folder of compiled code. It holds programs, so it must be ours alone: made with
// mode 0700, refused if another user owns it or others may write there.
#include "compile.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// mkdir -p
static void make_folders(Cx *cx, const char *path) {
    char *p = cx_fmt(cx, "%s", path);
    for (char *s = p + 1; *s; s++)
        if (*s == '/') *s = 0, mkdir(p, 0700), *s = '/';
    mkdir(p, 0700);
}

static const char *ours(Cx *cx, const char *path) {
    struct stat st;
    make_folders(cx, path);
    bool fits = lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) &&
                access(path, W_OK | X_OK) == 0;
    return fits ? path : NULL;
}

const char *cache_folder(Cx *cx) {
    const char *own = getenv("TVC_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *path = NULL;
    if (own && *own) path = cx_fmt(cx, "%s", own);
    else if (xdg && *xdg == '/') path = cx_fmt(cx, "%s/tvc", xdg);
    else if (home && *home == '/') path = cx_fmt(cx, "%s/.cache/tvc", home);
    const char *r = path ? ours(cx, path) : NULL;
    if (!r && path)
        cx_note(cx, "the cache folder %s cannot be used (it must be yours alone): compiling without one",
                cx_show(cx, path));
    return r;
}
