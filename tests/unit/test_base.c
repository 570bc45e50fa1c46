/* sim/base: units, sizes, CSV, JSON, files written whole or not at all, integer random numbers. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/csv.h"
#include "sim/base/file.h"
#include "sim/base/json.h"
#include "sim/base/op.h"
#include "sim/base/rng.h"
#include "sim/base/units.h"

START_TEST(quantities_carry_their_unit)
{
    double v = -1;
    ck_assert_int_eq(clsa_quantity_parse("27.5 MiB", CLSA_DIM_BYTES, &v), 0);
    ck_assert_double_eq(v, 27.5 * 1024 * 1024);
    ck_assert_int_eq(clsa_quantity_parse("3.35TB/s", CLSA_DIM_BYTES_PER_S, &v), 0);
    ck_assert_double_eq(v, 3.35e12);
    ck_assert_int_eq(clsa_quantity_parse("1980 MHz", CLSA_DIM_HZ, &v), 0);
    ck_assert_double_eq(v, 1.98e9);
    ck_assert_int_eq(clsa_quantity_parse("50 %", CLSA_DIM_COUNT, &v), 0);
    ck_assert_double_eq(v, 0.5);
    ck_assert_int_eq(clsa_quantity_parse("12", CLSA_DIM_WHOLE, &v), 0);
    ck_assert_double_eq(v, 12);
    v = 7;
    ck_assert_int_eq(clsa_quantity_parse("50 %", CLSA_DIM_WHOLE, &v), CLSA_ERANGE);
    ck_assert_int_eq(clsa_quantity_parse("3 MB", CLSA_DIM_HZ, &v), CLSA_EMISMATCH);
    static const char *const bad[] = {"", "MB", "nan", "inf", "0x10", "3 parsecs", "1e999", "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(clsa_quantity_parse(bad[i], CLSA_DIM_BYTES, &v), CLSA_EFORMAT);
    ck_assert_double_eq(v, 7);
}
END_TEST

START_TEST(sizes_read_as_people_write_them)
{
    uint64_t n;
    ck_assert_int_eq(clsa_size_parse("8K", &n), 0);
    ck_assert_uint_eq(n, 8192);
    ck_assert_int_eq(clsa_size_parse("1.5M", &n), 0);
    ck_assert_uint_eq(n, 3u << 19);
    ck_assert_int_eq(clsa_size_parse("9007199254740993", &n), 0);
    ck_assert_uint_eq(n, 9007199254740993u);
    ck_assert_int_eq(clsa_size_parse("-1", &n), CLSA_ERANGE);
    ck_assert_int_eq(clsa_size_parse("99999999999999999999", &n), CLSA_ERANGE);
    ck_assert_int_eq(clsa_size_parse("1.5", &n), CLSA_EFORMAT);
    uint64_t *list;
    size_t count;
    ck_assert_int_eq(clsa_size_list_parse("0,1,8K", 8, &list, &count), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(list[2], 8192);
    free(list);
    ck_assert_int_eq(clsa_size_list_parse("1,,2", 8, &list, &count), CLSA_EFORMAT);
    ck_assert_int_eq(clsa_size_list_parse("1,2,3", 2, &list, &count), CLSA_ELIMIT);
}
END_TEST

START_TEST(csv_keeps_lines_and_quotes)
{
    static const char text[] = "# a 5\" table\na,b\n1,\"x,\n\"\"y\"\"\"\n\n# note\n3,\n";
    struct clsa_csv csv;
    ck_assert_int_eq(clsa_csv_parse("t", text, sizeof text - 1, &csv, NULL), 0);
    ck_assert_uint_eq(csv.columns, 2);
    ck_assert_uint_eq(csv.rows, 2);
    ck_assert_str_eq(clsa_csv_cell(&csv, 0, 1), "x,\n\"y\"");
    ck_assert_uint_eq(csv.lines[0], 3);
    ck_assert_uint_eq(csv.lines[1], 7);
    ck_assert_str_eq(clsa_csv_cell(&csv, 1, 1), "");
    struct clsa_err err;
    double v;
    ck_assert_int_eq(clsa_csv_f64(&csv, 0, 1, &v, &err), CLSA_EFORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "t:3: column 'b'"));
    clsa_csv_destroy(&csv);
}
END_TEST

START_TEST(csv_names_the_line_that_is_wrong)
{
    static const struct {
        const char *text, *message;
    } cases[] = {{"a,b\n1,2\n1,2,3\n", "t:3: more cells"},
                 {"a,b\n1,\"2\n", "t:2: a quote"},
                 {"", "t:1: no header"},
                 {"a,b\n1,x\"y\n", "t:2"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct clsa_csv csv;
        struct clsa_err err;
        ck_assert_int_eq(clsa_csv_parse("t", cases[i].text, strlen(cases[i].text), &csv, &err),
                         CLSA_EFORMAT);
        ck_assert_msg(strstr(err.text, cases[i].message) != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(json_names_field_and_place)
{
    struct clsa_json *doc;
    struct clsa_err err;
    ck_assert_int_eq(clsa_json_parse("m", "{\"a\": 1,\n \"b\"}", 13, &doc, &err), CLSA_EFORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "m:2:"));
    static const char text[] = "{\"a\": 1, \"b\": -1, \"c\": 2.5}";
    ck_assert_int_eq(clsa_json_parse("m", text, sizeof text - 1, &doc, &err), 0);
    const struct clsa_node *root = clsa_json_root(doc);
    uint64_t v = 0;
    ck_assert_int_eq(clsa_json_u64(doc, root, "a", true, 0, 10, &v, &err), 0);
    ck_assert_uint_eq(v, 1);
    ck_assert_int_eq(clsa_json_u64(doc, root, "a", true, 2, 10, &v, &err), CLSA_ERANGE);
    ck_assert_int_eq(clsa_json_u64(doc, root, "b", true, 0, 10, &v, &err), CLSA_EFORMAT);
    ck_assert_int_eq(clsa_json_u64(doc, root, "d", true, 0, 10, &v, &err), CLSA_EFORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "'d'"));
    ck_assert_int_eq(clsa_json_u64(doc, root, "d", false, 0, 10, &v, &err), 0);
    const char *key;
    ck_assert_ptr_nonnull(clsa_node_member(root, 2, &key));
    ck_assert_str_eq(key, "c");
    clsa_json_destroy(doc);
}
END_TEST

START_TEST(json_strings_are_always_utf8)
{
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    clsa_json_put_string(f, "a\"\\\n\xc3\xa9\xff\xed\xa0\x80");
    fclose(f);
    ck_assert_str_eq(text, "\"a\\\"\\\\\\u000a\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    free(text);
}
END_TEST

START_TEST(a_file_appears_whole_or_not_at_all)
{
    char dir[] = "test-file-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    char *path = clsa_path_join(dir, "f");
    struct clsa_outfile out;
    struct clsa_err err;
    ck_assert_int_eq(clsa_outfile_open(path, &out, &err), 0);
    fputs("half", out.stream);
    ck_assert(!clsa_file_exists(path));
    clsa_outfile_abort(&out);
    ck_assert(!clsa_file_exists(path));
    ck_assert_int_eq(clsa_outfile_open(path, &out, &err), 0);
    fputs("whole", out.stream);
    ck_assert_int_eq(clsa_outfile_commit(&out, &err), 0);
    char *data;
    size_t bytes;
    ck_assert_int_eq(clsa_file_read(path, 100, &data, &bytes, &err), 0);
    ck_assert_uint_eq(bytes, 5);
    ck_assert_str_eq(data, "whole");
    free(data);
    ck_assert_int_eq(clsa_file_read(path, 4, &data, &bytes, &err), CLSA_ELIMIT);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left in it */
    free(path);
}
END_TEST

