#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/base/file.h"
#include "tests/unit/mock_step.h"
#include "tests/unit/test.h"
#include "traces/bounds.h"
#include "traces/compare.h"
#include "traces/info.h"
#include "traces/reader.h"
#include "traces/validate.h"
#include "traces/wire.h"
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

static void must_equal(const struct clsa_trace_step *got, uint64_t i)
{
    struct mock_step m;
    struct clsa_trace_difference d = {0};
    mock_trace_step(&m, i);
    ck_assert_uint_eq(got->number, i);
    ck_assert_int_eq(clsa_trace_compare_steps(got, &m.trace, &d, &err), 0);
    ck_assert_uint_eq(d.tensors + d.heads + d.ops + d.index_sets, 0);
}

static unsigned char *slurp(const char *from, size_t *bytes)
{
    char *data = NULL;
    ck_assert_int_eq(clsa_file_read(from, 1 << 26, &data, bytes, &err), 0);
    return (unsigned char *)data;
}

/* Reads a trace in memory to its end; the status of the first failure, or the number of steps. */
static int read_all(const void *data, size_t bytes, uint64_t limit)
{
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    int status = clsa_trace_open_memory("mem", data, bytes, limit, &r, &err), steps = 0;
    while (!status && (status = clsa_trace_next(r, &step, &err)) == 1) {
        status = 0;
        if (++steps > 1000)
            break;
    }
    clsa_trace_close(r);
    return status < 0 ? status : steps;
}

START_TEST(crc_has_its_published_check_value)
{
    /* RFC 3720 appendix B.4 and the catalogue's check string. */
    unsigned char zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof ones);
    ck_assert_uint_eq(clsa_crc32c(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(clsa_crc32c(0, zeros, 32), 0x8a9136aau);
    ck_assert_uint_eq(clsa_crc32c(0, ones, 32), 0x62a8ab43u);
    ck_assert_uint_eq(clsa_crc32c(clsa_crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}
END_TEST

START_TEST(varints_have_one_form)
{
    const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct clsa_buffer b = {0};
        clsa_buffer_put_varint(&b, values[i]);
        uint64_t v = values[i];
        size_t expected = 1;
        while (v >>= 7)
            expected++;
        ck_assert_uint_eq(b.bytes, expected);
        struct clsa_wire_cursor c = {.at = b.data, .end = b.data + b.bytes};
        ck_assert_uint_eq(clsa_wire_cursor_varint(&c), values[i]);
        ck_assert(!c.bad && clsa_wire_cursor_left(&c) == 0);
        for (size_t cut = 0; cut < b.bytes; cut++) {
            c = (struct clsa_wire_cursor){.at = b.data, .end = b.data + cut};
            clsa_wire_cursor_varint(&c);
            ck_assert(c.bad);
        }
        clsa_buffer_destroy(&b);
    }
    static const unsigned char longer[] = {0x80, 0x00}, beyond[] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                                                    0xff, 0xff, 0xff, 0xff, 0x02};
    struct clsa_wire_cursor c = {.at = longer, .end = longer + sizeof longer};
    clsa_wire_cursor_varint(&c);
    ck_assert(c.bad);
    c = (struct clsa_wire_cursor){.at = beyond, .end = beyond + sizeof beyond};
    clsa_wire_cursor_varint(&c);
    ck_assert(c.bad);
}
END_TEST

START_TEST(utf8_is_checked)
{
    ck_assert(clsa_utf8_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    ck_assert(!clsa_utf8_valid("\xc0\x80", 2));         /* long form */
    ck_assert(!clsa_utf8_valid("\xed\xa0\x80", 3));     /* surrogate */
    ck_assert(!clsa_utf8_valid("\xf4\x90\x80\x80", 4)); /* beyond U+10FFFF */
    ck_assert(!clsa_utf8_valid("\xe2\x82", 2));
    ck_assert(!clsa_utf8_valid("a\0b", 3));
}
END_TEST

START_TEST(what_is_written_is_read)
{
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    ck_assert_int_eq(mock_trace_write(path, 9, &err), 0);
    ck_assert_int_eq(clsa_trace_open(path, 0, &r, &err), 0);
    const struct clsa_trace_header *h = clsa_trace_header(r);
    ck_assert_uint_eq(h->version, CLSA_TRACE_VERSION);
    ck_assert_uint_eq(h->n_provenance, 3); /* the one without a value is left out */
    ck_assert_str_eq(h->provenance[0].key, "model");
    ck_assert_str_eq(clsa_trace_provenance(h, "seed"), "7");
    ck_assert_ptr_null(clsa_trace_provenance(h, "absent"));
    for (uint64_t i = 0; i < 9; i++) {
        ck_assert_int_eq(clsa_trace_next(r, &step, &err), 1);
        must_equal(step, i);
        if (step->n_index_sets) {
            const struct clsa_index_set *last = &step->index_sets[step->n_index_sets - 1];
            ck_assert_ptr_eq(clsa_trace_find_set(step, last->query, last->set), last);
            ck_assert_ptr_null(clsa_trace_find_set(step, 99, 0));
        }
    }
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 0);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 0);
    clsa_trace_close(r);
    ck_assert_int_eq(mock_trace_write(other, 9, &err), 0);
    size_t n, m;
    unsigned char *a = slurp(path, &n), *b = slurp(other, &m);
    ck_assert(n == m && memcmp(a, b, n) == 0); /* same run, same bytes */
    free(a);
    free(b);
}
END_TEST

