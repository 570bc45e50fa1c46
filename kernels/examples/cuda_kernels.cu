/* CUDA kernels behind the host-pointer interface of ../plugin.h: index scores, exact top-k by radix
 * select, sparse gather attention. float32 arithmetic on float32, bfloat16 or float16 keys and values.
 *
 * Every call copies its inputs to the device and its outputs back: good for checking, not for serving.
 * With CLSA_PLUGIN_TIME=1 in the environment each call says on standard error what the device alone
 * took: the median of five launches on data that is there already. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../plugin.h"

namespace {

/* ---- memory and time ---- */

bool fine(cudaError_t status, const char *what)
{
    if (status != cudaSuccess)
        std::fprintf(stderr, "cuda-example: %s: %s\n", what, cudaGetErrorString(status));
    return status == cudaSuccess;
}

/* Device memory of one argument, kept from call to call and grown when needed. */
struct Buffer {
    void *data = nullptr;
    size_t bytes = 0;

    bool room(size_t n)
    {
        if (n <= bytes)
            return true;
        cudaFree(data);
        data = nullptr;
        bytes = 0;
        if (!fine(cudaMalloc(&data, n), "cudaMalloc"))
            return false;
        bytes = n;
        return true;
    }
    /* `rows` rows of row_bytes, `stride` apart in host memory, tight on the device. The last row may
     * end where memory ends, so no more than its own bytes are read. */
    bool load(const void *from, size_t rows, size_t row_bytes, size_t stride)
    {
        return room(rows * row_bytes) &&
               fine(cudaMemcpy2D(data, row_bytes, from, stride, row_bytes, rows,
                                 cudaMemcpyHostToDevice),
                    "copy to the device");
    }
    bool store(void *to, size_t rows, size_t row_bytes, size_t stride) const
    {
        return fine(cudaMemcpy2D(to, stride, data, row_bytes, row_bytes, rows,
                                 cudaMemcpyDeviceToHost),
                    "copy from the device");
    }
    template <typename T> T *as() const { return static_cast<T *>(data); }
};

/* Runs a launch once, and with CLSA_PLUGIN_TIME=1 five times more between events. */
template <typename Launch> bool run(const char *what, Launch launch)
{
    const char *wanted = std::getenv("CLSA_PLUGIN_TIME");

    launch();
    if (!fine(cudaGetLastError(), what))
        return false;
    if (wanted != nullptr && wanted[0] == '1') {
        cudaEvent_t begin, end;
        float ms[5];

        if (!fine(cudaEventCreate(&begin), what) || !fine(cudaEventCreate(&end), what))
            return false;
        for (float &t : ms) {
            cudaEventRecord(begin);
            launch();
            cudaEventRecord(end);
            if (!fine(cudaEventSynchronize(end), what) ||
                !fine(cudaEventElapsedTime(&t, begin, end), what))
                return false;
        }
        for (int i = 1; i < 5; i++)
            for (int j = i; j > 0 && ms[j] < ms[j - 1]; j--) {
                const float t = ms[j];
                ms[j] = ms[j - 1];
                ms[j - 1] = t;
            }
        std::fprintf(stderr, "device: %s: %.2f us\n", what, (double)ms[2] * 1e3);
        cudaEventDestroy(begin);
        cudaEventDestroy(end);
    }
    return fine(cudaDeviceSynchronize(), what);
}

__device__ float to_float(float x) { return x; }
__device__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ float to_float(__half x) { return __half2float(x); }

