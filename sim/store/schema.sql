-- The store of clsa, version 1: one SQLite file that holds what was asked, with which inputs, and
-- what came out. Everything hangs below a run; a run has a GUID, so that files merge.
--
-- Units are in column names. Times are integer picoseconds (_ps), sizes bytes (_bytes). Group size
-- 0 is dense attention. A NULL is "not known", never zero.
--
-- Predictions and measurements of the same thing agree in the key columns
--   model, machine, implementation, phase, batch, context_tokens, new_tokens, group_size, top_k,
--   kv_shared, ranks, threads, op
-- where machine names the GPU or host. Dense rows have top_k 0.

PRAGMA application_id = 1129075521; -- "CLSA"
PRAGMA user_version = 1;

-- One run of one command: who computed the rows below it and from what.
CREATE TABLE run (
    id              INTEGER PRIMARY KEY,
    guid            TEXT NOT NULL UNIQUE CHECK (length(guid) = 36),
    command         TEXT NOT NULL,            -- subcommand: predict, run, replay, eval, ...
    command_line    TEXT NOT NULL,
    tool_version    TEXT NOT NULL,
    git_id          TEXT NOT NULL DEFAULT '',
    seed            INTEGER,
    host            TEXT NOT NULL DEFAULT '', -- the machine the run ran on
    started_unix_s  INTEGER                   -- seconds since 1970 UTC
) STRICT;

-- Files a run read that are not stored row by row: traces, weights, token and task files.
CREATE TABLE run_input (
    run_id  INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    role    TEXT NOT NULL,                    -- trace, weights, tokens, tasks, golden, measured
    path    TEXT NOT NULL,
    bytes   INTEGER,
    digest  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, role, path)
) STRICT, WITHOUT ROWID;

-- Geometry as the run used it, whole, as JSON.
CREATE TABLE model (
    id             INTEGER PRIMARY KEY,
    run_id         INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    name           TEXT NOT NULL,
    geometry_json  TEXT NOT NULL CHECK (geometry_json <> ''),
    UNIQUE (run_id, name)
) STRICT;

-- A machine or a software implementation as the run used it, overrides applied. The name carries
-- the overrides ("h100-sxm l2.size=128MiB"), so that a changed machine is another machine
-- everywhere.
CREATE TABLE machine (
    id         INTEGER PRIMARY KEY,
    run_id     INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL DEFAULT '',      -- gpu, cpu
    base       TEXT NOT NULL DEFAULT '',      -- the machine it inherits from
    overrides  TEXT NOT NULL DEFAULT '',
    path       TEXT NOT NULL DEFAULT '',
    UNIQUE (run_id, name)
) STRICT;

CREATE TABLE machine_parameter (
    machine_id  INTEGER NOT NULL REFERENCES machine ON DELETE CASCADE,
    ordinal     INTEGER NOT NULL,             -- order in the file
    parameter   TEXT NOT NULL,
    value       TEXT NOT NULL,                -- as written, in `unit`
    unit        TEXT NOT NULL DEFAULT '',
    source      TEXT NOT NULL DEFAULT '',
    origin      TEXT NOT NULL DEFAULT '',     -- file:line, --set, or default
    PRIMARY KEY (machine_id, parameter)
) STRICT, WITHOUT ROWID;

CREATE TABLE implementation (
    id         INTEGER PRIMARY KEY,
    run_id     INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    name       TEXT NOT NULL,
    base       TEXT NOT NULL DEFAULT '',
    overrides  TEXT NOT NULL DEFAULT '',
    path       TEXT NOT NULL DEFAULT '',
    UNIQUE (run_id, name)
) STRICT;

CREATE TABLE implementation_parameter (
    implementation_id  INTEGER NOT NULL REFERENCES implementation ON DELETE CASCADE,
    ordinal            INTEGER NOT NULL,
    op                 TEXT NOT NULL,
    parameter          TEXT NOT NULL,
    value              TEXT NOT NULL,
    unit               TEXT NOT NULL DEFAULT '',
    source             TEXT NOT NULL DEFAULT '',
    origin             TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (implementation_id, op, parameter)
) STRICT, WITHOUT ROWID;