START_TEST(a_trace_without_steps_is_whole)
{
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    uint64_t steps = 1;
    ck_assert_int_eq(mock_trace_write(path, 0, &err), 0);
    ck_assert_int_eq(clsa_trace_open(path, 0, &r, &err), 0);
    ck_assert_int_eq(clsa_trace_count(r, &steps, &err), 0);
    ck_assert_uint_eq(steps, 0);
    ck_assert_int_eq(clsa_trace_seek(r, 0, &err), CLSA_ENOTFOUND);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 0);
    clsa_trace_close(r);
}
END_TEST

START_TEST(any_step_can_be_entered)
{
    static const uint64_t order[] = {8, 0, 4, 5, 3, 8, 7, 0};
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    uint64_t steps;
    ck_assert_int_eq(mock_trace_write(path, 9, &err), 0);
    ck_assert_int_eq(clsa_trace_open(path, 0, &r, &err), 0);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 1);
    ck_assert_int_eq(clsa_trace_count(r, &steps, &err), 0);
    ck_assert_uint_eq(steps, 9);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 1); /* counting has not moved the reader */
    must_equal(step, 1);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        ck_assert_int_eq(clsa_trace_seek(r, order[i], &err), 0);
        ck_assert_int_eq(clsa_trace_next(r, &step, &err), 1);
        must_equal(step, order[i]);
    }
    ck_assert_int_eq(clsa_trace_seek(r, 9, &err), CLSA_ENOTFOUND);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 1); /* still where it was */
    must_equal(step, 1);
    clsa_trace_close(r);
}
END_TEST

START_TEST(a_trace_passes_a_pipe)
{
    char command[320];
    size_t n;
    ck_assert_int_eq(mock_trace_write(path, 6, &err), 0);
    /* The writer to a pipe, the reader from one: "-" at both ends, no seeking. */
    snprintf(command, sizeof command, "cat '%s' > '%s.fifo'", path, path);
    char fifo[160];
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    FILE *cat = popen(command, "w");
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    uint64_t i = 0, steps;
    ck_assert_int_eq(clsa_trace_open(fifo, 0, &r, &err), 0);
    ck_assert_int_eq(clsa_trace_count(r, &steps, &err), CLSA_EUNSUPPORTED);
    ck_assert_int_eq(clsa_trace_seek(r, 1, &err), CLSA_EUNSUPPORTED);
    while ((clsa_trace_next(r, &step, &err)) == 1)
        must_equal(step, i++);
    ck_assert_uint_eq(i, 6);
    clsa_trace_close(r);
    pclose(cat);
    unlink(fifo);
    free(slurp(path, &n));
}
END_TEST

