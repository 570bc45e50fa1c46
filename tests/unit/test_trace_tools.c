#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "tests/unit/mock_step.h"
#include "tests/unit/test.h"
#include "traces/compare.h"
#include "traces/dump.h"
#include "traces/info.h"
#include "traces/validate.h"
#include "traces/writer.h"

static char dir[64], path[128], other[128];
static struct clsa_err err;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/clsa-traces-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.clsat", dir);
    snprintf(other, sizeof other, "%s/b.clsat", dir);
}

static void teardown(void)
{
    unlink(path);
    unlink(other);
    ck_assert_int_eq(rmdir(dir), 0); /* also proves that no temporary file is left */
}

static unsigned char *slurp(const char *from, size_t *bytes)
{
    char *data = NULL;
    ck_assert_int_eq(clsa_file_read(from, 1 << 26, &data, bytes, &err), 0);
    return (unsigned char *)data;
}

/* ---- tools ---- */

START_TEST(a_mock_step_obeys_every_rule)
{
    struct mock_step m;
    for (uint64_t i = 0; i < 9; i++) {
        mock_trace_step(&m, i);
        ck_assert_msg(clsa_trace_check_step(&m.trace, &err) == 0, "%s", err.text);
    }
}
END_TEST

/* One fault may break several rules: the one named must be among them. */
static void must_find(const struct mock_step *m, const char *rule, const char *change)
{
    char *text = NULL, wanted[64];
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct clsa_trace_validator *v = clsa_trace_validator_create(out, 100);
    ck_assert_int_eq(clsa_trace_validator_step(v, &m->trace, &err), 0);
    fclose(out);
    snprintf(wanted, sizeof wanted, "step 0: %s: ", rule);
    ck_assert_msg(strstr(text, wanted), "%s breaks no rule %s but: %s", change, rule, text);
    ck_assert_int_eq(clsa_trace_check_step(&m->trace, &err), CLSA_EMISMATCH);
    clsa_trace_validator_destroy(v);
    free(text);
}