__device__ float warp_sum(float x)
{
    for (int step = 16; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

/* Eight 2-byte or four 4-byte values at once where rows allow 16-byte loads. */
template <typename T> struct Pack {
    static constexpr int N = 16 / sizeof(T);
    alignas(16) T value[N];
};

/* The part of q . key that a lane adds: values lane*N.., 32*N apart when `wide`, else lane, 32 apart. */
template <typename T>
__device__ float lane_dot(const float *q, const T *key, int d, int lane, bool wide)
{
    float sum = 0;

    if (wide) {
        for (int i = lane * Pack<T>::N; i < d; i += 32 * Pack<T>::N) {
            const Pack<T> pack = *reinterpret_cast<const Pack<T> *>(key + i);
#pragma unroll
            for (int j = 0; j < Pack<T>::N; j++)
                sum = fmaf(q[i + j], to_float(pack.value[j]), sum);
        }
    } else {
        for (int i = lane; i < d; i += 32)
            sum = fmaf(q[i], to_float(key[i]), sum);
    }
    return sum;
}

template <typename T> bool wide_rows(int64_t d)
{
    return d % Pack<T>::N == 0;
}

/* ---- index scores: a warp a key, all queries and heads while the key is at hand ---- */

enum { INDEX_WARPS = 8, SHARED_FLOATS = 11264 };

template <typename T>
__global__ void index_kernel(const float *q, const float *w, const T *key, float *out, int queries,
                             int64_t keys, int heads, int d, float scale, bool wide, bool weighted,
                             bool in_shared)
{
    extern __shared__ float staged[];
    const int lane = threadIdx.x % 32, total = queries * heads * d;

    if (in_shared) {
        for (int i = threadIdx.x; i < total; i += blockDim.x)
            staged[i] = q[i];
        __syncthreads();
        q = staged;
    }
    for (int64_t s = (int64_t)blockIdx.x * INDEX_WARPS + threadIdx.x / 32; s < keys;
         s += (int64_t)gridDim.x * INDEX_WARPS)
        for (int i = 0; i < queries; i++) {
            float score = 0;

            for (int h = 0; h < heads; h++) {
                const float dot = warp_sum(lane_dot(q + ((int64_t)i * heads + h) * d,
                                                    key + s * d, d, lane, wide));
                /* !(dot <= 0) keeps NaN, which fmaxf would drop */
                score = !weighted ? dot : !(dot <= 0) ? score + w[i * heads + h] * dot
                                                      : score + w[i * heads + h] * 0.0f;
            }
            if (lane == 0)
                out[(int64_t)i * keys + s] = scale * score;
        }
}

template <typename T> int index_score(const clsa_plugin_index_call &c, bool weighted)
{
    static Buffer q, w, key, out;
    const size_t q_row = (size_t)(c.heads * c.d) * sizeof(float);
    const int64_t blocks = (c.keys + INDEX_WARPS - 1) / INDEX_WARPS;
    const int64_t total = c.queries * c.heads * c.d;
    const bool staged = total <= SHARED_FLOATS;
    char what[96];

    if (total > INT32_MAX)
        return CLSA_PLUGIN_UNSUPPORTED;
    if (!q.load(c.q, c.queries, q_row, c.ldq * sizeof(float)) ||
        (weighted && !w.load(c.w, c.queries, c.heads * sizeof(float), c.ldw * sizeof(float))) ||
        !key.load(c.key, c.keys, c.d * sizeof(T), c.key_stride_bytes) ||
        !out.room((size_t)c.queries * c.keys * sizeof(float)))
        return -1;
    std::snprintf(what, sizeof what, "index-score queries=%lld keys=%lld heads=%lld d=%lld",
                  (long long)c.queries, (long long)c.keys, (long long)c.heads, (long long)c.d);
    if (!run(what, [&] {
            index_kernel<T><<<(unsigned)(blocks < 2112 ? blocks : 2112), INDEX_WARPS * 32,
                              staged ? (size_t)total * sizeof(float) : 0>>>(
                q.as<float>(), w.as<float>(), key.as<T>(), out.as<float>(), (int)c.queries, c.keys,
                (int)c.heads, (int)c.d, c.scale, wide_rows<T>(c.d), weighted, staged);
        }))
        return -1;
    return out.store(c.out, c.queries, c.keys * sizeof(float), c.ldo * sizeof(float)) ? 0 : -1;
}

int index_any(const void *argument, bool weighted)
{
    const clsa_plugin_index_call &c = *static_cast<const clsa_plugin_index_call *>(argument);

    switch (c.key_dtype) {
    case CLSA_PLUGIN_F32:
        return index_score<float>(c, weighted);
    case CLSA_PLUGIN_BF16:
        return index_score<__nv_bfloat16>(c, weighted);
    case CLSA_PLUGIN_F16:
        return index_score<__half>(c, weighted);
    default:
        return CLSA_PLUGIN_UNSUPPORTED;
    }
}

int index_single(const void *call) { return index_any(call, false); }
int index_heads(const void *call) { return index_any(call, true); }

/* ---- top-k: a block a row; four passes of eight bits find the k-th key, a fifth writes ---- */

enum { TOPK_THREADS = 1024 };

/* Unsigned order of scores: NaN highest and all alike, -0 equal to +0. */
__device__ uint32_t order_of(float score)
{
    if (isnan(score))
        return 0xffffffffu;
    const uint32_t bits = __float_as_uint(score == 0.0f ? 0.0f : score);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* Sum over the threads before this one, and over all; `sums` has a place for each warp. */
__device__ int block_prefix(int x, int *sums, int *all)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int mine = x;

    for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, mine, step);
        if (lane >= step)
            mine += other;
    }
    if (lane == 31)
        sums[warp] = mine;
    __syncthreads();
    if (warp == 0) {
        int total = sums[lane];
        for (int step = 1; step < 32; step *= 2) {
            const int other = __shfl_up_sync(0xffffffffu, total, step);
            if (lane >= step)
                total += other;
        }
        sums[lane] = total;
    }
    __syncthreads();
    const int before = (warp > 0 ? sums[warp - 1] : 0) + mine - x;
    *all = sums[TOPK_THREADS / 32 - 1];
    __syncthreads();
    return before;
}

