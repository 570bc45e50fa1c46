/* sim/store: what was added comes back through the views; files merge by GUID; damage, foreign
 * files and full disks give messages and leave nothing behind. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/store/store.h"

static char dir[] = "/tmp/clsa-store-XXXXXX";

static const char *at(const char *name)
{
    static char paths[64][256];
    static int next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void make_dir(void)
{
    strcpy(dir + sizeof dir - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[300];
    snprintf(command, sizeof command, "chmod -R u+w %s; rm -rf %s", dir, dir);
    ck_assert_int_eq(system(command), 0);
}

static int files_in_dir(void)
{
    char command[300];
    snprintf(command, sizeof command, "ls -A %s | wc -l", dir);
    FILE *f = popen(command, "r");
    int n = -1;
    ck_assert_int_eq(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

static const struct clsa_run_row a_run = {.command = "predict", .command_line = "clsa predict …",
                                          .tool_version = "0.1", .seed = 7,
                                          .started_unix_s = CLSA_NULL};

/* Step time of the made-up machine, in ps: dense grows with context; shared work over groups. */
static int64_t step_ps(uint32_t group, uint64_t context)
{
    const int64_t n = (int64_t)context;
    return group == 0 ? 1000000 + 40 * n : 2000000 + (16 / (int64_t)group) * (5 * n + 1000);
}

struct ids {
    int64_t model, machine, implementation;
};

static struct ids add_setup(struct clsa_store *store)
{
    struct ids ids;
    struct clsa_err err;
    const struct clsa_model_row model = {"toy", "{\"model_type\": \"clsa\"}"};
    const struct clsa_parameter_row parameters[] = {
        {"", "l2.size", "50", "MB", "data sheet", "toy.csv:3"},
        {"", "l2.size", "100", "MB", "data sheet", "--set"},
    };
    const struct clsa_setup_row machine = {"toy-gpu", "gpu", "", "", "toy.csv", parameters, 2};
    const struct clsa_setup_row implementation = {.name = "plain"};
    ck_assert_msg(clsa_store_add_model(store, &model, &ids.model, &err) == 0, "%s", err.text);
    ck_assert_int_eq(clsa_store_add_machine(store, &machine, &ids.machine, &err), 0);
    ck_assert_int_eq(
        clsa_store_add_implementation(store, &implementation, &ids.implementation, &err), 0);
    return ids;
}

static struct clsa_point a_point(const struct ids *ids, uint32_t group, uint64_t context)
{
    return (struct clsa_point){.model_id = ids->model, .phase = "decode", .batch = 1,
                               .context_tokens = context, .group = group, .top_k = 2048,
                               .kv_shared = true};
}

static int64_t add_point(struct clsa_store *store, const struct ids *ids, uint32_t group,
                         uint64_t context, int64_t ps)
{
    struct clsa_err err;
    int64_t id = 0;
    const struct clsa_prediction_row row = {
        .point = a_point(ids, group, context), .machine_id = ids->machine,
        .implementation_id = ids->implementation, .method = "closed", .step_ps = ps,
        .step_lo_ps = ps - ps / 10, .step_hi_ps = ps + ps / 10, .attention_ps = ps / 2,
        .index_ps = ps / 4, .other_ps = ps - ps / 2 - ps / 4, .launches = 600,
        .launch_ps = CLSA_NULL, .flops = CLSA_NULL, .l1_bytes = 3, .l2_bytes = 2, .dram_bytes = 1};
    ck_assert_msg(clsa_store_add_prediction(store, &row, &id, &err) == 0, "%s", err.text);
    const struct clsa_op_row ops[] = {
        {.op = "attn_sparse", .part = "attention", .layer = -1, .count = 16, .time_ps = ps / 2,
         .lo_ps = ps / 4, .hi_ps = ps, .launches = 32, .launch_ps = CLSA_NULL, .flops = CLSA_NULL},
        {.op = "topk", .part = "index", .layer = 3, .count = 1, .time_ps = ps / 8, .lo_ps = ps / 8,
         .hi_ps = ps / 4, .launches = 1},
        {.op = "topk", .part = "index", .layer = 7, .count = 1, .time_ps = ps / 8, .lo_ps = ps / 8,
         .hi_ps = ps / 4, .launches = 1}};
    /* In two calls: ordinals go on where they were. */
    ck_assert_int_eq(clsa_store_add_ops(store, id, ops, 1, &err), 0);
    ck_assert_int_eq(clsa_store_add_ops(store, id, ops + 1, 2, &err), 0);
    return id;
}

