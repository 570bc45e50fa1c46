#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "tests/unit/test.h"
#include "traces/import.h"
#include "traces/import_parse.h"
#include "traces/reader.h"
#include "traces/validate.h"
#include "traces/wire.h"

static char dir[64], in[128], out[128];
static struct clsa_err err;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/clsa-import-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(in, sizeof in, "%s/in", dir);
    snprintf(out, sizeof out, "%s/out.clsat", dir);
}

static void teardown(void)
{
    unlink(in);
    unlink(out);
    ck_assert_int_eq(rmdir(dir), 0);
}

/* A capture of 5 tokens from position 2 on, 4 layers, k = 3: layers 1 and 3 repeat 0 and 2. Entries
 * come unsorted, and are padded while fewer than 3 positions are visible (never here: token 0 sees
 * 3). */
enum { TOKENS = 5, LAYERS = 4, K = 3, FIRST = 2 };

static int32_t value(int t, int l, int i)
{
    static const int order[] = {1, 2, 0};
    const int keys = FIRST + t + 1;
    const int own = l / 2; /* two selections of their own */
    if (own == 0)
        return order[i];                  /* the first three positions */
    return keys - 1 - order[(i + t) % 3]; /* the last three */
}

static void write_file(const void *data, size_t bytes)
{
    FILE *f = fopen(in, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
}

static size_t array_bytes(unsigned char *to, int element)
{
    size_t n = 0;
    for (int t = 0; t < TOKENS; t++)
        for (int l = 0; l < LAYERS; l++)
            for (int i = 0; i < K; i++, n += (size_t)element) {
                if (element == 4)
                    clsa_store_u32(to + n, (uint32_t)value(t, l, i));
                else
                    clsa_store_u64(to + n, (uint64_t)(int64_t)value(t, l, i));
            }
    return n;
}

static size_t npy_bytes(unsigned char *to, int element)
{
    char header[128];
    snprintf(header, sizeof header,
             "{'descr': '<i%d', 'fortran_order': False, 'shape': (%d, %d, %d), }", element, TOKENS,
             LAYERS, K);
    const size_t pad = (64 - (10 + strlen(header) + 1) % 64) % 64,
                 length = strlen(header) + pad + 1;
    memcpy(to, "\x93NUMPY\x01\x00", 8);
    to[8] = (unsigned char)length;
    to[9] = (unsigned char)(length >> 8);
    memset(to + 10, ' ', length);
    memcpy(to + 10, header, strlen(header));
    to[10 + length - 1] = '\n';
    return 10 + length + array_bytes(to + 10 + length, element);
}

static void base64(const unsigned char *data, size_t bytes, char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        const unsigned rest = bytes - i > 2 ? 3 : (unsigned)(bytes - i);
        const uint32_t bits = (uint32_t)data[i] << 16 |
                              (rest > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                              (rest > 2 ? data[i + 2] : 0u);
        for (unsigned d = 0; d < 4; d++)
            *text++ = d <= rest ? digits[bits >> (18 - 6 * d) & 63] : '=';
    }
    *text = '\0';
}

static const struct clsa_import shaped = {.layers = LAYERS, .top_k = K, .first_position = FIRST};

/* The imported trace holds what the array held, each selection once. */
static void must_hold(void)
{
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    FILE *sink = tmpfile();
    int t = 0;
    ck_assert_msg(clsa_trace_validate(out, sink, &err) == 0, "%s", err.text);
    ck_assert_int_eq(clsa_trace_open(out, 0, &r, &err), 0);
    ck_assert_str_eq(clsa_trace_provenance(clsa_trace_header(r), "selections"), "imported");
    ck_assert_str_eq(clsa_trace_provenance(clsa_trace_header(r), "set_layers"), "0,2");
    for (; clsa_trace_next(r, &step, &err) == 1; t++) {
        ck_assert_uint_eq(step->step.n_sets, 2);
        ck_assert_uint_eq(step->n_index_sets, 2);
        ck_assert_uint_eq(step->step.queries[0].keys, (uint64_t)(FIRST + t + 1));
        for (uint32_t s = 0; s < 2; s++) {
            const struct clsa_index_set *set = clsa_trace_find_set(step, 0, s);
            ck_assert_uint_eq(set->count, K);
            for (uint32_t i = 0; i < K; i++)
                ck_assert_uint_eq(set->positions[i], s ? (uint32_t)(FIRST + t + 1 - K) + i : i);
        }
    }
    ck_assert_int_eq(t, TOKENS);
    clsa_trace_close(r);
    fclose(sink);
}

START_TEST(base64_decodes)
{
    char text[64];
    size_t n;
    strcpy(text, "Zm9v\r\nYmFy");
    ck_assert(clsa_base64_decode(text, strlen(text), &n) && n == 6);
    ck_assert_mem_eq(text, "foobar", 6);
    static const char *const good[] = {"", "Zg==", "Zg", "Zm8=", "+/-_"};
    for (size_t i = 0; i < 5; i++) {
        strcpy(text, good[i]);
        ck_assert_msg(clsa_base64_decode(text, strlen(text), &n), "%s", good[i]);
    }
    static const char *const bad[] = {"Z", "Zm9v!", "Zg=a", "Zh==", "Zm9vYg===", "Zm8=="};
    for (size_t i = 0; i < 6; i++) {
        strcpy(text, bad[i]);
        ck_assert_msg(!clsa_base64_decode(text, strlen(text), &n), "%s passes", bad[i]);
    }
}
END_TEST

START_TEST(an_npy_file_is_read)
{
    unsigned char data[2048];
    for (int element = 4; element <= 8; element += 4) {
        write_file(data, npy_bytes(data, element));
        ck_assert_msg(clsa_trace_import(&shaped, in, out, &err) == 0, "%s", err.text);
        must_hold();
    }
}
END_TEST

START_TEST(base64_of_either_is_read)
{
    unsigned char data[2048];
    char text[4096], json[8192];
    for (int npy = 0; npy < 2; npy++) {
        base64(data, npy ? npy_bytes(data, 4) : array_bytes(data, 4), text);
        struct clsa_import options = shaped;
        if (npy)
            options.layers = options.top_k = 0; /* the npy header says it */
        write_file(text, strlen(text));
        ck_assert_msg(clsa_trace_import(&options, in, out, &err) == 0, "%s", err.text);
        must_hold();
        snprintf(json, sizeof json, "{\"text\": \"x\", \"meta_info\": {\"indexer_topk\": \"%s\"}}",
                 text);
        write_file(json, strlen(json));
        ck_assert_msg(clsa_trace_import(&options, in, out, &err) == 0, "%s", err.text);
        must_hold();
    }
}
END_TEST

START_TEST(two_responses_follow_each_other)
{
    unsigned char data[2048];
    char text[4096], json[16384];
    struct clsa_trace_reader *r = NULL;
    uint64_t steps;
    base64(data, array_bytes(data, 4), text);
    snprintf(json, sizeof json, "[{\"indexer_topk\": \"%s\"}, {\"indexer_topk\": \"%s\"}]", text,
             text);
    write_file(json, strlen(json));
    ck_assert_msg(clsa_trace_import(&shaped, in, out, &err) == 0, "%s", err.text);
    ck_assert_int_eq(clsa_trace_open(out, 0, &r, &err), 0);
    ck_assert_int_eq(clsa_trace_count(r, &steps, &err), 0);
    ck_assert_uint_eq(steps, 2 * TOKENS);
    clsa_trace_close(r);
}
END_TEST

START_TEST(jsonl_is_read_in_any_order)
{
    static const struct clsa_import any = {0};
    FILE *f = fopen(in, "w");
    for (int l = LAYERS - 1; l >= 0; l--)
        for (int t = TOKENS - 1; t >= 0; t--)
            fprintf(f,
                    "{\"request_id\": \"r1\", \"layer_id\": %d, \"step_idx\": %d, "
                    "\"seq_len_current\": %d, \"selected_token_pos\": [%d, -1, %d, %d]}\n\n",
                    l, t, FIRST + t + 1, value(t, l, 0), value(t, l, 1), value(t, l, 2));
    fclose(f);
    ck_assert_msg(clsa_trace_import(&any, in, out, &err) == 0, "%s", err.text);
    must_hold();
}
END_TEST

static void must_fail(const char *text, const struct clsa_import *options, int status,
                      const char *what)
{
    write_file(text, strlen(text));
    const int got = clsa_trace_import(options, in, out, &err);
    ck_assert_msg(got == status, "'%.60s' gives %d: %s", text, got, err.text);
    ck_assert_msg(strstr(err.text, what) && strstr(err.text, in), "'%.60s' gives: %s", text,
                  err.text);
    ck_assert(!clsa_file_exists(out));
}

#define LINE(layer, step, len, pos)                                    \
    "{\"request_id\": 1, \"layer_id\": " layer ", \"step_idx\": " step \
    ", \"seq_len_current\": " len ", \"selected_token_pos\": " pos "}\n"

START_TEST(bad_captures_are_refused_with_their_place)
{
    static const struct clsa_import any = {0}, one = {.layers = 1, .top_k = 1},
                                    huge = {.layers = UINT64_MAX, .top_k = 3};
    must_fail("", &one, CLSA_EFORMAT, "empty array");
    must_fail("AAAA", &any, CLSA_EUSAGE, "must be given");
    must_fail("AAAA", &one, CLSA_EFORMAT, "no multiple");
    must_fail("AAAAAA==", &huge, CLSA_EFORMAT, "no multiple");
    must_fail("no base64!", &one, CLSA_EFORMAT, "not base64");
    must_fail("AQAAAA==", &one, CLSA_EFORMAT, "token 0: layer 0 selects position 1");
    must_fail("/////w==", &one, CLSA_EFORMAT, "selects nothing");
    must_fail("{\"a\": 1}", &one, CLSA_EFORMAT, "indexer_topk");
    must_fail("{\"indexer_topk\": ", &one, CLSA_EFORMAT, ":1:");
    must_fail(LINE("0", "0", "4", "[1, 1]"), &any, CLSA_EFORMAT,
              "in:1: layer 0 selects position 1 twice");
    must_fail(LINE("0", "0", "4", "[4]"), &any, CLSA_EFORMAT, "sees 4");
    must_fail(LINE("0", "0", "4", "[1.5]"), &any, CLSA_EFORMAT, "no integer");
    must_fail(LINE("0", "0", "4", "[1e300]"), &any, CLSA_EFORMAT, "no integer");
    must_fail(LINE("0", "0", "4", "[\"1\"]"), &any, CLSA_EFORMAT, "no integer");
    must_fail(LINE("0", "0", "0", "[0]"), &any, CLSA_ERANGE, "seq_len_current");
    must_fail(LINE("-1", "0", "4", "[0]"), &any, CLSA_EFORMAT, "layer_id");
    must_fail(LINE("0", "0", "4", "[0]") LINE("1", "1", "5", "[0]"), &any, CLSA_EFORMAT, "in:2:");
    must_fail(LINE("0", "0", "4", "[0]") LINE("1", "0", "5", "[0]"), &any, CLSA_EFORMAT, "in:2:");
    must_fail(LINE("0", "0", "4", "[0]") LINE("1", "0", "4", "[0]") LINE("0", "1", "5", "[0]"),
              &any, CLSA_EFORMAT, "lacks layers");
    must_fail(LINE("0", "0", "4", "[0]") LINE("0", "0", "4", "[0]"), &any, CLSA_EFORMAT, "in:");
    must_fail(LINE("0", "0", "4", "[0]") "{", &any, CLSA_EFORMAT, "in:2:1:");
    must_fail("\x93NUMPY", &any, CLSA_EFORMAT, "npy");
    unlink(in);
    ck_assert_int_eq(clsa_trace_import(&any, in, out, &err), CLSA_ENOTFOUND);
}
END_TEST

/* Every npy header that is not what it says it is. */
START_TEST(a_mutated_npy_is_refused_or_read)
{
    unsigned char data[2048];
    char copy[2048];
    const size_t n = npy_bytes(data, 4);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct clsa_capture capture = {.path = "npy"};
            memcpy(copy, data, n);
            copy[i] ^= (char)(1 << bit);
            copy[n] = '\0';
            err.text[0] = '\0';
            const int status = clsa_import_array(&shaped, copy, n, &capture, &err);
            ck_assert_msg(status == 0 || err.text[0], "byte %zu bit %d", i, bit);
            ck_assert_msg(status != 0 || capture.n_rows == TOKENS * LAYERS, "byte %zu", i);
            clsa_capture_destroy(&capture);
        }
    for (size_t cut = 0; cut < n; cut++) {
        write_file(data, cut);
        unlink(out);
        ck_assert_int_lt(clsa_trace_import(&shaped, in, out, &err), 0);
        ck_assert(!clsa_file_exists(out));
    }
}
END_TEST

