// external.h -- side files: weights kept outside the model, named by the model.
//
// A model may name any path it likes, so there is one opener, used for reading and for writing:
// below the given folder, through no symbolic link, only regular files with a single name (a hard
// link could be anybody's file).
#ifndef TVC_EXTERNAL_H
#define TVC_EXTERNAL_H
#include "document.h"

typedef struct External {           // the external_data entries of a tensor
    const char *location, *checksum;                               // NULL if not given
    int64_t offset, length;                                        // -1 if not given
    unsigned seen;
} External;

// One external_data entry (field f of the tensor w) into e. Unknown keys are noted and ignored.
void external_entry(Document *d, const Wire *w, const Field *f, External *e);

// The bytes e names, mapped, and the file they are in. `size` is what the tensor needs, -1 if not
// known. Fails with E_MALFORMED if the location is not allowed or the range does not fit the file.
const void *external_data(Document *d, const Wire *w, const External *e, SideFile **side, int64_t size);

// Why a location is refused before anything is opened; NULL if it may be tried.
const char *location_fault(const char *location);

// Open `location` below folder: a descriptor, or -1 with *why set (and errno ENOENT if there is none).
int open_beneath(int folder, const char *location, const char **why);

#endif