static void write_store(const char *path, const char *guid)
{
    struct clsa_err err;
    struct clsa_store *store = NULL;
    struct clsa_run_row run = a_run;
    run.guid = guid;
    ck_assert_msg(clsa_store_open(path, &run, &store, &err) == 0, "%s", err.text);
    const struct ids ids = add_setup(store);
    static const uint32_t groups[] = {0, 1, 2, 4, 8, 16};
    for (uint64_t context = 8192; context <= 131072; context *= 16)
        for (size_t g = 0; g < 6; g++)
            add_point(store, &ids, groups[g], context, step_ps(groups[g], context));
    const struct clsa_measurement_row measured = {
        .point = a_point(&ids, 1, 8192), .machine = "toy-gpu", .implementation = "plain",
        .op = "topk", .source = "clock", .count = 2, .time_ps = step_ps(1, 8192) / 8,
        .lo_ps = CLSA_NULL, .hi_ps = CLSA_NULL, .samples = 5};
    ck_assert_int_eq(clsa_store_add_measurement(store, &measured, &err), 0);
    ck_assert_msg(clsa_store_commit(store, &err) == 0, "%s", err.text);
    clsa_store_destroy(store);
}

/* One number out of a store. */
static double number(const char *path, const char *sql)
{
    struct clsa_err err;
    struct clsa_reader *reader = NULL;
    struct clsa_cursor *cursor = NULL;
    ck_assert_msg(clsa_reader_open(path, &reader, &err) == 0, "%s", err.text);
    ck_assert_msg(clsa_cursor_open(reader, sql, &cursor, &err) == 0, "%s", err.text);
    ck_assert_int_eq(clsa_cursor_next(cursor, &err), 1);
    const double value = clsa_cursor_f64(cursor, 0);
    ck_assert_int_eq(clsa_cursor_next(cursor, &err), 0);
    clsa_cursor_destroy(cursor);
    clsa_reader_destroy(reader);
    return value;
}

