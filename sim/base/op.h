/* The vocabulary of a step: dtypes, tensors, ops and their operands, queries, index sets.
 *
 * A plan makes these, a trace stores them, an engine executes them, a machine prices them: all speak
 * of the same structs, so that they cannot disagree about what a step is. Nothing here knows hardware.
 *
 * A step works on `n_seqs` sequences. Sequence s has past[s] tokens in its cache when the step starts
 * and receives new_tokens more. All those tokens (rows, sequence major) pass the ops before the
 * cross-decoder. The cross-decoder sees only `queries`: (sequence, keys) pairs, one a sequence in decode
 * and in prefill with early exit; a query at position t sees keys = t + 1 rows of its sequence. */
#ifndef CLSA_BASE_OP_H
#define CLSA_BASE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, text, bits an element) */
#define CLSA_DTYPE_LIST(X)                                                                         \
    X(F32, "float32", 32)                                                                          \
    X(BF16, "bfloat16", 16)                                                                        \
    X(F16, "float16", 16)                                                                          \
    X(FP8, "fp8_e4m3", 8)                                                                          \
    X(I32, "int32", 32)                                                                            \
    X(U8, "uint8", 8)                                                                              \
    X(I64, "int64", 64)                                                                            \
    X(F64, "float64", 64)                                                                          \
    X(FP4, "fp4_e2m1", 4)

enum clsa_dtype {
#define X(name, text, bits) CLSA_##name,
    CLSA_DTYPE_LIST(X)
#undef X
        CLSA_DTYPE_COUNT
};

/* Kinds of op. X(name, text). The text is what implementation files and reports call it. */
#define CLSA_OP_LIST(X)                                                                            \
    X(EMBED, "embed")               /* m rows of n fetched from a table */                         \
    X(NORM, "norm")                 /* RMS norm, m rows of n */                                    \
    X(GEMM, "gemm")                 /* [m,n] = [m,k] x W[n,k]^T */                                 \
    X(HEAD_NORM, "head_norm")       /* RMS norm of m rows of `heads` heads of head_dim */          \
    X(ROPE, "rope")                 /* rotary embedding of m rows of `heads` heads */              \
    X(KV_APPEND, "kv_append")       /* m rows of n written to a cache */                           \
    X(ATTN_WINDOW, "attn_window")   /* causal sliding window over the step's tokens */             \
    X(ATTN_DENSE, "attn_dense")     /* every visible key */                                        \
    X(ATTN_SPARSE, "attn_sparse")   /* the keys of an index set */                                 \
    X(INDEX_SCORE, "index_score")   /* `heads` index heads x visible keys */                       \
    X(TOPK, "topk")                 /* the topk best of the visible keys, makes an index set */    \
    X(SILU_MUL, "silu")             /* m rows: silu(gate) * up, n wide */                          \
    X(ADD, "add")                   /* m rows of n */                                              \
    X(QUANT, "quant")               /* m rows of n to a narrower dtype with scales */              \
    X(BMM, "bmm")                   /* `heads` products [m,n] = [m,k] x W[h][n,k]^T (MLA absorb) */\
    X(MOE_ROUTE, "moe_route")       /* gate scores to experts and weights */                       \
    X(MOE_GEMM, "moe_gemm")         /* grouped product over the experts hit */                     \
    X(ALL_REDUCE, "all_reduce")     /* m rows of n over `heads` ranks */

enum clsa_op_kind {
#define X(name, text) CLSA_OP_##name,
    CLSA_OP_LIST(X)
#undef X
        CLSA_OP_KINDS
};

/* What an op is for. X(name, text): "" for none; gemm + q is called "gemm_q". */
#define CLSA_ROLE_LIST(X)                                                                          \
    X(NONE, "")                                                                                    \
    X(QKV, "qkv")           /* fused q, k, v of a self layer */                                    \
    X(Q, "q")               /* query projection */                                                 \
    X(KV, "kv")             /* global k and v (and index keys where fused) */                      \
    X(O, "o")               /* output projection */                                                \
    X(UP, "up")             /* gate and up, fused: n = 2 * ffn */                                  \
    X(DOWN, "down")                                                                                \
    X(HEAD, "head")         /* vocabulary */                                                       \
    X(IQ, "iq")             /* index query */                                                      \
    X(IK, "ik")             /* index key */                                                        \
    X(IW, "iw")             /* index head weights */                                               \
    X(QA, "q_a")            /* MLA: down projection of the query */                                \
    X(QB, "q_b")            /* MLA: up projection of the query */                                  \
    X(KVA, "kv_a")          /* MLA: latent and rope key */                                         \
    X(UK, "uk")             /* MLA: absorbed key up projection */                                  \
    X(UV, "uv")             /* MLA: absorbed value up projection */                                \
    X(GATE, "gate")         /* MoE router */                                                       \
    X(INDEX, "index")       /* belongs to the indexer */                                           \
    X(K, "k")                                                                                      \
    X(V, "v")                                                                                      \
    X(SHARED_UP, "shared_up")                                                                      \
    X(SHARED_DOWN, "shared_down")                                                                  \
    X(FINAL, "final")

enum clsa_role {
#define X(name, text) CLSA_ROLE_##name,
    CLSA_ROLE_LIST(X)
#undef X
        CLSA_ROLES
};

enum clsa_tensor_kind {
    CLSA_TENSOR_WEIGHT,
    CLSA_TENSOR_KV,         /* K/V cache, rows of tokens */
    CLSA_TENSOR_INDEX_KEYS, /* index key cache */
    CLSA_TENSOR_ACTIVATION,
    CLSA_TENSOR_TOKENS,
    CLSA_TENSOR_KINDS
};