-- One predicted step.
CREATE TABLE prediction (
    id                 INTEGER PRIMARY KEY,
    run_id             INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    model_id           INTEGER NOT NULL REFERENCES model,
    machine_id         INTEGER NOT NULL REFERENCES machine,
    implementation_id  INTEGER NOT NULL REFERENCES implementation,
    method             TEXT NOT NULL CHECK (method IN ('closed', 'replay')),
    phase              TEXT NOT NULL CHECK (phase IN ('prefill', 'decode')),
    batch              INTEGER NOT NULL CHECK (batch > 0),
    context_tokens     INTEGER NOT NULL CHECK (context_tokens >= 0),
    new_tokens         INTEGER NOT NULL DEFAULT 1 CHECK (new_tokens > 0), -- rows a sequence
    group_size         INTEGER NOT NULL CHECK (group_size >= 0),
    top_k              INTEGER NOT NULL CHECK (top_k >= 0 AND (group_size > 0 OR top_k = 0)),
    kv_shared          INTEGER NOT NULL CHECK (kv_shared IN (0, 1)),
    ranks              INTEGER NOT NULL DEFAULT 1 CHECK (ranks > 0),
    threads            INTEGER NOT NULL DEFAULT 0 CHECK (threads >= 0),   -- 0: the whole machine
    step_ps            INTEGER NOT NULL CHECK (step_ps >= 0),
    step_lo_ps         INTEGER CHECK (step_lo_ps <= step_ps),             -- 80 % interval
    step_hi_ps         INTEGER CHECK (step_hi_ps >= step_ps),
    attention_ps       INTEGER NOT NULL CHECK (attention_ps >= 0),
    index_ps           INTEGER NOT NULL CHECK (index_ps >= 0),            -- scores and top-k
    other_ps           INTEGER NOT NULL CHECK (other_ps >= 0),
    launches           INTEGER,                                           -- kernels a step
    launch_ps          INTEGER,                                           -- of step_ps: launch gaps
    flops              INTEGER,
    l1_bytes           INTEGER,                                           -- asked of each level
    l2_bytes           INTEGER,
    dram_bytes         INTEGER
) STRICT;
CREATE INDEX prediction_run ON prediction (run_id);
CREATE INDEX prediction_key ON prediction (phase, batch, context_tokens, group_size);

-- The ops of a predicted step: `count` ops of one name in one layer, or over all layers (layer -1).
CREATE TABLE prediction_op (
    prediction_id  INTEGER NOT NULL REFERENCES prediction ON DELETE CASCADE,
    ordinal        INTEGER NOT NULL,
    op             TEXT NOT NULL,             -- gemm_q, attn_sparse, ...
    part           TEXT NOT NULL CHECK (part IN ('attention', 'index', 'other')),
    layer          INTEGER NOT NULL DEFAULT -1,
    count          INTEGER NOT NULL DEFAULT 1 CHECK (count > 0),
    time_ps        INTEGER NOT NULL CHECK (time_ps >= 0), -- of all `count`, launch gaps included
    lo_ps          INTEGER CHECK (lo_ps <= time_ps),
    hi_ps          INTEGER CHECK (hi_ps >= time_ps),
    launches       INTEGER,
    launch_ps      INTEGER,
    bound          TEXT NOT NULL DEFAULT '',  -- what it waits for: launch, compute, l2, dram, ...
    flops          INTEGER,
    operand_bytes  INTEGER,                   -- each operand byte once
    l1_bytes       INTEGER,
    l2_bytes       INTEGER,
    dram_bytes     INTEGER,
    PRIMARY KEY (prediction_id, ordinal)
) STRICT, WITHOUT ROWID;