START_TEST(views_say_what_the_rows_imply)
{
    const char *db = at("a.db");
    write_store(db, NULL);
    char sql[400];
    static const uint32_t groups[] = {0, 1, 2, 4, 8, 16};
    for (uint64_t context = 8192; context <= 131072; context *= 16)
        for (size_t g = 0; g < 6; g++) {
            snprintf(sql, sizeof sql, "SELECT speedup_vs_dense FROM speedup WHERE group_size = %u "
                     "AND context_tokens = %" PRIu64, groups[g], context);
            ck_assert_double_eq_tol(number(db, sql), (double)step_ps(0, context) /
                                    (double)step_ps(groups[g], context), 1e-12);
        }
    /* A group size of 1 is exactly as fast as itself; dense is not measured against groups. */
    ck_assert_double_eq(number(db, "SELECT count(*) FROM speedup WHERE group_size = 1 "
                               "AND speedup_vs_group1 = 1"), 2);
    ck_assert_double_eq(number(db, "SELECT count(*) FROM speedup WHERE group_size = 0 "
                               "AND speedup_vs_group1 IS NOT NULL"), 0);
    ck_assert_double_eq(number(db, "SELECT top_k FROM speedup WHERE group_size = 0 "
                               "AND context_tokens = 8192"), 0);
    /* The best group is the argmin, the near one the smallest within 5 % of it. */
    for (uint64_t context = 8192; context <= 131072; context *= 16) {
        uint32_t best = 1, near = 0;
        for (size_t g = 1; g < 6; g++)
            if (step_ps(groups[g], context) < step_ps(best, context))
                best = groups[g];
        for (size_t g = 6; g-- > 1;)
            if ((double)step_ps(groups[g], context) <= 1.05 * (double)step_ps(best, context))
                near = groups[g];
        snprintf(sql, sizeof sql, "SELECT best_group * 100 + near_group FROM best_group "
                 "WHERE context_tokens = %" PRIu64, context);
        ck_assert_double_eq(number(db, sql), best * 100 + near);
    }
    /* Ops of one name are summed over layers, in order of time. */
    ck_assert_double_eq(number(db, "SELECT count FROM top_ops WHERE op = 'topk' AND place = 2 "
                               "AND group_size = 4 AND context_tokens = 8192"), 2);
    ck_assert_double_eq(number(db, "SELECT launches FROM launches WHERE group_size = 4 "
                               "AND context_tokens = 8192"), 600);
    /* The measured op: predicted ps/8 twice against ps/8, so 100 % too long, and above ... */
    ck_assert_double_eq_tol(number(db, "SELECT error_percent FROM error_by_op WHERE op = 'topk'"),
                            100, 1e-3);
    ck_assert_double_eq(number(db, "SELECT inside_interval FROM error_by_op"), 0);
    /* The later of two parameters of one name is the one that was used. */
    ck_assert_double_eq(number(db, "SELECT value = '100' AND origin = '--set' "
                               "FROM machine_parameter"), 1);
    ck_assert_double_eq(number(db, "SELECT seed FROM run"), 7);
    ck_assert(isnan(number(db, "SELECT launch_ps FROM prediction WHERE id = 1")));
}
END_TEST

START_TEST(the_latest_run_counts)
{
    const char *db = at("a.db");
    write_store(db, NULL);
    struct clsa_err err;
    struct clsa_store *store = NULL;
    ck_assert_int_eq(clsa_store_open(db, &a_run, &store, &err), 0);
    const struct ids ids = add_setup(store);
    add_point(store, &ids, 16, 8192, 123456);
    ck_assert_int_eq(clsa_store_commit(store, &err), 0);
    clsa_store_destroy(store);
    ck_assert_double_eq(number(db, "SELECT count(*) FROM run"), 2);
    ck_assert_double_eq(number(db, "SELECT count(*) FROM prediction"), 13);
    ck_assert_double_eq(number(db, "SELECT count(*) FROM predicted_step"), 12);
    ck_assert_double_eq(number(db, "SELECT step_ps FROM predicted_step WHERE group_size = 16 "
                               "AND context_tokens = 8192"), 123456);
}
END_TEST

START_TEST(quality_is_set_against_dense)
{
    const char *db = at("q.db");
    struct clsa_err err;
    struct clsa_store *store = NULL;
    ck_assert_int_eq(clsa_store_open(db, &a_run, &store, &err), 0);
    const struct ids ids = add_setup(store);
    const struct clsa_quality_row dense = {.model_id = ids.model, .tokens = 4096, .hop1_right = 150,
                                           .hop1_asked = 156, .hop2_right = 60, .hop2_asked = 100,
                                           .bits_per_byte = 1.5, .mass_covered = 1,
                                           .overlap = NAN};
    struct clsa_quality_row sparse = dense;
    sparse.group = 2;
    sparse.top_k = 64;
    sparse.hop2_right = 39;
    sparse.bits_per_byte = 1.75;
    ck_assert_int_eq(clsa_store_add_quality(store, &dense, &err), 0);
    ck_assert_int_eq(clsa_store_add_quality(store, &sparse, &err), 0);
    ck_assert_int_eq(clsa_store_commit(store, &err), 0);
    clsa_store_destroy(store);
    ck_assert_double_eq_tol(number(db, "SELECT hop2_points_vs_dense FROM quality "
                                   "WHERE group_size = 2"), -21, 1e-9);
    ck_assert_double_eq_tol(number(db, "SELECT bits_per_byte_vs_dense FROM quality "
                                   "WHERE group_size = 2"), 0.25, 1e-12);
    ck_assert(isnan(number(db, "SELECT overlap FROM quality WHERE group_size = 0")));
}
END_TEST

