// thumb.h -- a small copy of a picture that can stand in an HTML file.
#ifndef TVC_THUMB_H
#define TVC_THUMB_H
#include "../data/gather.h"

// A "data:image/bmp;base64,..." of at most 96 x 96 pixels; NULL where the picture cannot be read.
const char *thumb_uri(Cx *cx, const Picture *p);

#endif