__global__ void __launch_bounds__(TOPK_THREADS)
    topk_kernel(const float *score, int64_t ld, const int32_t *lengths, int64_t k_wanted,
                int32_t *out, int64_t ldo, int32_t *count)
{
    __shared__ int histogram[256], sums[TOPK_THREADS / 32], chosen_digit, chosen_above;
    const float *row = score + blockIdx.x * ld;
    const int n = lengths[blockIdx.x], k = (int)(k_wanted < n ? k_wanted : n);
    uint32_t prefix = 0;
    int left = k; /* of the keys that share the prefix, so many are wanted */

    out += blockIdx.x * ldo;
    for (int shift = 24; shift >= 0; shift -= 8) {
        if (threadIdx.x < 256)
            histogram[threadIdx.x] = 0;
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += TOPK_THREADS) {
            const uint32_t key = order_of(row[i]);
            if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8))
                atomicAdd(&histogram[key >> shift & 255], 1);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int digit = 255, above = 0;
            while (above + histogram[digit] < left)
                above += histogram[digit--];
            chosen_digit = digit;
            chosen_above = above;
        }
        __syncthreads();
        prefix |= (uint32_t)chosen_digit << shift;
        left -= chosen_above;
        __syncthreads();
    }
    /* Now `prefix` is the k-th key, and the first `left` positions that have it are taken. */
    int taken = 0, equal = 0;
    for (int from = 0; from < n; from += TOPK_THREADS) {
        const int i = from + threadIdx.x;
        const uint32_t key = i < n ? order_of(row[i]) : 0;
        const bool tie = i < n && key == prefix;
        int ties, all;
        const int tie_rank = equal + block_prefix(tie, sums, &ties);
        const bool take = i < n && (key > prefix || (tie && tie_rank < left));
        const int at = taken + block_prefix(take, sums, &all);

        if (take)
            out[at] = i;
        taken += all;
        equal += ties;
    }
    if (threadIdx.x == 0)
        count[blockIdx.x] = k;
}