/* Every prefix of a trace is refused, with a message that names the file and a place. */
START_TEST(a_trace_cut_anywhere_is_refused)
{
    size_t n;
    ck_assert_int_eq(mock_trace_write(path, 3, &err), 0);
    unsigned char *data = slurp(path, &n);
    for (size_t cut = 0; cut < n; cut++) {
        const int status = read_all(data, cut, 0);
        ck_assert_msg(status == CLSA_EFORMAT, "cut at %zu of %zu gives %d", cut, n, status);
        ck_assert_msg(strncmp(err.text, "mem: offset ", 12) == 0, "cut at %zu: %s", cut, err.text);
    }
    ck_assert_int_eq(read_all(data, n, 0), 3);
    free(data);
}
END_TEST

/* Every bit of a trace is covered by a checksum or a rule: flipping it is noticed. */
START_TEST(a_flipped_bit_is_noticed)
{
    size_t n;
    ck_assert_int_eq(mock_trace_write(path, 3, &err), 0);
    unsigned char *data = slurp(path, &n);
    for (size_t i = 0; i < n; i++) {
        data[i] ^= (unsigned char)(1u << (i % 8));
        const int status = read_all(data, n, 0);
        ck_assert_msg(status < 0, "a flip in byte %zu passes", i);
        ck_assert_msg(strstr(err.text, "offset"), "byte %zu: %s", i, err.text);
        data[i] ^= (unsigned char)(1u << (i % 8));
    }
    free(data);
}
END_TEST

START_TEST(bytes_after_the_end_are_refused)
{
    size_t n;
    ck_assert_int_eq(mock_trace_write(path, 1, &err), 0);
    unsigned char *data = slurp(path, &n);
    unsigned char *longer = malloc(n + 1);
    memcpy(longer, data, n);
    longer[n] = 0;
    ck_assert_int_eq(read_all(longer, n + 1, 0), CLSA_EFORMAT);
    free(longer);
    free(data);
}
END_TEST

START_TEST(another_version_is_refused_by_number)
{
    size_t n;
    ck_assert_int_eq(mock_trace_write(path, 1, &err), 0);
    unsigned char *data = slurp(path, &n);
    clsa_store_u32(data + 8, CLSA_TRACE_VERSION + 1);
    clsa_store_u32(data + 12, clsa_crc32c(0, data, 12));
    ck_assert_int_eq(read_all(data, n, 0), CLSA_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "version 2"));
    free(data);
}
END_TEST

START_TEST(a_failure_sticks)
{
    size_t n;
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    struct clsa_err again;
    ck_assert_int_eq(mock_trace_write(path, 2, &err), 0);
    unsigned char *data = slurp(path, &n);
    data[n / 2] ^= 1;
    ck_assert_int_eq(clsa_trace_open_memory("mem", data, n, 0, &r, &err), 0);
    int status;
    while ((status = clsa_trace_next(r, &step, &err)) == 1)
        ;
    ck_assert_int_eq(status, CLSA_EFORMAT);
    ck_assert_int_eq(clsa_trace_next(r, &step, &again), CLSA_EFORMAT);
    ck_assert_str_eq(err.text, again.text);
    clsa_trace_close(r);
    free(data);
}
END_TEST

START_TEST(a_step_beyond_the_limit_is_refused)
{
    size_t n;
    ck_assert_int_eq(mock_trace_write(path, 3, &err), 0);
    unsigned char *data = slurp(path, &n);
    ck_assert_int_eq(read_all(data, n, 512), CLSA_ELIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "limit of 512 bytes"));
    free(data);
}
END_TEST