START_TEST(nothing_appears_before_commit)
{
    struct clsa_err err;
    struct clsa_store *store = NULL;
    ck_assert_int_eq(clsa_store_open(at("new.db"), &a_run, &store, &err), 0);
    const struct ids ids = add_setup(store);
    add_point(store, &ids, 1, 8192, 10);
    ck_assert_int_ne(access(at("new.db"), F_OK), 0);
    clsa_store_destroy(store);
    ck_assert_int_eq(files_in_dir(), 0);

    write_store(at("old.db"), NULL);
    ck_assert_int_eq(clsa_store_open(at("old.db"), &a_run, &store, &err), 0);
    add_setup(store);
    clsa_store_destroy(store);
    ck_assert_double_eq(number(at("old.db"), "SELECT count(*) FROM run"), 1);
    ck_assert_int_eq(files_in_dir(), 1);

    /* A row that the schema forbids: the run is lost, not half of it kept. */
    ck_assert_int_eq(clsa_store_open(at("old.db"), &a_run, &store, &err), 0);
    const struct ids again = add_setup(store);
    struct clsa_prediction_row bad = {.point = a_point(&again, 1, 8192),
                                      .machine_id = again.machine,
                                      .implementation_id = again.implementation,
                                      .method = "closed", .step_ps = -1};
    ck_assert_int_eq(clsa_store_add_prediction(store, &bad, NULL, &err), CLSA_ERANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "old.db"));
    ck_assert_int_eq(clsa_store_commit(store, &err), CLSA_EMISMATCH);
    clsa_store_destroy(store);
    ck_assert_double_eq(number(at("old.db"), "SELECT count(*) FROM run"), 1);

    /* References must hold, counts must fit. */
    ck_assert_int_eq(clsa_store_open(NULL, &a_run, &store, &err), 0);
    bad.step_ps = 1;
    bad.machine_id = 99;
    ck_assert_int_eq(clsa_store_add_prediction(store, &bad, NULL, &err), CLSA_ERANGE);
    bad.point.context_tokens = UINT64_MAX;
    ck_assert_int_eq(clsa_store_add_prediction(store, &bad, NULL, &err), CLSA_ERANGE);
    clsa_store_destroy(store);
}
END_TEST

START_TEST(an_empty_file_becomes_a_store)
{
    const int fd = open(at("e.db"), O_CREAT | O_WRONLY, 0600);
    close(fd);
    struct clsa_reader *reader = NULL;
    struct clsa_err err;
    ck_assert_int_eq(clsa_reader_open(at("e.db"), &reader, &err), CLSA_EFORMAT);
    write_store(at("e.db"), NULL);
    ck_assert_double_eq(number(at("e.db"), "SELECT count(*) FROM run"), 1);
}
END_TEST

START_TEST(two_makers_of_one_file_both_count)
{
    struct clsa_err err;
    struct clsa_store *first = NULL, *second = NULL;
    ck_assert_int_eq(clsa_store_open(at("x.db"), &a_run, &first, &err), 0);
    ck_assert_int_eq(clsa_store_open(at("x.db"), &a_run, &second, &err), 0);
    add_setup(second);
    ck_assert_int_eq(clsa_store_commit(first, &err), 0);
    ck_assert_msg(clsa_store_commit(second, &err) == 0, "%s", err.text);
    clsa_store_destroy(first);
    clsa_store_destroy(second);
    ck_assert_double_eq(number(at("x.db"), "SELECT count(*) FROM run"), 2);
    /* Nor do two that add to one wait for each other. */
    ck_assert_int_eq(clsa_store_open(at("x.db"), &a_run, &first, &err), 0);
    ck_assert_int_eq(clsa_store_open(at("x.db"), &a_run, &second, &err), 0);
    ck_assert_int_eq(clsa_store_commit(second, &err), 0);
    ck_assert_int_eq(clsa_store_commit(first, &err), 0);
    clsa_store_destroy(first);
    clsa_store_destroy(second);
    ck_assert_double_eq(number(at("x.db"), "SELECT count(*) FROM run"), 4);
    ck_assert_int_eq(files_in_dir(), 1);
}
END_TEST