-- One measured time: a whole step (op '') or all ops of one name in a step.
CREATE TABLE measurement (
    id              INTEGER PRIMARY KEY,
    run_id          INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    model_id        INTEGER NOT NULL REFERENCES model,
    machine         TEXT NOT NULL,
    implementation  TEXT NOT NULL,
    phase           TEXT NOT NULL CHECK (phase IN ('prefill', 'decode')),
    batch           INTEGER NOT NULL CHECK (batch > 0),
    context_tokens  INTEGER NOT NULL CHECK (context_tokens >= 0),
    new_tokens      INTEGER NOT NULL DEFAULT 1 CHECK (new_tokens > 0),
    group_size      INTEGER NOT NULL CHECK (group_size >= 0),
    top_k           INTEGER NOT NULL CHECK (top_k >= 0 AND (group_size > 0 OR top_k = 0)),
    kv_shared       INTEGER NOT NULL CHECK (kv_shared IN (0, 1)),
    ranks           INTEGER NOT NULL DEFAULT 1 CHECK (ranks > 0),
    threads         INTEGER NOT NULL DEFAULT 0 CHECK (threads >= 0),
    op              TEXT NOT NULL DEFAULT '',
    count           INTEGER NOT NULL DEFAULT 1 CHECK (count > 0),
    time_ps         INTEGER NOT NULL CHECK (time_ps >= 0), -- median over samples, of all `count`
    lo_ps           INTEGER CHECK (lo_ps <= time_ps),      -- spread of the samples
    hi_ps           INTEGER CHECK (hi_ps >= time_ps),
    samples         INTEGER NOT NULL DEFAULT 1 CHECK (samples > 0),
    source          TEXT NOT NULL DEFAULT ''               -- how it was measured, or its file
) STRICT;
CREATE INDEX measurement_run ON measurement (run_id);
CREATE INDEX measurement_key ON measurement (phase, batch, context_tokens, group_size, op);

-- What a model answers at one group size and top-k; group 0 is dense.
CREATE TABLE eval_result (
    id             INTEGER PRIMARY KEY,
    run_id         INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    model_id       INTEGER NOT NULL REFERENCES model,
    tokens         INTEGER NOT NULL CHECK (tokens > 0), -- length of the task texts
    group_size     INTEGER NOT NULL CHECK (group_size >= 0),
    top_k          INTEGER NOT NULL CHECK (top_k >= 0 AND (group_size > 0 OR top_k = 0)),
    kernels        TEXT NOT NULL DEFAULT '',            -- rung or plugin that ran
    hop1_right     INTEGER NOT NULL CHECK (hop1_right BETWEEN 0 AND hop1_asked),
    hop1_asked     INTEGER NOT NULL,
    hop2_right     INTEGER NOT NULL CHECK (hop2_right BETWEEN 0 AND hop2_asked),
    hop2_asked     INTEGER NOT NULL,
    bits_per_byte  REAL,
    mass_covered   REAL,  -- share of dense attention weight that falls on the selected positions
    overlap        REAL   -- share of a group's selection that the group before it selected too
) STRICT;
CREATE INDEX eval_result_run ON eval_result (run_id);

-- What the selections of a trace look like, a row a group of layers.
CREATE TABLE selection (
    id                    INTEGER PRIMARY KEY,
    run_id                INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    model_id              INTEGER NOT NULL REFERENCES model,
    source                TEXT NOT NULL DEFAULT '',   -- the trace
    group_size            INTEGER NOT NULL CHECK (group_size > 0),
    top_k                 INTEGER NOT NULL CHECK (top_k > 0),
    set_index             INTEGER NOT NULL CHECK (set_index >= 0), -- which group of layers
    queries               INTEGER NOT NULL CHECK (queries >= 0),
    mean_keys             REAL,  -- visible keys a query
    mean_selected         REAL,
    overlap_previous_set  REAL,  -- share of positions that the group before selected too
    overlap_previous_step REAL,  -- share of positions that the same group selected a step before
    mass_covered          REAL,
    reuse_distance_rows   REAL   -- median of distinct rows touched between two uses of a row
) STRICT;
CREATE INDEX selection_run ON selection (run_id);