/* A chunk that announces what cannot be, with checksums that are right. */
static unsigned char *forge(uint32_t kind, const struct clsa_buffer *payload, size_t *bytes)
{
    size_t n;
    unsigned char *data = slurp(path, &n), *at = data + CLSA_TRACE_HEADER_BYTES;
    uint32_t number = 0;
    /* Keep the header, PROV and WORD; then the forged chunk. */
    for (; number < 2; number++)
        at += CLSA_TRACE_CHUNK_HEADER_BYTES + clsa_load_u32(at + 8);
    const size_t keep = (size_t)(at - data);
    unsigned char *forged = calloc(1, keep + CLSA_TRACE_CHUNK_HEADER_BYTES + payload->bytes);
    memcpy(forged, data, keep);
    at = forged + keep;
    clsa_store_u32(at, kind);
    clsa_store_u32(at + 8, (uint32_t)payload->bytes);
    clsa_store_u32(at + 12, (uint32_t)payload->bytes);
    clsa_store_u32(at + 16, number);
    clsa_store_u32(at + 20, clsa_crc32c(0, payload->data, payload->bytes));
    clsa_store_u32(at + 24, clsa_crc32c(0, at, 24));
    memcpy(at + CLSA_TRACE_CHUNK_HEADER_BYTES, payload->data, payload->bytes);
    *bytes = keep + CLSA_TRACE_CHUNK_HEADER_BYTES + payload->bytes;
    free(data);
    return forged;
}

