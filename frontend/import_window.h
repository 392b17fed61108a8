// import_window.h -- kernel, strides, dilations and padding as ONNX writes them, for every row that slides a window.
#ifndef TVC_IMPORT_WINDOW_H
#define TVC_IMPORT_WINDOW_H
#include "import.h"

// The window of im's node over the image axes (2 and up) of x: `kernel` gives the sizes where the
// node has no kernel_shape (NULL: it must have one). auto_pad is resolved into before and after.
// Numbers of the wrong count, below 1, or absurdly large fail, naming the node; pads may be negative.
Window window_read(Import *im, Shape x, const int64_t *kernel);

// With ceil_mode: room after the image for a last window that hangs over, as long as it starts inside.
Window window_rounded_up(const Window *w, Shape x);

// The same numbers, for operators that turn the rules of padding round (ConvTranspose).
typedef enum AutoPad { PAD_NOTSET, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER } AutoPad;
Window window_unpadded(Import *im, Shape x, const int64_t *kernel);          // all but the padding
AutoPad window_auto_pad(Import *im);
void window_pads(Import *im, Window *w);                                     // the attribute `pads`

// One number per image axis: attribute `name`, or `otherwise` where it is absent; each low..2^31.
void window_numbers(Import *im, const char *name, int rank, int64_t low, int64_t otherwise, int64_t *v);

// total split over both sides; the odd one goes where auto_pad says
void window_split(Window *w, int axis, int64_t total, AutoPad how);

#endif