-- How well predictions did on a table of measurements; rows used in fitting apart from the rest.
CREATE TABLE accuracy (
    id                    INTEGER PRIMARY KEY,
    run_id                INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    machine               TEXT NOT NULL,
    implementation        TEXT NOT NULL,
    measured              TEXT NOT NULL,              -- the table: gemm, topk, own_steps, ...
    rows_used             TEXT NOT NULL CHECK (rows_used IN ('all', 'fitted', 'judged')),
    rows                  INTEGER NOT NULL CHECK (rows >= 0),
    mean_error_percent    REAL,
    median_error_percent  REAL,
    p90_error_percent     REAL,
    max_error_percent     REAL,
    bias_percent          REAL,
    rank_correlation      REAL,
    coverage_percent      REAL,                       -- rows inside their 80 % interval
    roofline_mean_error_percent REAL
) STRICT;
CREATE INDEX accuracy_run ON accuracy (run_id);

-- One kernel held against the reference.
CREATE TABLE kernel_check (
    id            INTEGER PRIMARY KEY,
    run_id        INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    kernel        TEXT NOT NULL,
    rung          TEXT NOT NULL,              -- ref, avx2, ..., or the plugin's name
    shape         TEXT NOT NULL DEFAULT '',
    cases         INTEGER NOT NULL CHECK (cases >= 0),
    failures      INTEGER NOT NULL CHECK (failures BETWEEN 0 AND cases),
    worst_error   REAL,                       -- in units of the derived bound: 1 is the bound
    time_ps       INTEGER CHECK (time_ps >= 0),
    bytes         INTEGER,
    flops         INTEGER,
    message       TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX kernel_check_run ON kernel_check (run_id);

-- Views. Where several runs of a file hold the same point, the latest run counts (highest id).

CREATE VIEW predicted_step AS
SELECT prediction_id, run_id, model, machine, implementation, method, phase, batch, context_tokens,
       new_tokens, group_size, top_k, kv_shared, ranks, threads, step_ps, step_lo_ps, step_hi_ps,
       attention_ps, index_ps, other_ps, launches, launch_ps, flops, l1_bytes, l2_bytes, dram_bytes
FROM (SELECT p.id AS prediction_id, p.*, m.name AS model, h.name AS machine,
             i.name AS implementation,
             row_number() OVER (PARTITION BY m.name, h.name, i.name, p.method, p.phase, p.batch,
                                p.context_tokens, p.new_tokens, p.group_size, p.top_k, p.kv_shared,
                                p.ranks, p.threads ORDER BY p.id DESC) AS age
      FROM prediction p
      JOIN model m ON m.id = p.model_id
      JOIN machine h ON h.id = p.machine_id
      JOIN implementation i ON i.id = p.implementation_id)
WHERE age = 1;

-- The same for measurements; op '' is the whole step.
CREATE VIEW measured AS
SELECT measurement_id, run_id, model, machine, implementation, phase, batch, context_tokens,
       new_tokens, group_size, top_k, kv_shared, ranks, threads, op, count, time_ps, lo_ps, hi_ps,
       samples, source
FROM (SELECT t.id AS measurement_id, t.*, m.name AS model,
             row_number() OVER (PARTITION BY m.name, t.machine, t.implementation, t.phase, t.batch,
                                t.context_tokens, t.new_tokens, t.group_size, t.top_k, t.kv_shared,
                                t.ranks, t.threads, t.op ORDER BY t.id DESC) AS age
      FROM measurement t
      JOIN model m ON m.id = t.model_id)
WHERE age = 1;

-- Predicted ops summed by name, and the whole step as op ''.
CREATE VIEW predicted AS
SELECT s.prediction_id, s.run_id, s.model, s.machine, s.implementation, s.method, s.phase, s.batch,
       s.context_tokens, s.new_tokens, s.group_size, s.top_k, s.kv_shared, s.ranks, s.threads,
       o.op, o.part, sum(o.count) AS count, sum(o.time_ps) AS time_ps, sum(o.lo_ps) AS lo_ps,
       sum(o.hi_ps) AS hi_ps, sum(o.launches) AS launches, sum(o.launch_ps) AS launch_ps,
       sum(o.flops) AS flops, sum(o.operand_bytes) AS operand_bytes, sum(o.l1_bytes) AS l1_bytes,
       sum(o.l2_bytes) AS l2_bytes, sum(o.dram_bytes) AS dram_bytes
FROM predicted_step s
JOIN prediction_op o ON o.prediction_id = s.prediction_id
GROUP BY s.prediction_id, o.op, o.part
UNION ALL
SELECT s.prediction_id, s.run_id, s.model, s.machine, s.implementation, s.method, s.phase, s.batch,
       s.context_tokens, s.new_tokens, s.group_size, s.top_k, s.kv_shared, s.ranks, s.threads,
       '', 'step', 1, s.step_ps, s.step_lo_ps, s.step_hi_ps, s.launches, s.launch_ps, s.flops, NULL,
       s.l1_bytes, s.l2_bytes, s.dram_bytes
FROM predicted_step s;

-- Every step beside dense and beside one index a layer, on the same machine and software.
CREATE VIEW speedup AS
SELECT s.prediction_id, s.run_id, s.model, s.machine, s.implementation, s.method, s.phase, s.batch,
       s.context_tokens, s.new_tokens, s.group_size, s.top_k, s.kv_shared, s.ranks, s.threads,
       s.step_ps, s.step_lo_ps, s.step_hi_ps, s.attention_ps, s.index_ps, s.other_ps, s.launches,
       s.dram_bytes, CAST(d.step_ps AS REAL) / nullif(s.step_ps, 0) AS speedup_vs_dense,
       CAST(g.step_ps AS REAL) / nullif(s.step_ps, 0) AS speedup_vs_group1
FROM predicted_step s
LEFT JOIN predicted_step d
  ON d.group_size = 0
 AND (d.model, d.machine, d.implementation, d.method, d.phase, d.batch, d.context_tokens,
      d.new_tokens, d.kv_shared, d.ranks, d.threads)
   = (s.model, s.machine, s.implementation, s.method, s.phase, s.batch, s.context_tokens,
      s.new_tokens, s.kv_shared, s.ranks, s.threads)
LEFT JOIN predicted_step g
  ON g.group_size = 1 AND s.group_size > 0
 AND (g.model, g.machine, g.implementation, g.method, g.phase, g.batch, g.context_tokens,
      g.new_tokens, g.top_k, g.kv_shared, g.ranks, g.threads)
   = (s.model, s.machine, s.implementation, s.method, s.phase, s.batch, s.context_tokens,
      s.new_tokens, s.top_k, s.kv_shared, s.ranks, s.threads);

-- The fastest group size at each point, and the smallest that is within 5 % of it: a smaller group
-- selects for fewer layers at once, so it is the safer choice where time is nearly equal.
CREATE VIEW best_group AS
SELECT model, machine, implementation, method, phase, batch, context_tokens, new_tokens, top_k,
       kv_shared, ranks, threads, group_size AS best_group, step_ps, step_lo_ps, step_hi_ps,
       speedup_vs_dense, speedup_vs_group1, near_group
FROM (SELECT s.*,
             row_number() OVER (w ORDER BY s.step_ps, s.group_size) AS place,
             min(CASE WHEN s.step_ps <= 1.05 * s.fastest_ps THEN s.group_size END) OVER w
               AS near_group
      FROM (SELECT r.*, min(r.step_ps) OVER (PARTITION BY model, machine, implementation, method,
                     phase, batch, context_tokens, new_tokens, top_k, kv_shared, ranks, threads)
                     AS fastest_ps
            FROM speedup r WHERE r.group_size > 0) s
      WINDOW w AS (PARTITION BY model, machine, implementation, method, phase, batch,
                   context_tokens, new_tokens, top_k, kv_shared, ranks, threads))
WHERE place = 1;

-- Kernels a step, and what their launches cost.
CREATE VIEW launches AS
SELECT prediction_id, model, machine, implementation, method, phase, batch, context_tokens,
       group_size, top_k, kv_shared, ranks, threads, launches, launch_ps, step_ps,
       100.0 * launch_ps / nullif(step_ps, 0) AS launch_percent
FROM predicted_step;

-- Ops of each step, dearest first.
CREATE VIEW top_ops AS
SELECT o.prediction_id, o.model, o.machine, o.implementation, o.method, o.phase, o.batch,
       o.context_tokens, o.group_size, o.top_k, o.kv_shared, o.ranks, o.threads,
       row_number() OVER (PARTITION BY o.prediction_id ORDER BY o.time_ps DESC, o.op) AS place,
       o.op, o.part, o.count, o.time_ps,
       100.0 * o.time_ps / nullif(sum(o.time_ps) OVER (PARTITION BY o.prediction_id), 0)
         AS time_percent,
       o.launches, o.flops, o.dram_bytes
FROM predicted o
WHERE o.op <> '';

-- Predicted beside measured, step (op '') and ops. One row a pair; error is relative to measured.
CREATE VIEW error_by_op AS
SELECT p.prediction_id, m.measurement_id, p.model, p.machine, p.implementation, p.method, p.phase,
       p.batch, p.context_tokens, p.new_tokens, p.group_size, p.top_k, p.kv_shared, p.ranks,
       p.threads, p.op, m.time_ps AS measured_ps, p.time_ps AS predicted_ps,
       p.lo_ps AS predicted_lo_ps, p.hi_ps AS predicted_hi_ps,
       100.0 * (p.time_ps - m.time_ps) / nullif(m.time_ps, 0) AS error_percent,
       CASE WHEN p.lo_ps IS NULL OR p.hi_ps IS NULL THEN NULL
            ELSE m.time_ps BETWEEN p.lo_ps AND p.hi_ps END AS inside_interval
FROM measured m
JOIN predicted p
  ON (p.model, p.machine, p.implementation, p.phase, p.batch, p.context_tokens, p.new_tokens,
      p.group_size, p.top_k, p.kv_shared, p.ranks, p.threads, p.op)
   = (m.model, m.machine, m.implementation, m.phase, m.batch, m.context_tokens, m.new_tokens,
      m.group_size, m.top_k, m.kv_shared, m.ranks, m.threads, m.op);

-- Answers right, and how much of what dense attention answers is kept.
CREATE VIEW quality AS
WITH latest AS (
    SELECT * FROM (
        SELECT e.*, m.name AS model,
               row_number() OVER (PARTITION BY m.name, e.tokens, e.group_size, e.top_k, e.kernels
                                  ORDER BY e.id DESC) AS age
        FROM eval_result e JOIN model m ON m.id = e.model_id)
    WHERE age = 1)
SELECT q.run_id, q.model, q.tokens, q.group_size, q.top_k, q.kernels, q.hop1_right, q.hop1_asked,
       q.hop2_right, q.hop2_asked, q.bits_per_byte, q.mass_covered, q.overlap,
       100.0 * q.hop1_right / nullif(q.hop1_asked, 0) AS hop1_percent,
       100.0 * q.hop2_right / nullif(q.hop2_asked, 0) AS hop2_percent,
       100.0 * q.hop2_right / nullif(q.hop2_asked, 0)
         - 100.0 * d.hop2_right / nullif(d.hop2_asked, 0) AS hop2_points_vs_dense,
       q.bits_per_byte - d.bits_per_byte AS bits_per_byte_vs_dense
FROM latest q
LEFT JOIN latest d ON d.group_size = 0
 AND (d.model, d.tokens, d.kernels) = (q.model, q.tokens, q.kernels);