START_TEST(each_rule_catches_its_fault)
{
    struct mock_step m;
#define FAULT(rule, change)               \
    do {                                  \
        mock_step_make(&m, 2, 100, 2, 1); \
        change;                           \
        must_find(&m, rule, #change);     \
    } while (0)
    FAULT("tensor-empty", m.tensors[2].bytes = 0);
    FAULT("tensor-empty", strcpy(m.tensors[5].name, m.tensors[4].name));
    FAULT("tensor-align", m.tensors[9].address += 8);
    FAULT("tensor-overlap", m.tensors[4].address = m.tensors[3].address);
    FAULT("phase", m.queries[0].keys = 99);
    FAULT("group", m.trace.step.group = 0);
    FAULT("group", m.trace.step.top_k = 0);
    FAULT("rows", m.ops[0].m = 1);
    FAULT("shape", m.ops[1].weight_dtype = CLSA_F32);
    FAULT("shape", m.ops[5].kv_heads = 3);
    FAULT("axis", m.ops[0].operands[0].axis = CLSA_AXIS_TABLE);
    FAULT("axis", m.ops[0].operands[0].ring_rows = 8);
    FAULT("axis", m.ops[4].topk = 0);
    FAULT("axis", m.ops[2].operands[1].tensor = 4);
    FAULT("extent", m.ops[1].operands[1].row_stride *= 2);
    FAULT("extent", m.ops[5].operands[1].seq_stride *= 8);
    FAULT("extent", m.ops[5].operands[1].head_stride = UINT64_C(1) << 60);
    FAULT("access", m.ops[1].operands[1].access = CLSA_WRITE);
    FAULT("bytes", m.ops[1].read_bytes++);
    FAULT("bytes", m.ops[1].write_bytes++);
    FAULT("flops", m.ops[1].flops--);
    FAULT("flops", m.ops[5].flops = 1);
    FAULT("flops", m.ops[5].flops *= 2);
    FAULT("set-order", m.ops[5].set = 1);
    FAULT("set-order", m.ops[7].set = 0);
    FAULT("set-missing", m.trace.n_index_sets--);
    FAULT("set-count", m.sets[0].count--);
}
END_TEST

START_TEST(a_weight_that_moves_is_found)
{
    struct mock_step m;
    struct clsa_trace_validator *v = clsa_trace_validator_create(NULL, 0);
    mock_step_make(&m, 2, 100, 2, 1);
    ck_assert_int_eq(clsa_trace_validator_step(v, &m.trace, &err), 0);
    ck_assert_int_eq(clsa_trace_validator_step(v, &m.trace, &err), 0);
    ck_assert_uint_eq(clsa_trace_validator_findings(v), 0);
    for (int i = 0; i < MOCK_TENSORS; i++)
        m.tensors[i].address += 4096;
    ck_assert_int_eq(clsa_trace_validator_step(v, &m.trace, &err), 0);
    ck_assert_uint_eq(clsa_trace_validator_findings(v), 4); /* two weights, K/V, index keys */
    clsa_trace_validator_destroy(v);
}
END_TEST

START_TEST(validate_reads_files)
{
    FILE *sink = tmpfile();
    struct clsa_trace_writer *w = NULL;
    struct mock_step m;
    ck_assert_int_eq(mock_trace_write(path, 5, &err), 0);
    ck_assert_int_eq(clsa_trace_validate(path, sink, &err), 0);
    mock_step_make(&m, 2, 100, 2, 1);
    m.ops[1].flops = 0;
    ck_assert_int_eq(clsa_trace_writer_open(other, mock_provenance, 4, &w, &err), 0);
    ck_assert_int_eq(clsa_trace_write(w, &m.trace, &err), 0);
    ck_assert_int_eq(clsa_trace_writer_commit(w, &err), 0);
    clsa_trace_writer_destroy(w);
    ck_assert_int_eq(clsa_trace_validate(other, sink, &err), CLSA_EMISMATCH);
    ck_assert_ptr_nonnull(strstr(err.text, "flops: op 1 (gemm_q)"));
    fclose(sink);
}
END_TEST

START_TEST(totals_add_up)
{
    struct clsa_trace_totals t = {0};
    const struct clsa_trace_tool tool = clsa_trace_totals_tool(&t);
    uint64_t ops = 0, flops = 0, sets = 0, queries = 0;
    struct mock_step m;
    for (uint64_t i = 0; i < 9; i++) {
        mock_trace_step(&m, i);
        ck_assert_int_eq(tool.record(tool.state, &m.trace, &err), 0);
        ops += m.trace.step.n_ops;
        sets += m.trace.n_index_sets;
        queries += m.trace.step.n_queries;
        for (size_t j = 0; j < m.trace.step.n_ops; j++)
            flops += m.ops[j].flops;
    }
    ck_assert_uint_eq(t.steps, 9);
    ck_assert_uint_eq(t.ops, ops);
    ck_assert_uint_eq(t.flops, flops);
    ck_assert_uint_eq(t.index_sets, sets);
    ck_assert_uint_eq(t.positions, sets * MOCK_TOPK);
    ck_assert_uint_eq(t.queries, queries);
    ck_assert_uint_eq(t.keys_min, 100);
    ck_assert_uint_eq(t.keys_max, 108);
    ck_assert_uint_eq(t.op_count[CLSA_OP_GEMM], 9);
}
END_TEST

START_TEST(info_and_dump_print)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct clsa_trace_dump what = {
        .out = out, .tensors = true, .ops = true, .operands = true, .sets = true};
    struct mock_step m;
    char line[64];
    ck_assert_int_eq(mock_trace_write(path, 5, &err), 0);
    ck_assert_int_eq(clsa_trace_info(path, CLSA_TRACE_JSON, out, &err), 0);
    fflush(out);
    ck_assert_ptr_nonnull(strstr(text, "\"steps\": 5"));
    ck_assert_int_eq(clsa_trace_dump(path, 3, 3, &what, &err), 0);
    fflush(out);
    mock_trace_step(&m, 3);
    snprintf(line, sizeof line, "set 2 query 0 count 8: %" PRIu32, m.sets[2].positions[0]);
    ck_assert_ptr_nonnull(strstr(text, line));
    ck_assert_ptr_nonnull(strstr(text, "step 3 decode group 1"));
    ck_assert_ptr_null(strstr(text, "step 2 "));
    ck_assert_ptr_nonnull(strstr(text, "op 1 gemm_q layer 0"));
    ck_assert_int_eq(clsa_trace_dump(path, 5, 9, &what, &err), CLSA_ENOTFOUND);
    fclose(out);
    free(text);
}
END_TEST