int topk(const void *argument)
{
    static Buffer score, lengths, out, count;
    const clsa_plugin_topk_call &c = *static_cast<const clsa_plugin_topk_call *>(argument);
    int64_t longest = 0, most;
    char what[96];

    for (int64_t i = 0; i < c.rows; i++)
        longest = c.n[i] > longest ? c.n[i] : longest;
    most = c.k < longest ? c.k : longest;
    if (!score.load(c.score, c.rows, longest * sizeof(float), c.ld_score * sizeof(float)) ||
        !lengths.load(c.n, 1, c.rows * sizeof(int32_t), c.rows * sizeof(int32_t)) ||
        !out.room((size_t)c.rows * most * sizeof(int32_t)) ||
        !count.room((size_t)c.rows * sizeof(int32_t)))
        return -1;
    std::snprintf(what, sizeof what, "topk rows=%lld n=%lld k=%lld", (long long)c.rows,
                  (long long)longest, (long long)c.k);
    if (!run(what, [&] {
            topk_kernel<<<(unsigned)c.rows, TOPK_THREADS>>>(
                score.as<float>(), longest, lengths.as<int32_t>(), c.k, out.as<int32_t>(), most,
                count.as<int32_t>());
        }))
        return -1;
    /* places behind a short row's positions hold anything */
    if (!count.store(c.count, 1, c.rows * sizeof(int32_t), c.rows * sizeof(int32_t)))
        return -1;
    return out.store(c.out, c.rows, most * sizeof(int32_t), c.ldo * sizeof(int32_t)) ? 0 : -1;
}

/* ---- sparse attention: a block a query and K/V head, a run of the selection each; then a join ---- */

enum { ATTN_WARPS = 8, ATTN_GROUP = 8, ATTN_D = 256, ATTN_RUN = 256 };

/* A part of one query head's softmax: its largest score, the sum of weights, weighted values. */
struct Parts {
    float *max, *sum, *acc;
};

/* Each warp takes every ATTN_WARPS-th selected row of the run, keeps an online softmax for all query
 * heads of the K/V head, and the warps of the block join in shared memory. A lane holds dv / 32 values
 * of each head. */
template <typename T>
__global__ void attn_kernel(const float *q, const T *k, const T *v, const int32_t *index,
                            int64_t ld_index, const int32_t *count, Parts parts, int q_heads,
                            int kv_heads, int d, int dv, float scale, int runs, bool wide)
{
    __shared__ float shared_q[ATTN_GROUP * ATTN_D], shared_acc[ATTN_D];
    __shared__ float warp_max[ATTN_WARPS][ATTN_GROUP], warp_total[ATTN_WARPS][ATTN_GROUP];
    const int query = blockIdx.x, kv = blockIdx.y, part = blockIdx.z;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = q_heads / kv_heads;
    const int begin = part * ATTN_RUN, all = count[query];
    const int end = begin + ATTN_RUN < all ? begin + ATTN_RUN : all;
    float acc[ATTN_GROUP][ATTN_D / 32] = {}, most[ATTN_GROUP], sum[ATTN_GROUP] = {};

#pragma unroll
    for (int h = 0; h < ATTN_GROUP; h++)
        most[h] = -INFINITY;
    for (int i = threadIdx.x; i < group * d; i += blockDim.x)
        shared_q[i] = q[((int64_t)query * q_heads + kv * group) * d + i];
    __syncthreads();
    for (int i = begin + warp; i < end; i += ATTN_WARPS) {
        const int64_t row = (int64_t)index[query * ld_index + i] * kv_heads + kv;

#pragma unroll
        for (int h = 0; h < ATTN_GROUP; h++) {
            if (h >= group)
                break;
            const float score =
                scale * warp_sum(lane_dot(shared_q + h * d, k + row * d, d, lane, wide));
            /* NaN spreads: it is neither above nor below, and sum and acc become NaN */
            const float next = score > most[h] || isnan(score) ? score : most[h];
            const float keep = most[h] == next ? 1.0f : expf(most[h] - next);
            const float weight = next == -INFINITY ? 0.0f : score == next ? 1.0f
                                                                          : expf(score - next);

            most[h] = next;
            sum[h] = sum[h] * keep + weight;
#pragma unroll
            for (int j = 0; j < ATTN_D / 32; j++)
                if (lane + 32 * j < dv && weight != 0.0f)
                    acc[h][j] = acc[h][j] * keep + weight * to_float(v[row * dv + lane + 32 * j]);
                else
                    acc[h][j] *= keep;
        }
    }
    if (lane == 0)
#pragma unroll
        for (int h = 0; h < ATTN_GROUP; h++) {
            warp_max[warp][h] = most[h];
            warp_total[warp][h] = sum[h];
        }
    __syncthreads();
#pragma unroll
    for (int h = 0; h < ATTN_GROUP; h++) {
        if (h >= group)
            break;
        float best = -INFINITY, total = 0;

        for (int o = 0; o < ATTN_WARPS; o++)
            best = warp_max[o][h] > best || isnan(warp_max[o][h]) ? warp_max[o][h] : best;
        for (int o = 0; o < ATTN_WARPS; o++)
            total += warp_max[o][h] == -INFINITY ? 0.0f
                                                 : warp_total[o][h] * expf(warp_max[o][h] - best);
        const float mine = most[h] == -INFINITY ? 0.0f : expf(most[h] - best);
        for (int i = threadIdx.x; i < dv; i += blockDim.x)
            shared_acc[i] = 0;
        __syncthreads();
        for (int o = 0; o < ATTN_WARPS; o++) { /* in order: sums do not depend on timing */
            if (o == warp && most[h] != -INFINITY)
#pragma unroll
                for (int j = 0; j < ATTN_D / 32; j++)
                    if (lane + 32 * j < dv)
                        shared_acc[lane + 32 * j] += acc[h][j] * mine;
            __syncthreads();
        }
        const int64_t at = ((int64_t)query * q_heads + kv * group + h) * runs + part;

        for (int i = threadIdx.x; i < dv; i += blockDim.x)
            parts.acc[at * dv + i] = shared_acc[i];
        if (threadIdx.x == 0) {
            parts.max[at] = best;
            parts.sum[at] = total;
        }
        __syncthreads();
    }
}