START_TEST(merging_is_by_guid_and_idempotent)
{
    static const char one[] = "11111111-1111-4111-8111-111111111111";
    static const char two[] = "22222222-2222-4222-8222-222222222222";
    struct clsa_err err;
    write_store(at("a.db"), one);
    write_store(at("b.db"), two);
    write_store(at("b.db"), NULL);
    const char *from[] = {at("a.db"), at("b.db")};
    size_t added = 0;
    ck_assert_msg(clsa_store_merge(at("out.db"), from, 2, &added, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(added, 3);
    ck_assert_int_eq(clsa_store_merge(at("out.db"), from, 2, &added, &err), 0);
    ck_assert_uint_eq(added, 0);
    const char *self[] = {at("out.db"), at("a.db")};
    ck_assert_int_eq(clsa_store_merge(at("out.db"), self, 2, &added, &err), 0);
    ck_assert_uint_eq(added, 0);
    ck_assert_double_eq(number(at("out.db"), "SELECT count(*) FROM run"), 3);
    ck_assert_double_eq(number(at("out.db"), "SELECT count(*) FROM prediction"), 36);
    ck_assert_double_eq(number(at("out.db"), "SELECT count(*) FROM prediction_op"), 108);
    ck_assert_double_eq(number(at("out.db"), "SELECT count(*) FROM measurement"), 3);
    /* Each run's rows still refer to that run's own. */
    ck_assert_double_eq(
        number(at("out.db"), "SELECT count(*) FROM prediction p JOIN model m ON m.id = p.model_id "
               "JOIN machine h ON h.id = p.machine_id JOIN implementation i "
               "ON i.id = p.implementation_id WHERE m.run_id = p.run_id AND h.run_id = p.run_id "
               "AND i.run_id = p.run_id"), 36);
    ck_assert_double_eq(
        number(at("out.db"), "SELECT count(*) FROM prediction_op o JOIN prediction p "
               "ON p.id = o.prediction_id WHERE o.op = 'attn_sparse' "
               "AND o.time_ps = p.step_ps / 2"),
        36);
    const char *bad[] = {at("a.db"), at("missing.db")};
    ck_assert_int_eq(clsa_store_merge(at("never.db"), bad, 2, NULL, &err), CLSA_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "missing.db"));
    ck_assert_int_eq(files_in_dir(), 3);
}
END_TEST

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Both ways of opening refuse the file, with its name, and leave it as it is. */
static void refused(const char *path, int status, const char *word)
{
    struct clsa_err err;
    struct clsa_reader *reader = NULL;
    struct clsa_store *store = NULL;
    struct stat before, after;
    ck_assert_int_eq(stat(path, &before), 0);
    const int read = clsa_reader_open(path, &reader, &err);
    ck_assert_msg(read == status && strstr(err.text, path) && strstr(err.text, word),
                  "%d %s (not %d ... %s)", read, err.text, status, word);
    const int write = clsa_store_open(path, &a_run, &store, &err);
    ck_assert_msg(write == status && strstr(err.text, word), "%d %s", write, err.text);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_int_eq(before.st_size, after.st_size);
    ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

START_TEST(foreign_and_damaged_files_are_refused)
{
    const char *p = at("d.db");
    FILE *f = fopen(p, "w");
    fputs("model,machine\n", f);
    fclose(f);
    refused(p, CLSA_EFORMAT, "not a database");
    f = fopen(p, "w");
    for (int i = 0; i < 4096; i++)
        fputc(i * 7, f);
    fclose(f);
    refused(p, CLSA_EFORMAT, "not a database");
    refused(dir, CLSA_EIO, "directory");

    unlink(p);
    run_sql(p, "CREATE TABLE t(a); PRAGMA user_version = 1;");
    refused(p, CLSA_EFORMAT, "another program");

    unlink(p);
    write_store(p, NULL);
    run_sql(p, "PRAGMA user_version = 2");
    refused(p, CLSA_EUNSUPPORTED, "version 2");
    run_sql(p, "PRAGMA user_version = 1; CREATE TRIGGER x AFTER INSERT ON run BEGIN "
               "DELETE FROM run; END");
    refused(p, CLSA_EFORMAT, "trigger");
    run_sql(p, "DROP TRIGGER x; PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = "
               "replace(sql, char(10), '  -- a remark' || char(10) || ' ') WHERE name = 'quality'");
    ck_assert_double_eq(number(p, "SELECT count(*) FROM run"), 1);
    run_sql(p, "DROP VIEW quality");
    refused(p, CLSA_EFORMAT, "quality");
    run_sql(p, "CREATE VIEW quality AS SELECT 1");
    refused(p, CLSA_EFORMAT, "quality");
}
END_TEST

START_TEST(truncation_at_every_page_is_noticed)
{
    write_store(at("whole.db"), NULL);
    struct stat st;
    ck_assert_int_eq(stat(at("whole.db"), &st), 0);
    char command[600];
    snprintf(command, sizeof command, "cp %s %s", at("whole.db"), at("cut.db"));
    ck_assert_int_eq(system(command), 0);
    for (off_t size = st.st_size - 1; size > 0; size -= 1717) {
        ck_assert_int_eq(truncate(at("cut.db"), size), 0);
        refused(at("cut.db"), CLSA_EFORMAT, size < 100 ? "short" : "truncated");
    }
}
END_TEST

/* Flipped bits may leave a readable file (a number changed), but never crash or hang a reader. */
START_TEST(flipped_bits_never_crash)
{
    write_store(at("whole.db"), NULL);
    FILE *f = fopen(at("whole.db"), "rb");
    static unsigned char bytes[1 << 20];
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    int noticed = 0;
    for (size_t i = 0; i < n; i += 769) {
        const char *p = at("flip.db");
        bytes[i] ^= 0x40;
        f = fopen(p, "wb");
        ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
        fclose(f);
        bytes[i] ^= 0x40;
        struct clsa_err err = {""};
        struct clsa_reader *reader = NULL;
        struct clsa_cursor *cursor = NULL;
        int status = clsa_reader_open(p, &reader, &err);
        if (!status)
            status = clsa_cursor_open(reader, "SELECT * FROM speedup", &cursor, &err);
        while (!status && (status = clsa_cursor_next(cursor, &err)) == 1)
            status = 0;
        if (status < 0) {
            noticed++;
            ck_assert_msg(strstr(err.text, p) != NULL, "%s", err.text);
        }
        clsa_cursor_destroy(cursor);
        clsa_reader_destroy(reader);
    }
    ck_assert_int_gt(noticed, 0);
}
END_TEST

START_TEST(queries_cannot_write)
{
    write_store(at("a.db"), NULL);
    struct clsa_err err;
    struct clsa_reader *reader = NULL;
    struct clsa_cursor *cursor = NULL;
    ck_assert_int_eq(clsa_reader_open(at("a.db"), &reader, &err), 0);
    static const char *const refused_sql[] = {
        "DELETE FROM run", "DROP TABLE run", "ATTACH '/tmp/x.db' AS x", "PRAGMA user_version = 9",
        "INSERT INTO run SELECT * FROM run RETURNING id", "UPDATE run SET seed = 1",
        "CREATE TEMP TABLE t(a)", "VACUUM INTO '/tmp/x.db'", "SELECT 1; DELETE FROM run", "BEGIN",
        "SELECT load_extension('x')", "SELECT * FROM nowhere", "SELEC", "", "-- nothing",
        "SELECT 1; SELECT 2"};
    for (size_t i = 0; i < sizeof refused_sql / sizeof *refused_sql; i++) {
        const int status = clsa_cursor_open(reader, refused_sql[i], &cursor, &err);
        ck_assert_msg(status == CLSA_EUSAGE, "%s: %d", refused_sql[i], status);
        ck_assert_ptr_nonnull(strstr(err.text, "a.db"));
    }
    ck_assert_int_eq(clsa_cursor_open(reader, "SELECT 1; -- and no more\n /* really */ ; ", &cursor,
                                      &err), 0);
    clsa_cursor_destroy(cursor);
    /* Endless work stops. */
    clsa_reader_time_limit(reader, 1);
    ck_assert_int_eq(clsa_cursor_open(reader, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
                                      "i + 1 FROM n) SELECT count(*) FROM n", &cursor, &err), 0);
    ck_assert_int_eq(clsa_cursor_next(cursor, &err), CLSA_ELIMIT);
    clsa_cursor_destroy(cursor);
    clsa_reader_destroy(reader);
}
END_TEST

START_TEST(a_store_in_memory_reads_its_own_run)
{
    struct clsa_err err;
    struct clsa_store *store = NULL;
    struct clsa_cursor *cursor = NULL;
    ck_assert_int_eq(clsa_store_open(NULL, &a_run, &store, &err), 0);
    const struct ids ids = add_setup(store);
    add_point(store, &ids, 0, 8192, 200);
    add_point(store, &ids, 1, 8192, 100);
    ck_assert_int_eq(clsa_cursor_open(clsa_store_reader(store), "SELECT speedup_vs_dense FROM "
                                      "speedup WHERE run_id = :run ORDER BY group_size", &cursor,
                                      &err), 0);
    ck_assert_int_eq(clsa_cursor_next(cursor, &err), 1);
    ck_assert_double_eq(clsa_cursor_f64(cursor, 0), 1);
    ck_assert_int_eq(clsa_cursor_next(cursor, &err), 1);
    ck_assert_double_eq(clsa_cursor_f64(cursor, 0), 2);
    clsa_cursor_destroy(cursor);
    /* A name given twice is one row. */
    const struct ids again = add_setup(store);
    ck_assert_int_eq(again.machine, ids.machine);
    ck_assert_int_eq(clsa_store_commit(store, &err), 0);
    clsa_store_destroy(store);
}
END_TEST

/* A disk that fills up while the run is written: exit status of a child whose files may not
 * grow. */
static int write_with_limit(const char *path, rlim_t bytes)
{
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, bytes});
        struct clsa_err err;
        struct clsa_store *store = NULL;
        int status = clsa_store_open(path, &a_run, &store, &err);
        struct ids ids = {1, 1, 1};
        const struct clsa_model_row model = {"toy", "{}"};
        const struct clsa_setup_row setup = {.name = "toy"};
        if (!status)
            status = clsa_store_add_model(store, &model, &ids.model, &err);
        if (!status)
            status = clsa_store_add_machine(store, &setup, &ids.machine, &err);
        if (!status)
            status = clsa_store_add_implementation(store, &setup, &ids.implementation, &err);
        for (uint64_t i = 0; i < 20000 && !status; i++) {
            const struct clsa_prediction_row row = {
                .point = a_point(&ids, 1, i), .machine_id = ids.machine,
                .implementation_id = ids.implementation, .method = "closed"};
            status = clsa_store_add_prediction(store, &row, NULL, &err);
        }
        if (!status)
            status = clsa_store_commit(store, &err);
        clsa_store_destroy(store);
        _exit(status == 0 ? 0 : status == CLSA_EIO && strstr(err.text, path) ? 1 : 2);
    }
    int code = 0;
    ck_assert_int_eq(waitpid(child, &code, 0), child);
    ck_assert(WIFEXITED(code));
    return WEXITSTATUS(code);
}

