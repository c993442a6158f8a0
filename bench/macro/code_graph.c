/* code_graph.c: a repository becomes a code graph, is edited, and is asked.
 *
 * ingest   one transaction a file: its functions, and an edge for each call, in both directions;
 *          then edits: what the old version of the file had goes in range deletes, the new comes
 * query    the mix that an agent asks while it works, in one snapshot: who calls F (40%), whom does
 *          F call (30%), where is F (20%), two hops back from F (10%)
 *
 * Keyspaces, tuple-encoded; names are text:
 *   defines    (file, name)       -> line, lines
 *   symbol     (name, file)       -> line
 *   calls      (file, caller, callee)
 *   called_by  (callee, caller, file)
 *
 * Repositories: made up (tools/gen_synth_repo), 1000 files and 2000 edits; and real, NS_BENCH_TREE
 * or this project's own sources. Latency percentiles are of one file's transaction, and of one
 * query. */
#include "macro/all.h"

#include <stdlib.h>
#include <string.h>

#include <northstar/tuple.h>
#include "common/bench.h"
#include "gen_synth_repo/repo.h"

#define KEY_BYTES 1024u
#define FILES 1000u
#define EDITS 2000u
#define QUERIES 20000u

enum { DEFINES, SYMBOL, CALLS, CALLED_BY, KEYSPACES };
static const char *const keyspace_names[KEYSPACES] = {"defines", "symbol", "calls", "called_by"};

struct graph {
    struct bench *b;
    ns_db *db;
    ns_keyspace keyspaces[KEYSPACES];
    struct repo repo;
};

struct key {
    uint8_t bytes[KEY_BYTES];
    ns_tuple_writer writer;
};

/* Up to three texts; NULL ends. */
static ns_slice key_of(struct key *key, const char *a, const char *b, const char *c)
{
    const char *parts[3] = {a, b, c};
    ns_tuple_writer_init(&key->writer, key->bytes, sizeof key->bytes);
    for (size_t i = 0; i < 3 && parts[i] != NULL; i++)
        BENCH_CHECK(ns_tuple_put_text(&key->writer, ns_str(parts[i]), NS_TUPLE_ASC));
    return ns_tuple_writer_view(&key->writer);
}

static void range_of(struct key *key, const char *a, const char *b, ns_slice *from, ns_slice *to)
{
    (void)key_of(key, a, b, NULL);
    BENCH_CHECK(ns_tuple_writer_range(&key->writer, from, to));
}

/* ---- ingesting ---- */

static void put_function(struct graph *graph, ns_txn *txn, const char *path,
                         const struct repo_function *function)
{
    struct key key;
    const uint32_t place[2] = {function->line, function->lines};
    BENCH_CHECK(ns_txn_put(txn, graph->keyspaces[DEFINES], key_of(&key, path, function->name, NULL),
                           ns_bytes(place, sizeof place)));
    BENCH_CHECK(ns_txn_put(txn, graph->keyspaces[SYMBOL], key_of(&key, function->name, path, NULL),
                           ns_bytes(place, sizeof place[0])));
    for (uint32_t i = 0; i < function->call_count; i++) {
        const char *callee = function->calls[i];
        BENCH_CHECK(ns_txn_put(txn, graph->keyspaces[CALLS],
                               key_of(&key, path, function->name, callee), ns_bytes(NULL, 0)));
        BENCH_CHECK(ns_txn_put(txn, graph->keyspaces[CALLED_BY],
                               key_of(&key, callee, function->name, path), ns_bytes(NULL, 0)));
    }
}

/* The reverse entries of what the database has for this file, then the ranges themselves. */
static void drop_reverse(struct graph *graph, ns_txn *txn, unsigned forward, unsigned reverse,
                         const char *path)
{
    struct key range, key;
    ns_slice from, to;
    ns_cursor *cursor;
    range_of(&range, path, NULL, &from, &to);
    BENCH_CHECK(ns_cursor_open(txn, graph->keyspaces[forward], &cursor));
    BENCH_CHECK(ns_cursor_bounds(cursor, from, to));
    for (ns_status s = ns_cursor_first(cursor); s == NS_OK; s = ns_cursor_next(cursor)) {
        uint8_t scratch[2][KEY_BYTES];
        ns_tuple_reader reader;
        ns_slice names[2] = {{NULL, 0}, {NULL, 0}};
        ns_tuple_reader_init(&reader, ns_cursor_key(cursor));
        BENCH_CHECK(ns_tuple_skip(&reader));
        BENCH_CHECK(ns_tuple_get_text(&reader, scratch[0], KEY_BYTES, &names[0]));
        bool has_callee = ns_tuple_get_text(&reader, scratch[1], KEY_BYTES, &names[1]) == NS_OK;
        ns_tuple_writer_init(&key.writer, key.bytes, sizeof key.bytes);
        if (has_callee) BENCH_CHECK(ns_tuple_put_text(&key.writer, names[1], NS_TUPLE_ASC));
        BENCH_CHECK(ns_tuple_put_text(&key.writer, names[0], NS_TUPLE_ASC));
        BENCH_CHECK(ns_tuple_put_text(&key.writer, ns_str(path), NS_TUPLE_ASC));
        BENCH_CHECK(ns_txn_del(txn, graph->keyspaces[reverse], ns_tuple_writer_view(&key.writer)));
    }
    ns_cursor_close(cursor);
    BENCH_CHECK(ns_txn_del_range(txn, graph->keyspaces[forward], from, to));
}