__global__ void join_kernel(Parts parts, float *out, int runs, int dv)
{
    const int64_t head = blockIdx.x;
    float best = -INFINITY, total = 0;

    for (int p = 0; p < runs; p++) {
        const float m = parts.max[head * runs + p];
        best = m > best || isnan(m) ? m : best;
    }
    for (int p = 0; p < runs; p++) {
        const float m = parts.max[head * runs + p];
        total += m == -INFINITY ? 0.0f : parts.sum[head * runs + p] * expf(m - best);
    }
    for (int j = threadIdx.x; j < dv; j += blockDim.x) {
        float sum = 0;

        for (int p = 0; p < runs; p++) {
            const float m = parts.max[head * runs + p];
            if (m != -INFINITY)
                sum += expf(m - best) * parts.acc[(head * runs + p) * dv + j];
        }
        out[head * dv + j] = best == -INFINITY ? 0.0f : sum / total;
    }
}

/* K or V: rows of heads, made tight on the device whatever their strides. */
bool load_rows(Buffer &to, const void *from, int64_t rows, int64_t heads, size_t head_bytes,
               int64_t row_stride, int64_t head_stride)
{
    if (head_stride == (int64_t)head_bytes)
        return to.load(from, rows, heads * head_bytes, row_stride);
    if (!to.room((size_t)rows * heads * head_bytes))
        return false;
    for (int64_t h = 0; h < heads; h++)
        if (!fine(cudaMemcpy2D(to.as<char>() + h * head_bytes, heads * head_bytes,
                               static_cast<const char *>(from) + h * head_stride, row_stride,
                               head_bytes, rows, cudaMemcpyHostToDevice),
                  "copy of a head"))
            return false;
    return true;
}