#define CLSA_TENSOR_NAME_BYTES 64

struct clsa_tensor {
    char name[CLSA_TENSOR_NAME_BYTES];
    uint8_t kind;  /* enum clsa_tensor_kind */
    uint8_t dtype; /* enum clsa_dtype */
    int32_t layer; /* -1 outside layers */
    uint64_t address; /* virtual; tensors do not overlap; aligned to 256 bytes */
    uint64_t bytes;
};

/* What an operand's rows run over. */
enum clsa_axis {
    CLSA_AXIS_NONE,     /* one row, read whole by every unit (a norm weight) */
    CLSA_AXIS_M,        /* token or query rows, m of them */
    CLSA_AXIS_N,        /* outputs: weight rows, n of them */
    CLSA_AXIS_KEYS,     /* visible key rows of the query's sequence (last `window` of them if set) */
    CLSA_AXIS_SELECTED, /* the rows named by the op's index set, in the query's sequence */
    CLSA_AXIS_NEW,      /* the rows just appended: past[s] .. past[s] + new_tokens of each sequence */
    CLSA_AXIS_TABLE,    /* rows named by token ids (embedding): m random rows */
    CLSA_AXES
};

enum clsa_access { CLSA_READ, CLSA_WRITE };

/* One operand: row r of sequence s, K/V head h starts at
 *   tensor.address + offset + s * seq_stride + r * row_stride + h * head_stride
 * and is row_bytes long. seq_stride counts only for KEYS, SELECTED and NEW; a ring cache has ring_rows
 * rows a sequence and row r sits in slot r mod ring_rows (0: no ring). */
struct clsa_operand {
    uint32_t tensor; /* index into the tensor list */
    uint8_t access;  /* enum clsa_access */
    uint8_t axis;    /* enum clsa_axis */
    uint64_t offset, row_bytes, row_stride, seq_stride, head_stride, ring_rows;
};

#define CLSA_OP_OPERANDS 8

struct clsa_op {
    uint16_t kind; /* enum clsa_op_kind */
    uint16_t role; /* enum clsa_role */
    uint8_t weight_dtype, input_dtype; /* of W (or K/V), of X */
    uint8_t over_queries; /* 1: rows are the step's queries; 0: all new tokens */
    int32_t layer;        /* -1 outside layers */
    int32_t set;          /* index set made (TOPK) or read (ATTN_SPARSE), -1 otherwise */
    uint64_t m, n, k;     /* as the kind says */
    uint32_t heads, kv_heads, head_dim, value_dim;
    uint64_t window, topk;
    uint64_t flops;       /* multiply and add count two */
    uint64_t read_bytes, write_bytes; /* each operand byte once: compulsory traffic */
    uint32_t n_operands;
    struct clsa_operand operands[CLSA_OP_OPERANDS];
};

struct clsa_query {
    uint32_t seq;
    uint64_t keys; /* visible rows: the query's own position + 1 */
};

enum clsa_phase { CLSA_PREFILL, CLSA_DECODE };

/* One step. Arrays belong to whoever made the step (plan or trace reader) and are read-only. */
struct clsa_step {
    uint8_t phase;       /* enum clsa_phase */
    uint8_t per_layer_kv; /* 1: every cross layer has K/V of its own */
    uint32_t group;      /* layers that share one index; 0 is dense */
    uint32_t top_k;
    uint32_t n_seqs;
    uint64_t new_tokens; /* rows a sequence */
    const uint64_t *past;
    uint32_t n_queries;
    const struct clsa_query *queries;
    uint32_t n_sets;     /* index sets made a query (number of groups, 0 when dense) */
    uint32_t n_tensors;
    const struct clsa_tensor *tensors;
    size_t n_ops;
    const struct clsa_op *ops;
};

/* The positions that one group of layers attends to for one query of a step. */
struct clsa_index_set {
    uint32_t query; /* index into step.queries */
    uint32_t set;   /* group number */
    uint32_t count;
    const uint32_t *positions; /* strictly ascending, below the query's keys */
};

const char *clsa_dtype_text(unsigned dtype);
/* Accepts the texts above and "bf16", "f32", "f16", "fp8", "half", "float". -1 when unknown. */
int clsa_dtype_find(const char *text);
/* Bytes of n elements, sub-byte types rounded up. */
uint64_t clsa_dtype_bytes(unsigned dtype, uint64_t n);
unsigned clsa_dtype_bits(unsigned dtype);

const char *clsa_op_kind_text(unsigned kind);
const char *clsa_role_text(unsigned role);
/* "gemm_q", "norm", ...; returns buf. */
const char *clsa_op_name(const struct clsa_op *op, char *buf, size_t buf_bytes);
/* The rows an op works on: step rows (n_seqs * new_tokens) or queries. */
uint64_t clsa_op_rows(const struct clsa_step *step, const struct clsa_op *op);
/* Visible keys of row `r` of an attention or index op, after its window. */
uint64_t clsa_op_keys(const struct clsa_step *step, const struct clsa_op *op, uint64_t r);
/* Sum of the above over all rows. */
uint64_t clsa_op_keys_total(const struct clsa_step *step, const struct clsa_op *op);
/* Rows of an operand over the whole op, each distinct row counted once where the axis says so. */
uint64_t clsa_operand_rows(const struct clsa_step *step, const struct clsa_op *op,
                           const struct clsa_operand *operand);

#endif