static void store_file(struct graph *graph, const struct repo_file *file, bool is_new)
{
    ns_txn *txn;
    BENCH_CHECK(ns_txn_begin(graph->db, NS_WRITE, &txn));
    if (!is_new) {
        drop_reverse(graph, txn, DEFINES, SYMBOL, file->path);
        drop_reverse(graph, txn, CALLS, CALLED_BY, file->path);
    }
    for (uint32_t i = 0; i < file->function_count; i++)
        put_function(graph, txn, file->path, &file->functions[i]);
    BENCH_CHECK(ns_txn_note(txn, ns_str(file->path)));
    BENCH_CHECK(ns_txn_commit(txn, NULL));
}

static void store_timed(struct graph *graph, const struct repo_file *file, bool is_new)
{
    uint64_t start = bench_now_ns();
    store_file(graph, file, is_new);
    bench_sample(graph->b, bench_now_ns() - start);
}

static void load_repo(struct graph *graph)
{
    const char *tree = getenv("NS_BENCH_TREE");
    if (bench_arg(graph->b, 0) == 0) {
        repo_synthesise(&graph->repo, FILES, 1);
    } else if (!repo_scan(&graph->repo, tree != NULL ? tree : NS_SOURCE_DIR)) {
        bench_die("the tree cannot be read", NS_NOTFOUND);
    }
}

static void open_graph(struct graph *graph, struct bench *b)
{
    ns_options options;
    ns_txn *txn;
    *graph = (struct graph){.b = b};
    load_repo(graph);
    bench_options(b, BENCH_FILES, &options);
    options.sync = NS_SYNC_OFF;
    BENCH_CHECK(ns_db_open(bench_path(b), &options, &graph->db));
    BENCH_CHECK(ns_txn_begin(graph->db, NS_WRITE, &txn));
    for (size_t i = 0; i < KEYSPACES; i++)
        BENCH_CHECK(ns_txn_keyspace(txn, keyspace_names[i], &graph->keyspaces[i]));
    BENCH_CHECK(ns_txn_commit(txn, NULL));
}

/* Both directions must hold the same edges: the distinct (caller, callee, file) of the repository
 * as it is now. */
static uint64_t entries(struct graph *graph, ns_txn *txn, unsigned keyspace)
{
    ns_cursor *cursor;
    uint64_t found = 0;
    BENCH_CHECK(ns_cursor_open(txn, graph->keyspaces[keyspace], &cursor));
    for (ns_status s = ns_cursor_first(cursor); s == NS_OK; s = ns_cursor_next(cursor))
        found++;
    ns_cursor_close(cursor);
    return found;
}

static void close_graph(struct graph *graph)
{
    ns_txn *txn;
    BENCH_CHECK(ns_txn_begin(graph->db, NS_READ, &txn));
    uint64_t edges = entries(graph, txn, CALLS);
    bool agrees = edges == entries(graph, txn, CALLED_BY) &&
                  entries(graph, txn, DEFINES) == entries(graph, txn, SYMBOL) &&
                  edges <= repo_call_count(&graph->repo);
    if (bench_arg(graph->b, 0) == 0) agrees = agrees && edges == repo_call_count(&graph->repo);
    ns_txn_abort(txn);
    if (!agrees) bench_die("the two directions of the graph disagree", NS_INTERNAL);
    bench_figure(graph->b, "files", (double)graph->repo.file_count);
    bench_figure(graph->b, "edges", (double)edges);
    BENCH_CHECK(ns_db_close(graph->db));
    repo_deinit(&graph->repo);
}

