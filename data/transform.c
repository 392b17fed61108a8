// transform.c -- where pixels go: windows, flips, rotation.
#include "transform.h"

static size_t row_bytes(const Image *im) { return (size_t)im->width * (size_t)im->channels; }

Err image_copy(const Image *in, Image *out, Fault *f) {
    return image_window(in, (Box){0, 0, in->width, in->height}, out, f);
}

Err image_window(const Image *in, Box w, Image *out, Fault *f) {
    if (image_reserve(out, w.width, w.height, in->channels, f)) return f->code;
    out->orientation = in->orientation;
    size_t c = (size_t)in->channels, row = row_bytes(out);
    int64_t lo = w.x < 0 ? 0 : w.x, hi = (int64_t)w.x + w.width;
    if (hi > in->width) hi = in->width;
    for (int y = 0; y < w.height; y++) {
        uint8_t *d = out->pixel + (size_t)y * row;
        int64_t from = (int64_t)w.y + y;
        bool covered = from >= 0 && from < in->height && lo < hi;
        if (!covered || lo > w.x || hi < (int64_t)w.x + w.width) memset(d, 0, row);
        if (covered)
            memcpy(d + (size_t)(lo - w.x) * c, in->pixel + (size_t)from * row_bytes(in) + (size_t)lo * c,
                   (size_t)(hi - lo) * c);
    }
    return E_OK;
}

static void swap_bytes(uint8_t *a, uint8_t *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint8_t t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

void image_flip_across(Image *im) {
    size_t c = (size_t)im->channels, row = row_bytes(im);
    for (int y = 0; y < im->height; y++) {
        uint8_t *left = im->pixel + (size_t)y * row, *right = left + row - c;
        for (; left < right; left += c, right -= c) swap_bytes(left, right, c);
    }
}

void image_flip_down(Image *im) {
    size_t row = row_bytes(im);
    for (int top = 0, bottom = im->height - 1; top < bottom; top++, bottom--)
        swap_bytes(im->pixel + (size_t)top * row, im->pixel + (size_t)bottom * row, row);
}

// ---- rotation ----

// Where the centre of result pixel (x, y) lies in the source: a x + b y + c, d x + e y + f.
typedef struct Affine { double a, b, c, d, e, f; } Affine;

// Python's round(v, 15).
static double rounded(double v) {
    char text[40];
    snprintf(text, sizeof text, "%.15f", v);
    return strtod(text, NULL);
}

static Affine rotation(const Image *im, double degrees) {
    double angle = -(degrees * (M_PI / 180.0)), x = im->width / 2.0, y = im->height / 2.0;
    double cosine = rounded(cos(angle)), sine = rounded(sin(angle)), opposite = rounded(-sin(angle));
    Affine m = {cosine, sine, 0, opposite, cosine, 0};
    m.c = m.a * -x + m.b * -y + x;
    m.f = m.d * -x + m.e * -y + y;
    return m;
}

// Can source positions be counted in 16.16 fixed point?
static bool fits_fixed(const Affine *m, double x, double y) {
    return fabs(x * m->a + y * m->b + m->c) < 32768.0 && fabs(x * m->d + y * m->e + m->f) < 32768.0;
}

static void take_pixel(const Image *in, int64_t x, int64_t y, uint8_t *d) {
    size_t c = (size_t)in->channels;
    if (x < 0 || y < 0 || x >= in->width || y >= in->height) memset(d, 0, c);
    else memcpy(d, in->pixel + ((size_t)y * (size_t)in->width + (size_t)x) * c, c);
}

static int64_t fixed(double v) { return (int64_t)floor(v * 65536.0 + 0.5); }

static void affine_fixed(const Image *in, const Affine *m, Image *out) {
    int64_t a = fixed(m->a), b = fixed(m->b), d = fixed(m->d), e = fixed(m->e);
    int64_t left = fixed(m->c + m->a * 0.5 + m->b * 0.5), top = fixed(m->f + m->d * 0.5 + m->e * 0.5);
    uint8_t *to = out->pixel;
    for (int y = 0; y < out->height; y++, left += b, top += e) {
        int64_t sx = left, sy = top;
        for (int x = 0; x < out->width; x++, sx += a, sy += d, to += out->channels)
            take_pixel(in, sx >> 16, sy >> 16, to);
    }
}

static int64_t whole(double v) { return v < 0.0 ? -1 : (int64_t)v; }

static void affine_double(const Image *in, const Affine *m, Image *out) {
    double left = m->c + m->b * 0.5 + m->a * 0.5, top = m->f + m->e * 0.5 + m->d * 0.5;
    uint8_t *to = out->pixel;
    for (int y = 0; y < out->height; y++, left += m->b, top += m->e) {
        double sx = left, sy = top;
        for (int x = 0; x < out->width; x++, sx += m->a, sy += m->d, to += out->channels)
            take_pixel(in, whole(sx), whole(sy), to);
    }
}

static void quarter_turn(const Image *in, Image *out) {          // counter-clockwise, of a square
    size_t c = (size_t)in->channels, n = (size_t)in->width;
    for (size_t y = 0; y < n; y++)
        for (size_t x = 0; x < n; x++) memcpy(out->pixel + (y * n + x) * c, in->pixel + (x * n + (n - 1 - y)) * c, c);
}

Err image_rotate(const Image *in, double degrees, Image *out, Fault *f) {
    double angle = fmod(degrees, 360.0);
    if (angle < 0) angle += 360.0;
    bool half = angle == 180.0, quarter = (angle == 90.0 || angle == 270.0) && in->width == in->height;
    if (image_copy(in, out, f)) return f->code;
    if (angle == 0.0) return E_OK;
    if (quarter) quarter_turn(in, out);
    if (half || (quarter && angle == 270.0)) image_flip_across(out), image_flip_down(out);
    if (half || quarter) return E_OK;
    Affine m = rotation(in, angle);
    double w = out->width, h = out->height;
    bool straight = m.b == 0.0 && m.d == 0.0;
    bool fits = fits_fixed(&m, 0, 0) && fits_fixed(&m, w, h) && fits_fixed(&m, 0, h) && fits_fixed(&m, w, 0);
    if (fits && !straight) affine_fixed(in, &m, out);
    else affine_double(in, &m, out);
    return E_OK;
}