START_TEST(hostile_counts_take_no_memory)
{
    static const struct {
        uint32_t kind;
        uint64_t numbers[12];
        size_t n;
        const char *what;
    } cases[] = {
        {CLSA_CHUNK_TENS, {UINT32_MAX}, 1, "more tensors"},
        {CLSA_CHUNK_STEP, {0, 0, 0, 0, 0, UINT32_MAX, 1}, 7, "more sequences"},
        {CLSA_CHUNK_STEP, {0, 0, 0, 0, 0, 1, 1, 0, UINT32_MAX}, 9, "more queries"},
        {CLSA_CHUNK_STEP, {0, 0, 0, 0, 0, 1, 1, 0, 0, 0, UINT64_MAX, 0}, 12, "cut off"},
        {CLSA_CHUNK_STEP, {0, 7}, 2, "more sequences"},
        {CLSA_CHUNK_SETS, {0}, 1, "STEP expected"},
        {0x21212121, {0}, 1, "(!!!!)"},
    };
    ck_assert_int_eq(mock_trace_write(path, 1, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct clsa_buffer b = {0};
        size_t n;
        for (size_t j = 0; j < cases[i].n; j++)
            clsa_buffer_put_varint(&b, cases[i].numbers[j]);
        unsigned char *data = forge(cases[i].kind, &b, &n);
        const int status = read_all(data, n, 0);
        ck_assert_msg(status == CLSA_EFORMAT, "case %zu: %d %s", i, status, err.text);
        ck_assert_msg(strstr(err.text, cases[i].what), "case %zu: %s", i, err.text);
        free(data);
        clsa_buffer_destroy(&b);
    }
}
END_TEST

START_TEST(bounds_hold_for_what_is_written)
{
    struct mock_step m;
    struct clsa_trace_writer *w = NULL;
#define BROKEN(change)                                                                         \
    do {                                                                                       \
        mock_step_make(&m, 2, 100, 2, 1);                                                      \
        ck_assert_int_eq(clsa_trace_bounds(&m.trace, &err), 0);                                \
        change;                                                                                \
        ck_assert_msg(clsa_trace_bounds(&m.trace, &err) == CLSA_ERANGE, "%s passes", #change); \
    } while (0)
    BROKEN(m.queries[1].seq = 2);
    BROKEN(m.queries[0].keys = 0);
    BROKEN(m.queries[0].keys = 101);
    BROKEN(m.trace.step.new_tokens = 0);
    BROKEN(m.trace.step.n_seqs = 0);
    BROKEN(m.trace.step.new_tokens = UINT64_MAX);
    BROKEN(m.past[1] = UINT64_MAX);
    BROKEN(m.tensors[3].bytes = UINT64_MAX);
    BROKEN(m.tensors[3].kind = CLSA_TENSOR_KINDS);
    BROKEN(m.ops[1].kind = CLSA_OP_KINDS);
    BROKEN(m.ops[1].operands[0].tensor = MOCK_TENSORS);
    BROKEN(m.ops[1].operands[0].axis = CLSA_AXES);
    BROKEN(m.ops[1].n_operands = CLSA_OP_OPERANDS + 1);
    BROKEN(m.ops[1].m = UINT64_MAX);
    BROKEN(m.ops[4].set = 2);
    BROKEN(m.ops[4].set = -2);
    BROKEN(m.sets[0].count = 0);
    BROKEN(m.sets[0].query = 2);
    BROKEN(m.sets[1].query = 0);
    BROKEN(m.positions[2][3] = m.positions[2][2]);
    BROKEN(m.positions[2][MOCK_TOPK - 1] = 100);
    BROKEN(m.trace.step.n_sets = UINT32_MAX);
    mock_step_make(&m, 2, 100, 2, 1);
    m.sets[0].query = 9;
    ck_assert_int_eq(clsa_trace_writer_open(path, NULL, 0, &w, &err), 0);
    ck_assert_int_eq(clsa_trace_write(w, &m.trace, &err), CLSA_ERANGE);
    mock_step_make(&m, 2, 100, 2, 1);
    ck_assert_int_eq(clsa_trace_write(w, &m.trace, &err), CLSA_ERANGE); /* it stays failed */
    ck_assert_int_eq(clsa_trace_writer_commit(w, &err), CLSA_ERANGE);
    clsa_trace_writer_destroy(w);
    ck_assert(!clsa_file_exists(path));
}
END_TEST

START_TEST(bad_provenance_is_refused)
{
    static const struct clsa_provenance twice[] = {{"a", "1"}, {"a", "2"}};
    static const struct clsa_provenance bad[] = {{"a", "\xff"}};
    struct clsa_trace_writer *w = NULL;
    ck_assert_int_eq(clsa_trace_writer_open(path, twice, 2, &w, &err), CLSA_EUSAGE);
    ck_assert_int_eq(clsa_trace_writer_open(path, bad, 1, &w, &err), CLSA_EUSAGE);
    ck_assert_ptr_null(w);
}
END_TEST

START_TEST(selections_may_outgrow_a_chunk)
{
    /* 600 sets of 4000 positions take more than one chunk of a million bytes. */
    enum { SETS = 600, COUNT = 4000 };
    struct mock_step m;
    struct clsa_trace_writer *w = NULL;
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    struct clsa_trace_difference d = {0};
    struct clsa_index_set *sets = calloc(SETS, sizeof *sets);
    uint32_t *positions = calloc(SETS * COUNT, sizeof *positions);
    mock_step_make(&m, 1, 1000000, 1, 1);
    for (uint32_t i = 0; i < SETS; i++) {
        for (uint32_t j = 0; j < COUNT; j++)
            positions[i * COUNT + j] = j * 249 + i % 240 + (j * i) % 7;
        sets[i] = (struct clsa_index_set){
            .set = i, .count = COUNT, .positions = positions + (size_t)i * COUNT};
    }
    m.trace.step.n_sets = SETS;
    m.trace.index_sets = sets;
    m.trace.n_index_sets = SETS;
    ck_assert_int_eq(clsa_trace_writer_open(path, NULL, 0, &w, &err), 0);
    ck_assert_int_eq(clsa_trace_write(w, &m.trace, &err), 0);
    ck_assert_int_eq(clsa_trace_writer_commit(w, &err), 0);
    clsa_trace_writer_destroy(w);
    ck_assert_int_eq(clsa_trace_open(path, 0, &r, &err), 0);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 1);
    ck_assert_int_eq(clsa_trace_compare_steps(step, &m.trace, &d, &err), 0);
    ck_assert_uint_eq(d.index_sets + d.heads, 0);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 0);
    clsa_trace_close(r);
    free(sets);
    free(positions);
}
END_TEST