static void ingest(struct bench *b)
{
    struct graph graph;
    open_graph(&graph, b);
    bench_watch(b, graph.db);
    uint64_t stored = 0;
    while (bench_next(b)) {
        for (; stored < graph.repo.file_count; stored++)
            store_timed(&graph, &graph.repo.files[stored], true);
        for (unsigned i = 0; i < EDITS && bench_arg(b, 0) == 0; i++, stored++) {
            size_t before = graph.repo.file_count;
            size_t index = repo_edit(&graph.repo);
            store_timed(&graph, &graph.repo.files[index], graph.repo.file_count > before);
        }
    }
    bench_items(b, stored);
    bench_watch(b, NULL);
    close_graph(&graph);
}

/* ---- asking ---- */

static uint64_t neighbours(struct graph *graph, ns_txn *txn, unsigned keyspace, const char *name,
                           unsigned hops)
{
    struct key key;
    ns_slice from, to;
    ns_cursor *cursor;
    uint64_t found = 0;
    range_of(&key, name, NULL, &from, &to);
    BENCH_CHECK(ns_cursor_open(txn, graph->keyspaces[keyspace], &cursor));
    BENCH_CHECK(ns_cursor_bounds(cursor, from, to));
    for (ns_status s = ns_cursor_first(cursor); s == NS_OK; s = ns_cursor_next(cursor)) {
        found++;
        if (hops == 1) continue;
        char next[KEY_BYTES];
        ns_tuple_reader reader;
        ns_slice text;
        ns_tuple_reader_init(&reader, ns_cursor_key(cursor));
        BENCH_CHECK(ns_tuple_skip(&reader));
        BENCH_CHECK(ns_tuple_get_text(&reader, next, sizeof next - 1, &text));
        memmove(next, text.data, text.size);
        next[text.size] = '\0';
        found += neighbours(graph, txn, keyspace, next, hops - 1);
    }
    ns_cursor_close(cursor);
    return found;
}

static uint64_t callees(struct graph *graph, ns_txn *txn, const char *path, const char *name)
{
    struct key key;
    ns_slice from, to;
    ns_cursor *cursor;
    uint64_t found = 0;
    range_of(&key, path, name, &from, &to);
    BENCH_CHECK(ns_cursor_open(txn, graph->keyspaces[CALLS], &cursor));
    BENCH_CHECK(ns_cursor_bounds(cursor, from, to));
    for (ns_status s = ns_cursor_first(cursor); s == NS_OK; s = ns_cursor_next(cursor))
        found++;
    ns_cursor_close(cursor);
    return found;
}

static uint64_t ask(struct graph *graph, ns_txn *txn, struct ns__prng *prng)
{
    const struct repo_file *file;
    do {
        file = &graph->repo.files[ns__prng_below(prng, graph->repo.file_count)];
    } while (file->function_count == 0);
    const struct repo_function *function =
        &file->functions[ns__prng_below(prng, file->function_count)];
    uint64_t draw = ns__prng_below(prng, 10);
    if (draw < 4) return neighbours(graph, txn, CALLED_BY, function->name, 1);
    if (draw < 7) return callees(graph, txn, file->path, function->name);
    if (draw < 9) return neighbours(graph, txn, SYMBOL, function->name, 1);
    return neighbours(graph, txn, CALLED_BY, function->name, 2);
}

static void query(struct bench *b)
{
    struct graph graph;
    struct ns__prng prng = {3};
    ns_txn *txn;
    uint64_t rows = 0;
    open_graph(&graph, b);
    for (size_t i = 0; i < graph.repo.file_count; i++)
        store_file(&graph, &graph.repo.files[i], true);
    BENCH_CHECK(ns_txn_begin(graph.db, NS_READ, &txn));
    bench_watch(b, graph.db);
    while (bench_next(b)) {
        for (unsigned i = 0; i < QUERIES; i++) {
            uint64_t start = bench_now_ns();
            rows += ask(&graph, txn, &prng);
            bench_sample(b, bench_now_ns() - start);
        }
    }
    bench_watch(b, NULL);
    bench_items(b, QUERIES * bench_iterations(b));
    bench_figure(b, "rows", (double)rows / QUERIES);
    ns_txn_abort(txn);
    close_graph(&graph);
}

void macro_code_graph(void)
{
    struct bench_plan plan = {.iterations = 1, .is_fixed = true};
    bench_add("macro/code_graph/ingest_synthetic", ingest, &plan);
    bench_add("macro/code_graph/query_synthetic", query, &plan);
    plan.args[0] = 1;
    bench_add("macro/code_graph/ingest_real", ingest, &plan);
    bench_add("macro/code_graph/query_real", query, &plan);
}
