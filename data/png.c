// png.c -- PNG through libpng: depth, palette, interlacing and alpha as Pillow resolves them.
//
// Alpha and tRNS are dropped, 16-bit grey is clipped at 255 and 16-bit colour keeps its upper
// byte. Gamma, profiles and text are not even parsed. Stricter than Pillow in one point: a
// wrong checksum on image data is an error.
#include "decode.h"
#include <png.h>

typedef struct PngReader {
    png_structp png;
    png_infop info;
    const uint8_t *p;
    size_t n, at;
    Fault *f;
} PngReader;

static void read_bytes(png_structp png, png_bytep to, size_t n) {
    PngReader *r = png_get_io_ptr(png);
    if (n > r->n - r->at) png_error(png, "the file is truncated");
    memcpy(to, r->p + r->at, n);
    r->at += n;
}

static void on_error(png_structp png, png_const_charp why) {
    PngReader *r = png_get_error_ptr(png);
    fault(r->f, E_MALFORMED, "damaged PNG: %s", why);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp why) { (void)png, (void)why; }

// Ancillary chunks may hold compressed bombs and change nothing here.
static void skip_ancillary(png_structp png) {
    static const png_byte names[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0"
                                    "sPLT\0sRGB\0tEXt\0tIME\0tRNS\0zTXt";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, (int)sizeof names / 5);
    png_set_crc_action(png, PNG_CRC_DEFAULT, PNG_CRC_QUIET_USE);
}

// 16-bit grey, two bytes a pixel in out, to one: clipped.
static void clip_grey16(Image *out) {
    size_t n = (size_t)out->width * (size_t)out->height;
    for (size_t i = 0; i < n; i++) out->pixel[i] = out->pixel[2 * i] ? 255 : out->pixel[2 * i + 1];
    out->channels = 1;
}

// Indices in the last third of the pixels to colours, in place. An index beyond the palette is
// taken as a grey level, which is what Pillow's palettes start from.
static void colour_indices(PngReader *r, Image *out) {
    png_colorp palette = NULL;
    int entries = 0;
    png_get_PLTE(r->png, r->info, &palette, &entries);
    size_t n = (size_t)out->width * (size_t)out->height;
    const uint8_t *index = out->pixel + 2 * n;
    uint8_t *d = out->pixel;
    for (size_t i = 0; i < n; i++) {
        uint8_t k = index[i];
        png_color c = k < entries ? palette[k] : (png_color){k, k, k};
        *d++ = c.red, *d++ = c.green, *d++ = c.blue;
    }
}

// libpng's errors land here. Nothing that must be released is local to this function.
static Err read_image(PngReader *r, Image *out) {
    if (setjmp(png_jmpbuf(r->png))) return r->f->code;
    skip_ancillary(r->png);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);   // image_reserve() judges the product
    png_set_read_fn(r->png, r, read_bytes);
    png_read_info(r->png, r->info);
    int colour = png_get_color_type(r->png, r->info), depth = png_get_bit_depth(r->png, r->info);
    bool grey16 = depth == 16 && colour == PNG_COLOR_TYPE_GRAY, indexed = colour == PNG_COLOR_TYPE_PALETTE;
    if (indexed) png_set_packing(r->png);
    if (colour == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(r->png);
    if (depth == 16 && !grey16) png_set_strip_16(r->png);
    if (colour & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(r->png);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);

    int channels = grey16 ? 2 : colour & PNG_COLOR_MASK_COLOR ? 3 : 1;
    if (image_reserve(out, png_get_image_width(r->png, r->info), png_get_image_height(r->png, r->info), channels, r->f))
        return r->f->code;
    size_t stride = (size_t)out->width * (size_t)(indexed ? 1 : channels);
    uint8_t *rows = out->pixel + (indexed ? 2 * stride * (size_t)out->height : 0);
    if (png_get_rowbytes(r->png, r->info) != stride) png_error(r->png, "unexpected row size");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < out->height; y++) png_read_row(r->png, rows + (size_t)y * stride, NULL);
    if (grey16) clip_grey16(out);
    if (indexed) colour_indices(r, out);
    return E_OK;
}

// The chunk's data, wherever in the file it is. NULL: none.
static const uint8_t *find_chunk(const uint8_t *p, size_t n, const char *name, uint32_t *size) {
    for (size_t at = 8; n - at >= 12;) {
        *size = be32(p + at);
        if (*size > n - at - 12) return NULL;
        if (!memcmp(p + at + 4, name, 4)) return p + at + 8;
        at += 12 + (size_t)*size;
    }
    return NULL;
}

Err png_decode(const uint8_t *p, size_t n, Image *out, Fault *f) {
    PngReader r = {.p = p, .n = n, .f = f};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    Err e = r.info ? read_image(&r, out) : fault(f, E_LIMIT, "out of memory");
    png_destroy_read_struct(&r.png, &r.info, NULL);
    uint32_t size;
    const uint8_t *exif = find_chunk(p, n, "eXIf", &size);
    if (exif) out->orientation = exif_orientation(exif, size);
    return e;
}