/* Every version ever written still reads, with the contents it was written with. */
START_TEST(old_traces_still_read)
{
    char sample[256];
    FILE *sink = tmpfile();
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    uint64_t i = 0;
    snprintf(sample, sizeof sample, "%s/traces/legacy/v1-mock.clsat", clsa_test_source());
    ck_assert_msg(clsa_trace_validate(sample, sink, &err) == 0, "%s", err.text);
    ck_assert_int_eq(clsa_trace_open(sample, 0, &r, &err), 0);
    ck_assert_uint_eq(clsa_trace_header(r)->version, 1);
    while (clsa_trace_next(r, &step, &err) == 1)
        must_equal(step, i++);
    ck_assert_uint_eq(i, 9);
    clsa_trace_close(r);
    fclose(sink);
}
END_TEST

/* A run of the trained model, as version 1 of the format has it; the totals are those of that run. */
START_TEST(an_old_run_still_reads)
{
    char sample[256];
    struct clsa_trace_totals t = {0};
    FILE *sink = tmpfile();
    const struct clsa_trace_tool tool = clsa_trace_totals_tool(&t);
    snprintf(sample, sizeof sample, "%s/traces/legacy/v1-engine.clsat", clsa_test_source());
    ck_assert_msg(clsa_trace_validate(sample, sink, &err) == 0, "%s", err.text);
    ck_assert_int_eq(clsa_trace_walk_file(sample, 0, UINT64_MAX, &tool, 1, &err), 0);
    ck_assert_uint_eq(t.steps, 4);
    ck_assert_uint_eq(t.prefill_steps, 2);
    ck_assert_uint_eq(t.ops, 525);
    ck_assert_uint_eq(t.flops, 710019760);
    ck_assert_uint_eq(t.index_sets, 12);
    ck_assert_uint_eq(t.positions, 12 * 32);
    fclose(sink);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("traces");
    TCase *wire = tcase_create("wire"), *file = tcase_create("file");
    tcase_add_test(wire, crc_has_its_published_check_value);
    tcase_add_test(wire, varints_have_one_form);
    tcase_add_test(wire, utf8_is_checked);
    tcase_add_checked_fixture(file, setup, teardown);
    tcase_set_timeout(file, 60);
    tcase_add_test(file, what_is_written_is_read);
    tcase_add_test(file, a_trace_without_steps_is_whole);
    tcase_add_test(file, any_step_can_be_entered);
    tcase_add_test(file, a_trace_passes_a_pipe);
    tcase_add_test(file, a_trace_cut_anywhere_is_refused);
    tcase_add_test(file, a_flipped_bit_is_noticed);
    tcase_add_test(file, bytes_after_the_end_are_refused);
    tcase_add_test(file, another_version_is_refused_by_number);
    tcase_add_test(file, a_failure_sticks);
    tcase_add_test(file, a_step_beyond_the_limit_is_refused);
    tcase_add_test(file, hostile_counts_take_no_memory);
    tcase_add_test(file, bounds_hold_for_what_is_written);
    tcase_add_test(file, bad_provenance_is_refused);
    tcase_add_test(file, selections_may_outgrow_a_chunk);
    tcase_add_test(file, old_traces_still_read);
    tcase_add_test(file, an_old_run_still_reads);
    suite_add_tcase(s, wire);
    suite_add_tcase(s, file);
    return s;
}

CLSA_TEST_MAIN(suite)
