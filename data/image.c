// image.c -- opening an image file, telling its format, and the conversions all formats share.
#include "image.h"
#include "decode.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t MAX_FILE = (int64_t)1 << 30;

// ---- memory ----

static Err grow(uint8_t **p, size_t *capacity, size_t size, Fault *f) {
    if (*p && size <= *capacity) return E_OK;
    free(*p);                                        // old contents are never wanted
    *p = malloc(size);
    *capacity = *p ? size : 0;
    return *p ? E_OK : fault(f, E_LIMIT, "out of memory: %zu bytes are needed", size);
}

Err image_reserve(Image *im, int64_t width, int64_t height, int channels, Fault *f) {
    if (width < 1 || height < 1)
        return fault(f, E_MALFORMED, "the image is %lld x %lld pixels", (long long)width, (long long)height);
    if (width > IMAGE_MAX_PIXELS || height > IMAGE_MAX_PIXELS / width)
        return fault(f, E_LIMIT, "%lld x %lld pixels are more than the %d allowed", (long long)width,
                     (long long)height, IMAGE_MAX_PIXELS);
    size_t size = (size_t)width * (size_t)height * (size_t)channels + IMAGE_SLACK;
    if (grow(&im->pixel, &im->capacity, size, f)) return f->code;
    memset(im->pixel + size - IMAGE_SLACK, 0, IMAGE_SLACK);
    im->width = (int)width;
    im->height = (int)height;
    im->channels = channels;
    return E_OK;
}

void image_free(Image *im) {
    free(im->pixel);
    free(im->file);
    *im = (Image){0};
}

// ---- channels ----

// Pillow's convert("L"): ITU-R 601-2 luma in 16-bit fixed point. In place.
static void to_grey(Image *im) {
    size_t n = (size_t)im->width * (size_t)im->height;
    const uint8_t *s = im->pixel;
    for (size_t i = 0; i < n; i++, s += 3)
        im->pixel[i] = (uint8_t)((s[0] * 19595u + s[1] * 38470u + s[2] * 7471u + 0x8000u) >> 16);
    im->channels = 1;
}

static Err to_rgb(Image *im, Fault *f) {
    size_t n = (size_t)im->width * (size_t)im->height;
    uint8_t *grey = im->pixel;
    size_t old = im->capacity;
    im->pixel = NULL;
    im->capacity = 0;
    if (image_reserve(im, im->width, im->height, 3, f)) {
        im->pixel = grey;
        im->capacity = old;
        return f->code;
    }
    for (size_t i = 0; i < n; i++) memset(im->pixel + 3 * i, grey[i], 3);
    free(grey);
    return E_OK;
}

// ---- formats ----

static Err decode(const uint8_t *p, size_t n, Image *out, Fault *f) {
    if (n >= 3 && !memcmp(p, "\xff\xd8\xff", 3)) return jpeg_decode(p, n, out, f);
    if (n >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8)) return png_decode(p, n, out, f);
    if (n >= 12 && !memcmp(p, "RIFF", 4) && !memcmp(p + 8, "WEBP", 4)) return webp_decode(p, n, out, f);
    if (n >= 2 && !memcmp(p, "BM", 2)) return bmp_decode(p, n, out, f);
    if (n >= 3 && p[0] == 'P' && p[1] >= '1' && p[1] <= '6') return pnm_decode(p, n, out, f);
    if (n >= 4 && !memcmp(p, "GIF8", 4)) return fault(f, E_UNSUPPORTED, "a GIF image is not read: convert it to PNG");
    if (n >= 4 && (!memcmp(p, "II*\0", 4) || !memcmp(p, "MM\0*", 4)))
        return fault(f, E_UNSUPPORTED, "a TIFF image is not read: convert it to PNG");
    if (n == 0) return fault(f, E_MALFORMED, "the file is empty");
    return fault(f, E_MALFORMED, "not an image in JPEG, PNG, WebP, BMP or PPM format");
}

Err image_decode(const uint8_t *bytes, size_t size, const ImageOptions *o, Image *out, Fault *f) {
    out->orientation = 1;
    if (decode(bytes, size, out, f)) return f->code;
    if (o->channels == 1 && out->channels == 3) to_grey(out);
    if (o->channels == 3 && out->channels == 1 && to_rgb(out, f)) return f->code;
    return o->ignore_exif ? E_OK : image_orient(out, out->orientation, f);
}

static Err read_all(int fd, Image *out, size_t *size, Fault *f) {
    struct stat st;
    if (fstat(fd, &st)) return fault(f, E_IO, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode)) return fault(f, E_IO, "not a regular file");
    if (st.st_size > MAX_FILE) return fault(f, E_LIMIT, "the file is larger than 1 GiB");
    if (grow(&out->file, &out->file_capacity, (size_t)st.st_size + 1, f)) return f->code;
    for (*size = 0; *size < (size_t)st.st_size;) {
        ssize_t r = read(fd, out->file + *size, (size_t)st.st_size - *size);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return fault(f, E_IO, "%s", strerror(errno));
        if (r == 0) break;
        *size += (size_t)r;
    }
    return E_OK;
}

Err image_load(const char *path, const ImageOptions *o, Image *out, Fault *f) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);      // NONBLOCK: a FIFO must not hang us
    if (fd < 0) return fault(f, E_IO, "%s", strerror(errno));
    size_t size = 0;
    Err e = read_all(fd, out, &size, f);
    close(fd);
    return e ? e : image_decode(out->file, size, o, out, f);
}

void image_read(Cx *cx, const char *path, const ImageOptions *o, Image *out) {
    Fault f = {0};
    if (image_load(path, o, out, &f)) fail(cx, f.code, "image '%s': %s", cx_show(cx, path), f.text);
}
