// gather.h -- from what the command line names to a list of pictures.
#ifndef TVC_GATHER_H
#define TVC_GATHER_H
#include "image.h"

typedef struct Picture {
    const char *name;                  // for people: the path, or "FILE:17"
    const char *path;                  // of an image file; NULL: the pixels are here
    const uint8_t *grey;               // from an idx file: height x width, borrowed from the arena
    int height, width;
} Picture;

typedef struct Pictures { int n; Picture *at; } Pictures;

// An argument is an image file, a folder (all images in it and below, each folder sorted by name;
// hidden entries and files that are not named as images are passed over; symlinks are followed,
// but never in a circle), an idx file, or a part of one: FILE:FIRST-LAST, FILE:NUMBER. What is not
// there fails with E_IO, a folder without images with E_DATASET. Image files are not opened yet.
Pictures gather_pictures(Cx *cx, int n, const char *const *args);

// The same for one folder, which may have none; and the names of the folders directly in one,
// sorted by their bytes, hidden ones left out.
typedef struct Names { int n; const char **at; } Names;
Pictures gather_folder(Cx *cx, const char *folder);
Names gather_folders(Cx *cx, const char *folder);

// The picture decoded, with o->channels channels.
Err picture_load(const Picture *p, const ImageOptions *o, Image *out, Fault *f);

#endif
