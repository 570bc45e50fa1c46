/* check_run.h: what the checks of single kernels share: random inputs, guarded buffers, verdicts.
 * Private to kernels/check*.c. */
#ifndef CLSA_KERNELS_CHECK_RUN_H
#define CLSA_KERNELS_CHECK_RUN_H

#include <stdarg.h>

#include "kernels/check.h"

#define CLSA_U 0x1p-24 /* unit roundoff of float32 */
#define CLSA_EXP (4 * CLSA_U)

/* One kernel under check. */
struct check_run {
    const struct clsa_kernels *k; /* the subject */
    struct clsa_check_result *result;
    uint64_t rng;
    int quick;
    int failed; /* in the present case */
    int out_of_memory;
    char shape[160];              /* of the present case */
    struct check_buffer *buffers; /* of the present case */
};

/* Memory with guard zones. Inputs are surrounded by 0xff bytes, which are NaN in every dtype and -1
 * as a position; outputs by 0xa5, with 0xff where results belong. */
struct check_buffer {
    struct check_buffer *next;
    unsigned char *memory, *data;
    size_t bytes, memory_bytes;
    unsigned char *shadow; /* outputs: which bytes may change */
};

uint64_t check_random(struct check_run *r);
size_t check_below(struct check_run *r, size_t n); /* uniform in 0 .. n-1, n > 0 */
double check_uniform(struct check_run *r);         /* in [0, 1) */
float check_normal(struct check_run *r);

/* Begins a case and says its shape (printf); ends it: guards, memory, verdict. A case whose memory
 * could not be had sets out_of_memory, and its buffers are NULL: use `if (!check_ready(r))`. */
void check_begin(struct check_run *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int check_ready(const struct check_run *r);
void check_end(struct check_run *r);
void check_fail(struct check_run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Fails where a[rows,n] and b[rows,n] differ, NaN being one value; says that `name` depends on `what`. */
void check_same_bits(struct check_run *r, const char *name, const float *a, ptrdiff_t lda, const float *b,
                     ptrdiff_t ldb, size_t rows, size_t n, const char *what);

/* Buffers of the present case, misaligned by a random number of elements of `align` bytes. */
void *check_input(struct check_run *r, size_t bytes, size_t align);
void *check_output(struct check_run *r, size_t bytes, size_t align);
/* Marks bytes of an output as to be written, and poisons them. */
void check_expect(struct check_run *r, void *at, size_t bytes);

/* float32 matrices with a random pitch: *ld receives it. */
float *check_input_floats(struct check_run *r, size_t rows, size_t n, ptrdiff_t *ld);
float *check_output_floats(struct check_run *r, size_t rows, size_t n, ptrdiff_t *ld);
/* Rows of a storage type with normal values times `size`; random pitch. `heads` interleaved. */
struct clsa_rows check_rows(struct check_run *r, enum clsa_kernel_dtype dtype, size_t rows,
                            size_t heads, size_t n, double size);
void check_set(const struct clsa_rows *rows, size_t s, size_t h, size_t i, float value);
double check_get(const struct clsa_rows *rows, size_t s, size_t h, size_t i);

/* got against want with an absolute bound; NaN only where want is NaN, Inf where want is. */
void check_value(struct check_run *r, double got, double want, double bound, const char *what,
                 size_t i, size_t j);

double check_gamma(double n);
/* Extra bound of a rung's dot product: sums of |x w|, |x|, |w| over k values. */
double check_dot_bound(const struct check_run *r, enum clsa_kernel_dtype w, double sum_xw,
                       double sum_x, double sum_w, size_t k);

/* Sizes worth a case: 0, 1, around vector widths, larger. Returns how many. */
size_t check_sizes(const struct check_run *r, const size_t **sizes);

/* Verdicts, for checks that make their calls in another way. Of one query's outputs (`row` and `token`
 * name it in messages; index NULL: keys first .. first+count-1; `parts` were joined); */
void check_index_judge(struct check_run *r, const float *out, const float *q,
                       const struct clsa_rows *keys, size_t first, size_t count, size_t d,
                       float scale, size_t row);
void check_index_heads_judge(struct check_run *r, const float *out, const float *q, const float *w,
                             const struct clsa_rows *keys, size_t first, size_t count,
                             size_t heads, size_t d, float scale, size_t row);
void check_attn_judge(struct check_run *r, const struct clsa_attn *a, const float *q,
                      const float *out, const int32_t *index, size_t first, size_t count,
                      size_t parts, size_t token);
/* of a selection: positions ascend, and no score left out ranks above one taken, nor equals one taken
 * later than itself (with any_ties it may). */
void check_topk_judge(struct check_run *r, const float *score, size_t n, size_t k,
                      const int32_t *out, size_t got, int any_ties);

/* The checks, one a kernel. */
void check_rmsnorm(struct check_run *r);
void check_head_norm(struct check_run *r);
void check_rope(struct check_run *r);
void check_silu_mul(struct check_run *r);
void check_softmax(struct check_run *r);
void check_embed(struct check_run *r);
void check_add(struct check_run *r);
void check_to_f32(struct check_run *r);
void check_from_f32(struct check_run *r);
void check_gemm(struct check_run *r);
void check_index_score(struct check_run *r);
void check_index_score_heads(struct check_run *r);
void check_topk(struct check_run *r);
void check_attn_dense(struct check_run *r);
void check_attn_sparse(struct check_run *r);
void check_attn_combine(struct check_run *r);
void check_attn_window(struct check_run *r);
void check_attn_prefill(struct check_run *r);
void check_attn_sparse_prefill(struct check_run *r);
void check_attn_mla(struct check_run *r);

#endif