START_TEST(a_full_disk_is_a_message)
{
    struct clsa_outfile out;
    struct clsa_err err;
    if (!clsa_file_exists("/dev/full"))
        return;
    ck_assert_int_eq(clsa_outfile_open("/dev/full", &out, &err), 0);
    fputs("x", out.stream);
    ck_assert_int_eq(clsa_outfile_commit(&out, &err), CLSA_EIO);
    ck_assert_ptr_nonnull(strstr(err.text, "No space"));
}
END_TEST

START_TEST(messages_cannot_drive_a_terminal)
{
    struct clsa_err err;
    clsa_fail(&err, CLSA_EFORMAT, "%s: bad", "a\033[2Jb\n");
    for (const char *p = err.text; *p; p++)
        ck_assert_int_ge((unsigned char)*p, 0x20);
}
END_TEST

START_TEST(random_numbers_are_the_same_everywhere)
{
    /* splitmix64 and xoshiro256** are defined on integers: equal seeds, equal streams. */
    struct clsa_rng a, b;
    clsa_rng_seed(&a, 42);
    clsa_rng_seed(&b, 42);
    double sum = 0, squares = 0;
    const int n = 100000;
    unsigned counts[7] = {0};
    for (int i = 0; i < n; i++) {
        ck_assert_uint_eq(clsa_rng_u64(&a), clsa_rng_u64(&b));
        counts[clsa_rng_below(&a, 7)]++;
        clsa_rng_below(&b, 7);
        const double z = clsa_rng_normal(&a);
        clsa_rng_normal(&b);
        sum += z;
        squares += z * z;
    }
    /* five standard errors */
    ck_assert_double_lt(fabs(sum / n), 5 / sqrt(n));
    ck_assert_double_lt(fabs(squares / n - 1), 5 * sqrt(2.0 / n));
    for (int i = 0; i < 7; i++)
        ck_assert_double_lt(fabs(counts[i] - n / 7.0), 5 * sqrt(n / 7.0));
}
END_TEST

