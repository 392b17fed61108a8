// node.c -- NodeProto and AttributeProto, walked by hand: an attribute may hold all the weights
// of a model, and those stay where they lie. Subgraphs are recorded, not read.
#include "document.h"

// ---- attributes ----

// What kind a value field makes of an attribute that does not state its type.
static AttrKind kind_of_field(uint32_t number) {
    switch (number) {
    case A_F: return ATTR_F;
    case A_I: return ATTR_I;
    case A_S: return ATTR_S;
    case A_T: return ATTR_T;
    case A_G: return ATTR_G;
    case A_FLOATS: return ATTR_FS;
    case A_INTS: return ATTR_IS;
    case A_STRINGS: return ATTR_SS;
    case A_TENSORS: return ATTR_TS;
    case A_GRAPHS: return ATTR_GS;
    case 14:
    case 15:
    case 22:
    case 23: return ATTR_OTHER; // types and sparse tensors
    default: return ATTR_NONE;
    }
}

typedef struct Counts {
    size_t f, i, s, t, g;
    AttrKind stated, found;
} Counts;

static void count_values(const Wire *whole, Counts *c) {
    Wire w = *whole;
    for (Field f; wire_next(&w, &f);) {
        if (f.number == A_FLOATS) c->f += wire_count(&w, &f, WIRE_32, "floats");
        if (f.number == A_INTS) c->i += wire_count(&w, &f, WIRE_VARINT, "ints");
        c->s += f.number == A_STRINGS;
        if (f.number == A_TYPE) c->stated = (AttrKind)wire_int(&w, &f, "type");
        if (kind_of_field(f.number)) c->found = kind_of_field(f.number);
    }
}

static void read_tensor_attribute(Document *d, const Wire *w, const Field *f, AttrValue *a) {
    Wire in = wire_into(w, f, "t");
    TensorItem *t = DOC_NEW(d, TensorItem, 1);
    read_tensor(d, &in, t);
    a->t = &t->view;
}

static void read_values(Document *d, const Wire *whole, AttrValue *a, const Counts *c) {
    float *fs = DOC_NEW(d, float, c->f);
    int64_t *is = DOC_NEW(d, int64_t, c->i);
    const char **ss = DOC_NEW(d, const char *, c->s);
    size_t nf = 0, ni = 0, ns = 0;
    Wire w = *whole;
    for (Field f; wire_next(&w, &f);) switch (f.number) {
        case A_NAME: a->name = doc_name(d, &w, &f, "name"); break;
        case A_F: a->f = wire_float(&w, &f, "f"); break;
        case A_I: a->i = wire_int(&w, &f, "i"); break;
        case A_S: a->slen = wire_bytes(&w, &f, "s").n, a->s = doc_string(d, f.data); break;
        case A_T: read_tensor_attribute(d, &w, &f, a); break;
        case A_FLOATS: memcpy(fs + nf, f.data.at, f.data.n), nf += f.data.n / 4; break;
        case A_INTS:
            wire_varints(&w, &f, (uint64_t *)is + ni, "ints"), ni += wire_count(&w, &f, WIRE_VARINT, "ints");
            break;
        case A_STRINGS: ss[ns++] = doc_string(d, wire_bytes(&w, &f, "strings")); break;
        case A_REF: a->kind = ATTR_OTHER; break;
        default: break;
        }
    a->fs = fs, a->is = is, a->ss = ss;
}

void read_attribute(Document *d, const Wire *w, AttrValue *a) {
    Counts c = {0};
    count_values(w, &c);
    if (c.f > INT32_MAX || c.i > INT32_MAX || c.s > INT32_MAX) wire_damage(w, w->begin, NULL, "too many values");
    *a = (AttrValue){.name = "", .s = ""};
    a->kind = c.stated == ATTR_NONE ? c.found : c.stated <= ATTR_GS ? c.stated : ATTR_OTHER;
    read_values(d, w, a, &c);
    if (!*a->name) wire_damage(w, w->begin, "name", "is missing");
    if (a->kind == ATTR_T && !a->t)
        wire_damage(w, w->begin, "t", "is missing from attribute '%s'", cx_show(d->cx, a->name));
    a->n = a->kind == ATTR_FS ? (int)c.f : a->kind == ATTR_IS ? (int)c.i : a->kind == ATTR_SS ? (int)c.s : 0;
}

// ---- nodes ----

static void count_parts(const Wire *whole, DocNode *n) {
    Wire w = *whole;
    size_t in = 0, out = 0, attr = 0;
    for (Field f; wire_next(&w, &f);) {
        in += f.number == N_INPUT;
        out += f.number == N_OUTPUT;
        attr += f.number == N_ATTRIBUTE;
    }
    if (in > INT32_MAX || out > INT32_MAX || attr > INT32_MAX)
        wire_damage(whole, whole->begin, NULL, "too many fields");
    n->nin = (int)in, n->nout = (int)out, n->nattr = (int)attr;
}

static void add_attribute(Document *d, const Wire *w, const Field *f, NodeItem *n, int k) {
    Wire in = wire_into(w, f, "attribute[]");
    n->attr[k] = f->data;
    read_attribute(d, &in, &n->view.attr[k]);
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void check_attribute_names(Document *d, const Wire *w, const DocNode *n) {
    const char **name = DOC_NEW(d, const char *, n->nattr);
    for (int i = 0; i < n->nattr; i++) name[i] = n->attr[i].name;
    if (n->nattr) qsort(name, (size_t)n->nattr, sizeof *name, by_name);
    for (int i = 1; i < n->nattr; i++)
        if (!strcmp(name[i - 1], name[i]))
            wire_damage(w, w->begin, "attribute", "'%s' is given twice", cx_show(d->cx, name[i]));
}

void read_node(Document *d, const Wire *whole, NodeItem *item) {
    DocNode *n = &item->view;
    int in = 0, out = 0, attr = 0;
    item->item.bytes = (Bytes){whole->begin, (size_t)(whole->end - whole->begin)};
    *n = (DocNode){.op = "", .domain = "", .name = ""};
    count_parts(whole, n);
    n->in = DOC_NEW(d, const char *, n->nin);
    n->out = DOC_NEW(d, const char *, n->nout);
    n->attr = DOC_NEW(d, AttrValue, n->nattr);
    item->attr = DOC_NEW(d, Bytes, n->nattr);
    Wire w = *whole;
    for (Field f; wire_next(&w, &f);) switch (f.number) {
        case N_INPUT: n->in[in++] = doc_name(d, &w, &f, "input[]"); break;
        case N_OUTPUT: n->out[out++] = doc_name(d, &w, &f, "output[]"); break;
        case N_NAME: n->name = doc_name(d, &w, &f, "name"); break;
        case N_OP: n->op = doc_name(d, &w, &f, "op_type"); break;
        case N_DOMAIN: n->domain = doc_name(d, &w, &f, "domain"); break;
        case N_ATTRIBUTE: add_attribute(d, &w, &f, item, attr++); break;
        default: break;
        }
    if (!strcmp(n->domain, "ai.onnx")) n->domain = "";
    if (!*n->op) wire_damage(whole, whole->begin, "op_type", "is missing");
    check_attribute_names(d, whole, n);
}
