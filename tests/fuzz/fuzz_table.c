/* Tables of measurements as CSV: the first byte says of which kind, the rest is the table. */
#include <stdlib.h>
#include <string.h>

#include "sim/replay/validate_table.h"
#include "tests/fuzz/fuzz.h"

const unsigned long clsa_fuzz_runs = 20000;

static struct {
    struct clsa_machine machine;
    struct clsa_implementation impls[CLSA_TABLES];
    int ready;
} fixed;

static void discard(void)
{
    clsa_machine_destroy(&fixed.machine);
    for (int t = 0; t < CLSA_TABLES; t++)
        clsa_impl_destroy(&fixed.impls[t]);
}

static void prepare(void)
{
    struct clsa_err err;
    if (clsa_machine_read("h100-sxm", NULL, 0, &fixed.machine, &err))
        abort();
    for (int t = 0; t < CLSA_TABLES; t++) {
        const char *impl = clsa_table_implementation((enum clsa_table)t);
        if (clsa_impl_read(impl ? impl : "native", NULL, 0, &fixed.impls[t], &err))
            abort();
    }
    atexit(discard);
    fixed.ready = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct clsa_csv csv;
    struct clsa_err err;
    struct clsa_table_row *rows = NULL;
    struct clsa_table_stats stats;
    double low, high, least, most;
    if (!fixed.ready)
        prepare();
    if (bytes == 0 || clsa_csv_parse("fuzz", (const char *)data + 1, bytes - 1, &csv, &err) != 0)
        return 0;
    const enum clsa_table table = (enum clsa_table)(data[0] % CLSA_TABLES);
    if (csv.rows <= 64 && clsa_table_predict(table, &csv, &fixed.machine, &fixed.impls[table], 20, 1,
                                             &rows, &err) == 0) {
        clsa_table_measure(rows, csv.rows, -1, NULL, &stats);
        clsa_table_interval(rows, csv.rows, -1, NULL, &low, &high, &least, &most);
        free(rows);
    }
    clsa_csv_destroy(&csv);
    return 0;
}

uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    static const struct {
        enum clsa_table table;
        const char *text;
    } seeds[] = {
        {CLSA_TABLE_GEMM, "dtype,kernel_source,m,n,k,latency_us\nbfloat16,cublas,64,4096,4096,21\n"
                          "fp8,deepgemm,1,128,7168,5.5\n"},
        {CLSA_TABLE_ATTENTION_DECODE,
         "kv_dtype,kernel_source,batch,context,num_heads,num_kv_heads,head_dim,window_size,latency_us\n"
         "bfloat16,fa3,8,4096,32,8,128,0,40\nbfloat16,fa3,1,512,8,8,64,128,9\n"},
        {CLSA_TABLE_ATTENTION_PREFILL,
         "kernel_source,batch_size,isl,num_heads,num_key_value_heads,head_dim,beam_width,attn_dtype,"
         "kv_cache_dtype,step,latency_us\nfa3,2,1024,32,8,128,1,bfloat16,bfloat16,0,90\n"},
        {CLSA_TABLE_DSA_LAYER_DECODE,
         "layer_kind,kernel_source,model,gemm_dtype,kv_dtype,num_heads,batch,context,latency_us,runs\n"
         "full,sglang,deepseek-v3.2,bfloat16,bfloat16,128,4,8192,200,3\n"},
        {CLSA_TABLE_DSA_LAYER_PREFILL,
         "layer_kind,kernel_source,model,gemm_dtype,kv_dtype,num_heads,batch,new_tokens,context,"
         "latency_us\nshared,sglang,glm-5,fp8_block,fp8,64,1,512,4096,600\n"},
        {CLSA_TABLE_INDEX_SCORES, "kernel_source,index_heads,batch,new_tokens,past,latency_us\n"
                                  "deepgemm,64,2,128,4096,30\n"},
        {CLSA_TABLE_INDEX_SCORES_PAGED,
         "kernel_source,index_heads,compress_ratio,batch,new_tokens,past,latency_us\n"
         "deepgemm,64,1,16,1,65536,50\n"},
        {CLSA_TABLE_TOPK, "kernel_source,score_mode,batch,new_tokens,past,latency_us\n"
                          "fast_topk_transform_fused,flat,1,1,2048,10\n"
                          "fast_topk_transform_fused,random,4,1,65536,20\n"},
        {CLSA_TABLE_SPARSE_ATTENTION,
         "kernel_source,kv_dtype,num_heads,batch,new_tokens,past,latency_us\n"
         "flashmla_sparse,bfloat16,64,8,1,16384,30\n"},
        {CLSA_TABLE_OWN_KERNELS, "what,m,n,k,rot,b,s,hq,hkv,d,topk,hi,di,median,min,max,unit\n"
                                 "gemm,1,4096,4096,8,,,,,,,,,12,11,13,us\n"},
        {CLSA_TABLE_OWN_STEPS, "what,b,s,shared_kv,group,k,median,min,max,unit\n"
                               "decode,1,8192,1,4,2048,4000,3900,4100,us\n"},
        {CLSA_TABLE_OWN_STEP_OPS, "what,b,s,shared_kv,group,op,calls,kernels,median,min,max,unit\n"
                                  "decode,1,8192,1,4,topk,4,1,30,29,31,us\n"},
    };
    if (i >= sizeof seeds / sizeof *seeds)
        return NULL;
    const size_t n = strlen(seeds[i].text);
    uint8_t *data = malloc(n + 1);
    if (!data)
        abort();
    data[0] = (uint8_t)seeds[i].table;
    memcpy(data + 1, seeds[i].text, n);
    *bytes = n + 1;
    return data;
}