START_TEST(keys_of_rows_follow_the_window)
{
    const uint64_t past[] = {5, 0};
    const struct clsa_step step = {.n_seqs = 2, .new_tokens = 3, .past = past};
    const struct clsa_op full = {.kind = CLSA_OP_ATTN_DENSE};
    const struct clsa_op window = {.kind = CLSA_OP_ATTN_WINDOW, .window = 7};
    uint64_t sum_full = 0, sum_window = 0;
    for (uint64_t r = 0; r < 6; r++) {
        sum_full += clsa_op_keys(&step, &full, r);
        sum_window += clsa_op_keys(&step, &window, r);
    }
    ck_assert_uint_eq(sum_full, 6 + 7 + 8 + 1 + 2 + 3);
    ck_assert_uint_eq(clsa_op_keys_total(&step, &full), sum_full);
    ck_assert_uint_eq(sum_window, 6 + 7 + 7 + 1 + 2 + 3);
    ck_assert_uint_eq(clsa_op_keys_total(&step, &window), sum_window);
}
END_TEST

START_TEST(blocks_are_aligned_and_large_ones_whole_pages)
{
    static const size_t sizes[] = {0, 1, 4096, (256u << 10) - 1, 256u << 10, (2u << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = clsa_aligned(64, sizes[i], 1);
        const uintptr_t align = sizes[i] < 256u << 10 ? 64 : 2u << 20;
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % align, 0);
        memset(p, 1, sizes[i]);
        free(p);
    }
    ck_assert_ptr_null(clsa_aligned(64, SIZE_MAX, 1));
    ck_assert_ptr_null(clsa_aligned(64, SIZE_MAX / 2, 3));
}
END_TEST

START_TEST(the_nth_allocation_can_fail)
{
    clsa_alloc_fail_at(2);
    void *first = clsa_malloc(1, 1);
    void *second = clsa_malloc(1, 1);
    void *third = clsa_malloc(1, 1);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(second);
    ck_assert_ptr_nonnull(third);
    ck_assert(clsa_alloc_fail_at(0));
    free(first);
    free(third);
    ck_assert_ptr_null(clsa_malloc(SIZE_MAX / 2, 3));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("base");
    tcase_add_test(t, quantities_carry_their_unit);
    tcase_add_test(t, sizes_read_as_people_write_them);
    tcase_add_test(t, csv_keeps_lines_and_quotes);
    tcase_add_test(t, csv_names_the_line_that_is_wrong);
    tcase_add_test(t, json_names_field_and_place);
    tcase_add_test(t, json_strings_are_always_utf8);
    tcase_add_test(t, a_file_appears_whole_or_not_at_all);
    tcase_add_test(t, a_full_disk_is_a_message);
    tcase_add_test(t, messages_cannot_drive_a_terminal);
    tcase_add_test(t, random_numbers_are_the_same_everywhere);
    tcase_add_test(t, keys_of_rows_follow_the_window);
    tcase_add_test(t, blocks_are_aligned_and_large_ones_whole_pages);
    tcase_add_test(t, the_nth_allocation_can_fail);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