START_TEST(compare_tells_where)
{
    struct clsa_trace_difference d;
    struct clsa_trace_writer *w = NULL;
    struct mock_step m;
    ck_assert_int_eq(mock_trace_write(path, 4, &err), 0);
    ck_assert_int_eq(mock_trace_write(other, 4, &err), 0);
    ck_assert_int_eq(clsa_trace_compare(path, other, NULL, &d, &err), 0);
    ck_assert_int_eq(clsa_trace_writer_open(other, mock_provenance, 3, &w, &err), 0);
    for (uint64_t i = 0; i < 4; i++) {
        mock_trace_step(&m, i);
        m.tensors[0].layer = i == 0 ? 5 : 0;
        m.ops[1].flops += i == 1;
        m.past[0] += i == 2;
        m.positions[1][MOCK_TOPK - 1] = i == 3 ? 102 : m.positions[1][MOCK_TOPK - 1];
        ck_assert_int_eq(clsa_trace_write(w, &m.trace, &err), 0);
    }
    mock_trace_step(&m, 4);
    ck_assert_int_eq(clsa_trace_write(w, &m.trace, &err), 0);
    ck_assert_int_eq(clsa_trace_writer_commit(w, &err), 0);
    clsa_trace_writer_destroy(w);
    ck_assert_int_eq(clsa_trace_compare(path, other, NULL, &d, &err), CLSA_EMISMATCH);
    ck_assert_uint_eq(d.provenance, 1); /* "seed" is missing */
    ck_assert_uint_eq(d.steps, 1);
    ck_assert_uint_eq(d.tensors, 1);
    ck_assert_uint_eq(d.ops, 1);
    ck_assert_uint_eq(d.heads, 1);
    ck_assert_uint_eq(d.index_sets, 1);
}
END_TEST

/* ---- faults ---- */

/* Fails the n-th allocation of write, validate, info and read, n = 1, 2, ... until none is left to
 * fail. */
START_TEST(no_allocation_failure_harms)
{
    FILE *sink = tmpfile();
    unsigned long n = 0;
    int status;
    do {
        struct clsa_trace_difference d;
        clsa_alloc_fail_at(++n);
        status = mock_trace_write(path, 5, &err);
        if (!status)
            status = clsa_trace_validate(path, sink, &err);
        if (!status)
            status = clsa_trace_info(path, CLSA_TRACE_TABLE, sink, &err);
        if (!status)
            status = clsa_trace_compare(path, path, NULL, &d, &err);
        const bool reached = clsa_alloc_fail_at(0);
        ck_assert_msg(!reached || status == CLSA_ENOMEM, "allocation %lu: status %d", n, status);
        if (!reached)
            break;
        ck_assert_uint_lt(n, 10000);
    } while (true);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_gt(n, 40);
    fclose(sink);
}
END_TEST

/* The disk is full after n bytes: an error, no file and no temporary file (teardown looks). */
START_TEST(a_full_disk_leaves_nothing)
{
    struct rlimit old, limit;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    size_t whole;
    ck_assert_int_eq(mock_trace_write(path, 5, &err), 0);
    free(slurp(path, &whole));
    unlink(path);
    sigaction(SIGXFSZ, &ignore, &before);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    for (size_t n = 0; n < whole; n += whole / 23 + 1) {
        limit.rlim_cur = n;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        const int status = mock_trace_write(path, 5, &err);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
        ck_assert_msg(status == CLSA_EIO, "%zu bytes: status %d", n, status);
        ck_assert(!clsa_file_exists(path));
    }
    sigaction(SIGXFSZ, &before, NULL);
    ck_assert_int_eq(mock_trace_write(path, 5, &err), 0);
    /* What was there before stays when a new trace cannot be written in its place. */
    limit.rlim_cur = whole / 2;
    sigaction(SIGXFSZ, &ignore, &before);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(mock_trace_write(path, 6, &err), CLSA_EIO);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    sigaction(SIGXFSZ, &before, NULL);
    size_t after;
    free(slurp(path, &after));
    ck_assert_uint_eq(after, whole);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("trace_tools");
    TCase *tools = tcase_create("tools"), *fault = tcase_create("fault");
    tcase_add_checked_fixture(tools, setup, teardown);
    tcase_add_test(tools, a_mock_step_obeys_every_rule);
    tcase_add_test(tools, each_rule_catches_its_fault);
    tcase_add_test(tools, a_weight_that_moves_is_found);
    tcase_add_test(tools, validate_reads_files);
    tcase_add_test(tools, totals_add_up);
    tcase_add_test(tools, info_and_dump_print);
    tcase_add_test(tools, compare_tells_where);
    tcase_add_checked_fixture(fault, setup, teardown);
    tcase_set_timeout(fault, 60);
    tcase_add_test(fault, no_allocation_failure_harms);
    tcase_add_test(fault, a_full_disk_leaves_nothing);
    suite_add_tcase(s, tools);
    suite_add_tcase(s, fault);
    return s;
}

CLSA_TEST_MAIN(suite)
