#include "kernels/check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check_run.h"
#include "kernels/half.h"
#include "kernels/probe.h"

static const struct {
    const char *name;
    void (*check)(struct check_run *r);
} kernels[] = {
    {"rmsnorm", check_rmsnorm},
    {"head-norm", check_head_norm},
    {"rope", check_rope},
    {"silu-mul", check_silu_mul},
    {"softmax", check_softmax},
    {"embed", check_embed},
    {"add", check_add},
    {"gemm", check_gemm},
    {"to-f32", check_to_f32},
    {"from-f32", check_from_f32},
    {"attn-dense", check_attn_dense},
    {"attn-sparse", check_attn_sparse},
    {"attn-combine", check_attn_combine},
    {"attn-window", check_attn_window},
    {"attn-prefill", check_attn_prefill},
    {"attn-sparse-prefill", check_attn_sparse_prefill},
    {"attn-mla", check_attn_mla},
    {"index-score", check_index_score},
    {"index-score-heads", check_index_score_heads},
    {"topk", check_topk},
};

enum { KERNELS = sizeof kernels / sizeof kernels[0], GUARD = 192 };

const char *clsa_check_kernel_name(size_t i)
{
    return i < KERNELS ? kernels[i].name : NULL;
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
uint64_t check_random(struct check_run *r)
{
    uint64_t z = r->rng += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t check_below(struct check_run *r, size_t n)
{
    return (size_t)(check_random(r) % n);
}

double check_uniform(struct check_run *r)
{
    return (double)(check_random(r) >> 11) * 0x1p-53;
}

/* Box and Muller. */
float check_normal(struct check_run *r)
{
    double radius = sqrt(-2 * log(1 - check_uniform(r)));

    return (float)(radius * cos(6.283185307179586 * check_uniform(r)));
}

void check_begin(struct check_run *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->shape, sizeof r->shape, format, args);
    va_end(args);
    r->failed = 0;
}

int check_ready(const struct check_run *r)
{
    return !r->out_of_memory;
}

void check_fail(struct check_run *r, const char *format, ...)
{
    char text[160];
    va_list args;

    r->failed = 1;
    if (r->result->message[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(r->result->message, sizeof r->result->message, "%.100s: %.130s", r->shape, text);
}

void check_end(struct check_run *r)
{
    struct check_buffer *b, *next;
    size_t i;

    for (b = r->buffers; b != NULL; b = next) {
        for (i = 0; b->shadow != NULL && i < b->memory_bytes; i++)
            if (b->shadow[i] == 0 && b->memory[i] != 0xa5) {
                ptrdiff_t at = b->memory + i - b->data;

                check_fail(r, "wrote byte %td of an output of %zu bytes, which is not its to write",
                           at, b->bytes);
                break;
            }
        next = b->next;
        free(b->memory);
        free(b->shadow);
        free(b);
    }
    r->buffers = NULL;
    r->result->cases++;
    r->result->failures += r->failed != 0;
}

static unsigned char *buffer(struct check_run *r, size_t bytes, size_t align, int output)
{
    struct check_buffer *b = calloc(1, sizeof *b);

    if (b == NULL)
        goto fail;
    b->bytes = bytes;
    b->memory_bytes = bytes + 2 * GUARD + 128;
    b->memory = aligned_alloc(64, (b->memory_bytes + 63) / 64 * 64);
    if (b->memory == NULL)
        goto fail;
    memset(b->memory, output ? 0xa5 : 0xff, b->memory_bytes);
    b->data = b->memory + GUARD + align * check_below(r, 64 / align);
    if (output && (b->shadow = calloc(1, b->memory_bytes)) == NULL)
        goto fail;
    b->next = r->buffers;
    r->buffers = b;
    return b->data;
fail:
    if (b != NULL)
        free(b->memory);
    free(b);
    r->out_of_memory = 1;
    return NULL;
}

void *check_input(struct check_run *r, size_t bytes, size_t align)
{
    return buffer(r, bytes, align, 0);
}

void *check_output(struct check_run *r, size_t bytes, size_t align)
{
    return buffer(r, bytes, align, 1);
}

void check_expect(struct check_run *r, void *at, size_t bytes)
{
    unsigned char *p = at;
    struct check_buffer *b;

    for (b = r->buffers; b != NULL; b = b->next)
        if (b->shadow != NULL && p >= b->data && p + bytes <= b->data + b->bytes) {
            memset(b->shadow + (p - b->memory), 1, bytes);
            memset(p, 0xff, bytes);
            return;
        }
}

static ptrdiff_t pitch(struct check_run *r, size_t n)
{
    return (ptrdiff_t)(n + (check_below(r, 2) ? check_below(r, 21) : 0));
}

float *check_input_floats(struct check_run *r, size_t rows, size_t n, ptrdiff_t *ld)
{
    float *x;
    size_t i, j;

    *ld = pitch(r, n);
    x = check_input(r, rows * (size_t)*ld * sizeof *x, sizeof *x);
    for (i = 0; x != NULL && i < rows; i++)
        for (j = 0; j < n; j++)
            x[(ptrdiff_t)i * *ld + (ptrdiff_t)j] = check_normal(r);
    return x;
}

float *check_output_floats(struct check_run *r, size_t rows, size_t n, ptrdiff_t *ld)
{
    float *y;
    size_t i;

    *ld = pitch(r, n);
    y = check_output(r, rows * (size_t)*ld * sizeof *y, sizeof *y);
    for (i = 0; y != NULL && i < rows; i++)
        check_expect(r, y + (ptrdiff_t)i * *ld, n * sizeof *y);
    return y;
}

static unsigned char *at_row(const struct clsa_rows *rows, size_t s, size_t h)
{
    /* the harness owns what its rows point to */
    return (unsigned char *)(uintptr_t)rows->base + (ptrdiff_t)s * rows->row_stride_bytes +
           (ptrdiff_t)h * rows->head_stride_bytes;
}

void check_set(const struct clsa_rows *rows, size_t s, size_t h, size_t i, float value)
{
    unsigned char *row = at_row(rows, s, h);
    uint16_t half;

    if (rows->dtype == CLSA_KERNEL_F32) {
        memcpy(row + 4 * i, &value, sizeof value);
        return;
    }
    half = rows->dtype == CLSA_KERNEL_F16 ? clsa_f16_of_f32(value) : clsa_bf16_of_f32(value);
    if (rows->dtype == CLSA_KERNEL_MLA_FP8)
        row += CLSA_MLA_DV + 16 - 2 * CLSA_MLA_DV; /* the bfloat16 part begins at value 512 */
    memcpy(row + 2 * i, &half, sizeof half);
}

double check_get(const struct clsa_rows *rows, size_t s, size_t h, size_t i)
{
    const unsigned char *row = at_row(rows, s, h);
    uint16_t half;
    float f;

    if (rows->dtype == CLSA_KERNEL_F32) {
        memcpy(&f, row + 4 * i, sizeof f);
        return (double)f;
    }
    if (rows->dtype == CLSA_KERNEL_MLA_FP8 && i < CLSA_MLA_DV) {
        memcpy(&f, row + CLSA_MLA_DV + 4 * (i / CLSA_MLA_SCALE_GROUP), sizeof f);
        return (double)(clsa_f32_of_e4m3(row[i]) * f);
    }
    if (rows->dtype == CLSA_KERNEL_MLA_FP8)
        row += CLSA_MLA_DV + 16 - 2 * CLSA_MLA_DV;
    memcpy(&half, row + 2 * i, sizeof half);
    return (double)(rows->dtype == CLSA_KERNEL_F16 ? clsa_f32_of_f16(half)
                                                   : clsa_f32_of_bf16(half));
}

struct clsa_rows check_rows(struct check_run *r, enum clsa_kernel_dtype dtype, size_t rows,
                            size_t heads, size_t n, double size)
{
    struct clsa_rows x = {NULL, dtype, 0, 0};
    size_t element = dtype == CLSA_KERNEL_F32 ? 4 : dtype == CLSA_KERNEL_MLA_FP8 ? 1 : 2;
    size_t bytes = clsa_kernel_row_bytes(dtype, n), s, h, i;

    x.head_stride_bytes =
        (ptrdiff_t)(bytes + element * (check_below(r, 2) ? check_below(r, 9) : 0));
    x.row_stride_bytes = x.head_stride_bytes * (ptrdiff_t)heads +
                         (ptrdiff_t)(element * (check_below(r, 2) ? check_below(r, 17) : 0));
    x.base = check_input(r, rows * (size_t)x.row_stride_bytes, element);
    for (s = 0; x.base != NULL && s < rows; s++)
        for (h = 0; h < heads; h++) {
            unsigned char *row = at_row(&x, s, h);

            if (dtype == CLSA_KERNEL_MLA_FP8) {
                for (i = 0; i < CLSA_MLA_DV; i++) /* any code but NaN */
                    row[i] = (unsigned char)(check_below(r, 127) | check_below(r, 2) << 7);
                for (i = 0; i < CLSA_MLA_DV / CLSA_MLA_SCALE_GROUP; i++) {
                    float scale = (float)(size * ldexp(0.5 + check_uniform(r), -8));

                    memcpy(row + CLSA_MLA_DV + 4 * i, &scale, sizeof scale);
                }
            }
            for (i = dtype == CLSA_KERNEL_MLA_FP8 ? CLSA_MLA_DV : 0; i < n; i++)
                check_set(&x, s, h, i, (float)size * check_normal(r));
        }
    return x;
}

void check_same_bits(struct check_run *r, const char *name, const float *a, ptrdiff_t lda, const float *b,
                     ptrdiff_t ldb, size_t rows, size_t n, const char *what)
{
    size_t i, j;

    for (i = 0; i < rows; i++)
        for (j = 0; j < n; j++) {
            float x = a[(ptrdiff_t)i * lda + (ptrdiff_t)j], y = b[(ptrdiff_t)i * ldb + (ptrdiff_t)j];

            if (!(x == y || (isnan(x) && isnan(y))))
                check_fail(r, "%s[%zu][%zu] depends on %s: %.9g and %.9g", name, i, j, what, (double)x, (double)y);
        }
}

void check_value(struct check_run *r, double got, double want, double bound, const char *what,
                 size_t i, size_t j)
{
    double error = fabs(got - want);

    r->result->values++;
    if (isnan(want) || isinf(want)) {
        if (isnan(want) ? isnan(got) : got == want)
            return;
    } else if (error <= bound) {
        if (error > 0 && error / bound > r->result->worst)
            r->result->worst = error / bound;
        return;
    } else if (isfinite(got) && bound > 0 && error / bound > r->result->worst) {
        r->result->worst = error / bound;
    }
    check_fail(r, "%s[%zu][%zu] = %.9g, not %.9g within %.3g", what, i, j, got, want, bound);
}

double check_gamma(double n)
{
    return n * CLSA_U / (1 - n * CLSA_U);
}

double check_dot_bound(const struct check_run *r, enum clsa_kernel_dtype w, double sum_xw,
                       double sum_x, double sum_w, size_t k)
{
    double bound = check_gamma((double)k + 3) * sum_xw + (double)FLT_MIN;

    if (r->k->rung == CLSA_RUNG_AVX512_BF16 && w == CLSA_KERNEL_BF16)
        bound += 0x1p-8 * sum_xw + (double)FLT_MIN * (sum_x + sum_w + (double)k);
    return bound;
}

size_t check_sizes(const struct check_run *r, const size_t **sizes)
{
    static const size_t all[] = {0,   1,   2,   3,   5,    7,    8,    9,   15,  16,
                                 17,  24,  31,  32,  33,   47,   63,   64,  100, 127,
                                 128, 192, 257, 576, 1000, 1024, 1030, 2560};

    *sizes = all;
    return sizeof all / sizeof all[0] - (r->quick ? 4 : 0);
}

int clsa_check_kernel(const char *kernel, const struct clsa_kernels *subject, uint64_t seed,
                      int quick, struct clsa_check_result *result)
{
    struct check_run r = {.k = subject, .result = result, .rng = seed, .quick = quick};
    size_t i;

    for (i = 0; i < KERNELS; i++)
        if (strcmp(kernels[i].name, kernel) == 0) {
            memset(result, 0, sizeof *result);
            result->kernel = kernels[i].name;
            result->rung = subject->name;
            result->seed = seed;
            kernels[i].check(&r);
            return r.out_of_memory ? -1 : result->failures > 0;
        }
    return -1;
}

int clsa_check_run(const struct clsa_check_options *options, const struct clsa_check_sink *sink)
{
    int failed = 0, matched = 0, rung;
    size_t i;

    for (rung = 0; rung < CLSA_RUNG_COUNT; rung++) {
        const struct clsa_kernels *subject = clsa_kernels_get((enum clsa_rung)rung);
        double stream = 0, peak = 0;

        if (subject == NULL || (options->rung != NULL && strcmp(options->rung, subject->name) != 0))
            continue;
        if (options->bench && sink->timing != NULL) {
            if (clsa_probe_stream(subject->rung, 1, &stream) != 0)
                return -1;
            peak = clsa_probe_peak(subject->rung, 1);
        }
        for (i = 0; i < KERNELS; i++) {
            struct clsa_check_result result;
            int rc;

            if (options->kernel != NULL && strcmp(options->kernel, kernels[i].name) != 0)
                continue;
            matched = 1;
            rc =
                clsa_check_kernel(kernels[i].name, subject, options->seed, options->quick, &result);
            if (rc < 0)
                return -1;
            failed += rc;
            if (sink->result != NULL)
                sink->result(sink->ctx, &result);
            /* a kernel that failed is not worth timing */
            if (rc == 0 && options->bench && sink->timing != NULL &&
                clsa_check_time(kernels[i].name, subject, stream, peak, sink) != 0)
                return -1;
        }
    }
    return matched ? failed : -1;
}