START_TEST(a_full_disk_leaves_nothing_behind)
{
    for (rlim_t limit = 1024; limit <= 600 << 10; limit = limit * 3 + 512) {
        ck_assert_int_eq(write_with_limit(at("full.db"), limit), 1);
        ck_assert_int_eq(files_in_dir(), 0);
    }
    write_store(at("old.db"), NULL);
    struct stat st;
    ck_assert_int_eq(stat(at("old.db"), &st), 0);
    ck_assert_int_eq(write_with_limit(at("old.db"), (rlim_t)st.st_size + 100000), 1);
    ck_assert_double_eq(number(at("old.db"), "SELECT count(*) FROM run"), 1);
    ck_assert_double_eq(number(at("old.db"), "SELECT count(*) FROM prediction"), 12);
    ck_assert_int_eq(files_in_dir(), 1);
    ck_assert_int_eq(write_with_limit(at("old.db"), RLIM_INFINITY), 0);
    ck_assert_double_eq(number(at("old.db"), "SELECT count(*) FROM prediction"), 20012);
}
END_TEST

START_TEST(places_that_cannot_be_written_are_named)
{
    struct clsa_err err;
    struct clsa_store *store = NULL;
    ck_assert_int_eq(clsa_store_open(at("no/such/dir.db"), &a_run, &store, &err), CLSA_EIO);
    ck_assert_ptr_nonnull(strstr(err.text, "dir.db"));
    ck_assert_int_eq(clsa_store_open("/dev/full", &a_run, &store, &err), CLSA_EIO);
    write_store(at("ro.db"), NULL);
    ck_assert_int_eq(chmod(at("ro.db"), 0444), 0);
    if (geteuid() != 0) { /* root may write anywhere */
        ck_assert_int_eq(clsa_store_open(at("ro.db"), &a_run, &store, &err), CLSA_EIO);
        ck_assert_ptr_nonnull(strstr(err.text, "read-only"));
    }
    ck_assert_double_eq(number(at("ro.db"), "SELECT count(*) FROM run"), 1);
}
END_TEST