START_TEST(no_allocation_failure_harms)
{
    unsigned char data[2048];
    unsigned long n = 0;
    for (int jsonl = 0; jsonl < 2; jsonl++) {
        static const char lines[] = LINE("0", "0", "4", "[0, 2]") LINE("1", "0", "4", "[1, 2]");
        if (jsonl)
            write_file(lines, sizeof lines - 1);
        else
            write_file(data, npy_bytes(data, 4));
        for (n = 1;; n++) {
            clsa_alloc_fail_at(n);
            const int status = clsa_trace_import(&shaped, in, out, &err);
            const bool reached = clsa_alloc_fail_at(0);
            ck_assert_msg(status == (reached ? CLSA_ENOMEM : 0), "allocation %lu: %d", n, status);
            if (!reached)
                break;
            ck_assert(!clsa_file_exists(out));
        }
        unlink(out);
        ck_assert_uint_gt(n, 8);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("import");
    TCase *t = tcase_create("import");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, base64_decodes);
    tcase_add_test(t, an_npy_file_is_read);
    tcase_add_test(t, base64_of_either_is_read);
    tcase_add_test(t, two_responses_follow_each_other);
    tcase_add_test(t, jsonl_is_read_in_any_order);
    tcase_add_test(t, bad_captures_are_refused_with_their_place);
    tcase_add_test(t, a_mutated_npy_is_refused_or_read);
    tcase_add_test(t, no_allocation_failure_harms);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