template <typename T> int attn_sparse(const clsa_plugin_attn_call &c)
{
    static Buffer q, k, v, index, count, out, max, sum, acc;
    const size_t q_row = (size_t)(c.q_heads * c.d) * sizeof(float);
    const size_t out_row = (size_t)(c.q_heads * c.dv) * sizeof(float);
    const int64_t heads = c.queries * c.q_heads;
    int64_t longest = 1;
    char what[128];

    for (int64_t i = 0; i < c.queries; i++)
        longest = c.count[i] > longest ? c.count[i] : longest;
    const int64_t runs = (longest + ATTN_RUN - 1) / ATTN_RUN;
    if (c.q_heads / c.kv_heads > ATTN_GROUP || c.d > ATTN_D || c.dv > ATTN_D ||
        c.kv_heads > 65535 || runs > 65535)
        return CLSA_PLUGIN_UNSUPPORTED;
    if (!q.load(c.q, c.queries, q_row, c.ldq * sizeof(float)) ||
        !load_rows(k, c.k, c.rows, c.kv_heads, c.d * sizeof(T), c.k_row_stride_bytes,
                   c.k_head_stride_bytes) ||
        !load_rows(v, c.v, c.rows, c.kv_heads, c.dv * sizeof(T), c.v_row_stride_bytes,
                   c.v_head_stride_bytes) ||
        !index.load(c.index, c.queries, longest * sizeof(int32_t), c.ld_index * sizeof(int32_t)) ||
        !count.load(c.count, 1, c.queries * sizeof(int32_t), c.queries * sizeof(int32_t)) ||
        !out.room(c.queries * out_row) || !max.room(heads * runs * sizeof(float)) ||
        !sum.room(heads * runs * sizeof(float)) || !acc.room(heads * runs * c.dv * sizeof(float)))
        return -1;
    const Parts parts = {max.as<float>(), sum.as<float>(), acc.as<float>()};
    std::snprintf(what, sizeof what, "attn-sparse queries=%lld heads=%lld/%lld d=%lld keys<=%lld",
                  (long long)c.queries, (long long)c.q_heads, (long long)c.kv_heads,
                  (long long)c.d, (long long)longest);
    if (!run(what, [&] {
            attn_kernel<T><<<dim3((unsigned)c.queries, (unsigned)c.kv_heads, (unsigned)runs),
                             ATTN_WARPS * 32>>>(
                q.as<float>(), k.as<T>(), v.as<T>(), index.as<int32_t>(), longest,
                count.as<int32_t>(), parts, (int)c.q_heads, (int)c.kv_heads, (int)c.d, (int)c.dv,
                c.scale, (int)runs, wide_rows<T>(c.d));
            join_kernel<<<(unsigned)heads, 128>>>(parts, out.as<float>(), (int)runs, (int)c.dv);
        }))
        return -1;
    return out.store(c.out, c.queries, out_row, c.ldo * sizeof(float)) ? 0 : -1;
}

int attn_any(const void *argument)
{
    const clsa_plugin_attn_call &c = *static_cast<const clsa_plugin_attn_call *>(argument);

    switch (c.dtype) {
    case CLSA_PLUGIN_F32:
        return attn_sparse<float>(c);
    case CLSA_PLUGIN_BF16:
        return attn_sparse<__nv_bfloat16>(c);
    case CLSA_PLUGIN_F16:
        return attn_sparse<__half>(c);
    default:
        return CLSA_PLUGIN_UNSUPPORTED;
    }
}

const clsa_plugin_kernel kernels[] = {
    {CLSA_PLUGIN_INDEX_SCORE, 0, "cuda-index-score", index_single},
    {CLSA_PLUGIN_INDEX_SCORE_HEADS, 0, "cuda-index-score-heads", index_heads},
    {CLSA_PLUGIN_TOPK, 0, "cuda-topk", topk},
    {CLSA_PLUGIN_ATTN_SPARSE, 0, "cuda-attn-sparse", attn_any},
};

const clsa_plugin plugin = {CLSA_PLUGIN_ABI, sizeof kernels / sizeof kernels[0], "cuda-example",
                            kernels};

} /* namespace */

const struct clsa_plugin *clsa_plugin_v1(void)
{
    int devices = 0;
    const cudaError_t status = cudaGetDeviceCount(&devices);

    if (status != cudaSuccess || devices == 0) {
        std::fprintf(stderr, "cuda-example: no device: %s\n",
                     status != cudaSuccess ? cudaGetErrorString(status) : "none found");
        return nullptr;
    }
    return &plugin;
}