START_TEST(every_failed_allocation_is_reported)
{
    for (unsigned long n = 1;; n++) {
        struct clsa_err err = {""};
        struct clsa_store *store = NULL;
        struct clsa_reader *reader = NULL;
        clsa_alloc_fail_at(n);
        int status = clsa_store_open(at("m.db"), &a_run, &store, &err);
        if (!status)
            status = clsa_store_commit(store, &err);
        clsa_store_destroy(store);
        if (!status)
            status = clsa_reader_open(at("m.db"), &reader, &err);
        clsa_reader_destroy(reader);
        const bool failed = clsa_alloc_fail_at(0);
        if (!failed) {
            ck_assert_int_eq(status, 0);
            ck_assert_uint_gt(n, 3);
            break;
        }
        ck_assert_int_eq(status, CLSA_ENOMEM);
        unlink(at("m.db"));
        ck_assert_int_eq(files_in_dir(), 0);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("store");
    TCase *t = tcase_create("store");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_add_test(t, views_say_what_the_rows_imply);
    tcase_add_test(t, the_latest_run_counts);
    tcase_add_test(t, quality_is_set_against_dense);
    tcase_add_test(t, nothing_appears_before_commit);
    tcase_add_test(t, an_empty_file_becomes_a_store);
    tcase_add_test(t, two_makers_of_one_file_both_count);
    tcase_add_test(t, merging_is_by_guid_and_idempotent);
    tcase_add_test(t, foreign_and_damaged_files_are_refused);
    tcase_add_test(t, truncation_at_every_page_is_noticed);
    tcase_add_test(t, flipped_bits_never_crash);
    tcase_add_test(t, queries_cannot_write);
    tcase_add_test(t, a_store_in_memory_reads_its_own_run);
    tcase_add_test(t, a_full_disk_leaves_nothing_behind);
    tcase_add_test(t, places_that_cannot_be_written_are_named);
    tcase_add_test(t, every_failed_allocation_is_reported);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
